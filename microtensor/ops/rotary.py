"""Rotary positions (Su et al. 2021, arXiv:2104.09864): where a token stands, told by turning its queries and keys."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.kernels.runtime import config
from microtensor.ops.shape import concatenate


@functools.lru_cache(maxsize=16)
def _angles(first: int, time: int, pairs: int, base: float, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The cosines and sines, each (time, pairs), by which pair i is turned at positions first, first + 1, ...: the angle is
    position / base^(i / pairs)."""
    turns = np.arange(first, first + time)[:, None] / base ** (np.arange(pairs) / max(pairs, 1))
    cosines, sines = np.cos(turns).astype(dtype), np.sin(turns).astype(dtype)
    cosines.flags.writeable = sines.flags.writeable = False
    return cosines, sines


def _rotary_in_ops(packed: Any, turned: int, head_width: int, first: int, base: float, normalise: bool, eps: float) -> Any:
    """`rotary` in other ops."""
    end, half = turned * head_width, head_width // 2
    x = packed[..., :end].reshape((*packed.shape[:-1], turned, head_width))
    if normalise:
        x = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    cosines, sines = (t[:, None, :] for t in _angles(first, packed.shape[-2], half, base, packed.dtype))
    a, b = x[..., :half], x[..., half:]
    x = concatenate([a * cosines - b * sines, b * cosines + a * sines], -1)
    return concatenate([x.reshape((*packed.shape[:-1], end)), packed[..., end:]], -1)


def _rotary_of_few_rows(packed: Any, turned: int, head_width: int, first: int, base: float, normalise: bool, eps: float) -> Any:
    return _rotary_in_ops(packed, turned, head_width, first, base, normalise, eps) if config.few_rows(packed) else None


@differentiable(name="rotary", composite=_rotary_in_ops, few_rows=_rotary_of_few_rows)
def _rotary(packed: Any, /, turned: int, head_width: int, first: int, base: float, normalise: bool, eps: float) -> Result:
    """`rotary` by a kernel."""
    cosines, sines = _angles(first, packed.shape[-2], head_width // 2, base, packed.dtype)
    y, factors = kernels.rotary.rotate(packed, turned, cosines, sines, normalise, eps)
    return y, lambda g: (kernels.rotary.rotate_backward(packed, g, turned, cosines, sines, normalise, factors),)


@composed
def rotary(
    packed: Any,
    /,
    heads: int,
    kv_heads: int | None = None,
    first: int = 0,
    base: float = 10000.0,
    normalise: bool = False,
    eps: float = 1e-6,
) -> Any:
    """Turn queries and keys by their positions: (..., time, features) to the same shape (Su et al. 2021, arXiv:2104.09864).

    The numbers of a head are taken in pairs, i and i + head_width / 2, and each pair, a point in the plane, is turned by the
    angle position / base^(2 i / head_width). The product of a query and a key then depends only on how far they are apart.

    Args:
        packed: queries, keys and values side by side, as `multi_head_attention` takes them; the values are left as they are.
        heads: the number of heads of queries.
        kv_heads: the number of heads of keys and values; `heads` unless given.
        first: the position of the first of `time`.
        base: the larger, the slower the slowest pairs turn.
        normalise: bring each query and key to length sqrt(head_width) first, as `rms_norm` does with `eps` (Henry et al. 2020,
            arXiv:2010.04245).

    Raises ValueError unless the features are (heads + 2 kv_heads) heads of an even width.
    """
    kv_heads = heads if kv_heads is None else kv_heads
    parts = heads + 2 * kv_heads
    if packed.ndim < 2 or heads < 1 or kv_heads < 1 or packed.shape[-1] % (2 * parts):
        raise ValueError(
            f"rotary: needs (..., time, features) with heads of an even width, {heads} of queries and {kv_heads} each of keys "
            f"and values, not {np.shape(packed)}"
        )
    options = {
        "turned": heads + kv_heads, "head_width": packed.shape[-1] // parts, "first": int(first), "base": float(base),
        "normalise": normalise, "eps": eps,
    }  # fmt: skip
    return _rotary(packed, **options) if config.kernel_takes(packed) else _rotary_in_ops(packed, **options)
