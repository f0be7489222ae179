"""An accelerator for generation: one compiled kernel takes a token through all blocks of a GPT.

It isn't a second model. It reads the modules that a lesson is made of (each norm with its eps, each weight and bias, the
activation, the number of heads), says which it supports, and is compared with `model(tokens)` before it is used, as far as a
text reaches: where a lesson computes something else with those modules, the two differ, and the model's own `forward` does the
work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from microtensor import kernels, nn, no_grad
from zoo.model import Model

#: The comparison goes over so many positions at first, then twice as many as are reached. The kernel reads them in such pieces.
PROBE, PIECES = 64, (1, 2, 5, 1, 40, 1)
#: How far the logits may lie from the model's, as a fraction of the largest: the rounding of float32 through the blocks.
TOLERANCE = 2e-5


class FusedBlocks:
    """The blocks of a model, packed for the kernel, with the keys and values of the tokens that were read."""

    def __init__(self, embeddings: np.ndarray, positions: np.ndarray, packed: Any) -> None:
        self.embeddings, self.positions, self.packed = embeddings, positions, packed
        self.keys, self.values = kernels.residual_blocks.empty_cache(packed, len(positions))
        #: Up to which position it was compared with the model.
        self.compared = 0

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
        """Compare with `model(tokens)` on a text, unless that was done for its length. The text is continued at random, since
        a short one wouldn't show everything: attention to one position is the same whatever the queries and keys."""
        if len(tokens) <= self.compared:
            return True
        length = min(max(PROBE, 2 * len(tokens)), len(self.positions))
        more = np.random.default_rng(0).integers(0, len(self.embeddings), length - len(tokens)).tolist()
        probe, at, text = self.copy(), 0, [*tokens, *more]
        with no_grad():
            expected = model(np.array([text], np.int64)).data[0]
        if expected.shape != (length, self.packed.outputs):
            return False
        for piece in (*PIECES, *[PROBE] * length):
            part = text[at : at + piece]
            if not part:
                break
            found, at = probe.logits(part, at), at + len(part)
            if not np.abs(found - expected[at - 1]).max() <= TOLERANCE * np.abs(expected).max():
                return False
        self.compared = length
        return True

    def copy(self) -> FusedBlocks:
        """Make another one that has read the same."""
        other = object.__new__(FusedBlocks)
        other.__dict__.update(self.__dict__, keys=self.keys.copy(), values=self.values.copy())
        return other


def _supported(norm: Any, product: Any) -> bool:
    return type(norm) in (type(None), nn.LayerNorm, nn.RMSNorm) and type(product) in (nn.Linear, nn.TiedLinear)


def _arrays(norm: Any, product: Any) -> tuple[Any, Any, Any, Any]:
    """The arrays of a norm, if there is one, and of the product after it, as the kernel packs them."""
    bias = getattr(norm, "bias", None)
    before = None
    if norm is not None:
        before = (norm.weight.data, None if bias is None else bias.data, norm.eps, type(norm) is nn.LayerNorm)
    return before, product.weight.data, None if product.bias is None else product.bias.data, product.activation
