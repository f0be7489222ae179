"""Attention: for each query, a mean of the values, weighted by how well their keys match it.

Queries, keys and values are (..., positions, width). With several heads they lie in one packed array, side by side.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.kernels.runtime import config
from microtensor.ops.arithmetic import where
from microtensor.ops.matmul import matmul
from microtensor.ops.shape import broadcast_to
from microtensor.ops.softmax import softmax, softmax_by_numpy
from microtensor.recording import thread
from microtensor.tensor import Tensor, wrap


def _scaled(query: Any, scale: float | None) -> float:
    """The factor of the scores: 1 / sqrt(width) unless given."""
    return float(1 / math.sqrt(query.shape[-1]) if scale is None else scale)


def _masked(scores: Any, mask: Any, causal: bool) -> Any:
    """Scores (..., queries, keys), with -inf where a query may not look."""
    if mask is not None:
        if mask.dtype.kind not in "bf":
            raise TypeError(f"attention_weights: the mask must be booleans or floats, not {mask.dtype}")
        scores = where(mask, scores, -math.inf) if mask.dtype == bool else scores + mask
    queries, keys = scores.shape[-2:]
    if causal and not queries == 1 <= keys:  # (a single query is aligned with the last key, and sees them all)
        scores = where(np.tri(queries, keys, keys - queries, dtype=bool), scores, -math.inf)
    return scores


@composed(integers=("mask",))
def attention_weights(query: Any, key: Any, mask: Any = None, /, causal: bool = False, scale: float | None = None) -> Any:
    """The weight that each query gives to each key: softmax(query . key * scale) (Vaswani et al. 2017, arXiv:1706.03762).

    Args:
        query: (..., queries, width).
        key: (..., keys, width).
        mask: broadcast to (..., queries, keys); booleans (True: may be looked at) or floats to add to the scores.
        causal: a query sees no key that comes after it; the last query and the last key are aligned.
        scale: 1 / sqrt(width) unless given.

    Returns (..., queries, keys). Rows add up to 1; a query that may look at nothing has zeros. Raises ValueError for
    shapes that don't fit, and TypeError for a mask of integers.
    """
    return softmax(_masked(matmul(query, key.swapaxes(-1, -2)) * _scaled(query, scale), mask, causal))


def _attention_in_ops(
    query: Any, key: Any, value: Any, mask: Any = None, causal: bool = False, scale: float | None = None
) -> Any:
    """`scaled_dot_product_attention` in other ops."""
    return matmul(attention_weights(query, key, mask, causal, scale), value)


def _unmasked_attention_in_ops(query: Any, key: Any, value: Any, causal: bool, scale: float) -> Any:
    return _attention_in_ops(query, key, value, None, causal, scale)


def _attention_of_few_rows(query: Any, key: Any, value: Any, causal: bool, scale: float) -> Any:
    """Attention of arrays in plain NumPy; None where the scores are too many."""
    if math.prod(query.shape[:-1]) * key.shape[-2] > config.FEW_NUMBERS or query.shape[-2] > config.FEW_ROWS:
        return None
    return np.matmul(softmax_by_numpy(_masked(np.matmul(query * scale, key.swapaxes(-1, -2)), None, causal)), value)


@differentiable(name="scaled_dot_product_attention", composite=_unmasked_attention_in_ops, few_rows=_attention_of_few_rows)
def _attention(query: Any, key: Any, value: Any, /, causal: bool, scale: float) -> Result:
    """`scaled_dot_product_attention` by a kernel, without a mask of its own."""
    y, logs = kernels.attention.attention(query, key, value, causal, scale)
    return y, lambda g: kernels.attention.attention_backward(query, key, value, g, logs, causal, scale)


@composed(integers=("mask",))
def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, mask: Any = None, /, causal: bool = False, scale: float | None = None
) -> Any:
    """For each query, the mean of the values, weighted by `attention_weights(query, key, mask, causal, scale)`.

    With a mask, or for few rows, the matrix of all scores is built; otherwise it never is.

    Args:
        query: (..., queries, width).
        key, value: (..., keys, width); value's width may differ.
        mask, causal, scale: as in `attention_weights`.

    Returns (..., queries, value width). A query that may look at nothing gets zeros. Raises ValueError for shapes that
    don't fit.
    """
    inputs = (query, key, value)
    alike = len({np.shape(x)[:-2] for x in inputs}) == 1 and min(map(np.ndim, inputs)) >= 2
    if mask is not None or not alike or not config.kernel_takes(*inputs):
        return _attention_in_ops(query, key, value, mask, causal, scale)
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError(
            "scaled_dot_product_attention: the shapes must be query (..., queries, width), key (..., keys, width), value "
            f"(..., keys, value width), not {query.shape}, {key.shape}, {value.shape}"
        )
    return _attention(query, key, value, causal=causal, scale=_scaled(query, scale))


@composed
def split_heads(packed: Any, /, heads: int, parts: int = 3) -> tuple[Any, ...]:
    """Take a packed array apart: (..., time, parts * width) to `parts` arrays (..., heads, time, head_width).

    Three parts are queries, keys and values side by side, as one linear layer makes them; head_width is width / heads. Raises
    ValueError unless parts * heads divides the last axis.
    """
    if np.ndim(packed) < 2 or heads < 1 or parts < 1 or packed.shape[-1] % (parts * heads):
        raise ValueError(
            f"split_heads: needs (..., time, {parts} * width) with a width that {heads} heads divide, not {np.shape(packed)}"
        )
    *batch, time, width = packed.shape
    apart = packed.reshape((*batch, time, parts, heads, width // parts // heads))
    return tuple(apart[..., i, :, :].swapaxes(-2, -3) for i in range(parts))


def _parts(packed: Any, heads: int, kv_heads: int) -> tuple[Any, Any, Any]:
    """Queries (..., heads, time, head_width), and keys and values (..., kv_heads, time, head_width)."""
    *batch, time, width = packed.shape
    apart = packed.reshape((*batch, time, heads + 2 * kv_heads, width // (heads + 2 * kv_heads))).swapaxes(-2, -3)
    return apart[..., :heads, :, :], apart[..., heads : heads + kv_heads, :, :], apart[..., heads + kv_heads :, :, :]


def _shared(query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """The parts with groups of queries beside the keys and values that they share: (..., kv_heads, group, time, head_width)."""
    heads, kv_heads = query.shape[-3], key.shape[-3]
    if heads == kv_heads:
        return query, key, value
    group = heads // kv_heads
    query = query.reshape((*query.shape[:-3], kv_heads, group, *query.shape[-2:]))
    return query, *(broadcast_to(x[..., None, :, :], (*x.shape[:-2], group, *x.shape[-2:])) for x in (key, value))


@composed
def merge_heads(x: Any, /) -> Any:
    """Lay the heads' features side by side: (..., heads, time, head_width) to (..., time, heads * head_width).

    Raises ValueError for fewer than three axes.
    """
    if np.ndim(x) < 3:
        raise ValueError(f"merge_heads: needs (..., heads, time, head_width), not {np.shape(x)}")
    x = x.swapaxes(-2, -3)
    return x.reshape((*x.shape[:-2], x.shape[-2] * x.shape[-1]))


def _joined(y: Any, heads: int, kv_heads: int) -> Any:
    """The results of all heads side by side: (..., time, heads * head_width)."""
    return merge_heads(y if heads == kv_heads else y.reshape((*y.shape[:-4], heads, *y.shape[-2:])))


def _multi_head_in_ops(packed: Any, heads: int, kv_heads: int, causal: bool = False) -> Any:
    """`multi_head_attention` in other ops."""
    query, key, value = _shared(*_parts(packed, heads, kv_heads))
    return _joined(_attention_in_ops(query, key, value, None, causal), heads, kv_heads)


def _multi_head_of_few_rows(packed: Any, heads: int, kv_heads: int, causal: bool = False) -> Any:
    if not config.few_rows(packed):
        return None
    query, key, value = _shared(*_parts(packed, heads, kv_heads))
    y = _attention_of_few_rows(query, key, value, causal, _scaled(query, None))
    return None if y is None else _joined(y, heads, kv_heads)


@differentiable(name="multi_head_attention", composite=_multi_head_in_ops, few_rows=_multi_head_of_few_rows)
def _multi_head(packed: Any, /, heads: int, kv_heads: int, causal: bool = False) -> Result:
    """`multi_head_attention` by a kernel."""
    query, key, value = _shared(*_parts(packed, heads, kv_heads))
    scale = _scaled(query, None)
    y, logs = kernels.attention.attention(query, key, value, causal, scale)

    def pullback(g: Any) -> Any:
        gradient = np.empty(packed.shape, packed.dtype)
        into = _parts(gradient, heads, kv_heads)
        g = g.reshape((*g.shape[:-1], heads, g.shape[-1] // heads)).swapaxes(-2, -3)
        if heads == kv_heads:
            kernels.attention.attention_backward(query, key, value, g, logs, causal, scale, into)
            return (gradient,)
        parts = kernels.attention.attention_backward(query, key, value, g.reshape(y.shape), logs, causal, scale)
        into[0][...] = parts[0].reshape(into[0].shape)
        for part, there in zip(parts[1:], into[1:], strict=True):
            np.add.reduce(part, axis=-3, out=there)
        return (gradient,)

    return _joined(y, heads, kv_heads), pullback


def _multi_head_with_cache(packed: Any, heads: int, kv_heads: int, causal: bool, cache: Any) -> Any:
    """`multi_head_attention` of the positions after those in the cache, on plain arrays."""
    if type(packed) is Tensor and packed.requires_grad and thread.mode.recording:
        raise RuntimeError(
            "multi_head_attention: a cache holds plain arrays, through which no gradient flows: compute within no_grad(), "
            "or without the cache"
        )
    array = packed._array if type(packed) is Tensor else packed
    query, key, value = _parts(array, heads, kv_heads)
    query, keys, values = _shared(query, *cache.extend(key, value))
    attend = _attention if config.kernel_takes(query, keys, values) else _unmasked_attention_in_ops
    y = _joined(attend(query, keys, values, causal=causal, scale=_scaled(query, None)), heads, kv_heads)
    return wrap(y) if type(packed) is Tensor else y


@composed
def multi_head_attention(
    packed: Any, /, heads: int, causal: bool = False, cache: Any = None, kv_heads: int | None = None
) -> Any:
    """Attention of several heads, each with features of its own: (..., time, 3 width) to (..., time, width).

    It is `scaled_dot_product_attention` of the parts of `packed`, without taking them apart and joining their gradients.

    Args:
        packed: queries, keys and values side by side, as one linear layer makes them.
        heads: the number of heads, which must divide width.
        causal: a position sees none that comes after it.
        cache: None, or an object that remembers the keys and values of earlier positions: `cache.extend(key, value)` is given
            those of the positions in `packed`, arrays (..., kv_heads, time, head_width), which it copies if it keeps them, and
            returns those of all positions so far. The queries then look at all of them; the last query is aligned with the last
            key.
        kv_heads: the number of heads of keys and values, each of which serves heads / kv_heads heads of queries (Ainslie et al.
            2023, arXiv:2305.13245); `packed` is then (..., time, (heads + 2 kv_heads) head_width). `heads` unless given.

    Raises ValueError for a width that doesn't fit, and RuntimeError for a cache where gradients would be recorded.
    """
    shared = heads if kv_heads is None else kv_heads
    if heads < 1 or shared < 1 or heads % shared:
        raise ValueError(f"multi_head_attention: {shared} heads of keys can't serve {heads} heads of queries evenly")
    if packed.ndim < 2 or packed.shape[-1] % (heads + 2 * shared):
        raise ValueError(
            f"multi_head_attention: needs (..., time, features) with a width that {heads + 2 * shared} heads divide ({heads} "
            f"of queries, {shared} each of keys and values), not {np.shape(packed)}"
        )
    if cache is not None:
        return _multi_head_with_cache(packed, heads, shared, causal, cache)
    if not config.kernel_takes(packed):
        return _multi_head_in_ops(packed, heads, shared, causal)
    return _multi_head(packed, heads=heads, kv_heads=shared, causal=causal)
