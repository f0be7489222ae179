"""Batches for supervised fine-tuning: the model's input is whole conversations, its targets are the bot's answers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from zoo.chat.loss_mask import MaskedConversations
from zoo.datasets.batches import IGNORE_INDEX, Batch
from zoo.tokenizers.tokenizer import Tokenizer

#: The probability that a character of a question is replaced by another.
TYPO_RATE = 0.02
#: Rounds in an epoch: in each, every sequence of the text comes once, with other typos and names.
ROUNDS_PER_EPOCH = 6
#: In one sequence of this many, on average, names are replaced by others.
RENAME_EVERY = 3
#: One sequence of this many, on average, starts at a random position.
RANDOM_START_EVERY = 20
#: How an answer goes on can't be known from its middle: where a sequence starts in one, its first targets are ignored, so many.
UNPREDICTABLE = 16


class ConversationDataset:
    """Sequences of `context` tokens from conversations. The target at each position is the token after it where that belongs to
    an answer, its end included; everywhere else it is IGNORE_INDEX. In pretraining, the first steps, every token is a target.

    Args:
        documents: token ids, an array (tokens,) for each document, in the chat template; they are joined.
        context: the number of tokens in a sequence.
        tokenizer: one whose tokens are characters, role markers among them.
        pretraining: the number of pretraining steps.

    Raises DataError when the text isn't a conversation.
    """

    name = "sequences"
    left_out = 0

    def __init__(self, documents: Sequence[np.ndarray], context: int, tokenizer: Tokenizer, pretraining: int = 0) -> None:
        self.targets_per_example, self.tokenizer, self.pretraining = context, tokenizer, pretraining
        #: The tokens of round 1, 2, ... where it has a text of its own; None for those of the documents, as in round 0.
        self.tokens_of_round: Callable[[int], np.ndarray | None] = lambda number: None
        #: The conversations of the documents, and those of the round that was asked for last.
        self.original = self.current = MaskedConversations(documents, context, tokenizer)
        #: Ids of the vowels and of the consonants, each (2, letters): in lower case, and the same in upper case.
        self.letters = [_letter_pairs(tokenizer, kind) for kind in ("AEIOU", "BCDFGHJKLMNPRSTVW")]
        # The order of the round that was asked for last, and its seed and number.
        self._order, self._round = np.arange(0), (-1, -1)

    def __len__(self) -> int:
        return ROUNDS_PER_EPOCH * len(self.original.sequence_starts)

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """The next `size` sequences of a round: inputs and targets (size, context).

        Each round has an order of its own, drawn from (seed, round), and may have a text of its own. Typos, names and the few
        random starts are drawn from (seed, step).
        """
        context = self.targets_per_example
        number, position = divmod(step, max(len(self.original.sequence_starts) // size, 1))
        if (seed, number) != self._round:
            self._begin_round(seed, number)
        read = self.current
        starts = np.resize(self._order[position * size : (position + 1) * size], size)
        # Random starts lie within the sequence: so a long answer looks when its beginning is out of the context.
        rng = np.random.default_rng((seed, step, 1))
        later = np.minimum(starts + rng.integers(0, context, size), len(read.tokens) - 1 - context)
        starts = np.where(rng.integers(0, RANDOM_START_EVERY, size) == 0, later, starts)
        replacements = np.array([self._name_replacements(rng) for _ in range(size)])
        inputs, targets = self._sequences(read, starts, step < self.pretraining, replacements)
        targets[self._unpredictable(read, starts)] = IGNORE_INDEX
        # Other typos each time, so that no wording can be memorized, character by character.
        typo_mask = read.typo_mask[starts[:, None] + np.arange(context)]
        typos = typo_mask & (rng.random(typo_mask.shape) < TYPO_RATE)
        return np.where(typos, read.user_characters[rng.integers(0, len(read.user_characters), typos.shape)], inputs), targets

    def in_order(self) -> Iterator[Batch]:
        """Every answer of the documents once, after as much of its conversation as fits, without typos; 64 in a batch."""
        read, context = self.original, self.targets_per_example
        # An answer that doesn't even fit with its own question stands alone.
        starts = np.where(read.answer_ends - read.context_starts <= context, read.context_starts, read.answer_starts)
        starts = np.minimum(starts, len(read.tokens) - 1 - context)
        for i in range(0, len(starts), 64):
            chosen, markers, ends = (each[i : i + 64, None] for each in (starts, read.answer_starts, read.answer_ends))
            inputs, targets = self._sequences(read, chosen[:, 0])
            positions = chosen + 1 + np.arange(context)
            targets[(positions <= markers) | (positions > ends)] = IGNORE_INDEX
            yield inputs, targets

    def _begin_round(self, seed: int, number: int) -> None:
        """Take the text of a round, and draw its order."""
        if number != self._round[1]:
            tokens = self.tokens_of_round(number) if number else None
            self.current = self.original
            if tokens is not None:
                self.current = MaskedConversations([tokens], self.targets_per_example, self.tokenizer)
        self._order = np.random.default_rng((seed, number)).permutation(self.current.sequence_starts)
        self._round = seed, number

    def _unpredictable(self, read: MaskedConversations, starts: np.ndarray) -> np.ndarray:
        """A mask of the targets (size, context) of sequences that start at these positions, (size,): True for those that depend
        on what came before the sequence. They are names; all of the first answer, where the context isn't complete; and the
        next characters of an answer that is cut in two."""
        positions = starts[:, None] + np.arange(self.targets_per_example + 1)
        mask = read.loss_mask[positions]
        answers = np.cumsum(~mask[:, :-1] & mask[:, 1:], axis=1) + mask[:, :1]
        past_cut = mask[:, :1] & (np.arange(self.targets_per_example) >= UNPREDICTABLE)
        in_first = (answers == 1) & ~read.complete[starts, None] & ~past_cut
        return mask[:, 1:] & (in_first | (read.needed_from[positions[:, 1:]] < starts[:, None]))

    def _name_replacements(self, rng: np.random.Generator) -> np.ndarray:
        """The token that each token is replaced by in the names of a sequence, (vocabulary,): itself, or, in one sequence of
        RENAME_EVERY, another vowel or another consonant. So there are always names that are new, and the bot can only learn to
        copy how they are spelt."""
        replacements = np.arange(len(self.tokenizer.vocabulary))
        if rng.integers(0, RENAME_EVERY) == 0:
            for small, large in self.letters:
                order = rng.permutation(len(small))
                replacements[small], replacements[large] = small[order], large[order]
        return replacements

    def _sequences(
        self, read: MaskedConversations, starts: np.ndarray, all_targets: bool = False, replacements: np.ndarray | None = None
    ) -> Batch:
        """The sequences that start at these positions, (size,): inputs and targets (size, context).

        Targets outside of answers are IGNORE_INDEX, unless `all_targets`. `replacements` (size, vocabulary) are for names.
        """
        positions = starts[:, None] + np.arange(self.targets_per_example + 1)
        tokens = read.tokens[positions]
        if replacements is not None:
            tokens = np.where(read.name_mask[positions], np.take_along_axis(replacements, tokens, 1), tokens)
        wanted = read.loss_mask[positions[:, 1:]] | (all_targets & (positions[:, 1:] < read.length))
        return tokens[:, :-1], np.where(wanted, tokens[:, 1:], IGNORE_INDEX)


def _letter_pairs(tokenizer: Tokenizer, letters: str) -> np.ndarray:
    """The ids of these letters in lower and in upper case, (2, letters), without those of which the vocabulary lacks a case."""
    known = tokenizer.vocabulary
    pairs = [(known.index(c.lower()), known.index(c)) for c in letters if c in known and c.lower() in known]
    return np.array(pairs, np.int64).reshape(-1, 2).T
