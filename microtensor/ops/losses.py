"""Losses that compare a prediction with its target number by number: the squared error and the binary cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.differentiable import Result, composed, differentiable
from microtensor.ops.activations import softplus
from microtensor.ops.arithmetic import times
from microtensor.tensor import as_array


def _pair(name: str, prediction: Any, target: Any) -> tuple[Any, Any]:
    """Both, checked: floats, and a target of the same shape, so that nothing broadcasts by mistake, and of the same type."""
    if prediction.dtype.kind != "f":
        raise TypeError(f"{name}: a prediction is made of floats, not {prediction.dtype}")
    if prediction.shape != target.shape:
        raise ValueError(
            f"{name}: prediction and target must have one shape, not {prediction.shape} and {target.shape}; "
            "reshape, squeeze or expand_dims brings them together"
        )
    if target.dtype.kind == "f" and target.dtype != prediction.dtype:
        raise TypeError(
            f"{name}: the prediction is {prediction.dtype} and the target {target.dtype}; "
            f"write target.astype(np.{prediction.dtype})"
        )
    return prediction, target if target.dtype == prediction.dtype else target.astype(prediction.dtype)


def _reduced(name: str, losses: Any, reduction: str) -> Any:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{name}: reduction is "mean", "sum" or "none", not {reduction!r}')
    if reduction == "none":
        return losses
    return losses.sum() / max(losses.size, 1) if reduction == "mean" else losses.sum()


@composed
def mse_loss(prediction: Any, target: Any, /, reduction: str = "mean") -> Any:
    """The squared error: (prediction - target)^2, of two Tensors or arrays of one shape.

    `reduction` is "mean" over all numbers (0 when there are none), "sum", or "none", which keeps the shape. Raises ValueError
    for another and for shapes that differ, TypeError for dtypes that do; integers are taken as targets.
    """
    prediction, target = _pair("mse_loss", prediction, target)
    difference = prediction - target
    return _reduced("mse_loss", difference * difference, reduction)


def _variance(p: Any) -> Any:
    """p (1 - p), the denominator of the gradients, held at 1e-12."""
    return np.maximum(p * (1 - p), 1e-12)


def _logarithms(p: Any) -> tuple[Any, Any]:
    """log(p) and log(1 - p), of at least -100."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(as_array(p)), -100), np.maximum(np.log1p(-as_array(p)), -100)


@differentiable(name="binary_cross_entropy")
def _log_odds(p: Any, /) -> Result:
    """log(p) - log(1 - p), with logarithms of at least -100."""
    log_p, log_q = _logarithms(p)
    return log_p - log_q, lambda g: (g / _variance(p),)


@differentiable(name="binary_cross_entropy")
def _surprise(p: Any, target: Any, /) -> Result:
    """-target * log(p) - (1 - target) * log(1 - p), with logarithms of at least -100."""
    log_p, log_q = _logarithms(p)
    certain = as_array(target)
    return -(certain * log_p + (1 - certain) * log_q), (
        lambda g: g * (p - target) / _variance(p),
        lambda g: -g * _log_odds(p),
    )


@composed
def binary_cross_entropy(probability: Any, target: Any, /, reduction: str = "mean") -> Any:
    """The surprise of a model that gave each yes a probability: -log(p) where the target is 1, -log(1 - p) where it is 0.

    Args:
        probability: from 0 to 1, of any shape. Logarithms are held at -100, and the gradient's denominator at 1e-12, as in
            PyTorch, so that a certain mistake is a large loss and not an infinite one.
        target: of the same shape, from 0 to 1; integers and booleans too.
        reduction: "mean" over all numbers (0 when there are none), "sum", or "none", which keeps the shape.

    Raises ValueError for another reduction, for shapes that differ, and for probabilities outside 0 to 1; TypeError for dtypes
    that differ.
    """
    probability, target = _pair("binary_cross_entropy", probability, target)
    p = as_array(probability)
    if np.any((p < 0) | (p > 1)):
        raise ValueError("binary_cross_entropy: probabilities are from 0 to 1; for logits use binary_cross_entropy_with_logits")
    return _reduced("binary_cross_entropy", _surprise(probability, target), reduction)


@composed
def binary_cross_entropy_with_logits(logits: Any, target: Any, /, reduction: str = "mean") -> Any:
    """`binary_cross_entropy` of sigmoid(logits), without overflow and exact for probabilities near 0 and 1.

    Takes and raises what it does, but logits may have any size.
    """
    logits, target = _pair("binary_cross_entropy_with_logits", logits, target)
    with np.errstate(invalid="ignore"):  # no part of an infinite loss is none
        losses = times(target, softplus(-logits)) + times(1 - target, softplus(logits))
    return _reduced("binary_cross_entropy_with_logits", losses, reduction)
