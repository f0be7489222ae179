"""Examples from conversations: the model reads what both say, and learns to say what the bot says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from zoo.errors import DataError
from zoo.text.examples import IGNORED, Batch, too_short
from zoo.text.marks import BOT, END, USER
from zoo.text.tokenizer import Tokenizer

#: Where a stretch begins in the middle of what the bot says, nobody can know how it goes on: so many guesses don't count.
UNSURE = 16
#: How often a letter that the user says is read as another.
SLIPS = 0.03
#: How many stretches begin with each line in a pass over the text: every time with other slips.
ROUNDS = 2
#: One stretch of so many doesn't begin with a line.
LATER = 20


class Turns:
    """Stretches of `context` tokens from conversations, and the same stretches one token on. Only what the bot says is a
    target, with the end of its line; everything else is IGNORED. In the first steps all that anybody says is a target.

    Args:
        documents: the texts' tokens, which are joined.
        context: how many tokens a stretch holds.
        tokenizer: knows the marks of the two speakers.
        pretraining: how many those first steps are.

    Raises DataError when the text isn't longer than the context, or isn't a conversation.
    """

    name = "stretches"

    def __init__(self, documents: Sequence[np.ndarray], context: int, tokenizer: Tokenizer, pretraining: int = 0) -> None:
        self.pretraining = pretraining
        self.tokens = np.concatenate([*documents, np.zeros(0, np.int64)])
        self.guesses = context
        if len(self.tokens) <= context:
            raise too_short([self.tokens], context + 1, f"(a context of {context} and the next)", tokenizer.unit)
        ends = self.tokens == _id(tokenizer, END)
        #: For each token, where its line begins.
        first = np.concatenate([[True], ends[:-1]])
        self.line = np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))
        mark = self.tokens[self.line]
        self.asks = mark == _id(tokenizer, USER)
        #: What the user says, without mark and end.
        self.asked = self.asks & ~first & ~ends
        #: What slips are drawn from.
        self.letters = self.tokens[self.asked]
        #: Whether a token is to be guessed: what the bot says, after its mark.
        self.counts = (mark == _id(tokenizer, BOT)) & ~first
        #: Where a line begins, as far as a whole stretch follows.
        self.starts = np.flatnonzero(first & (self.asks | ~ends) & (np.arange(len(first)) < len(first) - context))
        if not (self.counts.any() and self.asks.any() and len(self.starts)):
            raise _not_a_conversation()
        self._pass = -1
        self._order = np.arange(0)

    def __len__(self) -> int:
        return ROUNDS * len(self.starts)

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """The step's share of a pass over all lines: inputs and targets (size, context), which begin there. Every pass has an
        order of its own, drawn from (seed, pass)."""
        number, place = divmod(step, max(len(self) // size, 1))
        if number != self._pass:
            self._order, self._pass = np.random.default_rng((seed, number)).permutation(np.tile(self.starts, ROUNDS)), number
        starts = np.resize(self._order[place * size : (place + 1) * size], size)
        # Some begin anywhere in the stretch: so a long answer looks when its beginning is forgotten.
        rng = np.random.default_rng((seed, step, 1))
        later = np.minimum(starts + rng.integers(0, self.guesses, size), len(self.tokens) - 1 - self.guesses)
        starts = np.where(rng.integers(0, LATER, size) == 0, later, starts)
        inputs, targets = self._cut(starts, everything=step < self.pretraining)
        unsure = ~(self.asks[starts] & (self.line[starts] == starts))
        targets[unsure, :UNSURE] = IGNORED
        # Slips of the user's finger that are others each time, so that no wording can be learned by heart, letter by letter.
        asked = self.asked[starts[:, None] + np.arange(self.guesses)]
        slips = asked & (rng.random(asked.shape) < SLIPS)
        return np.where(slips, self.letters[rng.integers(0, len(self.letters), asked.shape)], inputs), targets

    def in_order(self) -> Iterator[Batch]:
        """Everything the bot says, once, after as much of the same conversation as fits; 64 answers at a time."""
        answers = np.flatnonzero(self.counts & ~np.concatenate([[False], self.counts[:-1]]))
        starts, ranges = [], []
        for answer in answers.tolist():
            rest = self.counts[answer : answer + self.guesses + 1]
            length = len(rest) if rest.all() else int(rest.argmin())
            start = line = answer - 1
            while line > 0 and answer + length - 1 - self.line[line - 1] <= self.guesses and self.line[line - 1] != line - 1:
                line = int(self.line[line - 1])
                start = line if self.asks[line] else start
            starts.append(min(start, len(self.tokens) - 1 - self.guesses))
            ranges.append((answer, answer + length))
        for i in range(0, len(starts), 64):
            chosen = np.array(starts[i : i + 64])
            inputs, targets = self._cut(chosen)
            place = chosen[:, None] + 1 + np.arange(self.guesses)
            limits = np.array(ranges[i : i + 64])
            targets[(place < limits[:, :1]) | (place >= limits[:, 1:])] = IGNORED
            yield inputs, targets

    def _cut(self, starts: np.ndarray, everything: bool = False) -> Batch:
        """The stretches that begin at these places, with IGNORED for what the bot doesn't say unless everything counts."""
        places = starts[:, None] + np.arange(self.guesses + 1)
        stretches = self.tokens[places]
        return stretches[:, :-1], np.where(everything | self.counts[places[:, 1:]], stretches[:, 1:], IGNORED)


def _id(tokenizer: Tokenizer, mark: str) -> int:
    """The token of a mark. Raises DataError when the text has none."""
    if mark not in tokenizer.vocabulary:
        raise _not_a_conversation()
    return tokenizer.vocabulary.index(mark)


def _not_a_conversation() -> DataError:
    return DataError(
        f"not a conversation: the text has no lines that begin with {USER} (the user) and {BOT} (the bot); "
        "python -m zoo.dialogue shows how it should look"
    )
