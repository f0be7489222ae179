"""python -m zoo.plot."""

import shutil

import numpy as np
import pytest
from commands import ROOT, one_line_error

import microtensor as mt
import zoo
from zoo.model import Model
from zoo.plots.embeddings import flatten
from zoo.plots.losses import short_names
from zoo.plots.probabilities import predictions


def test_the_losses_of_runs(small_gpt, python, tmp_path):
    pytest.importorskip("matplotlib")
    shutil.copytree(small_gpt, tmp_path / "one")
    shutil.copytree(small_gpt, tmp_path / "two")
    for out in ("losses.svg", "again.svg"):
        done = python(tmp_path, "zoo.plot", "losses", "one", "two", "--out", out)
        assert done.returncode == 0 and done.stdout == f"Drawn: {out}\n" and done.stderr == "", done.stderr
    picture = (tmp_path / "losses.svg").read_text()
    assert picture == (tmp_path / "again.svg").read_text()
    for text in ("training step", "nats", "one, held-out text", "two, learning"):
        assert text in picture
    assert python(tmp_path, "zoo.plot", "losses", "one", "--json").stdout == '{"file": "losses.png"}\n'
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_it_says_how_to_get_it(small_gpt, python, tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    done = python(tmp_path, "zoo.plot", "losses", small_gpt)
    one_line_error(done, "zoo.plot", "matplotlib", "pip install 'microtensor[plot]'", code=2)


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        ((), ["WHAT"], 2),
        (("loses", "run"), ["can't draw 'loses'", "losses"], 2),
        (("losses",), ["losses needs RUN"], 2),
        (("embeddings",), ["embeddings needs MODEL"], 2),
        (("attention", "char_gpt"), ["attention needs MODEL TEXT"], 2),
        (("probabilities", "char_gpt", "two", "texts"), ["probabilities needs MODEL TEXT"], 2),
        (("embeddings", "char_gpt", "--method", "umap"), ["--method", "umap"], 2),
        (("attention", "char_gpt", "a" * 41), ["41 tokens", "from 2 to 40"], 1),
        (("attention", "char_gpt", ""), ["no characters"], 1),
        (("attention", "char_gpt", "\u2603"), ["unknown character"], 1),
        (("attention", "half", "the sea is wide and so"), ["from 2 to 16"], 1),
        (("probabilities", "char_gpt", "a"), ["from 2 to 80"], 1),
        (("losses", "run", "--out", "losses.pdf"), ["--out", ".png or .svg"], 2),
        (("losses", "nowhere/run"), ["no run folder", "nowhere"], 1),
        (("losses", "damaged"), ["damaged", "metrics.jsonl"], 1),
        (("losses", "empty"), ["no losses yet", "metrics.jsonl"], 1),
        (("losses", "list"), ["damaged", "metrics.jsonl"], 1),
        (("losses", "half"), ["damaged", "metrics.jsonl"], 1),
        (("losses", "word"), ["damaged", "metrics.jsonl"], 1),
        (("losses", "char_gpt"), ["come with the zoo", "python -m zoo.train char_gpt"], 1),
        (("losses", "list", "--out", "nowhere/x.png"), ["--out", "no folder nowhere"], 2),
    ],
)
def test_bad_input_is_one_line(small_gpt, python, tmp_path, arguments, words, code):
    for name, content in (
        ("damaged", "{"),
        ("empty", ""),
        ("list", "[1]"),
        ("half", '{"step": 1}'),
        ("word", '{"step": 1, "loss": "x"}'),
    ):
        shutil.copytree(small_gpt, tmp_path / name)
        (tmp_path / name / "metrics.jsonl").write_text(content)
    one_line_error(python(tmp_path, "zoo.plot", *arguments), "zoo.plot", *words, code=code)


