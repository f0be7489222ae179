"""Examples from conversations: the model reads what both say, and learns to say what the bot says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from zoo.chat.loss_mask import Conversations
from zoo.datasets.batches import IGNORE_INDEX, Batch
from zoo.tokenizers.tokenizer import Tokenizer

#: Where a stretch begins in the middle of an answer, nobody can know how it goes on: so many targets_per_example don't count.
UNSURE = 16
#: How often a letter that the user says is read as another.
SLIPS = 0.02
#: How often a conversation is read in a pass over the text, in as many rounds: every time with other slips and names.
ROUNDS = 6
#: In one stretch of so many, names are read as others.
RENAMED = 3
#: One stretch of so many begins anywhere.
LATER = 20


class Turns:
    """Stretches of `context` tokens from conversations, and the same stretches one token on. Only what the bot says is a
    target, with the end of its line; everything else is IGNORE_INDEX. In the first steps all that anybody says is a target.

    Args:
        documents: the texts' tokens, which are joined.
        context: how many tokens a stretch holds.
        tokenizer: knows the marks of the two speakers.
        pretraining: how many those first steps are.

    Raises DataError when the text isn't longer than the context, or isn't a conversation.
    """

    name = "stretches"

    def __init__(self, documents: Sequence[np.ndarray], context: int, tokenizer: Tokenizer, pretraining: int = 0) -> None:
        self.targets_per_example, self.tokenizer, self.pretraining = context, tokenizer, pretraining
        #: What to read in round 1, in round 2, and so on: tokens, or None for those of the documents, which round 0 reads.
        self.another: Callable[[int], np.ndarray | None] = lambda number: None
        self.read = self.given = Conversations(documents, context, tokenizer)
        #: Tokens of the same letters, small and large.
        self.alike = [_pairs(tokenizer, kind) for kind in ("AEIOU", "BCDFGHJKLMNPRSTVW")]
        self._round = -1
        self._order = np.arange(0)

    def __len__(self) -> int:
        return ROUNDS * len(self.given.starts)

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """The step's share of a round over all conversations: inputs and targets (size, context). Every round has an order of
        its own, drawn from (seed, round), and perhaps a text of its own."""
        number, place = divmod(step, max(len(self.given.starts) // size, 1))
        if number != self._round:
            text = self.another(number) if number else None
            self.read = self.given if text is None else Conversations([text], self.targets_per_example, self.tokenizer)
            self._order, self._round = np.random.default_rng((seed, number)).permutation(self.read.starts), number
        read = self.read
        starts = np.resize(self._order[place * size : (place + 1) * size], size)
        # Some begin anywhere in the stretch: so a long answer looks when its beginning is forgotten.
        rng = np.random.default_rng((seed, step, 1))
        later = np.minimum(
            starts + rng.integers(0, self.targets_per_example, size), len(read.tokens) - 1 - self.targets_per_example
        )
        starts = np.where(rng.integers(0, LATER, size) == 0, later, starts)
        renamed = [self._renaming(rng) for _ in range(size)]
        inputs, targets = self._cut(read, starts, step < self.pretraining, np.array(renamed))
        targets[self._unknown(read, starts)] = IGNORE_INDEX
        # Slips of the user's finger that are others each time, so that no wording can be learned by heart, letter by letter.
        slippery = read.slippery[starts[:, None] + np.arange(self.targets_per_example)]
        slips = slippery & (rng.random(slippery.shape) < SLIPS)
        return np.where(slips, read.letters[rng.integers(0, len(read.letters), slips.shape)], inputs), targets

    def in_order(self) -> Iterator[Batch]:
        """Everything the bot says, once, after as much of the same conversation as fits; 64 answers at a time."""
        given = self.given
        # An answer that doesn't even fit with its own question is read alone.
        begins = np.where(given.ends - given.begins <= self.targets_per_example, given.begins, given.lines)
        starts = np.minimum(begins, len(given.tokens) - 1 - self.targets_per_example)
        for i in range(0, len(starts), 64):
            chosen, lines, ends = (each[i : i + 64, None] for each in (starts, given.lines, given.ends))
            inputs, targets = self._cut(given, chosen[:, 0])
            places = chosen + 1 + np.arange(self.targets_per_example)
            targets[(places <= lines) | (places > ends)] = IGNORE_INDEX
            yield inputs, targets

    def _unknown(self, read: Conversations, starts: np.ndarray) -> np.ndarray:
        """Which targets can't be known, since what they are about was said before the stretch: names; whatever the first answer
        is about; and the next letters of an answer that is cut in two."""
        places = starts[:, None] + np.arange(self.targets_per_example + 1)
        said = read.counts[places]
        answers = np.cumsum(~said[:, :-1] & said[:, 1:], axis=1) + said[:, :1]
        unsure = (answers == 1) & ~read.whole[starts, None] & ~(said[:, :1] & (np.arange(self.targets_per_example) >= UNSURE))
        return said[:, 1:] & (unsure | (read.since[places[:, 1:]] < starts[:, None]))

    def _renaming(self, rng: np.random.Generator) -> np.ndarray:
        """What each letter of a name is read as: itself, or, in one stretch of RENAMED, another vowel or another consonant. So
        there are always names that nobody knows, and the bot can't but look how they are spelt."""
        read_as = np.arange(len(self.tokenizer.vocabulary))
        if rng.integers(0, RENAMED) == 0:
            for small, large in self.alike:
                order = rng.permutation(len(small))
                read_as[small], read_as[large] = small[order], large[order]
        return read_as

    def _cut(
        self, read: Conversations, starts: np.ndarray, everything: bool = False, renamed: np.ndarray | None = None
    ) -> Batch:
        """The stretches that begin at these places, with IGNORE_INDEX for what the bot doesn't say unless everything counts."""
        places = starts[:, None] + np.arange(self.targets_per_example + 1)
        stretches = read.tokens[places]
        if renamed is not None:
            stretches = np.where(read.names[places], np.take_along_axis(renamed, stretches, 1), stretches)
        return stretches[:, :-1], np.where(everything | read.counts[places[:, 1:]], stretches[:, 1:], IGNORE_INDEX)


def _pairs(tokenizer: Tokenizer, letters: str) -> np.ndarray:
    """The tokens of these letters (2, letters), small and large, as far as the text has both."""
    known = tokenizer.vocabulary
    pairs = [(known.index(c.lower()), known.index(c)) for c in letters if c in known and c.lower() in known]
    return np.array(pairs, np.int64).reshape(-1, 2).T
