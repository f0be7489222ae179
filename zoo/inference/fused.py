"""Reading with a transformer without doing anything twice: the keys and values of what was read are kept.

A new character's query meets the keys of all earlier ones, but those don't change: nobody looks ahead. So each new character
costs one row through the blocks, however long the text before it. When the context is full, the older part of the text is
forgotten, and the newest third is read again at the places from 0 on (every place has an embedding of its own, so what was kept
for other places is of no use).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from microtensor import kernels
from zoo.models.char_gpt import CharGPT


class CachedReader:
    """Reads tokens with a CharGPT, and keeps the keys and values of the last ones."""

    def __init__(self, model: CharGPT) -> None:
        self.context = model.recipe.context
        self.characters, self.places = model.characters.weight.numpy(), model.places.weight.numpy()
        self.packed = _packed(model)
        self.keys, self.values = kernels.residual_blocks.empty_cache(self.packed, self.context)
        self.window = model.window
        #: The tokens that the cache knows, and how many were read in all.
        self.seen: list[int] = []
        self.count = 0

    def read(self, tokens: Sequence[int]) -> np.ndarray:
        """The scores (vocabulary,) after these further tokens, at least one."""
        self.count += len(tokens)
        window = self.window(self.count)
        new = list(tokens)
        if len(self.seen) + len(new) > window:  # it has slid: what was known is at other places now
            new, self.seen = [*self.seen, *new][-window:], []
        position = len(self.seen)
        x = self.characters[new] + self.places[position : position + len(new)]
        self.seen.extend(new)
        return kernels.residual_blocks.cached_transformer(self.packed, x, self.keys, self.values, position)

    def copy(self) -> CachedReader:
        """Another one that has read the same."""
        other = object.__new__(CachedReader)
        other.__dict__.update(self.__dict__, keys=self.keys.copy(), values=self.values.copy(), seen=self.seen.copy())
        return other


def _packed(model: CharGPT) -> Any:
    """The model's weights, in the order in which a row meets them."""
    blocks = []
    for block in model.blocks:
        attention, feed_forward = block.attention, block.feed_forward
        parts: dict[str, Any] = {
            "norm1": block.norm1, "qkv": attention.qkv, "out": attention.out,
            "norm2": block.norm2, "up": feed_forward.up, "down": feed_forward.down,
        }  # fmt: skip
        blocks.append({name: _arrays(layer) for name, layer in parts.items()})
    return kernels.residual_blocks.pack_transformer(blocks, _arrays(model.norm), model.head_weight().data, model.recipe.heads)


def _arrays(layer: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """A layer's weight and bias."""
    return layer.weight.data, None if layer.bias is None else layer.bias.data
