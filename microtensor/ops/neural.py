"""What neural networks are made of, beyond arithmetic: softmax, losses, embeddings, normalisation, attention.

Features lie on the last axis: x is (..., features), logits are (..., classes).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import composed, differentiable
from microtensor.ops.elementwise import where
from microtensor.ops.indexing import take_along_axis
from microtensor.ops.products import matmul
from microtensor.tensor import Tensor, as_array


@differentiable
def softmax(x, /, axis=-1):
    """e^x / sum(e^x): scores turned into probabilities that add up to 1. A row that is all -inf gives zeros."""
    largest = np.max(x, axis=axis, keepdims=True)
    e = np.exp(x - np.where(np.isfinite(as_array(largest)), largest, 0))
    total = np.add.reduce(e, axis=axis, keepdims=True)
    y = e / np.where(total == 0, 1, total)
    return y, lambda g: (y * (g - np.add.reduce(g * y, axis=axis, keepdims=True)),)


@differentiable
def log_softmax(x, /, axis=-1):
    """The logarithm of softmax, without underflow; a row that is all -inf stays so."""
    largest = np.max(x, axis=axis, keepdims=True)
    shifted = x - np.where(np.isfinite(as_array(largest)), largest, 0)
    total = np.add.reduce(np.exp(shifted), axis=axis, keepdims=True)
    y = shifted - np.log(np.where(total == 0, 1, total))
    return y, lambda g: (g - np.exp(y) * np.add.reduce(g, axis=axis, keepdims=True),)


def _reduced(losses: Any, count: Any, reduction: str) -> Any:
    """Losses as they are, summed, or averaged over those that count (0 when none does)."""
    if reduction == "none":
        return losses
    total = losses.sum()
    return total if reduction == "sum" else total / max(int(count), 1)


def _cross_entropy_in_ops(logits: Any, target: Any, ignore_index: int, smoothing: float, reduction: str) -> Any:
    """Cross-entropy written in other ops, for class indices or for probabilities."""
    log_p = log_softmax(logits)
    classes = logits.shape[-1]
    if target.dtype.kind == "f":
        target = (1 - smoothing) * target + smoothing / classes
        losses = -where(target == 0, 0.0, target * log_p).sum(axis=-1)
        return _reduced(losses, math.prod(losses.shape), reduction)
    counts = np.asarray(target != ignore_index)
    chosen = np.where(counts, target, 0)[..., None]
    losses = -(1 - smoothing) * take_along_axis(log_p, chosen, -1)[..., 0]
    if smoothing:
        losses = losses - smoothing / classes * log_p.sum(axis=-1)
    return _reduced(where(counts, losses, 0.0), counts.sum(), reduction)


@differentiable(name="cross_entropy", composite=_cross_entropy_in_ops)
def _cross_entropy(logits, target, /, ignore_index, smoothing, reduction):
    """Cross-entropy with class indices, by the kernel that finds losses and slopes in one pass."""
    rows = np.ascontiguousarray(logits).reshape((-1, logits.shape[-1])) if logits.size else logits.reshape((target.size, -1))
    losses, slope, total, count, bad = kernels.cross_entropy(rows, target.reshape(-1), ignore_index, smoothing)
    if bad >= 0:
        raise IndexError(
            f"target {target.reshape(-1)[bad]} at row {bad} is not a class: classes are 0..{logits.shape[-1] - 1}"
            f" (or ignore_index={ignore_index})"
        )
    shape = logits.shape
    if reduction == "none":
        return losses.reshape(shape[:-1]), lambda g: ((slope * g.reshape(-1, 1)).reshape(shape), None)
    n = max(count, 1) if reduction == "mean" else 1
    return np.asarray(total / n, logits.dtype), lambda g: ((slope * (g / n)).reshape(shape), None)


@composed
def cross_entropy(
    logits: Any, target: Any, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Any:
    """How surprised a model is by what really came: -log of the probability it gave to the target.

    Args:
        logits: (..., classes), scores before softmax.
        target: the classes' indices, integers of shape (...); or probabilities of shape (..., classes).
        ignore_index: a target that doesn't count, for padding.
        label_smoothing: mix the target with a uniform distribution of this weight, from 0 to 1 (Szegedy et al. 2015,
            arXiv:1512.00567).
        reduction: "mean" over the targets that count (0 when none does), "sum", or "none", shape (...).

    Raises ValueError for shapes that don't fit and IndexError for a target that isn't a class.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'cross_entropy: reduction is "mean", "sum" or "none", not {reduction!r}')
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be from 0 to 1, not {label_smoothing}")
    if not isinstance(logits, Tensor | np.ndarray):
        logits = as_array(logits)
    if not isinstance(target, Tensor | np.ndarray):
        target = as_array(target)
    if logits.ndim == 0 or logits.dtype.kind != "f":
        raise ValueError(f"cross_entropy: logits must be floats of shape (..., classes), not {logits.dtype} {logits.shape}")
    if target.dtype.kind == "f":
        if target.shape != logits.shape:
            raise ValueError(f"cross_entropy: target probabilities {target.shape} must have the shape of the logits {logits.shape}")
        return _cross_entropy_in_ops(logits, target, ignore_index, label_smoothing, reduction)
    if target.shape != logits.shape[:-1]:
        raise ValueError(
            f"cross_entropy: logits of shape {logits.shape} need target indices of shape {logits.shape[:-1]}, not {target.shape}"
        )
    return _cross_entropy(logits, target, ignore_index, label_smoothing, reduction)


