"""The models by name: every file in `zoo/models/` defines one."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import numpy as np

import zoo.models
from zoo.errors import UsageError, did_you_mean
from zoo.model import Model
from zoo.recipe import Recipe, make_recipe


def list_models() -> list[str]:
    """The names of the models: the lessons in the course's order, then others by name."""
    order = {name: number for number, name in enumerate(zoo.models.LESSONS)}
    names = {module.name for module in pkgutil.iter_modules(zoo.models.__path__)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def model_class(name: str) -> type[Model]:
    """The model of that name. Raises UsageError for an unknown one, and for a file that can't be used."""
    if name not in list_models():
        advice = did_you_mean(name, list_models()) or f"; the models are: {', '.join(list_models())}"
        raise UsageError(f"unknown model {name!r}{advice}")
    try:
        module = importlib.import_module(f"zoo.models.{name}")
    except Exception as error:  # a file of the user's own can raise anything
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise UsageError(f"{name}.py can't be used: {type(error).__name__}: {reason}{where}; --debug shows where") from error
    own = [c for c in vars(module).values() if inspect.isclass(c) and issubclass(c, Model) and c.__module__ == module.__name__]
    if not own:
        raise UsageError(f"{module.__file__} defines no model; give it a subclass of zoo.model.Model")
    return own[0]


def build_model(name: str, recipe: Recipe, vocabulary_size: int, rng: Any = None) -> Model:
    """A new model of that name. Its first parameters are drawn by the recipe's seed, unless a source of numbers is given."""
    return model_class(name)(recipe, vocabulary_size, np.random.default_rng(recipe.seed) if rng is None else rng)


def create_model(name: str, **config: Any) -> Model:
    """An untrained model, for the vocabulary of the text it would learn from."""
    recipe = make_recipe(model_class(name).recipe_class, config)
    return build_model(name, recipe, len(recipe.make_tokenizer(recipe.read_text).vocabulary))
