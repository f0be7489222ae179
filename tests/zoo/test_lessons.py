"""What the lessons of the small models say is what happens."""

import json
import re

import numpy as np
import pytest

import microtensor as mt
import zoo


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


# Names


def test_a_table_learns_what_counting_finds(tmp_path, python):
    done = python(tmp_path, "zoo.train", "bigram", "--json")
    assert done.returncode == 0 and "729 parameters, 205,436 examples from 260,179 characters" in done.stderr
    figures = {key: value for line in done.stdout.splitlines() for key, value in json.loads(line).items()}
    assert figures["pairs"] == 205_436 and 0 <= figures["table_loss"] - figures["counting_loss"] < 1e-3
    assert abs(figures["validation_loss"] - 2.458) < 2e-3
    # The probabilities themselves, of what follows an e, are what one counts in the names that it learned from.
    model = zoo.load_model(tmp_path / "runs" / "bigram")
    known = "".join(f"\n{name}" for name in model.known_documents.training)
    assert len(known) > 150_000
    for token in model.predict("e", top=5):
        assert abs(token["probability"] - known.count("e" + token["token"]) / known.count("e")) < 0.02


def test_the_gradient_is_what_is_predicted_minus_what_is_counted():
    rng = np.random.default_rng(0)
    model = zoo.create_model("bigram")
    model.table.data = rng.normal(size=(27, 27))
    seen, follows = rng.integers(0, 27, (2, 5000))
    mt.cross_entropy(model(seen[:, None]), follows).backward()
    counts = np.zeros((27, 27))
    np.add.at(counts, (seen, follows), 1)
    rows = counts.sum(axis=1, keepdims=True)
    difference = mt.softmax(model.table.data) - counts / rows
    np.testing.assert_allclose(model.table.grad.data, rows / 5000 * difference, rtol=0, atol=1e-6)


def test_what_a_letter_more_is_worth(tmp_path, python):
    done = python(tmp_path, "zoo.compare", "char_mlp", "--context", 1, 3, "--epochs", 1, "--json")
    one, three = (json.loads(line) for line in done.stdout.splitlines())
    assert one["parameters"] == 7_897 and three["parameters"] == 11_897
    assert one["validation_loss"] > 2.45 and three["validation_loss"] < 2.26
