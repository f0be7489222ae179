"""The training loop, for every model: guess, compare, find the gradient, move against it."""

from __future__ import annotations

import hashlib
import math
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from microtensor import cross_entropy
from microtensor.optim import SGD
from zoo.errors import DataError, UsageError
from zoo.model import Model
from zoo.text.words import WordTokenizer
from zoo.training.progress import Progress
from zoo.training.run_folder import RunFolder

#: The loss that is shown is the mean of this many last steps.
RECENT = 1000
#: Training saves itself this often, in seconds.
SAVE_EVERY = 60.0


class Interrupted(Exception):
    """Training was stopped by a signal, after saving."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Trainer:
    """Trains a model on a text's examples and keeps its run folder.

    Args:
        model: the model, whose recipe says how.
        tokenizer: made from the text.
        text: what to learn from.
        folder: where the run is saved.

    Raises DataError when the text is too short, and UsageError when a batch is larger than the text.
    """

    def __init__(self, model: Model, tokenizer: WordTokenizer, text: str, folder: RunFolder) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.folder = folder
        self.recipe = model.recipe
        self.tokens = tokenizer.encode(text)
        self.inputs, self.targets = model.examples(self.tokens, tokenizer.unit)
        if self.recipe.batch_size > len(self.targets):
            raise UsageError(
                f"--batch-size: {self.recipe.batch_size} is more than the {len(self.targets)} examples of the text"
            )
        self.optimizer = SGD(model.parameters(), lr=self.recipe.learning_rate)
        self.step = 0
        self.recent: deque[float] = deque(maxlen=RECENT)
        self.metrics: list[dict[str, Any]] = []
        #: Where an earlier run in the folder went, once it had to make room.
        self.moved: Path | None = None
        self._text = hashlib.sha256(text.encode()).hexdigest()
        self._saved = -1

    def resume(self) -> None:
        """Take up the saved run in the folder. Raises DataError when it doesn't fit."""
        if self.folder.read_config()["text"] != self._text:
            raise DataError(
                f"another text: the run in {self.folder.path} learned from a text that has changed since; start afresh"
            )
        state, metrics = self.folder.load_state()
        file = self.folder.path / "state.safetensors"
        try:
            self.step = int(state["step"])
            self.recent.extend(state["recent_losses"].tolist())
            self.model.load_state_dict(_within(state, "model."))
            self.optimizer.load_state_dict(_within(state, "optimizer."))
        except KeyError as error:
            raise DataError(f"damaged: {file} has no {error.args[0]}; train again") from None
        except (ValueError, TypeError) as error:
            raise DataError(f"damaged: {file}: {error}; train again") from None
        self.metrics = [m for m in metrics if m.get("step", self.step + 1) <= self.step]
        self._saved = self.step

    def save(self) -> None:
        """Write the run folder, if anything changed since the last time."""
        if self._saved == self.step:
            return
        optimizer = {f"optimizer.{name}": array for name, array in self.optimizer.state_dict().items()}
        state = {"step": np.array(self.step), "recent_losses": np.array(list(self.recent)), **optimizer}
        self.moved = self.folder.save(self.model, self.tokenizer, self._text, state, self.metrics) or self.moved
        self._saved = self.step

    @property
    def loss(self) -> float:
        """The mean loss of the last steps, up to `RECENT` of them."""
        return sum(self.recent) / len(self.recent) if self.recent else math.nan

    def run(self, report: Callable[[dict[str, Any]], None]) -> None:
        """Train to the recipe's last step, calling `report` at the first step and ten times on the way, and save.

        Raises Interrupted after a signal, when what was learned so far has been saved; and DataError when the loss is no longer
        a number, before that step changes anything.
        """
        steps = self.recipe.steps
        # The first step shows what the untrained model guesses, and the loss it starts from.
        marks = {1, *(steps * tenth // 10 for tenth in range(1, 11))}
        saved_at = time.monotonic()
        model = self.model.train()
        # Numbers that overflow on the way to a loss of infinity or NaN need no warnings: the loss is checked at each step.
        with np.errstate(all="ignore"), _signals() as received, Progress(steps, self.step) as progress:
            for chosen in self._batches():
                logits = model(self.inputs[chosen])
                loss = cross_entropy(logits, self.targets[chosen])
                value = float(loss)
                if not math.isfinite(value):
                    raise DataError(
                        f"the loss became {value} at step {self.step + 1}; "
                        f"try a smaller --learning-rate than {self.recipe.learning_rate}"
                    )
                loss.backward()
                self.optimizer.step()
                self.optimizer.zero_grad()
                self.step += 1
                self.recent.append(value)
                if self.step in marks:
                    figures = self._figures(chosen, logits.data)
                    self.metrics.append({"step": self.step, "loss": figures["loss"]})
                    report(figures)
                if self.step & 63 == 0 or self.step == steps:
                    progress.update(self.step, self.loss, self.step == steps)
                    if time.monotonic() - saved_at > SAVE_EVERY:
                        self.save()
                        saved_at = time.monotonic()
                if received:
                    self.save()
                    raise Interrupted(received[0])
            self.save()

    def _batches(self) -> Iterator[np.ndarray]:
        """For each step left, which examples it learns from. Every pass over the text has an order of its own, drawn from the
        seed and the pass's number: nothing of it needs saving."""
        size = self.recipe.batch_size
        per_pass = len(self.targets) // size
        order, current = np.arange(0), -1
        while self.step < self.recipe.steps:
            number, place = divmod(self.step, per_pass)
            if number != current:
                order, current = np.random.default_rng((self.recipe.seed, number)).permutation(len(self.targets)), number
            yield order[place * size : (place + 1) * size]

    def _figures(self, chosen: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
        """What to report: the loss, and the first example of this step's batch."""
        first = chosen[0]
        return {
            "step": self.step,
            "input": self.tokenizer.decode(self.inputs[first]),
            "target": self.tokenizer.decode([self.targets[first]]),
            "pred": self.tokenizer.decode([int(logits[0].argmax())]),
            "loss": self.loss,
        }


def _within(state: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM in a list, so that training stops between two steps and what it saves is whole."""
    received: list[int] = []
    handlers = {n: signal.signal(n, lambda number, _: received.append(number)) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