def test_each_picture_of_a_model(small_gpt, python, tmp_path):
    pytest.importorskip("sklearn")
    wanted = {
        ("embeddings", small_gpt): ["first component", "of the spread", "vowel", "13 embeddings of 16 numbers"],
        ("embeddings", small_gpt, "--method", "tsne"): ["t-SNE, no unit"],
        ("attention", small_gpt, "the sea"): [
            "layer 2, head 2",
            "blocks.1.attention",
            "query position",
            "key position",
            "attention weight",
        ],
        ("probabilities", small_gpt, "the sea is"): ["probability, given all before it", "character by character", "mean loss"],
    }
    for arguments, words in wanted.items():
        pictures = []
        for out in ("one.svg", "two.svg"):
            done = python(tmp_path, "zoo.plot", *arguments, "--out", out)
            assert done.returncode == 0 and done.stdout == f"Drawn: {out}\n", done.stderr
            pictures.append((tmp_path / out).read_text())
        assert pictures[0] == pictures[1]
        for word in words:
            assert word in pictures[0], (arguments, word)
    done = python(tmp_path, "zoo.plot", "attention", small_gpt, "the sea")
    assert done.returncode == 0 and (tmp_path / "attention.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "name, length, passes", [("char_gpt", 9, 1), ("char_gpt", 30, 2), ("word_ngram", 4, 1), ("word_ngram", 30, 2)]
)
def test_all_predictions_come_from_one_forward_pass(monkeypatch, name, length, passes):
    """And from one more, what lies beyond the context or the first window."""
    sizes = {"layers": 1, "width": 8, "heads": 2, "context": 16} if name == "char_gpt" else {}
    model = zoo.create_model(name, **sizes).eval()
    context = model.recipe.context
    tokens = np.random.default_rng(0).integers(0, 34, length).tolist()
    seen = [tokens[max(0, i - context) : i] for i in range(1 if name == "char_gpt" else context, length)]
    expected = [mt.softmax(model(np.array([before])).data.reshape((-1, model.vocabulary_size))[-1]) for before in seen]
    calls, call = [], Model.__call__
    monkeypatch.setattr(Model, "__call__", lambda self, x: (calls.append(1), call(self, x))[1])
    np.testing.assert_allclose(predictions(model, tokens), expected, atol=1e-6)
    assert len(calls) == passes


def test_models_that_came_later(python, tmp_path):
    """An LSTM, which has no attention, and a GPT that attends in its own way."""
    pytest.importorskip("sklearn")
    env = {"ZOO_MODELS": str(ROOT / "tests" / "zoo" / "models")}
    wanted = {"probabilities": "mean loss", "embeddings": "40 embeddings of 24 numbers", "attention": "blocks.0.attention"}
    for name in ("lstm", "rotary_gpt"):
        assert python(tmp_path, "zoo.train", name, "--steps", 2, **env).returncode == 0
        for what, words in wanted.items():
            text = [] if what == "embeddings" else ["the sea"]
            done = python(tmp_path, "zoo.plot", what, name, *text, "--out", "x.svg", **env)
            if (name, what) == ("lstm", "attention"):
                one_line_error(done, "zoo.plot", "no attention", code=2)
            else:
                assert done.returncode == 0 and words in (tmp_path / "x.svg").read_text(), done.stderr


def test_a_model_without_attention(trained, python, tmp_path):
    run = trained[0] / "runs" / "word_meanpool"
    one_line_error(python(tmp_path, "zoo.plot", "attention", run, "by the"), "zoo.plot", "no attention", "char_gpt", code=2)
    pytest.importorskip("matplotlib")
    done = python(tmp_path, "zoo.plot", "probabilities", run, "down by the harbour where", "--out", "p.svg")
    assert done.returncode == 0 and "harbour" in (tmp_path / "p.svg").read_text(), done.stderr


def test_without_scikit_learn_it_says_how_to_get_it(small_gpt, python, tmp_path):
    (tmp_path / "sklearn.py").write_text("raise ImportError")
    done = python(tmp_path, "zoo.plot", "embeddings", small_gpt)
    one_line_error(done, "zoo.plot", "scikit-learn", "pip install 'microtensor[plot]'", code=2)


def test_the_map_is_the_principal_components():
    pytest.importorskip("sklearn")
    table = np.random.default_rng(0).normal(size=(20, 6)) * np.array([9, 4, 1, 1, 1, 1])
    places, across, _ = flatten(table, "pca")
    centred = table - table.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(places), np.abs(centred @ axes[:2].T), atol=1e-6)
    assert across == f"first component ({sizes[0] ** 2 / (sizes**2).sum():.0%} of the spread)"
    close = np.concatenate([table[:10] * 0.01, table[10:] * 0.01 + 50])
    places, _, _ = flatten(close, "tsne")
    inside = np.linalg.norm(places[:10] - places[:10].mean(axis=0), axis=1).max()
    assert np.linalg.norm(places[:10].mean(axis=0) - places[10:].mean(axis=0)) > inside


def test_curves_are_named_by_what_tells_them_apart():
    assert short_names(["runs/x/width-16_steps-5", "runs/x/width-32_steps-5"]) == ["width-16", "width-32"]
    assert short_names(["runs/one", "two"]) == ["one", "two"] and short_names(["a/same", "b/same"]) == ["same", "same"]
    assert short_names(["runs/a_b", "runs/a"]) == ["a_b", "a"]
