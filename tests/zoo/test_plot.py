"""python -m zoo.plot."""

import html
import re
from collections import Counter

import numpy as np
import pytest
from commands import ROOT, copy_run, one_line_error, seal

import microtensor as mt
import zoo
from zoo.datasets.corpus import Corpus
from zoo.errors import DataError
from zoo.model import Model
from zoo.plots import fonts
from zoo.plots.attention import group_words, sum_words
from zoo.plots.embeddings import LABELLED, _kind, flatten
from zoo.plots.ladder import draw_ladder
from zoo.plots.losses import AXES, draw_losses, run_names
from zoo.plots.probabilities import predictions
from zoo.plots.style import label
from zoo.tokenizers.characters import CharTokenizer
from zoo.tokenizers.words import split_words


def test_the_losses_of_runs(small_gpt, python, tmp_path):
    pytest.importorskip("matplotlib")
    copy_run(small_gpt, tmp_path / "one")
    copy_run(small_gpt, tmp_path / "two")
    for out in ("losses.svg", "again.svg"):
        done = python(tmp_path, "zoo.plot", "losses", "one", "two", "--out", out)
        assert done.returncode == 0 and done.stdout == f"Drawn: {out}\n" and done.stderr == "", done.stderr
    picture = (tmp_path / "losses.svg").read_text()
    assert picture == (tmp_path / "again.svg").read_text()
    for text in (
        "training step",
        "nats",
        "one and two: loss during training",
        "one, validation loss (lowest: ",
        "two, training loss",
    ):
        assert text in picture
    assert python(tmp_path, "zoo.plot", "losses", "one", "--json").stdout == '{"file": "losses.png"}\n'
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("picture", ["losses", "embeddings", "attention", "probabilities"])
def test_without_matplotlib_it_says_how_to_get_it(picture, small_gpt, python, tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    text = ["the sea"] if picture in ("attention", "probabilities") else []
    done = python(tmp_path, "zoo.plot", picture, small_gpt, *text)
    one_line_error(done, "zoo.plot", "isn't installed", 'pip install "microtensor[plot]"', code=2)


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
        copy_run(small_gpt, tmp_path / name)
        (tmp_path / name / "metrics.jsonl").write_text(content)
        seal(tmp_path / name)
    one_line_error(python(tmp_path, "zoo.plot", *arguments), "zoo.plot", *words, code=code)


def test_each_picture_of_a_model(small_gpt, python, tmp_path):
    pytest.importorskip("sklearn")
    wanted = {
        ("embeddings", small_gpt): [
            "first principal component",
            "of the variance",
            "vowel",
            "13 character embeddings of 16 numbers",
        ],
        ("embeddings", small_gpt, "--method", "tsne"): ["first t-SNE dimension (no unit)"],
        ("attention", small_gpt, "the sea"): [
            "layer 2, head 2",
            "blocks.1.attention",
            "query position",
            "key position",
            "attention weight",
            "Each row adds up to 1",
        ],
        ("probabilities", small_gpt, "the sea is"): [
            "predicted probability",
            "character by character",
            "mean loss",
            "no prediction: too few characters before it",
        ],
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
    wanted = {
        "probabilities": "mean loss",
        "embeddings": "40 character embeddings of 24 numbers",
        "attention": "blocks.0.attention",
    }
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
    one_line_error(done, "zoo.plot", "scikit-learn", 'pip install "microtensor[plot]"', code=2)


def test_the_map_is_the_principal_components():
    pytest.importorskip("sklearn")
    table = np.random.default_rng(0).normal(size=(20, 6)) * np.array([9, 4, 1, 1, 1, 1])
    places, across, _ = flatten(table, "pca")
    centred = table - table.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(places), np.abs(centred @ axes[:2].T), atol=1e-6)
    assert across == f"first principal component ({sizes[0] ** 2 / (sizes**2).sum():.0%} of the variance)"
    close = np.concatenate([table[:10] * 0.01, table[10:] * 0.01 + 50])
    places, _, _ = flatten(close, "tsne")
    inside = np.linalg.norm(places[:10] - places[:10].mean(axis=0), axis=1).max()
    assert np.linalg.norm(places[:10].mean(axis=0) - places[10:].mean(axis=0)) > inside


def test_runs_have_their_whole_names():
    assert run_names(["runs/x/width-16_steps-5", "runs/x/width-32_steps-5"]) == ["width-16_steps-5", "width-32_steps-5"]
    assert run_names(["a/same", "b/same", "other"]) == ["a/same", "b/same", "other"]


METRICS = [{"step": 10.0 * i, "loss": 4 / i, "seconds": 0.25 * i, "validation_loss": 5 / i} for i in range(1, 5)]


def texts(picture):
    """What is written in an SVG, a list of its texts."""
    return [html.unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("log", ["", "x", "y", "xy"])
def test_the_axes_of_losses(tmp_path, axis, log):
    pytest.importorskip("matplotlib")
    draw_losses([("a", METRICS), ("b", METRICS[:2])], tmp_path / "x.svg", axis, log)
    shown = texts(tmp_path / "x.svg")
    assert AXES[axis] + (", logarithmic scale" if "x" in log else "") in shown
    assert any(text.startswith("loss (nats per token") and ("logarithmic" in text) == ("y" in log) for text in shown)
    assert ("100%" in shown) == (axis == "share") and "a, validation loss (lowest: 1.250)" in shown


def test_a_legend_says_only_what_occurs(tmp_path):
    pytest.importorskip("matplotlib")
    without = [{key: m[key] for key in ("step", "loss")} for m in METRICS]
    draw_losses([("a", without), ("b", without), ("c", without)], tmp_path / "x.svg")
    shown = texts(tmp_path / "x.svg")
    assert "3 runs: loss during training" in shown and "training loss (nats per token)" in shown and "b" in shown
    assert not any("validation" in text for text in shown)
    with pytest.raises(DataError, match="no times: the run a "):
        draw_losses([("a", without)], tmp_path / "x.svg", "seconds")


def test_losses_over_seconds_by_the_command(small_gpt, python, tmp_path):
    pytest.importorskip("matplotlib")
    done = python(tmp_path, "zoo.plot", "losses", small_gpt, "--axis", "seconds", "--log", "y", "--out", "x.svg")
    assert done.returncode == 0 and done.stderr == "" and AXES["seconds"] in texts(tmp_path / "x.svg"), done.stderr


def test_tokens_without_a_prediction_are_grey(trained, python, tmp_path):
    pytest.importorskip("matplotlib")
    run = trained[0] / "runs" / "word_meanpool"
    wanted = {"down by the harbour where the": False, "down by the harbour down": True}
    for text, other in wanted.items():
        done = python(tmp_path, "zoo.plot", "probabilities", run, text, "--out", "x.svg")
        assert done.returncode == 0, done.stderr
        assert ("a likelier word" in texts(tmp_path / "x.svg")) == other
        picture = (tmp_path / "x.svg").read_text()
        grey = re.findall(r'<text style="[^"]*fill: #8c8c8c[^"]*"[^>]*>([^<]*)<', picture)
        assert grey == ["down", "by", "the", "harbour"]


def test_of_many_words_the_commonest_are_labelled(trained, python, tmp_path):
    pytest.importorskip("sklearn")
    run = trained[0] / "runs" / "word_meanpool"
    assert python(tmp_path, "zoo.plot", "embeddings", run, "--out", "x.svg").returncode == 0
    tokenizer = zoo.load_model(str(run)).tokenizer
    counts = Counter(split_words(Corpus("verses.txt").read()))
    shown = [text for text in texts(tmp_path / "x.svg") if text in tokenizer.vocabulary]
    assert len(shown) == LABELLED < len(tokenizer.vocabulary)
    assert min(counts[word] for word in shown) >= max(counts[word] for word in set(tokenizer.vocabulary) - set(shown))
    assert any("Labelled are the 100 commonest words" in text for text in texts(tmp_path / "x.svg"))


def test_characters_are_drawn_at_their_points(small_gpt, python, tmp_path):
    pytest.importorskip("sklearn")
    assert python(tmp_path, "zoo.plot", "embeddings", small_gpt, "--out", "x.svg").returncode == 0
    picture = (tmp_path / "x.svg").read_text()
    assert "PathCollection" not in picture and set("theis\u2423\u21b5") <= set(texts(tmp_path / "x.svg"))
    tokenizer = zoo.load_model(str(small_gpt)).tokenizer
    assert {_kind(c) for c in tokenizer.vocabulary} == {"vowel", "consonant", "other character"}
    assert "capital" not in texts(tmp_path / "x.svg")


@pytest.mark.parametrize(
    "character, kind",
    [("a", "vowel"), ("\u00e9", "vowel"), ("\u00df", "consonant"), ("Q", "capital"), ("\u5e8a", "ideograph"),
     ("\u05d0", "other letter"), ("3", "other character"), ("\U0001f499", "other character")],
)  # fmt: skip
def test_kinds_of_characters(character, kind):
    assert _kind(character) == kind


def test_attention_between_words():
    text = "so am I,\n\nI am"
    tokenizer = CharTokenizer.train(text)
    groups = group_words(tokenizer, tokenizer.encode(text).tolist())
    assert ["".join(text[i] for i in group) for group in groups] == ["so ", "am ", "I,\n\n", "I ", "am"]
    weights = np.random.default_rng(0).dirichlet(np.ones(14), size=(2, 14))
    summed = sum_words(weights, groups)
    assert summed.shape == (2, 5, 5)
    np.testing.assert_allclose(summed.sum(axis=-1), 1)
    np.testing.assert_allclose(summed[1, 2, 0], weights[1, 6:10, :3].sum(axis=-1).mean())


def test_a_whole_sentence(python, tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "text.txt").write_text("the sea is wide and so am i\n" * 30)
    size = ("--width", 8, "--heads", 2, "--layers", 1, "--context", 64, "--steps", 2, "--batch-size", 2)
    assert python(tmp_path, "zoo.train", "char_gpt", "--data", "text.txt", *size).returncode == 0
    sentence = "the sea is wide and so am i and so is the sea and so"
    for text, more, grouped in ((sentence, (), True), ("the sea", (), False), ("the sea", ("--words",), True)):
        done = python(tmp_path, "zoo.plot", "attention", "runs/char_gpt", text, *more, "--out", "x.svg")
        assert done.returncode == 0 and done.stderr == "", done.stderr
        shown = texts(tmp_path / "x.svg")
        assert any("Tokens are grouped into words" in text for text in shown) == ("sea" in shown) == grouped
    done = python(tmp_path, "zoo.plot", "attention", "runs/char_gpt", f"{sentence} {sentence}")
    one_line_error(done, "zoo.plot", "105 tokens", "from 2 to 40", "in up to 64 tokens", code=1)


@pytest.fixture
def only_one_font(monkeypatch):
    """A system on which matplotlib's own usual font is the only one."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(fonts, "_installed", list)
    fonts._font_with.cache_clear()
    yield
    fonts._font_with.cache_clear()


def test_what_no_font_has_is_named(only_one_font):
    assert label("\u5e8a") == "U+5E8A" and label("\U0001f499") == "blue heart" and label("a") == "a"
    assert label("\ufe0f") == "U+FE0F" and label("\u5e8a\u524d") == "U+5E8A U+524D" and label(" ") == "\u2423"


def test_another_font_that_has_it_is_used(monkeypatch):
    font_manager = pytest.importorskip("matplotlib.font_manager")
    usual, other = (fonts._characters(font_manager.findfont(name)) for name in ("DejaVu Sans", "STIXGeneral"))
    character = chr(min(c for c in other - usual if chr(c).isalpha() and chr(c).isprintable()))
    monkeypatch.setattr(fonts, "_installed", lambda: [(font_manager.findfont("STIXGeneral"), "STIXGeneral")])
    fonts._font_with.cache_clear()
    try:
        assert label(character) == character and fonts.families(f"a{character}") == ["DejaVu Sans", "STIXGeneral"]
    finally:
        fonts._font_with.cache_clear()


def test_chinese_emoji_and_pieces_of_characters_without_a_warning(python, tmp_path):
    pytest.importorskip("sklearn")
    (tmp_path / "\u8bd7.txt").write_text(
        "".join(np.random.default_rng(0).choice(list("\u5e8a\u524d\u660e\u6708 \U0001f499\ufe0f\n"), 600)), encoding="utf-8"
    )
    size = ("--width", 8, "--heads", 1, "--layers", 1, "--context", 16, "--batch-size", 2, "--steps", 2)
    for tokenizer in (("char",), ("bpe", "--vocab-size", 256)):
        run = f"runs/\u8bd7-{tokenizer[0]}"
        done = python(
            tmp_path, "zoo.train", "char_gpt", "--data", "\u8bd7.txt", *size, "--tokenizer", *tokenizer, "--out", run,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        text = ("\u5e8a\u524d\u660e \U0001f499",)
        for what, words in (("losses", ()), ("embeddings", ()), ("attention", text), ("probabilities", text)):
            done = python(tmp_path, "zoo.plot", what, run, *words, "--out", "x.svg")
            assert done.returncode == 0 and done.stderr == "", done.stderr
            assert "\ufffd" not in "".join(texts(tmp_path / "x.svg"))
    assert any(text.startswith("\\x") for text in texts(tmp_path / "x.svg"))


def test_the_ladder(tmp_path):
    pytest.importorskip("matplotlib")
    runs = [
        (name, [{"step": i, "loss": 3.0, "validation_loss": 2.5 - i / 10 - j, "seconds": i * 2.0} for i in (1, 2)])
        for j, name in enumerate(["bigram", "char_rnn:cell=gru"])
    ]
    draw_ladder(runs, tmp_path / "ladder.svg", bits=False)
    texts = (tmp_path / "ladder.svg").read_text()
    for words in ("How far each model comes", "2.300  bigram", "1.300  char_rnn:cell=gru", "held-out loss (nats a token)"):
        assert words in texts, texts
    for _, metrics in runs:
        for m in metrics:
            m["bits_per_byte"] = 2 * m["validation_loss"]
    draw_ladder(runs, tmp_path / "bits.svg", bits=True)
    assert "4.600  bigram" in (tmp_path / "bits.svg").read_text()
    with pytest.raises(DataError, match="no losses"):
        draw_ladder([("bigram", [{"step": 1, "loss": 1.0}])], tmp_path / "none.svg", bits=False)
