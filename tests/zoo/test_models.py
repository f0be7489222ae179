"""The networks: their gradients, what they can see and what they can't."""

import itertools

import numpy as np
import pytest

import microtensor as mt
import zoo
from microtensor import nn
from zoo.datasets.corpora import CORPORA
from zoo.errors import UsageError
from zoo.inference.decoder import kept
from zoo.models.char_gpt import CharGPT
from zoo.registry import make_recipe, model_class

SMALL = {
    "bigram": [{}],
    "word_meanpool": [{"width": 3, "context": 2}],
    "char_meanpool": [{"width": 3, "context": 2}, {"width": 3, "context": 2, "pooling": "concat"}],
    "word_ngram": [{"width": 2, "context": 3, "hidden": 4}, {"width": 2, "context": 3, "hidden": 4, "pooling": "mean"}],
    "char_mlp": [{"width": 2, "context": 3, "hidden": 4}],
    "char_rnn": [{"width": 3, "context": 3, "layers": 2, "cell": cell} for cell in ("rnn", "gru", "lstm")],
    "wavenet": [{"cycles": 1, "doublings": 2, "width": 3, "skip_width": 4, "context": 4}],
    "mamba": [
        {"layers": 1, "width": 3, "states": 2, "context": 3, "kernel_size": 2},
        {"layers": 1, "width": 3, "states": 2, "context": 3, "selective": "no"},
    ],
    "char_gpt": [{"width": 4, "context": 3, "heads": 2, "layers": 1}],
    "chat_gpt": [{"width": 4, "context": 3, "heads": 2, "layers": 1}],
}


def small(name, settings, vocabulary=5):
    kind = model_class(name)
    return kind(make_recipe(kind.recipe_class, settings), vocabulary, np.random.default_rng(0)).eval()


def set_parameters(model, values):
    """Put other Tensors in the place of a model's parameters, wherever they are."""
    names = [name for name, _ in model.named_parameters()]
    for name, value in zip(names, values, strict=True):
        place, *path = name.split(".")[::-1]
        owner = model
        for part in reversed(path):
            owner = owner[int(part)] if part.isdecimal() else getattr(owner, part)
        setattr(owner, place, value)


@pytest.mark.parametrize("name, settings", [(n, s) for n, all_of_them in SMALL.items() for s in all_of_them])
def test_the_whole_model_has_the_right_gradients(name, settings):
    model = small(name, settings)
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, 5, (3, model.recipe.context))
    targets = rng.integers(0, 5, model(tokens).shape[:-1])
    # Larger numbers than training starts from, so that every part matters.
    values = [rng.normal(size=p.shape) for p in model.parameters()]

    def loss(*parameters):
        set_parameters(model, parameters)
        return mt.cross_entropy(model(tokens), targets)

    for fast in (False, True):
        assert mt.gradcheck(loss, values, fast=fast)
    assert mt.gradgradcheck(loss, values, fast=True)


def test_an_lstm_begins_by_remembering():
    for layer in zoo.create_model("char_rnn", width=8).layers:
        assert layer.cells[0].bias_ih.tolist() == [0] * 8 + [1] * 8 + [0] * 16


def test_a_mean_cannot_tell_orders_apart():
    for name, settings in (("word_meanpool", {}), ("char_meanpool", {}), ("word_ngram", {"pooling": "mean"})):
        model = zoo.create_model(name, **settings)
        tokens = np.arange(model.recipe.context)[None] + 1
        np.testing.assert_allclose(model(tokens).data, model(tokens[:, ::-1]).data, rtol=1e-4, atol=1e-5)
    for name, settings in (("char_meanpool", {"pooling": "concat"}), ("word_ngram", {})):
        model = zoo.create_model(name, **settings)
        tokens = np.arange(model.recipe.context)[None] + 1
        assert np.abs(model(tokens).data - model(tokens[:, ::-1]).data).max() > 1e-3


@pytest.mark.parametrize("name, settings", [("char_meanpool", {"pooling": "concat"}), ("word_ngram", {}), ("char_mlp", {})])
def test_a_short_text_belongs_to_the_last_positions(name, settings):
    model = zoo.create_model(name, **settings)
    for table in getattr(model, "tables", [])[:1]:
        table.weight.data = np.zeros_like(table.weight.data)
    if name == "char_mlp":
        model.embedding.weight.data = model.embedding.weight.data * (np.arange(27) > 0)[:, None].astype(np.float32)
    if name == "char_meanpool":
        embeddings = model.embeddings.data.copy()
        embeddings[0] = 0
        model.embeddings.data = embeddings
    short = np.array([[5, 7]])
    padded = np.array([[0] * (model.recipe.context - 2) + [5, 7]])
    np.testing.assert_allclose(model(short).data, model(padded).data, rtol=1e-4, atol=1e-5)


