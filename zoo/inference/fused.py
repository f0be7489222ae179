"""An accelerator for generation: one compiled kernel takes a token through all blocks of a GPT.

It isn't a second model. It reads the modules that a lesson is made of (each norm with its eps, each weight and bias, the
activation, the number of heads), says which it supports, and is compared with `model(tokens)` before it is used, as far as
texts reach: where a lesson computes something else with those modules, the two differ, and the model's own `forward` does the
work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from microtensor import kernels, nn, no_grad
from zoo.model import Model

#: The comparison goes over so many positions at first, and over four times as many when those are passed.
PROBE = 64
#: The kernel reads them in such pieces, over and over: single rows, and several at once.
PIECES = (1, 2, 5, 1, 40, 1, 13, 1)
#: How far the logits may lie from the model's, as a fraction of the largest: the rounding of float32 through the blocks.
TOLERANCE = 2e-5


class FusedBlocks:
    """The blocks of a model, packed for the kernel, with the keys and values of the tokens that were read."""

    def __init__(self, embeddings: np.ndarray, positions: np.ndarray, packed: Any) -> None:
        self.embeddings, self.positions, self.packed = embeddings, positions, packed
        self.keys, self.values = kernels.residual_blocks.empty_cache(packed, len(positions))
        self.comparison = _Comparison()

    @classmethod
    def read(cls, model: Model) -> FusedBlocks | None:
        """Pack a model's weights, or return None where its modules aren't supported.

        Supported is a model with the modules `token_embedding`, `position_embedding`, `blocks`, `norm` and `lm_head`, each
        block with `norm1`, `attention` (`qkv`, `out` and the number of `heads`), `norm2` and `feed_forward` (`up` with an
        activation, `down`): GPT-2's pre-norm blocks. Norms are `nn.LayerNorm` or `nn.RMSNorm`, the others `nn.Linear`; any bias
        may be missing.
        """
        try:
            blocks, products = list(model.blocks), []  # type: ignore[attr-defined]
            for block in blocks:
                attention, feed_forward = block.attention, block.feed_forward
                products += [
                    (block.norm1, attention.qkv),
                    (None, attention.out),
                    (block.norm2, feed_forward.up),
                    (None, feed_forward.down),
                ]
            heads = {block.attention.heads for block in blocks}
            products.append((model.norm, model.lm_head))  # type: ignore[attr-defined]
            embeddings, positions = model.token_embedding, model.position_embedding  # type: ignore[attr-defined]
        except AttributeError:
            return None
        alike = len(heads) == 1 and type(embeddings) is type(positions) is nn.Embedding
        if not alike or not all(_supported(norm, product) for norm, product in products):
            return None
        if any(product.activation is None for _, product in products[2::4]) or any(
            product.activation for i, (_, product) in enumerate(products) if i % 4 != 2
        ):
            return None
        try:
            packed = kernels.residual_blocks.pack_blocks([_arrays(*pair) for pair in products], heads.pop())
        except ValueError:  # shapes that don't fit together
            return None
        return cls(embeddings.weight.data, positions.weight.data, packed)

    def logits(self, tokens: Sequence[int], position: int) -> np.ndarray:
        """Read tokens that stand at `position` and after it; returns the logits (vocabulary,) after the last."""
        index = np.asarray(tokens)
        x = self.embeddings[index] + self.positions[position : position + len(index)]
        return kernels.residual_blocks.residual_blocks(self.packed, x, self.keys, self.values, position)

    def agrees(self, model: Model, tokens: Sequence[int]) -> bool:
        """Compare with `model(tokens)` on a text, unless that was done, by this or by a copy, for as many tokens."""
        if self.comparison.blocks is None:
            self.comparison.begin(self.copy(), tokens)
        return self.comparison.holds(model, len(tokens))

    def copy(self) -> FusedBlocks:
        """Make another one that has read the same."""
        other = object.__new__(FusedBlocks)
        other.__dict__.update(self.__dict__, keys=self.keys.copy(), values=self.values.copy())
        return other


class _Comparison:
    """A comparison of the blocks with the model, which goes on as texts grow; all copies of the blocks share it.

    It begins with the text that is read first, and continues it at random: a short one wouldn't show everything, as attention
    to one position is the same whatever the queries and keys.
    """

    def __init__(self) -> None:
        self.blocks: FusedBlocks | None = None
        self.text = np.zeros(0, np.int64)
        #: How many pieces, and of how many tokens in all, were read and found to agree.
        self.pieces, self.compared = 0, 0
        self.differs = False

    def begin(self, blocks: FusedBlocks, tokens: Sequence[int]) -> None:
        """Take blocks that have read nothing that counts, and the text to begin with."""
        more = np.random.default_rng(0).integers(0, len(blocks.embeddings), max(len(blocks.positions) - len(tokens), 0))
        self.blocks, self.text = blocks, np.array([*tokens, *more])

    def holds(self, model: Model, length: int) -> bool:
        """Go on until `length` positions are compared; returns False once the logits lie too far apart."""
        assert self.blocks is not None
        self.differs = self.differs or length > len(self.text)
        while not self.differs and self.compared < length:
            end = min(max(PROBE, 4 * self.compared), len(self.text))
            with no_grad():
                expected = model(self.text[None, :end]).data[0]
            self.differs = expected.shape != (end, self.blocks.packed.outputs)
            while not self.differs and self.compared < end:
                piece = self.text[self.compared : min(self.compared + PIECES[self.pieces % len(PIECES)], end)]
                found = self.blocks.logits(piece.tolist(), self.compared)
                self.pieces, self.compared = self.pieces + 1, self.compared + len(piece)
                difference = np.abs(found - expected[self.compared - 1]).max()
                self.differs = not difference <= TOLERANCE * np.abs(expected).max()  # (also where it is NaN)
        return not self.differs


def _supported(norm: Any, product: Any) -> bool:
    return type(norm) in (type(None), nn.LayerNorm, nn.RMSNorm) and type(product) in (nn.Linear, nn.TiedLinear)


def _arrays(norm: Any, product: Any) -> tuple[Any, Any, Any, Any]:
    """The arrays of a norm, if there is one, and of the product after it, as the kernel packs them."""
    bias = getattr(norm, "bias", None)
    before = None
    if norm is not None:
        before = (norm.weight.data, None if bias is None else bias.data, norm.eps, type(norm) is nn.LayerNorm)
    return before, product.weight.data, None if product.bias is None else product.bias.data, product.activation
