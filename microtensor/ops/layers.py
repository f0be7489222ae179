"""What layers compute: linear maps, normalisation, dropout, attention. Features lie on the last axis: x is (..., features).

Each is one op with one kernel for the whole of it, and beside it stands the same function in other ops: what it means, what the
tests compare it with, and the way to gradients of gradients.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.ops.elementwise import gelu, silu, tanh, where
from microtensor.ops.neural import softmax
from microtensor.ops.products import matmul

_ACTIVATIONS = {"gelu": gelu, "gelu_tanh": lambda x: gelu(x, "tanh"), "silu": silu, "tanh": tanh}


def _fits_a_kernel(*inputs: Any) -> bool:
    """Whether all are arrays (or Tensors) of one floating-point type, and none is empty; those that are None don't count."""
    given = [x for x in inputs if x is not None]
    kinds = {getattr(x, "dtype", None) for x in given}
    return kinds in ({np.dtype(np.float32)}, {np.dtype(np.float64)}) and all(x.size for x in given)


def _linear_in_ops(x: Any, weight: Any, bias: Any = None, activation: str | None = None) -> Any:
    """`linear` in other ops."""
    y = matmul(x, weight)
    if bias is not None:
        y = y + bias
    return y if activation is None else _ACTIVATIONS[activation](y)


@differentiable(name="linear", composite=_linear_in_ops)
def _linear(x: Any, weight: Any, bias: Any = None, /, activation: str | None = None) -> Result:
    """`linear` by kernels."""
    rows = x.reshape((-1, x.shape[-1]))
    result = kernels.matmul.matmul(x, weight, bias, activation)
    slopes, y = (None, result) if activation is None else result

    def pullback(g: Any) -> Any:
        db = None
        if bias is not None or slopes is not None:
            g, db = kernels.activations.bias_backward(g, slopes)
        return kernels.matmul.matmul(g, weight.T), kernels.matmul.matmul(rows.T, g.reshape((-1, weight.shape[1]))), db

    return y, pullback


@composed
def linear(x: Any, weight: Any, bias: Any = None, activation: str | None = None) -> Any:
    """f(x @ weight + bias): x (..., in), weight (in, out), bias (out,) or None; the result is (..., out).

    `activation` is f: "gelu", "gelu_tanh", "silu", "tanh", or None for none.
    """
    if activation is not None and activation not in _ACTIVATIONS:
        raise ValueError(f"linear: activation is one of {', '.join(_ACTIVATIONS)}, or None, not {activation!r}")
    if np.ndim(x) < 2 or np.ndim(weight) != 2 or not _fits_a_kernel(x, weight, bias):
        return _linear_in_ops(x, weight, bias, activation)
    if x.shape[-1] != weight.shape[0] or (bias is not None and bias.shape != weight.shape[1:]):
        found = f"x {x.shape}, weight {weight.shape}" + ("" if bias is None else f", bias {bias.shape}")
        raise ValueError(f"linear: the shapes must be x (..., in), weight (in, out), bias (out,), not {found}")
    return _linear(x, weight, bias, activation=activation)


def _norm_in_ops(x: Any, weight: Any = None, bias: Any = None, centre: bool = True, eps: float = 1e-5) -> Any:
    """`layer_norm`, or `rms_norm` where the rows aren't centred, in other ops."""
    if centre:
        x = x - np.mean(x, axis=-1, keepdims=True)
    y = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


@differentiable(name="norm", composite=_norm_in_ops)
def _norm(x: Any, weight: Any = None, bias: Any = None, /, centre: bool = True, eps: float = 1e-5) -> Result:
    """`layer_norm` and `rms_norm` by a kernel."""
    y, means, factors = kernels.normalization.norm(x, weight, bias, centre, eps)

    def pullback(g: Any) -> Any:
        dx, dweight, dbias = kernels.normalization.norm_backward(x, weight, bias, centre, means, factors, g)
        return dx, None if weight is None else dweight, None if bias is None else dbias

    return y, pullback


def _normalise(name: str, x: Any, weight: Any, bias: Any, centre: bool, eps: float) -> Any:
    for part, what in ((weight, "weight"), (bias, "bias")):
        if part is not None and part.shape != x.shape[-1:]:
            raise ValueError(
                f"{name}: {what} of shape {part.shape} doesn't fit x of shape {x.shape}; it must be {x.shape[-1:]}"
            )
    if _fits_a_kernel(x, weight, bias) and (weight is not None or bias is None):
        return _norm(x, weight, bias, centre=centre, eps=eps)
    return _norm_in_ops(x, weight, bias, centre, eps)