# char_gpt


def test_presets():
    recipe = model_class("char_gpt").recipe_class
    small, nano = (make_recipe(recipe, recipe.presets[name]) for name in ("small", "nano"))
    assert (small.layers, small.width, small.context) == (4, 128, 128)
    assert (nano.layers, nano.heads, nano.width, nano.context, nano.batch_size, nano.steps) == (4, 4, 128, 64, 12, 2000)
    with pytest.raises(UsageError, match="5 heads don't divide a width of 192; 6 would|4 would"):
        recipe(heads=5)


def test_nobody_sees_what_comes_after():
    model = small("char_gpt", {"width": 8, "context": 6, "heads": 2, "layers": 2})
    tokens = np.random.default_rng(0).integers(0, 5, (2, 6))
    before = model(tokens).data
    for place in range(6):
        changed = tokens.copy()
        changed[:, place] = (changed[:, place] + 1) % 5
        after = model(changed).data
        np.testing.assert_array_equal(before[:, :place], after[:, :place])
        assert (before[:, place:] != after[:, place:]).any(axis=-1).all()


def test_how_char_gpt_starts():
    model = zoo.create_model("char_gpt")
    spread = {name: float(p.data.std()) for name, p in model.named_parameters() if p.ndim == 2}
    for name, std in spread.items():
        wanted = 0.02 / np.sqrt(12) if name.endswith(("out.weight", "down.weight")) else 0.02
        assert abs(std / wanted - 1) < 0.05, name
    assert not any(name.startswith("head") for name in spread)  # tied to the characters' embeddings
    loss = mt.cross_entropy(model(np.zeros((1, 8), int)), np.ones((1, 8), int))
    assert abs(float(loss) - np.log(65)) < 0.5


def test_weight_decay_is_for_matrices_only():
    model = zoo.create_model("char_gpt", layers=1)
    optimizer = model.recipe.optimizer(model)
    for group in optimizer.groups:
        assert {p.ndim == 2 for p in group["params"]} == {group["weight_decay"] > 0}
    assert sum(len(g["params"]) for g in optimizer.groups) == 2 + 12 + 2


def test_the_schedule_rises_and_falls():
    model = zoo.create_model("char_gpt", warmup=10, min_learning_rate_ratio=0.1)
    factors = [model.recipe.schedule(100)(i) for i in range(101)]
    assert factors[0] < 0.1 and max(factors) == factors[10] == 1.0 and abs(factors[100] - 0.1) < 1e-9
    assert all(a > b for a, b in itertools.pairwise(factors[10:]))
    rates = [zoo.create_model("word_ngram").recipe.schedule(150)(i) * 0.1 for i in (0, 49, 50, 99, 100, 149)]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.05, 0.05, 0.02, 0.02])


def test_dropout_drops_only_while_learning():
    for name in ("char_gpt", "word_ngram"):
        model = zoo.create_model(name, dropout=0.5, **({"layers": 1} if name == "char_gpt" else {}))
        tokens = np.arange(3)[None]
        model.train()
        assert (model(tokens).data != model(tokens).data).any()
        model.eval()
        assert (model(tokens).data == model(tokens).data).all()


def test_how_far_a_gpt_looks_back():
    for context in (1, 2, 3, 8, 9):
        windows = [kept(n, context) for n in range(1, 60)]
        assert windows[:context] == list(range(1, context + 1))
        assert max(windows) == context and min(windows[context:]) == max(context // 3, 1)
        for a, b in itertools.pairwise(windows):
            assert b in (a + 1, max(context // 3, 1))
    for name, lengths in (("char_gpt", [1, 3, 9]), ("word_ngram", [1, 3, 3])):
        cache = zoo.create_model(name).new_cache()
        seen = [cache.extend(np.zeros((1, 1), int)).shape[1] for _ in range(9)] if name == "word_ngram" else range(1, 10)
        assert [seen[n - 1] for n in (1, 3, 9)] == lengths


def test_every_model_learns_its_own_corpus_and_says_what_it_is():
    for name in zoo.list_models():
        kind = model_class(name)
        assert kind.description.title and kind.__doc__
        assert kind.description.reference
        assert issubclass(kind, nn.Module)
        assert kind.recipe_class().own_text and kind.recipe_class().text is CORPORA[kind.recipe_class().corpus]
    alphabet = CharGPT.recipe_class().text.alphabet
    assert alphabet is not None and len(alphabet) == 65
