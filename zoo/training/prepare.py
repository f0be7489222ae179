"""Everything that a training needs, made from a model's name and a recipe."""

from __future__ import annotations

from zoo.recipe import Recipe
from zoo.registry import build_model
from zoo.training.fine_tuning import Source
from zoo.training.run_folder import RunFolder
from zoo.training.trainer import Trainer


def make_trainer(
    name: str, recipe: Recipe, folder: RunFolder, checkpoint_every: int | None = None, source: Source | None = None
) -> Trainer:
    """A trainer with a new model of that name, which begins with the parameters of a source, if there is one.

    Raises DataError and UsageError where recipe, text and source don't fit.
    """
    text = recipe.read_text()
    if source is not None:
        tokenizer = source.extended_tokenizer(recipe.documents(text))
    elif folder.init_from is not None:  # a run that goes on, whose tokenizer isn't its text's alone
        folder.checkpoint.check_text(text)
        tokenizer = folder.checkpoint.tokenizer(folder.checkpoint.read_config())
    else:
        tokenizer = recipe.make_tokenizer(lambda: text)
    model = build_model(name, recipe, len(tokenizer.vocabulary))
    if source is not None:
        source.copy_to(model, tokenizer)
        folder.init_from = source.record(tokenizer, folder.path)
    return Trainer(model, tokenizer, text, folder, checkpoint_every)