@composed
def layer_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Each row of x (..., features) shifted to mean 0 and scaled to variance 1, then scaled by weight and shifted by
    bias, both (features,) or None (Ba et al. 2016, arXiv:1607.06450). `eps` keeps a constant row finite."""
    return _normalise("layer_norm", x, weight, bias, True, eps)


@composed
def rms_norm(x: Any, weight: Any = None, eps: float = 1e-6) -> Any:
    """Each row of x (..., features) divided by its root mean square, then scaled by weight (features,) or None (Zhang and
    Sennrich 2019, arXiv:1910.07467)."""
    return _normalise("rms_norm", x, weight, None, False, eps)


@differentiable(linear=True)
def _dropout(x: Any, /, p: float, key: int) -> Result:
    """`dropout` by a kernel: the same key drops the same elements, so the gradient passes where x did."""
    return kernels.activations.dropout(x, p, key), lambda g: (_dropout(g, p=p, key=key),)


@composed
def dropout(x: Any, p: float = 0.5, rng: np.random.Generator | None = None) -> Any:
    """x with each element set to 0 with chance p and the others scaled by 1 / (1 - p), which keeps the mean (Srivastava et
    al. 2014). `rng` draws a number that chooses the elements; a fresh one is made when None."""
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must be at least 0 and below 1, not {p}")
    if p == 0:
        return x
    rng = np.random.default_rng() if rng is None else rng
    return _dropout(x, p=p, key=int(rng.integers(2**32)))


def _attention_in_ops(
    query: Any, key: Any, value: Any, mask: Any = None, causal: bool = False, scale: float | None = None
) -> Any:
    """`scaled_dot_product_attention` in other ops."""
    queries, keys = query.shape[-2], key.shape[-2]
    scores = matmul(query, key.swapaxes(-1, -2)) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if mask is not None:
        if mask.dtype.kind not in "bf":
            raise TypeError(f"scaled_dot_product_attention: the mask must be booleans or floats, not {mask.dtype}")
        scores = where(mask, scores, -math.inf) if mask.dtype == bool else scores + mask
    if causal:
        scores = where(np.tri(queries, keys, keys - queries, dtype=bool), scores, -math.inf)
    return matmul(softmax(scores), value)


def _unmasked_attention_in_ops(query: Any, key: Any, value: Any, causal: bool, scale: float) -> Any:
    return _attention_in_ops(query, key, value, None, causal, scale)


@differentiable(name="scaled_dot_product_attention", composite=_unmasked_attention_in_ops)
def _attention(query: Any, key: Any, value: Any, /, causal: bool, scale: float) -> Result:
    """`scaled_dot_product_attention` by a kernel, without a mask of its own."""
    y, logs = kernels.attention.attention(query, key, value, causal, scale)
    return y, lambda g: kernels.attention.attention_backward(query, key, value, g, logs, causal, scale)


@composed
def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, mask: Any = None, causal: bool = False, scale: float | None = None
) -> Any:
    """For each query, the mean of the values, weighted by softmax(query . key * scale) (Vaswani et al. 2017,
    arXiv:1706.03762).

    Args:
        query: (..., queries, width).
        key, value: (..., keys, width); value's width may differ.
        mask: broadcast to (..., queries, keys); booleans (True: may be looked at) or floats to add to the scores. With one, the
            matrix of all scores is built; without, it never is.
        causal: a query sees no key that comes after it; the last query and the last key are aligned.
        scale: 1 / sqrt(width) unless given.

    Returns (..., queries, value width). A query that may look at nothing gets zeros.
    """
    inputs = (query, key, value)
    alike = len({np.shape(x)[:-2] for x in inputs}) == 1 and min(map(np.ndim, inputs)) >= 2
    if mask is not None or not alike or not _fits_a_kernel(*inputs):
        return _attention_in_ops(query, key, value, mask, causal, scale)
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError(
            "scaled_dot_product_attention: the shapes must be query (..., queries, width), key (..., keys, width), value "
            f"(..., keys, value width), not {query.shape}, {key.shape}, {value.shape}"
        )
    return _attention(query, key, value, causal=causal, scale=float(1 / math.sqrt(query.shape[-1]) if scale is None else scale))


def _heads(packed: Any, heads: int) -> list[Any]:
    """Queries, keys and values, (..., heads, time, width / heads), of (..., time, 3 width)."""
    *batch, time, width = packed.shape
    parts = packed.reshape((*batch, time, 3, heads, width // 3 // heads))
    return [parts[..., i, :, :].swapaxes(-2, -3) for i in range(3)]


def _joined(y: Any) -> Any:
    """(..., heads, time, width) to (..., time, heads * width)."""
    y = y.swapaxes(-2, -3)
    return y.reshape((*y.shape[:-2], y.shape[-2] * y.shape[-1]))


def _multi_head_in_ops(packed: Any, heads: int, causal: bool = False) -> Any:
    """`multi_head_attention` in other ops."""
    query, key, value = _heads(packed, heads)
    return _joined(_attention_in_ops(query, key, value, None, causal))


@differentiable(name="multi_head_attention", composite=_multi_head_in_ops)
def _multi_head(packed: Any, /, heads: int, causal: bool = False) -> Result:
    """`multi_head_attention` by a kernel."""
    query, key, value = _heads(packed, heads)
    scale = 1 / math.sqrt(query.shape[-1])
    y, logs = kernels.attention.attention(query, key, value, causal, scale)

    def pullback(g: Any) -> Any:
        slope = np.empty(packed.shape, packed.dtype)
        g = g.reshape((*g.shape[:-1], heads, g.shape[-1] // heads)).swapaxes(-2, -3)
        kernels.attention.attention_backward(query, key, value, g, logs, causal, scale, tuple(_heads(slope, heads)))
        return (slope,)

    return _joined(y), pullback


@composed
def multi_head_attention(packed: Any, heads: int, causal: bool = False) -> Any:
    """Attention of several heads, each with its own share of the features: (..., time, 3 width) to (..., time, width).

    `packed` holds queries, keys and values side by side, as one linear layer makes them; heads must divide width. It is
    `scaled_dot_product_attention` of their parts, without taking them apart and joining their gradients.
    """
    if np.ndim(packed) < 2 or heads < 1 or packed.shape[-1] % (3 * heads):
        raise ValueError(
            f"multi_head_attention: needs (..., time, 3 width) with a width that {heads} heads divide, not {np.shape(packed)}"
        )
    if not _fits_a_kernel(packed):
        return _multi_head_in_ops(packed, heads, causal)
    return _multi_head(packed, heads=heads, causal=causal)
