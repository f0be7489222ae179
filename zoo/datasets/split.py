"""The validation split: which of a text's tokens are held out of training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Texts of fewer tokens are all for training: a tenth of them would be too little to tell anything.
MIN_TOKENS_TO_SPLIT = 10_000
#: The part of a longer text that is for training. The rest, its end, is for validation.
TRAINING_FRACTION = 0.9
#: Chooses which documents are held out where their order means something.
SEED = 17


def train_validation_split(documents: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Split documents, arrays of token ids (tokens,), into those for training and those for validation.

    A document stays whole, unless it is the only one. Below MIN_TOKENS_TO_SPLIT tokens in all, none is for validation.
    """
    total = sum(map(len, documents))
    if total < MIN_TOKENS_TO_SPLIT:
        return list(documents), []
    return _split_at(documents, int(TRAINING_FRACTION * total))


def random_split(documents: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Split documents at random, always in the same way, whatever their tokens: a tenth of them is for validation.

    That is for a list that is sorted, whose end is unlike its beginning. Both parts come in random order.
    """
    order = np.random.default_rng(SEED).permutation(len(documents))
    count = int(TRAINING_FRACTION * len(documents))
    return [documents[i] for i in order[:count]], [documents[i] for i in order[count:]]


def leading_fraction(documents: Sequence[np.ndarray], fraction: float) -> list[np.ndarray]:
    """The first documents, up to a fraction of all their tokens, above 0 and at most 1.

    The document in which it is reached comes whole, unless it is the only one.
    """
    if fraction == 1:
        return list(documents)
    return _split_at(documents, fraction * sum(map(len, documents)))[0]


def _split_at(documents: Sequence[np.ndarray], tokens: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The first documents, which together have at least so many tokens, and the rest; a single one is cut in two."""
    if len(documents) == 1:
        return [documents[0][: int(tokens)]], [documents[0][int(tokens) :]]
    lengths = np.cumsum([len(document) for document in documents])
    count = int(np.searchsorted(lengths, tokens, side="left")) + 1
    return list(documents[:count]), list(documents[count:])
