"""A model is tried before it is trained: what is wrong with its code is said at once."""

import numpy as np
import pytest

import microtensor as mt
from microtensor import nn
from zoo.cache import Cache, KVCache
from zoo.errors import UsageError
from zoo.model import Model
from zoo.recipe import Recipe
from zoo.registry import create_model, list_models
from zoo.training.check import check_model


class Sum(Model):
    """A running sum of embeddings, which a cache can go on from."""

    def __init__(self, recipe, vocabulary_size, rng):
        super().__init__(recipe, vocabulary_size, rng)
        self.embedding = nn.Embedding(vocabulary_size, 4, rng=rng)
        self.head = nn.Linear(4, vocabulary_size, rng=rng)

    def forward(self, tokens, cache=None):
        total = np.cumsum(self.embedding(tokens), axis=1)
        if cache is not None:
            total = total + (cache.total if cache.length else 0.0)
            cache.total = total.data[:, -1:]
        return self.head(total)

    def new_cache(self, batch=1):
        return Cache()


def sum_model(**edits):
    """It, with methods replaced."""
    kind = type("Sum", (Sum,), edits)
    return kind(Recipe(context=8), 5, np.random.default_rng(0))


def test_models_as_they_should_be():
    for name in list_models():
        assert check_model(create_model(name)) == []
    model = sum_model()
    before = model.state_dict()
    model.train()
    assert check_model(model) == [] and model.training
    assert all((before[name] == p.numpy()).all() and p.grad is None for name, p in model.named_parameters())


def head(f):
    return lambda self, tokens, cache=None: f(Sum.forward(self, tokens, cache))


class NoOptimizer(Recipe):
    def optimizer(self, model):
        model.parameters()


@pytest.mark.parametrize(
    "edits, words",
    [
        ({"forward": head(lambda y: y.data)}, ["ndarray, not a Tensor"]),
        ({"forward": head(lambda y: y.swapaxes(0, 1))}, ["(2, 6)", "(6, 2, 5)", "not (2, 6, 5)"]),
        ({"forward": head(lambda y: y.reshape((-1, 5)))}, ["(2, 8)", "(16, 5)", "not (2, 5)"]),
        ({"forward": head(lambda y: y * np.ones(1))}, ["float64 logits", "float32", "astype"]),
        ({"forward": head(lambda y: y + y[:, -1:])}, ["later tokens", "causal mask"]),
        ({"forward": lambda self, tokens, cache=None: Sum.forward(self, tokens)}, ["with a cache", "token 3", "cache.length"]),
        ({"forward": lambda self, tokens: Sum.forward(self, tokens)}, ["forward(self, tokens, cache=None)"]),
        ({"new_cache": lambda self, batch=1: None}, ["new_cache must return", "not NoneType"]),
        ({"new_cache": lambda self, batch=1: {}}, ["new_cache must return", "not dict"]),
        ({"forward": head(lambda y: mt.Tensor(y.data))}, ["no parameter has a part in"]),
        ({"parameters": lambda self: []}, ["no parameters"]),
    ],
)  # fmt: skip
def test_mistakes(edits, words):
    with pytest.raises(UsageError) as refused:
        check_model(sum_model(**edits))
    assert all(word in str(refused.value) for word in ["Sum", *words]), refused.value


def test_an_optimizer_must_be_returned():
    model = sum_model()
    model.recipe = NoOptimizer(context=8)
    with pytest.raises(UsageError, match="NoOptimizer.optimizer of Sum must return an optimizer"):
        check_model(model)


def test_what_no_gradient_reaches_is_named():
    def forward(self, tokens, cache=None):
        total = np.cumsum(self.embedding(tokens).data, axis=1)
        if cache is not None:
            total, cache.total = (total + (cache.total if cache.length else 0.0),) * 2
            cache.total = cache.total[:, -1:]
        return self.head(total)

    assert check_model(sum_model(forward=forward)) == ["embedding.weight"]


def test_a_window_model_with_a_cache_of_its_own():
    class Last(Sum):
        def forward(self, tokens, cache=None):
            return self.head(self.embedding(np.asarray(tokens)[:, -1]))

    assert check_model(Last(Recipe(context=3), 5, np.random.default_rng(0))) == []
    Last.new_cache = lambda self, batch=1: KVCache(1)
    assert check_model(Last(Recipe(context=3), 5, np.random.default_rng(0))) == []


LAYER = """
from dataclasses import dataclass
from microtensor import nn
from zoo import recipe as recipes
from zoo.model import Model
from zoo.options import option
@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.Recipe):
    width: int = 3
    {0}
class Layers(Model):
    recipe_class = Recipe
    def __init__(self, recipe, vocabulary_size, rng):
        super().__init__(recipe, vocabulary_size, rng)
        self.embedding = nn.Embedding(vocabulary_size, recipe.width)
        self.head = nn.Linear(recipe.width, vocabulary_size)
    def forward(self, tokens):
        return self.head(self.embedding(tokens))
"""


@pytest.fixture
def models(tmp_path, monkeypatch):
    import zoo.models

    monkeypatch.setattr(zoo.models, "__path__", [*zoo.models.__path__, str(tmp_path)])
    return tmp_path


def test_layers_without_a_generator_draw_by_the_recipe_s_seed(models):
    (models / "layers_a.py").write_text(LAYER.format(""))
    first, second = (create_model("layers_a", seed=7).state_dict() for _ in range(2))
    other = create_model("layers_a", seed=8).state_dict()
    for name, array in first.items():
        assert (array == second[name]).all()
    assert (first["head.weight"] != other["head.weight"]).any()
    assert (nn.Linear(3, 3).weight.data != nn.Linear(3, 3).weight.data).any()  # outside a model: others each time


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("@dataclass(frozen=True, kw_only=True)\n", "", "layers_{}.py: the class Recipe needs @dataclass"),
        ("    recipe_class = Recipe\n", "", "layers_{}.py: Layers needs recipe_class = Recipe"),
        ("super().__init__(recipe, vocabulary_size, rng)", "pass", "layers_{}.py: Layers.__init__ must begin with super"),
        ("class Layers", "class Other(Model):\n    pass\nclass Layers", "defines several models (Other, Layers); keep one"),
    ],
)
def test_what_was_forgotten_in_the_file(models, old, new, words):
    name = f"layers_{abs(hash(old))}"
    (models / f"{name}.py").write_text(LAYER.format("").replace(old, new))
    with pytest.raises(UsageError) as refused:
        create_model(name)
    assert words.format(name.removeprefix("layers_")) in str(refused.value)


def test_the_warning_is_shown(tmp_path, python):
    edited = LAYER.format("").replace("self.embedding(tokens))", "self.embedding(tokens).data)")
    (tmp_path / "layers.py").write_text(edited)
    done = python(tmp_path, "zoo.train", "layers", "--steps", 3, "--width", 4, ZOO_MODELS=str(tmp_path))
    assert done.returncode == 0 and "Warning: no gradient reaches embedding.weight: it won't learn." in done.stderr
