"""Everything that a training needs, made from a model's name and a recipe."""

from __future__ import annotations

from zoo.recipe import Recipe
from zoo.registry import build_model
from zoo.training.run_folder import RunFolder
from zoo.training.trainer import Trainer


def make_trainer(name: str, recipe: Recipe, folder: RunFolder, checkpoint_every: int | None = None) -> Trainer:
    """A trainer with a new model of that name. Raises DataError and UsageError where recipe and text don't fit."""
    text = recipe.read_text()
    tokenizer = recipe.make_tokenizer(lambda: text)
    return Trainer(build_model(name, recipe, len(tokenizer.vocabulary)), tokenizer, text, folder, checkpoint_every)
