"""The runs that are to be compared: what is special about each, its recipe, and the folder that it is kept in."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.compare.contestants import Contestant
from zoo.compare.experiments import EXPERIMENTS, experiment_values
from zoo.errors import UsageError
from zoo.options import dashed
from zoo.recipe import Recipe, override

if TYPE_CHECKING:
    from zoo.compare.budget import Budget
    from zoo.training.fine_tuning import Source

#: The longest name of a run's folder, in bytes.
LONGEST_NAME = 200


@dataclass(frozen=True)
class Run:
    """One of the runs to compare.

    Args:
        name: of its model.
        values: what tells it from the others: the settings that are compared, or the model's word.
        recipe: how it is trained.
        folder: where it is kept.
        source: the trained parameters that it begins with; None for random ones.
    """

    name: str
    values: dict[str, Any]
    recipe: Recipe
    folder: Path
    source: Source | None


def plan_models(
    contestants: Sequence[Contestant], given: Mapping[str, list[Any]], budget: Budget | None, out: str | None
) -> list[Run]:
    """Plan a run for each model, with the settings that are given for all. Raises UsageError for what can't be."""
    for field, values in given.items():
        if len(values) > 1:
            raise UsageError(f"--{dashed(field)}: several models are compared with one value of each setting")
    if len({contestant.word for contestant in contestants}) < len(contestants):
        raise UsageError("a model is named twice; MODEL:SETTING=VALUE tells two of a kind apart")
    parent = Path("runs") / "compare-models" if out is None else Path(os.path.expanduser(out))
    always = {field: values[0] for field, values in given.items()}
    runs = []
    for contestant in contestants:
        about = [contestant.word.replace(":", "_"), *_named(always), *([str(budget)] if budget else [])]
        recipe = contestant.make_recipe(override(contestant.settings, always))
        runs.append(
            Run(contestant.name, {"model": contestant.word}, recipe, parent / _file_name("_".join(about)), contestant.source)
        )
    texts = list(dict.fromkeys(run.recipe.text.name for run in runs))
    if len(texts) > 1:
        raise UsageError(f"the models learn from different texts ({', '.join(texts)}): choose one with --corpus or --data")
    return runs


def plan_values(
    contestant: Contestant,
    given: Mapping[str, list[Any]],
    experiment: str | None,
    budget: Budget | None,
    out: str | None,
) -> list[Run]:
    """Plan a run of one model for each value of a setting, or each pair of values of two. Raises UsageError, before anything is
    trained, for what can't be."""
    if experiment is not None:
        field, several = experiment_values(contestant, experiment, given)
        if budget is not None and field in ("steps", "epochs"):
            raise UsageError(f"{experiment}: can't be compared where each run has the same time or number of tokens")
        given = {**given, field: several}
    compared = [field for field, values in given.items() if len(values) > 1]
    if not 1 <= len(compared) <= 2:
        advice = "give one option several values, as in --width 16 32 64, or name an experiment: " + ", ".join(EXPERIMENTS)
        raise UsageError(f"{'two options can be compared at a time' if compared else 'nothing to compare'}; {advice}")
    for field in compared:
        if len(set(given[field])) < len(given[field]):
            raise UsageError(f"--{dashed(field)}: a value is given twice")
    named = f"compare-{contestant.word.replace(':', '-')}"
    if contestant.source is not None:
        named += f"-from-{Path(contestant.source.run).name}"
    parent = Path("runs") / _file_name(named) if out is None else Path(os.path.expanduser(out))
    always = {field: values[0] for field, values in given.items() if field not in compared}
    runs = []
    for chosen in itertools.product(*(given[field] for field in compared)):
        values = dict(zip(compared, chosen, strict=True))
        settings = {**values, **always}
        if values.get("tokenizer", "bpe") != "bpe" and "vocab_size" in always:
            del settings["vocab_size"]  # which is for the one that takes a size
        about = [*_named(settings), *([str(budget)] if budget else [])]
        recipe = contestant.make_recipe(override(contestant.settings, settings))
        runs.append(Run(contestant.name, values, recipe, parent / _file_name("_".join(about)), contestant.source))
    if len({run.folder for run in runs}) < len(runs):
        raise UsageError("--data: two files of the same name; rename one, so that their runs can be told apart")
    return runs


def shown(field: str, value: Any) -> str:
    """A value in a table, and in a folder's name: of a file its name, of a number all its digits."""
    if field == "data":
        return Path(value).stem
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _named(settings: Mapping[str, Any]) -> list[str]:
    return [f"{field}-{shown(field, value)}" for field, value in settings.items()]


def _file_name(name: str) -> str:
    """A name for a folder: of one that the system wouldn't take, the beginning, and a digest that tells it from others."""
    raw = os.fsencode(name)
    if len(raw) <= LONGEST_NAME:
        return name
    return f"{raw[:LONGEST_NAME].decode(errors='ignore')}-{hashlib.sha256(raw).hexdigest()[:8]}"
