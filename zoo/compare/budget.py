"""Budgets: the number of training steps for so many tokens, or for so much time on this machine."""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.datasets.batches import Dataset, valid_targets
from zoo.model import Model
from zoo.recipe import Recipe
from zoo.training.evaluation import evaluate
from zoo.training.fine_tuning import Source
from zoo.training.prepare import make_trainer
from zoo.training.run_folder import RunFolder
from zoo.training.trainer import Trainer

#: Steps are timed for so many seconds, and at least so many of them.
TIMED, FEWEST = 2.0, 5


@dataclass(frozen=True)
class Budget:
    """A limit for a training, of which exactly one of the two is given.

    Args:
        minutes: how long it takes, evaluations included: about so long, as later steps may be slower than those that are timed.
        tokens: how many tokens it learns from; one that is gone through again counts again.
    """

    minutes: float | None = None
    tokens: float | None = None

    def __str__(self) -> str:
        return f"minutes-{self.minutes:g}" if self.tokens is None else f"tokens-{self.tokens:.0f}"

    def spend(self, name: str, recipe: Recipe, source: Source | None = None) -> Recipe:
        """Give the recipe of a model its number of steps, at least 1. For a time, a few steps are tried and timed first.

        Raises DataError and UsageError where recipe and text don't fit.
        """
        with tempfile.TemporaryDirectory() as nowhere:
            trainer = make_trainer(name, recipe, RunFolder(Path(nowhere) / "run", name), source=source)
            if self.tokens is not None:
                steps = round(self.tokens / (recipe.batch_size * trainer.dataset.targets_per_example))
            else:
                steps = _steps_in(60 * (self.minutes or 0), trainer)
        return replace(recipe, steps=max(steps, 1), epochs=None)


def _steps_in(seconds: float, trainer: Trainer) -> int:
    """The steps that fit into a time, together with the evaluations that so many steps have. Uses the trainer up."""
    step = trainer.time_steps(TIMED, FEWEST)
    steps = int(seconds / step)
    if trainer.validation is not None:
        evaluation = _evaluation(trainer.model, trainer.validation)
        for _ in range(3):  # (how often it is evaluated depends on how many steps there are)
            done = sum(trainer.recipe.evaluates_after(i, steps, trainer.epoch_steps) for i in range(1, steps + 1))
            steps = max(int((seconds - done * evaluation) / step), 0)
    return steps


class _Enough(Exception):
    """Enough of an evaluation was seen."""


def _evaluation(model: Model, validation: Dataset) -> float:
    """The seconds that an evaluation takes, from those of a second batch: the first may wait for kernels to be compiled."""
    seen: list[tuple[float, int]] = []

    def watch(done: int, loss: float) -> None:
        seen.append((time.perf_counter(), done))
        if len(seen) == 2:
            raise _Enough

    with contextlib.suppress(_Enough):
        evaluate(model, validation, watch)
    if len(seen) < 2:  # a single batch, which is compiled by now
        begun = time.perf_counter()
        evaluate(model, validation)
        return time.perf_counter() - begun
    (first, before), (second, done) = seen
    return (second - first) / (done - before) * sum(valid_targets(targets).size for _, targets in validation.in_order())
