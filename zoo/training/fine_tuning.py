"""Fine-tuning: a run that begins with trained parameters, of included weights or of another run, instead of random ones.

All of the source's recipe is taken over, but for what is given; shorter and gentler: a tenth of its steps at a tenth of its
learning rate. That is caution, not an optimum: on a text far from the source's (char_gpt on names), 30 small steps did better
at the whole rate (chapter 18 of the course).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from microtensor import nn, no_grad
from zoo.errors import DataError, UsageError, shortened
from zoo.options import check_names, dashed
from zoo.recipe import EITHER, Recipe, make_recipe
from zoo.registry import build_model, list_models
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.training.checkpoint import find, kept_text

#: The part of the source's steps that a run does, and of its learning rates, unless it is told otherwise.
FRACTION = 0.1
#: The settings that every recipe has and that decide what a network computes; others tell how it learns. (A model's own are
#: tried out.)
SHAPING = {"context", "tokenizer", "vocab_size"}


class Source:
    """Trained parameters that a run begins with.

    Args:
        run: whose: a model by name, or a run folder.
        name: the model that is to be trained, which must be the same.

    Raises UsageError for another model, and DataError for files that can't be used.
    """

    def __init__(self, run: str | os.PathLike[str], name: str) -> None:
        self.run, self.name = os.fspath(run), name
        if not self.run:
            raise UsageError("--init-from: needs the name of a model or of a run folder")
        checkpoint = find(self.run)
        if checkpoint.name != name:
            raise UsageError(
                f"--init-from: {self.run} is a {checkpoint.name}, not a {name}; name the same model, or train that"
            )
        self.model, self.tokenizer = checkpoint.load()
        self.recipe = self.model.recipe
        self.digest = checkpoint.digest()
        #: It was fine-tuned itself: its recipe is a gentle one.
        self.tuned = checkpoint.read_config().get("init_from") is not None

    def make_recipe(self, given: Mapping[str, Any]) -> Recipe:
        """Make the recipe of a run with some settings given: the rest is the source's, but shorter and gentler.

        Raises UsageError for a setting with which the network would be another than the source's.
        """
        check_names(type(self.recipe), given)
        settings = self.recipe.to_dict()
        if not self.tuned:
            settings.update(gentle(self.recipe))
        for one, other in EITHER:
            if given.get(one) is not None or given.get(other) is not None:
                settings[one] = settings[other] = None
        recipe = make_recipe(type(self.recipe), {**settings, **given})
        has = self.recipe.to_dict()
        learning = {f.name for f in fields(Recipe)} - SHAPING
        for field in given:
            value = getattr(recipe, field)
            if value != has[field] and field not in learning and not self._computes_the_same(field, value):
                raise UsageError(f"--{dashed(field)}: {self.run} has {has[field]}, not {value}; leave it out, or train afresh")
        if "evaluate_every" in has and "evaluate_every" not in given and recipe.steps is not None:  # ten times, as it is short
            recipe = make_recipe(type(recipe), {**recipe.to_dict(), "evaluate_every": max(recipe.steps // 10, 1)})
        return recipe

    def _computes_the_same(self, field: str, value: Any) -> bool:
        """Tell if a network with another setting computes the same logits with the source's parameters."""
        if field in ("tokenizer", "vocab_size"):
            return False
        try:
            recipe = make_recipe(type(self.recipe), {**self.recipe.to_dict(), field: value})
            other = build_model(self.name, recipe, len(self.tokenizer.vocabulary))
            other.load_state_dict(self.model.state_dict())
        except (UsageError, ValueError):
            return False
        length, rng = min(self.recipe.context, recipe.context), np.random.default_rng(0)
        tokens = rng.integers(0, len(self.tokenizer.vocabulary), (2, length))
        with no_grad():
            found, expected = (model.eval()(tokens).data for model in (other, self.model))
        return found.shape == expected.shape and np.allclose(found, expected, rtol=1e-4, atol=1e-5)

    def extended_tokenizer(self, documents: Iterable[str]) -> Tokenizer:
        """Give the source's tokenizer, or where documents have tokens that it lacks, one with these, too.

        Raises DataError for a tokenizer that can't be extended.
        """
        documents = list(documents)
        try:
            for document in documents:
                self.tokenizer.encode(document)
        except DataError:
            extended = getattr(self.tokenizer, "extended", None)
            if extended is None:
                raise
            longer: Tokenizer = extended(documents)
            return longer
        return self.tokenizer

    def added(self, tokenizer: Tokenizer) -> list[str]:
        """The tokens that an extended tokenizer has besides the source's."""
        known = set(self.tokenizer.vocabulary)
        return [token for token in tokenizer.vocabulary if token not in known]

    def copy_to(self, model: nn.Module, tokenizer: Tokenizer) -> None:
        """Give a new model the source's parameters. What belongs to a token that the source hasn't stays as it was drawn.

        Raises UsageError where the parameters don't have a row or a column for each token.
        """
        ours = self.model.state_dict()
        if not self.added(tokenizer):
            model.load_state_dict(ours)
            return
        ids = {token: id for id, token in enumerate(tokenizer.vocabulary)}
        moved = np.array([ids[token] for token in self.tokenizer.vocabulary])
        theirs = {name: array.copy() for name, array in model.state_dict().items()}
        for name, array in theirs.items():
            old = ours.get(name)
            sizes = [] if old is None else list(zip(old.shape, array.shape, strict=False))
            grown = (len(self.tokenizer.vocabulary), len(ids))
            if old is None or old.ndim != array.ndim or any(a != b and (a, b) != grown for a, b in sizes):
                raise UsageError(
                    f"--init-from: {self.run} can't learn new {tokenizer.unit}: its {name} isn't one row for each; leave "
                    f"{listed(self.added(tokenizer))} out of the text"
                )
            array[np.ix_(*(moved if a != b else np.arange(a) for a, b in sizes))] = old
        model.load_state_dict(theirs)

    def record(self, tokenizer: Tokenizer, folder: Path) -> dict[str, Any]:
        """All that a run's configuration keeps of its source; a run folder is named from the run's own folder."""
        run = self.run if self.run in list_models() else kept_text(self.run, folder)
        return {"run": run, "sha256": self.digest, "added": self.added(tokenizer)}

    def introduction(self, recipe: Recipe, tokenizer: Tokenizer) -> str:
        """Say what a run begins with, and how it learns."""
        length = f"{recipe.steps:,} steps" if recipe.steps is not None else f"{recipe.epochs or 1} epochs"
        said = f"It begins with {self.run}'s parameters: {length} with a learning rate of {recipe.learning_rate:g}"
        if recipe.learning_rate != self.recipe.learning_rate:
            said += f" ({self.run} had {self.recipe.learning_rate:g})"
        added = self.added(tokenizer)
        if added:
            unit = tokenizer.unit if len(added) > 1 else tokenizer.unit.removesuffix("s")
            said += f"; {len(added):,} {unit} that {self.run} hasn't seen {'were' if len(added) > 1 else 'was'} added: "
            said += listed(added)
        return said


