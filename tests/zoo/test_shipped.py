"""The trained weights that come with the zoo."""

import hashlib
import json

import numpy as np
import pytest
from commands import ROOT, one_line_error

import zoo
from microtensor.serialize import load_safetensors
from zoo.chat.synthetic import synthetic_conversations
from zoo.datasets.shakespeare import ALPHABET, SHA256
from zoo.registry import list_models
from zoo.training.checkpoint import shipped, text_digest

FOLDER = ROOT / "data" / "pretrained"


#: The type of their numbers, and how many bytes at most.
FILES = {"char_gpt": (np.float16, 6e6), "modern_gpt": (np.float16, 6e6), "chat_gpt": (np.float32, 2.6e6)}


def test_small_files_with_how_they_were_trained():
    assert {file.stem for file in FOLDER.glob("*.safetensors")} == FILES.keys() <= set(list_models())
    for name, (dtype, size) in FILES.items():
        file = FOLDER / f"{name}.safetensors"
        assert file.stat().st_size < size and {a.dtype for a in load_safetensors(file).values()} == {np.dtype(dtype)}
        config = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        assert config["recipe"]["data"] is None and config["seconds"] > 0
        assert f"{config['best']['validation_loss']:.3f}" in (FOLDER / "README.md").read_text(encoding="utf-8")


def assert_default_recipe(name):
    checkpoint = shipped(name)
    assert checkpoint.recipe(checkpoint.read_config()) == zoo.create_model(name).recipe


def test_it_learned_tiny_shakespeare_to_a_loss_under_1_49():
    config = json.loads((FOLDER / "char_gpt.json").read_text(encoding="utf-8"))
    assert config["text"] == SHA256 and "".join(config["tokenizer"]["vocabulary"]) == ALPHABET
    assert config["best"]["validation_loss"] < 1.49
    assert len(ALPHABET) == 65 and hashlib.sha256(b"").hexdigest() != SHA256
    assert_default_recipe("char_gpt")


def test_it_learned_the_conversations_as_they_are_now():
    config = json.loads((FOLDER / "chat_gpt.json").read_text(encoding="utf-8"))
    assert config["text"] == text_digest(synthetic_conversations()), (
        "the conversations have changed: train and ship chat_gpt again"
    )
    assert_default_recipe("chat_gpt")


def test_it_knows_english(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = zoo.load_model("char_gpt")
    model, tokenizer = loaded.model, loaded.tokenizer
    for text, wanted in (("To be, or not to b", "e"), ("\n\nROMEO", ":"), ("What is thy nam", "e"), ("the q", "u")):
        assert tokenizer.decode([model(tokenizer.encode(text)[None]).data[0, -1].argmax()]) == wanted


def test_a_fresh_folder_writes_at_once(tmp_path, python):
    done = python(tmp_path, "zoo.generate", "char_gpt", "--prompt", "ROMEO:", "--tokens", 120)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("ROMEO:") and len(done.stdout) == 6 + 120 + 1
    words = {w.strip(",.;:!?'").lower() for w in done.stdout.split()}
    assert len(words & {"the", "and", "to", "i", "of", "my", "you", "a", "that", "in", "is", "not", "thou", "it", "be"}) >= 3
    assert not list(tmp_path.iterdir())


def test_ones_own_run_comes_first(tmp_path, small_gpt, python):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "char_gpt").symlink_to(small_gpt)
    one_line_error(
        python(tmp_path, "zoo.generate", "char_gpt", "--prompt", "ROMEO:"), "zoo.generate", "unknown character 'R'", code=1
    )


@pytest.mark.parametrize("command", ["generate", "predict"])
def test_it_has_no_last_step(tmp_path, python, command):
    arguments = ("--prompt", "A") if command == "generate" else ("A",)
    done = python(tmp_path, f"zoo.{command}", "char_gpt", *arguments, "--last")
    one_line_error(done, f"zoo.{command}", "--last", "train first", code=1)


def test_models_without_weights_say_so():
    assert shipped("char_gpt").config.is_file()
    assert not shipped("word_ngram").config.exists()
