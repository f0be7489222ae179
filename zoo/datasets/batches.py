"""Batches of training examples: input tokens, and the tokens that follow as targets.

A model that predicts one token after each window of tokens learns from a `WindowDataset`, one that predicts a token at every
position from a `SequenceDataset`, from a `StreamDataset` where it carries a hidden state on from batch to batch, or from a
`DocumentDataset` where each line of the text stands for itself. All draw a batch from the seed and the step's number alone, so
that a training run can be resumed at any step, and no state of a random generator needs saving. What is shorter than the
context is learned from, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from zoo.errors import DataError

#: The target of a position that has none: it adds nothing to the loss.
IGNORE_INDEX = -100
#: In a window that begins with its document: no token.
PADDING = -1

#: Inputs and targets, int64.
Batch = tuple[np.ndarray, np.ndarray]


class Dataset(Protocol):
    """Examples of a text that a model is trained or evaluated on."""

    #: The plural noun for examples in messages.
    name: str
    #: The number of targets in an example, ignored ones included.
    targets_per_example: int
    #: How many documents there is nothing to learn from.
    left_out: int

    def __len__(self) -> int:
        """The number of examples in an epoch."""
        ...

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """The batch for a training step, counted from 0: inputs and targets of `size` examples. A target may be IGNORE_INDEX.

        The same step, size and seed give the same batch, whatever was asked before.
        """
        ...

    def in_order(self) -> Iterator[Batch]:
        """All targets of the text, each once, in batches of a convenient size, for evaluation."""
        ...


class _Examples:
    """Examples that are drawn epoch by epoch, each once, in an order of its own.

    Args:
        inputs, targets: arrays whose rows are the examples.
        in_order: how many of them are evaluated at a time.
    """

    def __init__(self, inputs: np.ndarray, targets: np.ndarray, in_order: int) -> None:
        self.inputs, self.targets, self._at_a_time = inputs, targets, in_order
        # The order of the epoch that was asked for last, and its seed and number.
        self._order, self._epoch = np.arange(0), (-1, -1)

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """The next `size` examples of an epoch, whose order is drawn from (seed, epoch).

        Examples that don't fill a last batch are left out of it; where there are fewer than `size`, they come several times.
        """
        epoch, position = divmod(step, max(len(self.targets) // size, 1))
        if (seed, epoch) != self._epoch:
            self._order = np.random.default_rng((seed, epoch)).permutation(len(self.targets))
            self._epoch = seed, epoch
        chosen = self._order[position * size : (position + 1) * size]
        if len(chosen) < size:
            chosen = np.resize(chosen, size)
        return self.inputs[chosen], self.targets[chosen]

    def in_order(self) -> Iterator[Batch]:
        """All examples in the order of the text."""
        for i in range(0, len(self.targets), self._at_a_time):
            yield self.inputs[i : i + self._at_a_time], self.targets[i : i + self._at_a_time]


class WindowDataset(_Examples):
    """Every window of `context` consecutive tokens, with the token after it as its target.

    A document of no more tokens than that has shorter windows, which begin with it: one before each token after its first.
    Their inputs begin with PADDING, which no model sees (see `zoo.model.predict`).

    Args:
        documents: token ids, an array (tokens,) for each document; no window reaches from one into the next.
        context: the number of tokens in a window.
        unit: the plural noun for tokens in errors.
        from_start: longer documents have those shorter windows, too: every token after the first is a target.

    Raises DataError when there isn't a single example.
    """

    name = "examples"
    targets_per_example = 1

    def __init__(self, documents: Sequence[np.ndarray], context: int, unit: str, from_start: bool = False) -> None:
        long_enough = [tokens for tokens in documents if len(tokens) > 1]
        if not long_enough:
            raise too_short(documents, unit)
        #: How many documents there is nothing to learn from.
        self.left_out = len(documents) - len(long_enough)
        windows = [_windows(tokens, context, from_start) for tokens in long_enough]
        # (examples, context) and (examples,)
        inputs, targets = (np.concatenate(parts) for parts in zip(*windows, strict=True))
        super().__init__(inputs, targets, 1024)


def _windows(tokens: np.ndarray, context: int, from_start: bool) -> Batch:
    """A document's windows and their targets."""
    if len(tokens) > context and not from_start:
        return np.lib.stride_tricks.sliding_window_view(tokens, context)[:-1], tokens[context:]
    before = np.concatenate([np.full(context - 1, PADDING), tokens[:-1]])
    return np.lib.stride_tricks.sliding_window_view(before, context), tokens[1:]


class DocumentDataset(_Examples):
    """Documents in sequences of at most `context` tokens, none of which reaches from one into the next; the target at each
    position is the token after it. After the end of a shorter sequence there are tokens that mean nothing, whose targets are
    IGNORE_INDEX: what comes before them can't see them.

    Args:
        documents: token ids, an array (tokens,) for each document.
        context: the number of tokens in a sequence.
        unit: the plural noun for tokens in errors.

    Raises DataError when no document has two tokens.
    """

    name = "sequences"

    def __init__(self, documents: Sequence[np.ndarray], context: int, unit: str) -> None:
        long_enough = [tokens for tokens in documents if len(tokens) > 1]
        if not long_enough:
            raise too_short(documents, unit)
        #: How many documents there is nothing to learn from.
        self.left_out = len(documents) - len(long_enough)
        self.targets_per_example = context = min(context, max(map(len, long_enough)) - 1)
        parts = [tokens[i : i + context + 1] for tokens in long_enough for i in range(0, len(tokens) - 1, context)]
        inputs, targets = np.zeros((len(parts), context), np.int64), np.full((len(parts), context), IGNORE_INDEX)
        for part, seen, wanted in zip(parts, inputs, targets, strict=True):
            seen[: len(part) - 1], wanted[: len(part) - 1] = part[:-1], part[1:]
        super().__init__(inputs, targets, 16)


