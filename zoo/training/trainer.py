"""The training loop, for every model: guess, compare, find the gradient, move against it."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from microtensor import cross_entropy, nn, no_grad
from microtensor.optim import clip_grad_norm
from zoo.chat.template import BOT, END, USER, is_conversation
from zoo.datasets.batches import IGNORE_INDEX, PADDING, WindowDataset, valid_targets
from zoo.errors import DataError, UsageError, shortened
from zoo.model import Model, predict
from zoo.progress import Progress
from zoo.recipe import Metrics
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.training.carried import CarriedStates
from zoo.training.check import check_model
from zoo.training.checkpoint import most_numbers, text_digest
from zoo.training.evaluation import bits_per_character_and_byte, evaluate, split
from zoo.training.run_folder import RunFolder
from zoo.training.state import LONGEST_WINDOW, State

#: Training saves itself this often, in seconds, unless told after how many steps.
SAVE_EVERY = 60.0
#: Signals that end training after the step that is under way, when what was learned is saved: Ctrl-C, `kill`, and that the
#: terminal was closed, unless that is ignored (`nohup`).
STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
#: A signal is another one, rather than the same once more, after so many seconds.
AGAIN = 0.5
#: Of an example that is shown, each part has so many characters at most.
LONGEST_EXAMPLE = 200


class Diverged(DataError):
    """The loss, the gradient or a parameter is no longer a number."""


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
        #: The names of the parameters that no gradient reaches.
        self.unreached = check_model(model)
        self.model = model
        self.tokenizer = tokenizer
        self.folder = folder
        self.recipe = model.recipe
        self.documents = [tokenizer.encode(part) for part in self.recipe.documents(text)]
        self.dataset, self.validation = split(model, self.documents, tokenizer)
        if self.recipe.batch_size > len(self.dataset) and isinstance(self.dataset, WindowDataset):
            raise UsageError(
                f"--batch-size: {self.recipe.batch_size} is more than the {len(self.dataset)} examples of the text"
            )
        #: What the next step goes on from, where the text is learned from in streams.
        self.carried = CarriedStates(model, self.dataset)
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
        model.boundary = self.recipe.boundary(tokenizer)
        self._dropout = [layer for _, layer in model.named_modules() if isinstance(layer, nn.Dropout) and layer.p > 0]
        self._dropout_rng = np.random.default_rng()
        for layer in self._dropout:  # also those that were made without a generator
            layer.rng = self._dropout_rng
        self._saved = -1
        self._signals = _Signals()

    def resume(self) -> None:
        """Take up the saved run in the folder. Raises DataError when it doesn't fit."""
        if self.folder.checkpoint.read_config()["text"] != self._text:
            raise DataError(
                f"another text: the run in {self.folder.path} learned from a text that has changed since; start afresh"
            )
        checkpoint = self.folder.checkpoint
        state = checkpoint.read_state(most_numbers(self.model))
        self.step, self.best, self.best_step = state.step, state.best, state.best_step
        self.losses.extend(state.recent_losses)
        try:
            self.model.load_state_dict(state.model)
            self.optimizer.load_state_dict(state.optimizer)
            self.carried.load_state_dict(state.step, state.carried)
        except ValueError as error:
            raise DataError(f"damaged: {checkpoint.state}: {error}; train again") from None
        self.metrics = [m for m in checkpoint.read_metrics() if m["step"] <= self.step]
        self.seconds = self.metrics[-1].get("seconds", 0.0) if self.metrics else 0.0
        self._saved = self.step

    def save(self, best: bool = False) -> None:
        """Write the run folder, if anything changed since the last time; the parameters for use too, where they are the best,
        or there is no validation split to tell, or the model keeps its last.

        Raises Diverged, and leaves what was saved, when a parameter is no longer a number; and DataError when the disk refuses.
        """
        if self._saved == self.step and not best:
            return
        model, optimizer = self.model.state_dict(), self.optimizer.state_dict()
        try:
            carried = self.carried.state_dict(self.step)
            state = State(self.step, self.best, self.best_step, list(self.losses), model, optimizer, carried)
        except ValueError as error:
            raise self._diverged(f"{error} after step {self.step}") from None
        self._signals.saving = True
        for_use = best or self.validation is None or not math.isfinite(self.best) or not self.recipe.keep_best
        self.moved = self.folder.save(self.model, self.tokenizer, self._text, state, self.metrics, for_use) or self.moved
        self._saved = self.step
        self._signals.saving = False

    @property
    def loss(self) -> float:
        """The mean loss of the last steps."""
        return sum(self.losses) / len(self.losses) if self.losses else math.nan

    @cached_property
    def bits_per_byte(self) -> float:
        """How many bits per byte a loss of one nat a token is, on the validation split, or else on all of the text."""
        return bits_per_character_and_byte(1.0, self.validation or self.dataset, self.tokenizer)[1]

    @property
    def characters(self) -> bool:
        """Tell if the tokens are characters."""
        return self.tokenizer.unit == "characters"

    def run(self, report: Callable[[str, dict[str, Any]], None]) -> None:
        """Train to the last step, calling `report` with a line and its figures now and then, and save.

        Raises Interrupted after a signal, when what was learned so far has been saved; and DataError when the loss is no longer
        a number, before that step changes anything.
        """
        self.model.train()
        tokens = self.recipe.batch_size * self.dataset.targets_per_example
        self._signals = _Signals()
        # Numbers that overflow on the way to a loss of infinity or NaN need no warnings: the loss is checked at each step.
        with np.errstate(all="ignore"), self._signals, Progress(self.steps, self.step, tokens) as self._progress:
            try:
                self._run(tokens, report)
            except Interrupted:
                self.save()
                raise

    def _run(self, tokens: int, report: Callable[[str, dict[str, Any]], None]) -> None:
        """Train to the last step, of so many tokens each, and save. Raises Interrupted, before saving, after a signal."""
        if self.folder.init_from is not None and self.step == 0:
            self._report(report, self._before())
        saved_at = told_at = time.monotonic()
        started_at, told, first = told_at - self.seconds, self.step, self.step + 1
        done = self._last_step() if self.owes_evaluation() else None
        while done is not None or self.step < self.steps:
            if done is None:
                done = self._one_step()
                self.step += 1
                self.losses.append(done.loss)
            evaluated = self.recipe.evaluates_after(self.step, self.steps, self.epoch_steps)
            shown = evaluated or self.step == self.steps or tokens > 256 or self.step & 63 == 0
            if shown:
                self._progress.update(self.step, self.loss, evaluated or self.step == self.steps)
            best, news = False, None
            if evaluated:
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
                self._report(report, news)
            elif self.step == first:  # the first step waits for kernels to be compiled, and says nothing about the speed
                told, told_at = self.step, time.monotonic()
            self._signals.check()
            done = None
        self.save()

    def time_steps(self, seconds: float, at_least: int) -> float:
        """Measure the seconds that a step takes: the mean over so much training, and so many steps.

        The first step, which may wait for kernels to be compiled, doesn't count. Nothing is saved: the trainer is used up.
        """
        self.model.train()
        with np.errstate(all="ignore"):
            self._one_step()
            begun, done = time.perf_counter(), 0
            while done < at_least or time.perf_counter() - begun < seconds:
                self._one_step()
                done += 1
        return (time.perf_counter() - begun) / done

    def _before(self) -> tuple[str, dict[str, Any]]:
        """The line about the loss before the first step, and its figures."""
        loss = evaluate(self.model, self.validation or self.dataset, self._watch)
        self._check("loss", loss)
        name = "loss" if self.validation is None else "validation loss"
        return f"Before the first step | {name.capitalize()}: {loss:.4f}", {f"initial_{name.replace(' ', '_')}": loss}

    def owes_evaluation(self) -> bool:
        """Tell if training was stopped while it evaluated the model after the last step, which is then done first."""
        if self.validation is None or not self.step or not self.recipe.evaluates_after(self.step, self.steps, self.epoch_steps):
            return False
        return not self.metrics or self.metrics[-1].get("step") != self.step

    def _last_step(self) -> _Step:
        """The step that was done last, as one can know it afterwards."""
        inputs, targets = self.dataset.batch(self.step - 1, self.recipe.batch_size, self.recipe.seed)
        with no_grad():
            logits = predict(self.model.eval(), inputs[:1])
        self.model.train()
        return _Step(inputs, targets, logits, self.losses[-1], self.recipe.learning_rate * self.schedule(self.step - 1))

    def _report(self, report: Callable[[str, dict[str, Any]], None], news: tuple[str, dict[str, Any]]) -> None:
        """Tell what there is to tell. If nobody reads it any more, the training is worth keeping all the same."""
        try:
            report(*news)
        except OSError:
            self.save()
            raise

    def _one_step(self) -> _Step:
        """Change the parameters once."""
        recipe = self.recipe
        if self._dropout:
            # What is dropped depends on the seed and the step alone, so that nothing of it needs saving.
            self._dropout_rng.bit_generator.state = np.random.default_rng((recipe.seed, self.step, 2)).bit_generator.state
        self._signals.at_once = True  # (a text may be long in the making, and its order in the drawing)
        inputs, targets = self.dataset.batch(self.step, recipe.batch_size, recipe.seed)
        self._signals.at_once = False
        self.carried.start(self.step)
        if recipe.grad_accumulation == 1:
            logits = self.carried.logits(inputs, 0)
            loss = cross_entropy(logits, targets, ignore_index=IGNORE_INDEX)
            value = float(loss)
            if math.isfinite(value):
                loss.backward()
        else:  # the gradients of the parts add up to the batch's
            value, whole = 0.0, max(valid_targets(targets).size, 1)
            parts = zip(_parts(inputs, recipe.grad_accumulation), _parts(targets, recipe.grad_accumulation), strict=True)
            for part, (inputs, targets) in enumerate(parts):
                logits = self.carried.logits(inputs, part)
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

    def _check(self, what: str, value: float) -> None:
        """Raises DataError for what is no number."""
        if not math.isfinite(value):
            raise self._diverged(f"the {what} became {value} at step {self.step + 1}")

    def _diverged(self, what: str) -> Diverged:
        saved = f"; {self.folder.path} keeps the run as it was at step {self._saved}" if self._saved > 0 else ""
        return Diverged(f"{what}; try a smaller --learning-rate than {self.recipe.learning_rate:g}{saved}")

    def _validate(self) -> tuple[float | None, bool]:
        """The loss on the validation split, if there is one, and whether it is the best so far."""
        if self.validation is None:
            return None, False
        loss = evaluate(self.model, self.validation, self._watch)
        best = loss < self.best  # (never so for NaN)
        if best:
            self.best, self.best_step = loss, self.step
        return loss, best

    def _watch(self, done: int, loss: float) -> None:
        """Show how far the evaluation is. Raises Interrupted after a signal."""
        self._signals.check()
        self._progress.update(self.step, f"{self.loss:.4f}, validation {loss:.4f} after {done:,}")

    def _describe(self, done: _Step, speed: float, validation: float | None) -> tuple[str, dict[str, Any]]:
        """The line for this moment and its figures, which are kept."""
        decode = self.tokenizer.decode

        def example() -> dict[str, str]:
            guess = int(done.logits.data[0].argmax())
            seen = done.inputs[0]
            parts = {"input": seen[seen != PADDING], "target": [done.targets[0]], "pred": [guess]}
            return {name: shortened(decode(ids), LONGEST_EXAMPLE) for name, ids in parts.items()}

        epochs = self.recipe.epochs or -(-self.steps // self.epoch_steps)
        epoch = self.step // self.epoch_steps
        bits = None if validation is None or self.characters else validation * self.bits_per_byte
        now = Metrics(self.step, self.steps, epoch, epochs, self.loss, validation, done.rate, speed, example, bits)
        line, figures = self.recipe.report(now)
        metrics = {
            "step": self.step,
            "loss": self.loss,
            "learning_rate": done.rate,
            "tokens_per_second": round(speed),
            "seconds": round(self.seconds, 2),
        }
        if validation is not None and math.isfinite(validation):
            metrics["validation_loss"] = validation
        if bits is not None:
            metrics["bits_per_byte"] = bits
        self.metrics.append(metrics)
        return line, {**metrics, **figures}


def _parts(batch: np.ndarray, parts: int) -> list[np.ndarray]:
    """A batch in parts of about the same size."""
    return np.array_split(batch, min(parts, len(batch)))


class _Signals:
    """The STOPS that come while it trains: they are kept, so that training stops between two steps and what it saves is whole.

    Where nothing is half done (`at_once`), they raise Interrupted right away. Another one after a while, when nothing is being
    saved, does what it does without us: it ends the process, or raises KeyboardInterrupt. (In a thread there is none of that:
    signals reach the main thread alone.)
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self.at_once = self.saving = False
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            ignored = [n for n in STOPS if n != signal.SIGINT and signal.getsignal(n) == signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._handle) for number in STOPS if number not in ignored}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def check(self) -> None:
        """Raises Interrupted if there was one."""
        if self.received:
            raise Interrupted(self.received[0])

    def _handle(self, number: int, frame: Any) -> None:
        self.received.append(number)
        if len(self.received) == 1:
            self._since = time.monotonic()
        elif time.monotonic() - self._since > AGAIN and not self.saving and number in self._before:
            signal.signal(number, self._before[number])
            signal.raise_signal(number)
        if self.at_once:
            self.at_once = False
            raise Interrupted(self.received[0])
