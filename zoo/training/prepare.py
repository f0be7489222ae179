"""Everything that a training needs, made from a model's name and a recipe."""

from __future__ import annotations

import numpy as np

from zoo.recipe import Recipe
from zoo.registry import model_class
from zoo.training.run_folder import RunFolder
from zoo.training.trainer import Trainer


def make_trainer(name: str, recipe: Recipe, folder: RunFolder, checkpoint_every: int | None = None) -> Trainer:
    """A trainer with a new model of that name. Raises DataError and UsageError where recipe and text don't fit."""
    kind = model_class(name)
    text = kind.read_corpus(recipe)
    tokenizer = kind.make_tokenizer(recipe, lambda: text)
    model = kind(recipe, len(tokenizer.vocabulary), np.random.default_rng(recipe.seed))
    return Trainer(model, tokenizer, text, folder, checkpoint_every)