class SequenceDataset:
    """Sequences of `context` tokens from random positions; the target at each position is the token after it.

    Args:
        documents: token ids, an array (tokens,) for each document; they are joined.
        context: the number of tokens in a sequence; a text that is no longer is one sequence.
        unit: the plural noun for tokens in errors.

    Raises DataError when the text has fewer than two tokens.
    """

    name = "sequences"
    left_out = 0

    def __init__(self, documents: Sequence[np.ndarray], context: int, unit: str) -> None:
        self.tokens = np.concatenate([*documents, np.zeros(0, np.int64)])
        if len(self.tokens) < 2:
            raise too_short([self.tokens], unit)
        self.targets_per_example = min(context, len(self.tokens) - 1)

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.targets_per_example

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Sequences that start at positions drawn from (seed, step): inputs and targets (size, context)."""
        # (Two numbers would be the seed of another dataset's epoch too; the third tells them apart.)
        starts = np.random.default_rng((seed, step, 1)).integers(0, len(self.tokens) - self.targets_per_example, size)
        sequences = self.tokens[starts[:, None] + np.arange(self.targets_per_example + 1)]
        return sequences[:, :-1], sequences[:, 1:]

    def in_order(self) -> Iterator[Batch]:
        """The text cut into consecutive sequences, 16 in a batch; the last sequence may be shorter."""
        context, whole = self.targets_per_example, len(self) * self.targets_per_example
        inputs, targets = self.tokens[:whole].reshape(-1, context), self.tokens[1 : whole + 1].reshape(-1, context)
        for i in range(0, len(inputs), 16):
            yield inputs[i : i + 16], targets[i : i + 16]
        if whole + 1 < len(self.tokens):
            yield self.tokens[None, whole:-1], self.tokens[None, whole + 1 :]


class StreamDataset(SequenceDataset):
    """Sequences that continue each other, for a model that carries its hidden state on: the text is cut into as many streams as
    a batch has sequences, and each step goes on in each stream where the step before it stopped.

    Args:
        documents: token ids, an array (tokens,) for each document; they are joined.
        context: the number of tokens in a sequence.
        unit: the plural noun for tokens in errors.

    Raises DataError when the text has fewer than two tokens.
    """

    def steps_of_stream(self, size: int) -> int:
        """The number of steps from the beginning of the streams to their ends, for `size` of them."""
        return max(len(self) // size, 1)

    def begins(self, step: int, size: int) -> bool:
        """Tell if a step's sequences begin their streams: nothing comes before them."""
        return step % self.steps_of_stream(size) == 0

    def read_before(self, step: int, size: int) -> int:
        """Count the tokens of each stream that come before a step's."""
        return step % self.steps_of_stream(size) * self.targets_per_example

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """The next sequences of `size` streams: inputs and targets (size, context).

        Streams lie one after the other in the text; where it is too short for that, they overlap. After their last step they
        begin again, all shifted by a number of tokens that is drawn from (seed, epoch).
        """
        context, targets = self.targets_per_example, len(self.tokens) - 1
        epoch, position = divmod(step, self.steps_of_stream(size))
        length = self.steps_of_stream(size) * context
        span = min(size * length, targets)
        first = np.random.default_rng((seed, epoch, 3)).integers(0, targets - span + 1) + position * context
        starts = first + np.arange(size) * (span - length) // max(size - 1, 1)
        sequences = self.tokens[starts[:, None] + np.arange(context + 1)]
        return sequences[:, :-1], sequences[:, 1:]

    def in_order(self) -> Iterator[Batch]:
        """The whole text as 16 streams, or fewer where it is short: each batch goes on where the one before it stopped."""
        context, targets = self.targets_per_example, len(self.tokens) - 1
        size = min(16, len(self))
        length = -(-targets // size)
        # The last streams may be shorter: what is missing has no target.
        missing = size * length - targets
        inputs = np.concatenate([self.tokens[:-1], np.zeros(missing, np.int64)]).reshape((size, length))
        wanted = np.concatenate([self.tokens[1:], np.full(missing, IGNORE_INDEX)]).reshape((size, length))
        for i in range(0, length, context):
            yield inputs[:, i : i + context], wanted[:, i : i + context]


def valid_targets(targets: np.ndarray) -> np.ndarray:
    """The targets that count in the loss, all but IGNORE_INDEX: (targets,), whatever the shape was."""
    return targets[targets != IGNORE_INDEX]


def too_short(documents: Sequence[np.ndarray], unit: str) -> DataError:
    """The error for documents, arrays of token ids, of which none has two tokens."""
    longest = max(map(len, documents), default=0)
    where = "the text" if len(documents) <= 1 else "every line of the text"
    has = f"1 {unit.removesuffix('s')}" if longest else f"no {unit}"
    return DataError(f"{where} is too short: it has {has}, and it takes two to learn which follows which; give a longer text")
