"""The training loop, for every model: guess, compare, find the gradient, move against it."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from microtensor import cross_entropy, nn
from microtensor.optim import clip_grad_norm
from zoo.cache import StateCache
from zoo.chat.template import BOT, END, USER, is_conversation
from zoo.datasets.batches import IGNORE_INDEX, StreamDataset, valid_targets
from zoo.errors import DataError, UsageError
from zoo.model import Model
from zoo.recipe import Metrics
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.training.check import check_model
from zoo.training.checkpoint import text_digest, within
from zoo.training.evaluation import evaluate, split
from zoo.training.progress import Progress
from zoo.training.run_folder import RunFolder

#: Training saves itself this often, in seconds, unless told after how many steps.
SAVE_EVERY = 60.0
#: The loss that is shown is the mean of this many last steps at most.
LONGEST_WINDOW = 10_000


class Diverged(DataError):
    """The loss, or the gradient, is no longer a number."""


class Interrupted(Exception):
    """Training was stopped by a signal, after saving."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Step(NamedTuple):
    """A step that was done: the batch (its last part, if it was learned in parts), the logits, the loss, the learning rate."""

    inputs: np.ndarray
    targets: np.ndarray
    logits: Any
    loss: float
    rate: float


class Trainer:
    """Trains a model on a text's examples and keeps its run folder.

    Where the text is long enough, its last tenth is held out: the model is evaluated on the whole of that now and then, and the
    parameters that did best there are the ones that are kept for use, unless the recipe goes by the last ones (`keep_best`).
    Otherwise those of the last step are.

    Args:
        model: the model, whose recipe says how.
        tokenizer: made for the text.
        text: what to learn from.
        folder: where the run is saved.
        checkpoint_every: save after every so many steps; once a minute if None.

    Raises DataError when the text is too short, and UsageError when a batch is larger than the text, or
    the model can't be trained (see `check_model`).
    """

    def __init__(
        self, model: Model, tokenizer: Tokenizer, text: str, folder: RunFolder, checkpoint_every: int | None = None
    ) -> None:
        #: The hidden states after the last step, one for each part of a batch, where the next step goes on from them.
        self.carried: list[StateCache] = []
        #: The names of the parameters that no gradient reaches.
        self.unreached = check_model(model)
        self.model = model
        self.tokenizer = tokenizer
        self.folder = folder
        self.recipe = model.recipe
        self.documents = [tokenizer.encode(part) for part in self.recipe.documents(text)]
        self.dataset, self.validation = split(model, self.documents, tokenizer)
        if self.recipe.batch_size > len(self.dataset) and self.dataset.targets_per_example == 1:
            raise UsageError(
                f"--batch-size: {self.recipe.batch_size} is more than the {len(self.dataset)} examples of the text"
            )
        self.epoch_steps = max(len(self.dataset) // self.recipe.batch_size, 1)
        self.steps = self.recipe.total_steps(len(self.dataset))
        self.parameters = model.parameters()
        self.optimizer = self.recipe.optimizer(model)
        self.schedule = self.recipe.schedule(self.steps)
        self.step = 0
        window = self.recipe.loss_window or self.epoch_steps
        #: The losses of the last steps.
        self.losses: deque[float] = deque(maxlen=min(window, LONGEST_WINDOW))
        #: The lowest loss on the validation split so far, and when it was reached.
        self.best, self.best_step = math.inf, 0
        self.metrics: list[dict[str, Any]] = []
        #: Where an earlier run in the folder went, once it had to make room.
        self.moved: Path | None = None
        #: How long training has taken, saving and evaluating included; those parts too that came before it was resumed.
        self.seconds = 0.0
        self._checkpoint_every = checkpoint_every
        self._text = text_digest(text)
        model.chat = is_conversation(text) and {USER, BOT, END} <= set(tokenizer.vocabulary)
        self._dropout = [layer for _, layer in model.named_modules() if isinstance(layer, nn.Dropout) and layer.p > 0]
        self._dropout_rng = np.random.default_rng()
        for layer in self._dropout:  # also those that were made without a generator
            layer.rng = self._dropout_rng
        self._saved = -1

    def resume(self) -> None:
        """Take up the saved run in the folder. Raises DataError when it doesn't fit."""
        if self.folder.checkpoint.read_config()["text"] != self._text:
            raise DataError(
                f"another text: the run in {self.folder.path} learned from a text that has changed since; start afresh"
            )
        state, metrics = self.folder.load_state()
        file = self.folder.path / "state.safetensors"
        for name, array in state.items():
            if name.startswith(("model.", "optimizer.", "carried.")) and not np.isfinite(array).all():
                raise DataError(f"damaged: {name} in {file} holds NaN or infinity; train again")
        try:
            self.step = int(state["step"])
            self.best, self.best_step = float(state["best"]), int(state["best_step"])
            self.losses.extend(state["recent_losses"].tolist())
            self.model.load_state_dict(within(state, "model."))
            self.optimizer.load_state_dict(within(state, "optimizer."))
            self._load_carried(state)
        except KeyError as error:
            raise DataError(f"damaged: {file} has no {error.args[0]}; train again") from None
        except (ValueError, TypeError) as error:
            raise DataError(f"damaged: {file}: {error}; train again") from None
        self.metrics = [m for m in metrics if m.get("step", self.step + 1) <= self.step]
        self.seconds = self.metrics[-1].get("seconds", 0.0) if self.metrics else 0.0
        self._saved = self.step

    def save(self, best: bool = False) -> None:
        """Write the run folder, if anything changed since the last time; the parameters for use too, where they are the best,
        or there is no validation split to tell, or the model keeps its last."""
        if self._saved == self.step and not best:
            return
        optimizer = {f"optimizer.{name}": array for name, array in self.optimizer.state_dict().items()}
        state = {
            "step": np.array(self.step),
            "best": np.array(self.best),
            "best_step": np.array(self.best_step),
            "recent_losses": np.array(list(self.losses)),
            **optimizer,
            **{f"carried.{i}.{name}": a for i, cache in enumerate(self.carried) for name, a in cache.states.items()},
        }
        for_use = best or self.validation is None or not math.isfinite(self.best) or not self.recipe.keep_best
        self.moved = self.folder.save(self.model, self.tokenizer, self._text, state, self.metrics, for_use) or self.moved
        self._saved = self.step

    @property
    def loss(self) -> float:
        """The mean loss of the last steps."""
        return sum(self.losses) / len(self.losses) if self.losses else math.nan

    def run(self, report: Callable[[str, dict[str, Any]], None]) -> None:
        """Train to the last step, calling `report` with a line and its figures now and then, and save.

        Raises Interrupted after a signal, when what was learned so far has been saved; and DataError when the loss is no longer
        a number, before that step changes anything.
        """
        evaluated = self.recipe.evaluation_steps(self.steps, self.epoch_steps)
        saved_at = told_at = time.monotonic()
        started_at, told = told_at - self.seconds, self.step
        tokens = self.recipe.batch_size * self.dataset.targets_per_example
        self.model.train()
        # Numbers that overflow on the way to a loss of infinity or NaN need no warnings: the loss is checked at each step.
        with np.errstate(all="ignore"), _signals() as received, Progress(self.steps, self.step, tokens) as progress:
            while self.step < self.steps:
                done = self._one_step()
                self.step += 1
                self.losses.append(done.loss)
                shown = self.step in evaluated or self.step == self.steps or tokens > 256 or self.step & 63 == 0
                if shown:
                    progress.update(self.step, self.loss, self.step in evaluated or self.step == self.steps)
                best, news = False, None
                if self.step in evaluated:
                    speed = (self.step - told) * tokens / max(time.monotonic() - told_at, 1e-9)
                    validation, best = self._validate()
                    self.seconds = time.monotonic() - started_at
                    news = self._describe(done, speed, validation)
                    told, told_at = self.step, time.monotonic()
                if self._checkpoint_every is not None:
                    due = self.step % self._checkpoint_every == 0
                else:
                    due = shown and time.monotonic() - saved_at > SAVE_EVERY
                if best or due:
                    self.save(best)
                    saved_at = time.monotonic()
                if news is not None:  # (after saving: should nobody read it, nothing is lost)
                    report(*news)
                if received:
                    self.save()
                    raise Interrupted(received[0])
            self.save()

    def _one_step(self) -> _Step:
        """Change the parameters once."""
        recipe = self.recipe
        if self._dropout:
            # What is dropped depends on the seed and the step alone, so that nothing of it needs saving.
            self._dropout_rng.bit_generator.state = np.random.default_rng((recipe.seed, self.step, 2)).bit_generator.state
        inputs, targets = self.dataset.batch(self.step, recipe.batch_size, recipe.seed)
        if isinstance(self.dataset, StreamDataset) and self.dataset.begins(self.step, recipe.batch_size):
            self.carried = self._new_carried()
        if recipe.grad_accumulation == 1:
            logits = self._logits(inputs, 0)
            loss = cross_entropy(logits, targets, ignore_index=IGNORE_INDEX)
            value = float(loss)
            if math.isfinite(value):
                loss.backward()
        else:  # the gradients of the parts add up to the batch's
            value, whole = 0.0, max(valid_targets(targets).size, 1)
            parts = zip(_parts(inputs, recipe.grad_accumulation), _parts(targets, recipe.grad_accumulation), strict=True)
            for part, (inputs, targets) in enumerate(parts):
                logits = self._logits(inputs, part)
                loss = cross_entropy(logits, targets, ignore_index=IGNORE_INDEX) * (valid_targets(targets).size / whole)
                value += float(loss)
                if not math.isfinite(value):
                    break
                loss.backward()
        self._check("loss", value)
        if recipe.grad_clip is not None:
            self._check("gradient's length", clip_grad_norm(self.parameters, recipe.grad_clip))
        factor = self.schedule(self.step)
        self.optimizer.step(factor)
        self.optimizer.zero_grad()
        return _Step(inputs, targets, logits, value, recipe.learning_rate * factor)

    def _logits(self, inputs: np.ndarray, part: int) -> Any:
        """The logits for a part of a batch, from the hidden states that its sequences continue, where there are any."""
        return self.model.go_on(inputs, self.carried[part]) if self.carried else self.model(inputs)

    def _new_carried(self) -> list[StateCache]:
        """Empty caches for the parts of a batch. Raises UsageError for a model that can't carry a state."""
        caches = [self.model.new_cache() for _ in range(min(self.recipe.grad_accumulation, self.recipe.batch_size))]
        if not all(isinstance(cache, StateCache) for cache in caches):
            raise UsageError(
                f"{type(self.model).__name__} learns from streams, so its new_cache must make a zoo.cache.StateCache"
            )
        return caches  # type: ignore[return-value]

    def _load_carried(self, state: dict[str, np.ndarray]) -> None:
        """Take up the hidden states of a saved run. Raises ValueError for other shapes than they must have, and KeyError."""
        size = self.recipe.batch_size
        if not isinstance(self.dataset, StreamDataset) or self.dataset.begins(self.step, size):
            return
        self.carried = self._new_carried()
        for i, (cache, part) in enumerate(
            zip(self.carried, _parts(np.zeros((size, 1), np.int64), len(self.carried)), strict=True)
        ):
            self.model(part, cache)  # which makes states of the right shapes
            for name, array in cache.states.items():
                given = state[f"carried.{i}.{name}"]
                if given.shape != array.shape or given.dtype != array.dtype:
                    raise ValueError(
                        f"carried.{i}.{name} should be {array.dtype} {array.shape}, but is {given.dtype} {given.shape}"
                    )
                cache.states[name] = given

    def _check(self, what: str, value: float) -> None:
        """Raises DataError for what is no number."""
        if not math.isfinite(value):
            saved = f"; {self.folder.path} keeps the run as it was at step {self._saved}" if self._saved > 0 else ""
            raise Diverged(
                f"the {what} became {value} at step {self.step + 1}; "
                f"try a smaller --learning-rate than {self.recipe.learning_rate:g}{saved}"
            )

    def _validate(self) -> tuple[float | None, bool]:
        """The loss on the validation split, if there is one, and whether it is the best so far."""
        if self.validation is None:
            return None, False
        loss = evaluate(self.model, self.validation)
        best = loss < self.best  # (never so for NaN)
        if best:
            self.best, self.best_step = loss, self.step
        return loss, best

    def _describe(self, done: _Step, speed: float, validation: float | None) -> tuple[str, dict[str, Any]]:
        """The line for this moment and its figures, which are kept."""
        decode = self.tokenizer.decode

        def example() -> dict[str, str]:
            guess = int(done.logits.data[0].argmax())
            return {"input": decode(done.inputs[0]), "target": decode([done.targets[0]]), "pred": decode([guess])}

        epochs = self.recipe.epochs or -(-self.steps // self.epoch_steps)
        epoch = self.step // self.epoch_steps
        now = Metrics(self.step, self.steps, epoch, epochs, self.loss, validation, done.rate, speed, example)
        line, figures = self.recipe.report(now)
        metrics = {
            "step": self.step,
            "loss": self.loss,
            "learning_rate": done.rate,
            "tokens_per_second": round(speed),
            "seconds": round(self.seconds, 2),
        }
        if validation is not None:
            metrics["validation_loss"] = validation
        self.metrics.append(metrics)
        return line, {**metrics, **figures}


def _parts(batch: np.ndarray, parts: int) -> list[np.ndarray]:
    """A batch in parts of about the same size."""
    return np.array_split(batch, min(parts, len(batch)))


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM in a list, so that training stops between two steps and what it saves is whole. (In a thread
    there is none of that: signals reach the main thread alone.)"""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    handlers = {n: signal.signal(n, lambda number, _: received.append(number)) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
