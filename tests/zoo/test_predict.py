"""python -m zoo.predict and python -m zoo.evaluate."""

import json
import math
import re

import pytest
from commands import copy_run, one_line_error, seal

from zoo.datasets.corpus import Corpus
from zoo.tokenizers.words import split_words


def test_the_likeliest_words_with_bars(trained, python):
    done = python(trained[0], "zoo.predict", "word_meanpool", "down by the harbour", "--top", 3)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 3 and done.stderr == ""
    assert re.fullmatch(r"  where +\d\d\.\d\d%  █+.?", lines[0]) and all(len(line) <= 80 for line in lines)
    objects = [json.loads(x) for x in python(trained[0], "zoo.predict", "word_meanpool", "by", "--json").stdout.splitlines()]
    assert len(objects) == 10 and objects == sorted(objects, key=lambda o: -o["probability"])
    assert objects[0].keys() == {"token", "probability"}


def test_characters_that_cannot_be_seen(small_gpt, python):
    done = python(small_gpt, "zoo.predict", small_gpt, "the sea", "--top", 13)
    assert done.returncode == 0 and "' '" in done.stdout and "'\\n'" in done.stdout, done.stderr
    shares = [float(s) for s in re.findall(r"(\d+\.\d\d)%", done.stdout)]
    assert abs(sum(shares) - 100) < 0.1 and len(shares) == 13


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        ((), ["MODEL"], 2),
        (("word_meanpool",), ["TEXT"], 2),
        (("word_meanpool", "by", "--top", "0"), ["--top", "at least 1"], 2),
        (("word_meanpool", "lanturn"), ["unknown word 'lanturn'"], 1),
        (("word_meanpool", ""), ["no words"], 1),
        (("word_ngram", "the"), ["no run folder", "python -m zoo.train word_ngram"], 1),
    ],
)
def test_bad_input_to_predict(trained, python, arguments, words, code):
    one_line_error(python(trained[0], "zoo.predict", *arguments), "zoo.predict", *words, code=code)


def test_evaluation_of_what_was_learned_whole(trained, python):
    done = python(trained[0], "zoo.evaluate", "word_meanpool")
    assert done.returncode == 0, done.stderr
    assert "On verses.txt, the text it learned from: 465 words" in done.stdout
    loss, perplexity, bits = map(float, re.search(r"loss (\S+) nats, perplexity (\S+), (\S+) bits", done.stdout).groups())
    assert loss < 0.1 and abs(perplexity - math.exp(loss)) < 1e-3 and 0 < bits < loss / math.log(2)


def test_bits_count_what_a_word_adds_to_the_text(trained, python):
    figures = json.loads(python(trained[0], "zoo.evaluate", "word_meanpool", "--json").stdout)
    predicted = split_words(Corpus("verses.txt").read())[4:]  # after the first context
    assert figures["tokens"] == len(predicted)
    total = figures["loss"] * len(predicted) / math.log(2)
    text = "".join(f" {word}" for word in predicted)
    assert abs(figures["bits_per_character"] - total / len(text)) < 1e-9
    assert abs(figures["bits_per_byte"] - total / len(text.encode())) < 1e-9


def test_evaluation_on_another_text(small_gpt, python, tmp_path):
    (tmp_path / "other.txt").write_text("the sea is so wide and i am the sea and so is the sea")
    done = python(tmp_path, "zoo.evaluate", small_gpt, "--data", "other.txt", "--json")
    figures = json.loads(done.stdout)
    assert figures["tokens"] == 52 and figures["text"] == "other.txt" and 0.5 < figures["loss"] < 4
    (tmp_path / "short.txt").write_text("the s")  # shorter than the context
    assert json.loads(python(tmp_path, "zoo.evaluate", small_gpt, "--data", "short.txt", "--json").stdout)["tokens"] == 4
    last = json.loads(python(tmp_path, "zoo.evaluate", small_gpt, "--data", "other.txt", "--json", "--last").stdout)
    assert last["tokens"] == 52


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        ((), ["MODEL"], 2),
        (("--data", "missing.txt"), ["no such file", "missing.txt"], 1),
        (("--data", "strange.txt"), ["unknown character 'Z' (U+005A"], 1),
        (("--data", "short.txt"), ["too short", "1 character", "longer text"], 1),
    ],
)
def test_bad_input_to_evaluate(small_gpt, python, tmp_path, arguments, words, code):
    (tmp_path / "strange.txt").write_text("the sea is Zen")
    (tmp_path / "short.txt").write_text("t")
    arguments = (small_gpt, *arguments) if arguments else arguments
    one_line_error(python(tmp_path, "zoo.evaluate", *arguments), "zoo.evaluate", *words, code=code)


def test_a_text_that_changed_since(small_gpt, python, tmp_path):

    run = tmp_path / "run"
    copy_run(small_gpt, run)
    config = json.loads((run / "config.json").read_text())
    text = tmp_path / "changed.txt"
    text.write_text("the sea is so wide " * 900)
    config["recipe"]["data"] = str(text)
    (run / "config.json").write_text(json.dumps(config))
    seal(run)
    one_line_error(python(tmp_path, "zoo.evaluate", run), "zoo.evaluate", "another text", code=1)
