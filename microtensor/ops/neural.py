"""What turns scores into probabilities and a loss, and tokens into vectors: softmax, cross-entropy, embeddings.

Features lie on the last axis: x is (..., features), logits are (..., classes).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.ops.elementwise import is_float_array, where
from microtensor.ops.indexing import take_along_axis
from microtensor.ops.reduction import largest_or_zero
from microtensor.tensor import Tensor, as_array


def _by_kernel(x: Any, axis: Any) -> bool:
    """Whether the softmax of x is the kernel's: rows of an array of floats."""
    return is_float_array(x) and x.size > 0 and axis in (-1, x.ndim - 1)


@differentiable
def softmax(x: Any, /, axis: Any = -1) -> Result:
    """e^x / sum(e^x): scores turned into probabilities that add up to 1. A row that is all -inf gives zeros."""
    if _by_kernel(x, axis):
        p = kernels.softmax.softmax(x)
        return p, lambda g: (kernels.softmax.softmax_backward(p, g),)
    e = np.exp(x - largest_or_zero(x, axis))
    total = np.add.reduce(e, axis=axis, keepdims=True)
    y = e / np.where(total == 0, 1, total)
    return y, lambda g: (y * (g - np.add.reduce(g * y, axis=axis, keepdims=True)),)


@differentiable
def log_softmax(x: Any, /, axis: Any = -1) -> Result:
    """The logarithm of softmax, without underflow; a row that is all -inf stays so."""
    if _by_kernel(x, axis):
        log_p = kernels.softmax.softmax(x, logarithm=True)
        return log_p, lambda g: (kernels.softmax.softmax_backward(log_p, g, logarithm=True),)
    shifted = x - largest_or_zero(x, axis)
    total = np.add.reduce(np.exp(shifted), axis=axis, keepdims=True)
    y = shifted - np.log(np.where(total == 0, 1, total))
    return y, lambda g: (g - np.exp(y) * np.add.reduce(g, axis=axis, keepdims=True),)


