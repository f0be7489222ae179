"""A tokenizer whose tokens may be pieces of a character, from training to the last screen. It is no part of the zoo."""

import json
import math

import numpy as np
import pytest
from commands import ROOT, one_line_error
from models.byte_pair_gpt import BytePairTokenizer

from zoo.chat.session import Conversation
from zoo.inference.generation import text_pieces
from zoo.inference.sampling import Sampling
from zoo.tokenizers.tokenizer import decode_excerpt

LINE = "猫は寝る, the café is open 🙂\n"
BYTES = BytePairTokenizer([])


@pytest.fixture(scope="module")
def run(tmp_path_factory, python):
    """Runs a command in a folder where byte_pair_gpt has learned a text that is mostly not ASCII."""
    folder = tmp_path_factory.mktemp("byte_pairs")
    (folder / "my.txt").write_text("Q" + LINE * 60, encoding="utf-8")

    def run(module, *arguments):
        return python(folder, module, *arguments, ZOO_MODELS=str(ROOT / "tests" / "zoo" / "models"))

    run.folder = folder
    run.trained = run("zoo.train", "byte_pair_gpt", "--data", "my.txt")
    return run


def test_it_trains_with_a_size_that_is_saved(run):
    assert run.trained.returncode == 0 and "Generated: " in run.trained.stdout, run.trained.stderr
    assert "tokens from" not in run.trained.stderr and " tokens (" in run.trained.stderr
    config = json.loads((run.folder / "runs/byte_pair_gpt/config.json").read_text(encoding="utf-8"))
    assert config["recipe"]["vocabulary_size"] == 280 and len(config["tokenizer"]["merges"]) == 24
    assert config["tokenizer"] == BytePairTokenizer.train("Q" + LINE * 60, 280).to_dict()
    done = run("zoo.train", "byte_pair_gpt", "--data", "my.txt", "--resume", "--steps", 33)
    assert done.returncode == 0, done.stderr
    one_line_error(run("zoo.train", "byte_pair_gpt", "--vocabulary-size", 9), "zoo.train", "--vocabulary-size", code=2)


def test_it_generates_and_predicts(run):
    for extra in ((), ("--beams", 2), ("--stop", "寝")):
        done = run("zoo.generate", "byte_pair_gpt", "--prompt", "猫", *extra)
        assert done.returncode == 0 and done.stdout.startswith("猫"), done.stderr
    done = run("zoo.predict", "byte_pair_gpt", "猫", "--top", 280, "--json")
    tokens = [json.loads(line)["token"] for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(set(tokens)) == 280 and "\\xe7" in tokens  # each can be told from the others


def test_bits_per_character_and_per_byte(run):
    done = run("zoo.evaluate", "byte_pair_gpt", "--data", "my.txt", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    total = figures["loss"] * figures["tokens"] / math.log(2)  # the first token, Q, isn't predicted
    assert figures["tokens"] < len(LINE) * 60 < len(LINE.encode()) * 60
    assert abs(figures["bits_per_byte"] - total / (len(LINE.encode()) * 60)) < 1e-9
    assert abs(figures["bits_per_character"] - total / (len(LINE) * 60)) < 1e-9
    line = run("zoo.evaluate", "byte_pair_gpt", "--data", "my.txt").stdout
    assert f"{figures['bits_per_character']:.3f} bits per character, {figures['bits_per_byte']:.3f} bits per byte" in line


def test_it_is_explained(run):
    for text in ("猫は", "so 🙂"):
        done = run("zoo.explain", "byte_pair_gpt", text)
        assert done.returncode == 0 and "Logits" in done.stdout, done.stderr
    assert run("zoo.explain", "byte_pair_gpt", "猫", "--untrained").returncode == 0


def test_a_damaged_tokenizer_is_one_line(run):
    file = run.folder / "runs/byte_pair_gpt/config.json"
    raw, manifest = file.read_bytes(), file.with_name("manifest.json")
    sums = manifest.read_bytes()
    manifest.unlink()  # which would tell
    try:
        for data in (
            {},
            {"merges": 3},
            {"merges": [[1, 999]]},
            {"merges": [[1, 2, 3]]},
            {"merges": [["a", "b"]]},
            {"merges": [[1, 2]]},
        ):
            file.write_text(json.dumps({**json.loads(raw), "tokenizer": data}))
            done = run("zoo.generate", "byte_pair_gpt", "--prompt", "a")
            one_line_error(done, "zoo.generate", "another model" if data == {"merges": [[1, 2]]} else "damaged", code=1)
    finally:
        file.write_bytes(raw)
        manifest.write_bytes(sums)


def test_pieces_of_a_character_are_never_shown():
    ids = BYTES.encode("a猫🙂é").tolist()
    assert list(text_pieces(ids, BYTES)) == ["a", "猫", "🙂", "é"]
    for cut in range(len(ids)):
        assert "\ufffd" not in "".join(text_pieces(ids[:cut], BYTES))
    assert "".join(text_pieces(ids, BYTES, ["🙂"])) == "a猫"


def test_an_excerpt_loses_what_was_cut_off():
    ids = BYTES.encode("猫 is é🙂").tolist()
    assert decode_excerpt(BYTES, ids) == "猫 is é🙂"
    assert decode_excerpt(BYTES, ids[1:]) == decode_excerpt(BYTES, ids[2:]) == " is é🙂"
    assert decode_excerpt(BYTES, ids[:-1]) == decode_excerpt(BYTES, ids[:-3]) == "猫 is é"


def test_a_chat_in_byte_pairs():
    """An answer comes in whole characters, up to a token that holds the end of the turn and more."""
    tokenizer = BytePairTokenizer([(ord("!"), ord("\n")), (256, ord(">"))])
    reply = [*"é🙂".encode(), 257]

    class Reader:
        def __init__(self):
            self.left = reply.copy()

        def read(self, tokens):
            return np.eye(len(tokenizer.vocabulary))[self.left.pop(0)]

        def copy(self):
            return Reader()

    talk = Conversation(Reader(), tokenizer, 60, Sampling(0.0), np.random.default_rng(0))
    assert list(talk.answer("hi")) == ["é", "🙂", "!"]
    assert [tokenizer.decode(turn) for turn in talk.turns] == [">hi\n", "<é🙂!\n"]
