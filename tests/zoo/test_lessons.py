"""What the lessons of the small models say is what happens."""

import json
import re

import pytest


@pytest.fixture(scope="module")
def learned(tmp_path_factory, python):
    """A folder with all four small runs, and what each training printed."""
    folder = tmp_path_factory.mktemp("lessons")
    done = {
        out: python(folder, "zoo.train", model, *options, "--out", f"runs/{out}")
        for out, model, options in (
            ("mean", "char_meanpool", ()),
            ("concat", "char_meanpool", ("--pooling", "concat")),
            ("positions", "word_ngram", ()),
            ("bag", "word_ngram", ("--pooling", "mean")),
        )
    }
    assert all(d.returncode == 0 for d in done.values()), [d.stderr for d in done.values()]
    return folder, done


@pytest.fixture(scope="module")
def predict(learned, python):
    def best(run, text):
        done = python(learned[0], "zoo.predict", f"runs/{run}", text, "--json")
        return [json.loads(line) for line in done.stdout.splitlines()]

    return best


def same(one, other):
    """The same predictions; only the order of a sum may differ."""
    assert [p["token"] for p in one] == [p["token"] for p in other]
    assert [p["probability"] for p in one] == pytest.approx([p["probability"] for p in other], rel=1e-4)


def test_characters_by_their_mean(learned, predict, python):
    folder, done = learned
    lines = done["mean"].stdout.splitlines()
    losses = [re.fullmatch(r"Epoch (\d+)/100, Average Loss: (\d\.\d{4})", line) for line in lines[:10]]
    assert [int(m[1]) for m in losses] == list(range(10, 101, 10))
    assert float(losses[-1][2]) <= 0.45 and "1,728 parameters" in done["mean"].stderr
    assert predict("mean", "the c")[0]["token"] == "a" and predict("mean", "sat o")[0]["token"] == "n"
    text = python(folder, "zoo.generate", "runs/mean", "--prompt", "the c", "--tokens", 20, "--temperature", 0).stdout
    assert text.startswith("the cat sat on ") and not text.startswith("the cat sat on the m")


def test_one_bag_with_two_continuations(predict):
    same(predict("mean", "t on "), predict("mean", " on t"))
    assert {p["token"] for p in predict("mean", "t on ")[:2]} == {"t", "h"}
    assert predict("concat", "t on ")[0]["token"] == "t" and predict("concat", " on t")[0]["token"] == "h"


def test_characters_side_by_side(learned, python):
    folder, done = learned
    assert "5,184 parameters" in done["concat"].stderr
    text = python(folder, "zoo.generate", "runs/concat", "--prompt", "the c", "--tokens", 15, "--temperature", 0).stdout
    assert text == "the cat sat on the m\n"


def test_words_in_their_places(learned, predict):
    _, done = learned
    lines = done["positions"].stdout.splitlines()
    found = [re.fullmatch(r"Epoch +(\d+)/150 \| Loss: (\d\.\d{4}) \| LR: (0\.\d{3})", line) for line in lines[:11]]
    assert [int(m[1]) for m in found] == [1, *range(15, 151, 15)]
    assert [m[3] for m in found] == ["0.100"] * 4 + ["0.050"] * 3 + ["0.020"] * 4
    assert 3.3 < float(found[0][2]) < 3.7 and float(found[-1][2]) < 1.2
    assert "(34 distinct, " in done["positions"].stderr
    assert predict("positions", "the dog chased")[0]["token"] == "the"
    assert predict("positions", "dog chased the")[0]["token"] == "cat"
    half = {p["token"]: p["probability"] for p in predict("positions", "the cat sat")[:2]}
    assert half.keys() == {"in", "on"} and min(half.values()) > 0.4
    shown = done["positions"].stdout
    assert shown.count("After ") == 4 and shown.count("%  ") == 12 and "█" in shown


def test_words_in_a_bag(predict):
    best = predict("bag", "the dog chased")
    same(best, predict("bag", "dog chased the"))
    assert {p["token"] for p in best[:2]} == {"the", "cat"} and best[1]["probability"] > 0.3