def _cross_entropy_in_ops(
    logits: Any, target: Any, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Any:
    """Cross-entropy written in other ops."""
    log_p = log_softmax(logits)
    classes = logits.shape[-1]
    if target.dtype.kind == "f":
        target = (1 - label_smoothing) * target + label_smoothing / classes
        losses = -(target * where(_impossible(target, log_p), 0.0, log_p)).sum(axis=-1)
        count = math.prod(losses.shape)
    else:
        counts = np.asarray(target != ignore_index)
        chosen = np.where(counts, target, 0)[..., None]
        losses = -(1 - label_smoothing) * take_along_axis(log_p, chosen, -1)[..., 0]
        if label_smoothing:
            losses = losses - label_smoothing / classes * log_p.sum(axis=-1)
        losses = where(counts, losses, 0.0)
        count = int(counts.sum())
    if reduction == "none":
        return losses
    return losses.sum() / max(count, 1) if reduction == "mean" else losses.sum()


@differentiable(composite=_cross_entropy_in_ops)
def cross_entropy(
    logits: Any, target: Any, /, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Result:
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
    shape, dtype = logits.shape, logits.dtype
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'reduction is "mean", "sum" or "none", not {reduction!r}')
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be from 0 to 1, not {label_smoothing}")
    if target.dtype.kind == "f":
        return _cross_entropy_with_probabilities(logits, target, label_smoothing, reduction)
    if target.shape != shape[:-1] or dtype.kind != "f" or not shape:
        raise ValueError(f"logits must be floats of shape (..., classes), and target indices of shape (...), here {shape[:-1]}")
    slope = np.empty(shape, dtype)
    losses = np.empty(target.size, dtype)
    total, count, bad = kernels.cross_entropy.cross_entropy(
        logits.reshape(-1), target.reshape(-1), ignore_index, label_smoothing, losses, slope.reshape(-1)
    )
    if bad >= 0:
        raise IndexError(
            f"target {target.reshape(-1)[bad]} at row {bad} is not a class, which are 0..{shape[-1] - 1}"
            f" (or ignore_index={ignore_index})"
        )
    if reduction == "none":
        return losses.reshape(shape[:-1]), lambda g: (slope * g[..., None], None)
    n = count if reduction == "mean" and count > 1 else 1
    # Where nothing comes after the loss, g is 1 and the slope is the gradient (as a view: the memory stays the graph's).
    return dtype.type(total / n), lambda g: (slope.reshape(shape) if n == 1 and g == 1 else slope * (g / n), None)


def _impossible(target: Any, log_p: Any) -> np.ndarray:
    """Where a class neither came nor could come: 0 times -inf, which counts as 0."""
    return (as_array(target) == 0) & (as_array(log_p) == -np.inf)


def _cross_entropy_with_probabilities(logits: Any, target: Any, smoothing: float, reduction: str) -> Any:
    """Cross-entropy's value and pullback where each target is a distribution over the classes."""
    if target.shape != logits.shape:
        raise ValueError("target probabilities must have the shape of the logits")
    log_p = log_softmax(logits)
    p = np.exp(log_p)
    smooth = ((1 - smoothing) * target + smoothing / logits.shape[-1]).astype(logits.dtype)
    log_p = np.where(_impossible(smooth, log_p), 0, log_p)
    losses = -(smooth * log_p).sum(axis=-1)
    n = max(losses.size, 1) if reduction == "mean" else 1

    def weight(g: Any) -> Any:
        return g[..., None] if reduction == "none" else g / n

    return losses if reduction == "none" else losses.sum() / n, (
        lambda g: weight(g) * (p * smooth.sum(axis=-1, keepdims=True) - smooth),
        lambda g: weight(g) * (smoothing - 1) * log_p,
    )


@differentiable(linear=True)
def embedding(indices: Any, table: Any, /) -> Result:
    """The rows of `table` (rows, width) at integer `indices` of any shape (...): (..., width).

    A row that is looked up twice receives both gradients. Raises IndexError for an index outside the table.
    """
    if indices.dtype.kind not in "iu":
        raise TypeError("indices must be integers")
    if table.ndim != 2:
        raise ValueError("the table must have shape (rows, width)")
    rows, width = table.shape
    y = np.empty((*indices.shape, width), table.dtype)
    bad = kernels.embedding.gather(np.ascontiguousarray(table), indices.reshape(-1), y.reshape((indices.size, width)))
    if bad >= 0:
        raise IndexError(f"index {indices.reshape(-1)[bad]} is outside the table's rows 0..{rows - 1}")
    return y, (None, lambda g: _embedding_pullback(indices, g, rows=rows))


@differentiable(name="embedding", linear=True)
def _embedding_pullback(indices: Any, g: Any, /, rows: int) -> Result:
    """What carries an embedding's gradient back to its table; an op, so that it too can be differentiated."""
    flat = indices.reshape(-1)
    table = np.zeros((rows, g.shape[-1]), g.dtype)
    kernels.embedding.scatter_add(np.ascontiguousarray(g).reshape((flat.size, g.shape[-1])), flat, table)
    return table, (None, lambda h: embedding(indices, h))


@differentiable(linear=True, name="embedding_bag")
def _embedding_bag(indices: Any, table: Any, /) -> Result:
    """The mean of the table's rows, for indices of shape (n, bag)."""
    if table.ndim != 2:
        raise ValueError("the table must have shape (rows, width)")
    rows, width = table.shape
    y = np.empty((len(indices), width), table.dtype)
    bad = kernels.embedding.gather_mean(np.ascontiguousarray(table), indices, y)
    if bad >= 0:
        raise IndexError(f"index {indices.reshape(-1)[bad]} is outside the table's rows 0..{rows - 1}")
    spread = _embedding_bag_pullback
    return y, (None, lambda g: spread(indices, g, rows) if type(g) is Tensor else _spread_bags(indices, g, rows)[0])


def _spread_bags(indices: Any, g: Any, /, rows: int) -> Result:
    """A table of zeros with each bag's gradient shared among the rows it is the mean of."""
    table = np.zeros((rows, g.shape[-1]), g.dtype)
    kernels.embedding.scatter_mean(np.ascontiguousarray(g), indices, table)
    return table, (None, lambda h: _embedding_bag(indices, h))


_embedding_bag_pullback = differentiable(_spread_bags, linear=True, name="embedding_bag")


@composed
def embedding_bag(indices: Any, table: Any) -> Any:
    """The mean of the rows of `table` (rows, width) at each bag of integer `indices` (..., bag): (..., width).

    The same as `embedding(indices, table).mean(axis=-2)`, without storing every row. Raises IndexError for an index outside
    the table.
    """
    if type(indices) is not np.ndarray:
        indices = as_array(indices)
    if indices.dtype.kind not in "iu" or indices.ndim == 0 or indices.shape[-1] == 0:
        raise ValueError(
            f"embedding_bag: indices must be integers (..., bag) with a bag of at least 1, not {indices.dtype} {indices.shape}"
        )
    if indices.ndim == 2:
        return _embedding_bag(indices, table)
    flat = indices.reshape((-1, indices.shape[-1]))
    return _embedding_bag(flat, table).reshape((*indices.shape[:-1], table.shape[-1]))
