"""The models by name: every file in `zoo/models/` defines one."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import traceback
from typing import Any

import numpy as np

import zoo.models
from microtensor import nn
from zoo.errors import UsageError, did_you_mean, quoted
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
        missing = [
            folder for folder in os.environ.get("ZOO_MODELS", "").split(os.pathsep) if folder and not os.path.isdir(folder)
        ]
        lost = f" (ZOO_MODELS names {missing[0]}, which is no folder)" if missing else ""
        raise UsageError(f"unknown model {quoted(name)}{advice}{lost}")
    try:
        module = importlib.import_module(f"zoo.models.{name}")
    except Exception as error:  # a file of the user's own can raise anything
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename.endswith(f"{name}.py")]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        where = "" if line is None else f", line {line}"
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise UsageError(f"{name}.py can't be used: {type(error).__name__}: {reason}{where}; --debug shows where") from error
    own = [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]
    models = [c for c in own if issubclass(c, Model) and not any(issubclass(d, c) and d is not c for d in own)]
    if len(models) != 1:
        several = ", ".join(c.__name__ for c in models)
        found = f"several models ({several}); keep one" if models else "no model; give it a subclass of zoo.model.Model"
        raise UsageError(f"{module.__file__} defines {found}")
    for recipe in [c for c in own if issubclass(c, Recipe)]:
        if "__dataclass_params__" not in vars(recipe):
            raise UsageError(f"{name}.py: the class {recipe.__name__} needs @dataclass(frozen=True, kw_only=True) above it")
        if not isinstance(recipe.corpus, str | None):
            raise UsageError(
                f'{name}.py: {recipe.__name__}.corpus must name a text: corpus: str | None = corpus_option("verses")'
            )
        if not issubclass(models[0].recipe_class, recipe):
            raise UsageError(f"{name}.py: {models[0].__name__} needs recipe_class = {recipe.__name__}")
    return models[0]


def build_model(name: str, recipe: Recipe, vocabulary_size: int, rng: Any = None) -> Model:
    """A new model of that name. Its first parameters are drawn by the recipe's seed, unless a source of numbers is given."""
    kind, rng = model_class(name), np.random.default_rng(recipe.seed) if rng is None else rng
    with nn.drawn_from(rng):
        model = kind(recipe, vocabulary_size, rng)
    if not hasattr(model, "recipe"):
        raise UsageError(
            f"{name}.py: {kind.__name__}.__init__ must begin with super().__init__(recipe, vocabulary_size, rng), from Model"
        )
    return model


def create_model(name: str, **config: Any) -> Model:
    """An untrained model, for the vocabulary of the text it would learn from."""
    recipe = make_recipe(model_class(name).recipe_class, config)
    return build_model(name, recipe, len(recipe.make_tokenizer(recipe.read_text).vocabulary))
