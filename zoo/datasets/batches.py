"""Cutting a text into examples: what the model sees, and what comes next.

A model that guesses once for each row of tokens learns from `Windows`, one that guesses after every token from `Sequences`.
Both draw what a step learns from out of the seed and the step's number alone, so that nothing of it needs saving.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from zoo.errors import DataError

#: Texts shorter than this many tokens are learned whole; of longer ones a tenth, the end, is held out for validation.
LEAST_TO_HOLD_OUT = 10_000

#: A target that isn't to be guessed.
IGNORED = -100

Batch = tuple[np.ndarray, np.ndarray]


class Examples(Protocol):
    """Examples that a model learns from, or is evaluated on."""

    #: What it is counted in.
    name: str
    #: How many tokens are guessed in an example.
    guesses: int

    def __len__(self) -> int:
        """Count the examples of a pass over the text."""
        ...

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Make the batch of step number `step`: inputs and targets of `size` examples. A target may be IGNORED."""
        ...

    def in_order(self) -> Iterator[Batch]:
        """Every token of the text as a target, once, in batches of a convenient size."""
        ...


class Windows:
    """Every run of `context` tokens, and the token after each.

    Args:
        documents: the texts' tokens; no window reaches from one into the next.
        context: how many tokens a window holds.
        unit: what the text is counted in, for errors.

    Raises DataError, stating both lengths, when there isn't a single example.
    """

    name = "examples"
    guesses = 1

    def __init__(self, documents: Sequence[np.ndarray], context: int, unit: str) -> None:
        long_enough = [tokens for tokens in documents if len(tokens) > context]
        if not long_enough:
            raise too_short(documents, context + 1, f"(a context of {context} and the next)", unit)
        views = [np.lib.stride_tricks.sliding_window_view(tokens, context)[:-1] for tokens in long_enough]
        #: (examples, context)
        self.inputs = np.concatenate(views)
        #: (examples,)
        self.targets = np.concatenate([tokens[context:] for tokens in long_enough])
        self._pass = -1
        self._order = np.arange(0)

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """The step's share of a pass over all examples. Every pass has an order of its own, drawn from (seed, pass)."""
        number, place = divmod(step, len(self.targets) // size)
        if number != self._pass:
            self._order, self._pass = np.random.default_rng((seed, number)).permutation(len(self.targets)), number
        chosen = self._order[place * size : (place + 1) * size]
        return self.inputs[chosen], self.targets[chosen]

    def in_order(self) -> Iterator[Batch]:
        """All of them, 1,024 at a time."""
        for i in range(0, len(self.targets), 1024):
            yield self.inputs[i : i + 1024], self.targets[i : i + 1024]


class Sequences:
    """Runs of `context` tokens at random places, and the same runs one token on: a guess after every token.

    Args:
        documents: the texts' tokens, which are joined.
        context: how many tokens a run holds.
        unit: what the text is counted in, for errors.

    Raises DataError, stating both lengths, when the text is no longer than the context.
    """

    name = "sequences"

    def __init__(self, documents: Sequence[np.ndarray], context: int, unit: str) -> None:
        self.tokens = np.concatenate([*documents, np.zeros(0, np.int64)])
        self.guesses = context
        if len(self.tokens) <= context:
            raise too_short([self.tokens], context + 1, f"(a context of {context} and the next)", unit)

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.guesses

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Runs that begin at places drawn from (seed, step): inputs and targets (size, context)."""
        # (Two numbers would be the same seed as another model's pass; the third tells them apart.)
        starts = np.random.default_rng((seed, step, 1)).integers(0, len(self.tokens) - self.guesses, size)
        runs = self.tokens[starts[:, None] + np.arange(self.guesses + 1)]
        return runs[:, :-1], runs[:, 1:]

    def in_order(self) -> Iterator[Batch]:
        """Run after run, 16 at a time; the last run is shorter."""
        context, whole = self.guesses, len(self) * self.guesses
        inputs, targets = self.tokens[:whole].reshape(-1, context), self.tokens[1 : whole + 1].reshape(-1, context)
        for i in range(0, len(inputs), 16):
            yield inputs[i : i + 16], targets[i : i + 16]
        if whole + 1 < len(self.tokens):
            yield self.tokens[None, whole:-1], self.tokens[None, whole + 1 :]


def counted(targets: np.ndarray) -> np.ndarray:
    """The targets that are to be guessed, flat."""
    return targets[targets != IGNORED]


def too_short(documents: Sequence[np.ndarray], least: int, why: str, unit: str) -> DataError:
    """The error for a text that doesn't hold an example."""
    longest = max(map(len, documents), default=0)
    where = "the text" if len(documents) <= 1 else "every line of the text"
    advice = "give a longer text or a smaller --context" if longest > 1 else "give a longer text"
    has = f"it holds no {unit} (0 {unit})" if longest == 0 else f"{longest} {unit if longest > 1 else unit[:-1]}"
    if longest and len(documents) > 1:
        has = f"the longest has {has}"
    elif longest:
        has = f"it has {has}"
    return DataError(f"{where} is too short: {has}, and one example takes {least} {why}; {advice}")


def hold_out(documents: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A text's tokens for training, and the last tenth for validation; all for training where that would leave too little."""
    total = sum(map(len, documents))
    if total < LEAST_TO_HOLD_OUT:
        return list(documents), []
    wanted = int(0.9 * total)
    if len(documents) == 1:
        return [documents[0][:wanted]], [documents[0][wanted:]]
    lengths = np.cumsum([len(tokens) for tokens in documents])
    first = int(np.searchsorted(lengths, wanted, side="left")) + 1
    return list(documents[:first]), list(documents[first:])
