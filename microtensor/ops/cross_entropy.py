"""Cross-entropy: the loss of a model that gives each class a logit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, differentiable
from microtensor.ops.arithmetic import where
from microtensor.ops.indexing import take_along_axis
from microtensor.ops.softmax import log_softmax
from microtensor.tensor import as_array


def _cross_entropy_in_ops(
    logits: Any,
    target: Any,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """Cross-entropy written in other ops."""
    log_p = log_softmax(logits)
    classes = logits.shape[-1]
    if target.dtype.kind == "f" or weight is not None:
        target, count = _weighted(logits, target, ignore_index, label_smoothing, weight)
        losses = -(target * where(_impossible(target, log_p), 0.0, log_p)).sum(axis=-1)
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
    return losses.sum() / (count or 1) if reduction == "mean" else losses.sum()


def _weighted(logits: Any, target: Any, ignore_index: int, smoothing: float, weight: Any) -> tuple[Any, float]:
    """How much each class counts in each loss, of the logits' shape: the target's (smoothed) probabilities times the classes'
    weights. And what the mean divides by: the weights of the targets that count, or the number of distributions."""
    classes = logits.shape[-1]
    weights: Any = 1 if weight is None else np.asarray(weight, logits.dtype)
    if target.dtype.kind == "f":
        return ((1 - smoothing) * target + smoothing / classes) * weights, math.prod(target.shape[:-1])
    labels = as_array(target)
    counts = labels != ignore_index
    chosen = np.where(counts, labels, 0)
    p = (1 - smoothing) * (chosen[..., None] == np.arange(classes)) + smoothing / classes
    return (p * weights * counts[..., None]).astype(logits.dtype), float((weights[chosen] * counts).sum())


@differentiable(composite=_cross_entropy_in_ops, integers=("target",), numbers=False)
def cross_entropy(
    logits: Any,
    target: Any,
    /,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    weight: Any = None,
) -> Result:
    """The surprise of a model at the class that came: -log of the probability it gave to the target.

    Args:
        logits: (..., classes), as they are before softmax.
        target: the classes' indices, integers of shape (...); or probabilities of shape (..., classes).
        ignore_index: a target that doesn't count, for padding.
        label_smoothing: mix the target with a uniform distribution of this weight, from 0 to 1 (Szegedy et al. 2015,
            arXiv:1512.00567).
        reduction: "mean" over the targets that count (0 when none does), "sum", or "none", shape (...).
        weight: how much each class counts, (classes,), for classes that are rare. As in PyTorch, the mean then divides by the
            weights of the targets where these are indices, and by their number where they are probabilities.

    Raises ValueError for shapes that don't fit and IndexError for a target that isn't a class.
    """
    shape, dtype = logits.shape, logits.dtype
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'reduction is "mean", "sum" or "none", not {reduction!r}')
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be from 0 to 1, not {label_smoothing}")
    if weight is not None and np.shape(weight) != shape[-1:]:
        raise ValueError(f"weight has a number for each class, shape {shape[-1:]}, not {np.shape(weight)}")
    if target.dtype.kind == "f":
        if target.shape != shape:
            raise ValueError("target probabilities must have the shape of the logits")
        return _cross_entropy_by_class(logits, target, ignore_index, label_smoothing, reduction, weight)
    if target.shape != shape[:-1] or dtype.kind != "f" or not shape:
        raise ValueError(f"logits must be floats of shape (..., classes), and target indices of shape (...), here {shape[:-1]}")
    if weight is not None:
        bad = np.flatnonzero((target != ignore_index) & ((target < 0) | (target >= shape[-1])))
        if bad.size:
            raise IndexError(_no_class(target, bad[0], shape[-1], ignore_index))
        return _cross_entropy_by_class(logits, target, ignore_index, label_smoothing, reduction, weight)
    gradient = np.empty(shape, dtype)
    losses = np.empty(target.size, dtype)
    total, count, bad = kernels.cross_entropy.cross_entropy(
        logits.reshape(-1), target.reshape(-1), ignore_index, label_smoothing, losses, gradient.reshape(-1)
    )
    if bad >= 0:
        raise IndexError(_no_class(target, bad, shape[-1], ignore_index))
    if reduction == "none":
        return losses.reshape(shape[:-1]), lambda g: (gradient * g[..., None], None)
    n = count if reduction == "mean" and count > 1 else 1
    # Where nothing comes after the loss, g is 1 and the gradient is the gradient (as a view: the memory stays the graph's).
    return dtype.type(total / n), lambda g: (gradient.reshape(shape) if n == 1 and g == 1 else gradient * (g / n), None)


def _no_class(target: Any, row: int, classes: int, ignore_index: int) -> str:
    return (
        f"target {target.reshape(-1)[row]} at row {row} is not a class, which are 0..{classes - 1}"
        f" (or ignore_index={ignore_index})"
    )


def _impossible(target: Any, log_p: Any) -> np.ndarray:
    """True where a class neither came nor could come: 0 times -inf, which counts as 0."""
    return (as_array(target) == 0) & (as_array(log_p) == -np.inf)


def _cross_entropy_by_class(logits: Any, target: Any, ignore_index: int, smoothing: float, reduction: str, weight: Any) -> Any:
    """Cross-entropy's value and pullback where each target is a distribution over the classes, or classes have weights."""
    log_p = log_softmax(logits)
    p = np.exp(log_p)
    counted, count = _weighted(logits, target, ignore_index, smoothing, weight)
    counted = counted.astype(logits.dtype)
    log_p = np.where(_impossible(counted, log_p), 0, log_p)
    losses = -(counted * log_p).sum(axis=-1)
    n = (count or 1) if reduction == "mean" else 1

    def each(g: Any) -> Any:
        return g[..., None] if reduction == "none" else g / n

    def pull_target(g: Any) -> Any:
        return each(g) * (smoothing - 1) * (log_p if weight is None else log_p * np.asarray(weight, log_p.dtype))

    return losses if reduction == "none" else losses.sum() / n, (
        lambda g: each(g) * (p * counted.sum(axis=-1, keepdims=True) - counted),
        pull_target if target.dtype.kind == "f" else None,
    )
