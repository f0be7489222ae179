"""The trained weights that come with the zoo."""

import hashlib
import json

import numpy as np
import pytest
from conftest import ROOT, one_line_error

import zoo
from microtensor.serialize import load_safetensors
from zoo.registry import list_models
from zoo.text.shakespeare import ALPHABET, SHA256
from zoo.training.checkpoint import shipped

FOLDER = ROOT / "data" / "pretrained"


def test_half_precision_under_six_megabytes():
    for file in FOLDER.glob("*.safetensors"):
        assert file.stem in list_models() and file.stat().st_size < 6e6
        assert {a.dtype for a in load_safetensors(file).values()} == {np.dtype(np.float16)}
        config = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        assert config["recipe"]["data"] is None and config["seconds"] > 0
        assert f"{config['best']['validation_loss']:.3f}" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_it_learned_tiny_shakespeare_to_a_loss_under_1_49():
    config = json.loads((FOLDER / "char_gpt.json").read_text(encoding="utf-8"))
    assert config["text"] == SHA256 and "".join(config["vocabulary"]) == ALPHABET
    assert config["best"]["validation_loss"] < 1.49
    assert len(ALPHABET) == 65 and hashlib.sha256(b"").hexdigest() != SHA256
    recipe = zoo.create_model("char_gpt").recipe.to_dict()
    assert config["recipe"] == recipe  # trained by the default recipe


def test_it_knows_english(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, tokenizer = zoo.load_model("char_gpt")
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
