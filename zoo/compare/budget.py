"""How many steps a training has: for a text of so many tokens, or for so much time on this machine."""

from __future__ import annotations

import itertools
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from microtensor import cross_entropy, no_grad
from zoo.datasets.batches import IGNORE_INDEX, Dataset
from zoo.model import Model, predict
from zoo.recipe import Recipe
from zoo.training.fine_tuning import Source
from zoo.training.prepare import make_trainer
from zoo.training.run_folder import RunFolder
from zoo.training.trainer import Trainer

#: Steps are timed for so many seconds, and at least so many of them.
TIMED, FEWEST = 2.0, 5


@dataclass(frozen=True)
class Budget:
    """What a training may cost: exactly one of the two is given.

    Args:
        minutes: how long it takes, evaluations included.
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


def _evaluation(model: Model, validation: Dataset) -> float:
    """The seconds that an evaluation takes, from those of a second batch: the first may wait for kernels to be compiled."""
    batches = list(itertools.islice(validation.in_order(), 2))
    model.eval()
    with no_grad():
        for inputs, targets in batches:
            begun = time.perf_counter()
            float(cross_entropy(predict(model, inputs), targets, ignore_index=IGNORE_INDEX))
            took = time.perf_counter() - begun
    return took * len(validation) / len(batches[-1][0])
