"""Reading with a transformer in plain NumPy: what the compiled `cache` does, to be read, and to begin at once.

Compiling takes two seconds, once. Somebody who wants to talk shouldn't wait for that, and for a model of the size of chat_gpt
NumPy is fast enough: it takes 0.4 ms a character (on the machine of the README's table).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.models.char_gpt import Block, CharGPT

#: The share of a normal distribution that lies below x, for GELU, at so many places; what is between lies on a line.
PLACES = np.linspace(-6, 6, 4097)
BELOW = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in PLACES.tolist()])


class PlainReader:
    """Reads tokens with a CharGPT, and keeps the keys and values of the last ones. It doesn't slide on: reading more than the
    context raises IndexError."""

    def __init__(self, model: CharGPT) -> None:
        self.model = model
        heads, each = model.recipe.heads, model.recipe.width // model.recipe.heads
        #: For each block the keys and the values: (heads, context, width of a head).
        self.kept = np.zeros((len(model.blocks), 2, heads, model.recipe.context, each), np.float32)
        self.count = 0

    def read(self, tokens: Sequence[int]) -> np.ndarray:
        """The scores (vocabulary,) after these further tokens, at least one."""
        model, first = self.model, self.count
        self.count += len(tokens)
        if self.count > model.recipe.context:
            raise IndexError(f"{self.count} tokens are more than the context of {model.recipe.context}")
        x = model.characters.weight.data[list(tokens)] + model.places.weight.data[first : self.count]
        for block, kept in zip(model.blocks, self.kept, strict=True):
            x = x + self._attention(block, _norm(block.norm1, x), kept, first)
            hidden = _linear(block.feed_forward.up, _norm(block.norm2, x))
            x = x + _linear(block.feed_forward.down, hidden * np.interp(hidden, PLACES, BELOW).astype(np.float32))
        return _norm(model.norm, x[-1]) @ model.head_weight().data

    def _attention(self, block: Block, x: np.ndarray, kept: np.ndarray, first: int) -> np.ndarray:
        """What the new places find, looking back at all up to themselves."""
        time, width = x.shape
        heads, _, each = kept.shape[1:]
        qkv = _linear(block.attention.qkv, x).reshape((time, 3, heads, each)).transpose((1, 2, 0, 3))
        kept[:, :, first : self.count] = qkv[1:]
        keys, values = kept[:, :, : self.count]
        scores = qkv[0] @ keys.swapaxes(1, 2) / np.float32(math.sqrt(each))
        if time > 1:
            scores[:, ~np.tri(time, self.count, first, dtype=bool)] = -math.inf
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        found = (p / p.sum(axis=-1, keepdims=True)) @ values
        return _linear(block.attention.out, found.swapaxes(0, 1).reshape((time, width)))

    def copy(self) -> PlainReader:
        """Another one that has read the same."""
        other = object.__new__(PlainReader)
        other.__dict__.update(self.__dict__, kept=self.kept.copy())
        return other


def _linear(layer: Any, x: np.ndarray) -> np.ndarray:
    return x @ layer.weight.data + layer.bias.data


def _norm(layer: Any, x: np.ndarray) -> np.ndarray:
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + layer.eps) * layer.weight.data + layer.bias.data