def gentle(recipe: Recipe) -> dict[str, Any]:
    """The settings of a recipe that are others where trained parameters go on learning."""
    has = recipe.to_dict()
    settings: dict[str, Any] = {name: value * FRACTION for name, value in has.items() if name.endswith("_rate")}
    settings["learning_rate"] = has["learning_rate"] * FRACTION
    for name in ("steps", "epochs", "warmup"):
        if has.get(name) is not None:
            settings[name] = max(int(has[name] * FRACTION), 1)
    if "pretraining" in has:  # which it has behind it
        settings["pretraining"] = 0
    return {name: float(f"{value:.6g}") if name.endswith("_rate") else value for name, value in settings.items()}


def listed(tokens: list[str], most: int = 20) -> str:
    """The first tokens of a list, as a sentence has them: a space or a sign that isn't seen as Python writes it."""
    shown = [token if token.isprintable() and token.strip() else repr(token) for token in map(shortened, tokens[:most])]
    return ", ".join(shown) + (f" and {len(tokens) - most:,} more" if len(tokens) > most else "")


def kept_record(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of its source in a run's configuration; None for a run that began with random parameters.

    Raises DataError where it can't be one.
    """
    record = config.get("init_from")
    if record is not None and not (isinstance(record, dict) and {"run", "sha256", "added"} <= record.keys()):
        raise DataError("damaged: init_from in config.json is no record of a source; train again")
    return record
