"""Reading a text token by token with any model: the logits of the next token, after all that was read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.errors import DataError
from zoo.inference.fused import FusedBlocks
from zoo.model import Model


class Decoder:
    """Reads tokens with a model's own `forward`, through its cache.

    At a token between documents (`Model.boundary`) it begins afresh: the model has never seen what comes before one.

    Where the cache's capacity is limited and it is full, the older part of the text is forgotten, and the newest third is read
    again into an empty one: positions are learned, so what was kept for other positions is of no use.

    Args:
        model: the model, which is put into evaluation mode.
        fused: let a compiled kernel do the work of models that it supports (see `FusedBlocks`). It must be compiled once, which
            takes two seconds, and pays for long texts.
    """

    def __init__(self, model: Model, fused: bool = True) -> None:
        model.eval()
        self.model = model
        self.cache = model.new_cache()
        #: The tokens that the cache has seen, where its capacity is limited; and how many were read in all.
        self.tokens: list[int] = []
        self.count = 0
        self.blocks = FusedBlocks.read(model) if fused else None

    def read(self, tokens: Sequence[int]) -> np.ndarray:
        """Read further tokens, at least one; returns the logits (vocabulary,) of what comes after them.

        Raises DataError when these are no numbers, though the parameters may be: they overflow.
        """
        with np.errstate(all="ignore"):
            logits = self._read(tokens)
        check_logits(logits)
        return logits

    def _read(self, tokens: Sequence[int]) -> np.ndarray:
        new, capacity = from_boundary(self.model, tokens), self.cache.capacity
        if new[0] == self.model.boundary and self.count:
            self.cache, self.tokens, self.count = self.model.new_cache(), [], 0
        self.count += len(new)
        if capacity is not None:
            if len(self.tokens) + len(new) > capacity:  # the text has outgrown the context
                new, self.tokens = [*self.tokens, *new][-kept(self.count, capacity) :], []
                self.cache = self.model.new_cache()
            position = len(self.tokens)
            self.tokens += new
            if self.blocks is not None:
                if self.blocks.agrees(self.model, self.tokens):
                    return self.blocks.logits(new, position)
                self.blocks, new = None, self.tokens  # the model itself hasn't read any of them yet
        piece = self.cache.piece or len(new)
        for i in range(0, len(new), piece):
            logits = self.model(np.array([new[i : i + piece]], np.int64), self.cache).data[0]
        return logits if logits.ndim == 1 else logits[-1]

    def copy(self) -> Decoder:
        """Make another one that has read the same."""
        other = object.__new__(Decoder)
        other.model, other.count = self.model, self.count
        other.cache, other.tokens = self.cache.copy(), self.tokens.copy()
        other.blocks = None if self.blocks is None else self.blocks.copy()
        return other


def from_boundary(model: Model, tokens: Sequence[int]) -> list[int]:
    """Of some tokens, the last document or the beginning of one: all of them, where a model's text has no boundaries."""
    found = list(tokens)
    if model.boundary is None or model.boundary not in found:
        return found
    return found[len(found) - 1 - found[::-1].index(model.boundary) :]


def check_logits(logits: np.ndarray) -> None:
    """Raises DataError for logits that no choice can be made by. (That of a token that mustn't come may be -inf.)"""
    if not np.isfinite(logits.max()):
        raise DataError("the model's logits are no numbers: its parameters are too large; train it again")


def kept(count: int, capacity: int) -> int:
    """Count the tokens that are looked at after a text of `count`: all up to the capacity; then the number falls back to a
    third of it each time that it is reached."""
    third = max(capacity // 3, 1)
    return count if count <= capacity else third + (count - capacity - 1) % (capacity - third + 1)