@differentiable(name="embedding", linear=True)
def _embedding(table, indices, /):
    """Rows of the table, by kernels."""
    flat = indices.reshape(-1)
    rows, width = table.shape
    y, bad = kernels.gather(np.ascontiguousarray(table), flat)
    if bad >= 0:
        raise IndexError(f"index {flat[bad]} is outside the table's rows 0..{rows - 1}")

    def pullback(g: Any) -> tuple[Any, None]:
        if isinstance(g, Tensor):
            return _embedding_pullback(g, indices, rows), None
        return kernels.scatter_add(np.ascontiguousarray(g).reshape((flat.size, width)), flat, rows), None

    return y.reshape((*indices.shape, width)), pullback


@differentiable(name="embedding", linear=True)
def _embedding_pullback(g, indices, /, rows):
    """What carries an embedding's gradient, as an op of its own, so that it too can be differentiated."""
    flat = indices.reshape(-1)
    y = kernels.scatter_add(np.ascontiguousarray(g).reshape((flat.size, g.shape[-1])), flat, rows)
    return y, lambda h: (_embedding(h, indices), None)


@composed
def embedding(indices: Any, table: Any) -> Any:
    """The rows of `table` (rows, width) at integer `indices` of any shape (...): (..., width).

    A row that is looked up twice receives both gradients. Raises IndexError for an index outside the table.
    """
    if not isinstance(indices, Tensor | np.ndarray):
        indices = np.asarray(indices)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"embedding: indices must be integers, not {indices.dtype}")
    if table.ndim != 2:
        raise ValueError(f"embedding: the table must have shape (rows, width), not {table.shape}")
    return _embedding(table, indices)


@composed
def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """x @ weight + bias: x (..., in), weight (in, out), bias (out,) or None; the result is (..., out)."""
    y = matmul(x, weight)
    return y if bias is None else y + bias


@composed
def layer_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Each row of x (..., features) shifted to mean 0 and scaled to variance 1, then scaled by weight and shifted by
    bias, both (features,) or None (Ba et al. 2016, arXiv:1607.06450). `eps` keeps a constant row finite."""
    spread = x - np.mean(x, axis=-1, keepdims=True)
    y = spread / np.sqrt(np.mean(spread * spread, axis=-1, keepdims=True) + eps)
    return _scaled(y, weight, bias, "layer_norm")


@composed
def rms_norm(x: Any, weight: Any = None, eps: float = 1e-6) -> Any:
    """Each row of x (..., features) divided by its root mean square, then scaled by weight (features,) or None (Zhang and
    Sennrich 2019, arXiv:1910.07467)."""
    y = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return _scaled(y, weight, None, "rms_norm")


def _scaled(y: Any, weight: Any, bias: Any, name: str) -> Any:
    for part, what in ((weight, "weight"), (bias, "bias")):
        if part is not None and part.shape != y.shape[-1:]:
            raise ValueError(f"{name}: {what} of shape {part.shape} doesn't fit x of shape {y.shape}; it must be {y.shape[-1:]}")
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


@composed
def dropout(x: Any, p: float = 0.5, rng: np.random.Generator | None = None) -> Any:
    """x with each element set to 0 with chance p and the others scaled by 1 / (1 - p), which keeps the mean (Srivastava et
    al. 2014). `rng` draws the elements; a fresh one is made when None."""
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must be at least 0 and below 1, not {p}")
    if p == 0:
        return x
    rng = np.random.default_rng() if rng is None else rng
    kept = rng.random(x.shape, dtype=np.float32) >= p
    return x * (kept * (1 / (1 - p))).astype(x.dtype)


@composed
def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, mask: Any = None, causal: bool = False, scale: float | None = None
) -> Any:
    """For each query, the mean of the values, weighted by softmax(query . key * scale) (Vaswani et al. 2017,
    arXiv:1706.03762).

    Args:
        query: (..., queries, width).
        key, value: (..., keys, width); value's width may differ.
        mask: broadcast to (..., queries, keys); booleans (True: may be looked at) or floats to add to the scores.
        causal: a query sees no key that comes after it; the last query and the last key are aligned.
        scale: 1 / sqrt(width) unless given.

    Returns (..., queries, value width). A query that may look at nothing gets zeros.
    """
    queries, keys = query.shape[-2], key.shape[-2]
    scores = matmul(query, key.swapaxes(-1, -2)) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if mask is not None:
        scores = where(mask, scores, -math.inf) if mask.dtype == bool else scores + mask
    if causal:
        scores = where(np.tri(queries, keys, keys - queries, dtype=bool), scores, -math.inf)
    return matmul(softmax(scores), value)
