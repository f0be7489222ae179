"""Softmax: logits turned into probabilities, and their logarithms."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, differentiable
from microtensor.kernels.runtime import config
from microtensor.ops.reduction import largest_or_zero


def _by_kernel(x: Any, axis: Any) -> bool:
    """Tell if the softmax of x is the kernel's: rows of an array of floats."""
    return config.is_float_array(x) and x.size > 0 and x.ndim > 0 and axis in (-1, x.ndim - 1)


#: The lowest number and 1 in each type. (NumPy takes an array without axes in half the time of a Python number.)
_BOUNDS = {np.dtype(t): (np.array(np.finfo(t).min), np.array(1, t)) for t in (np.float32, np.float64)}


def _powers(x: np.ndarray, axis: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x - shift, e^(x - shift), its sums along the axis). The shift is the largest element, so a sum is at least 1, but where
    all elements are -inf; there it becomes 1 too, and the powers are 0."""
    lowest, one = _BOUNDS[x.dtype]
    shift = np.maximum(np.maximum.reduce(x, axis=axis, keepdims=True), lowest)
    shifted = x - shift
    e = np.exp(shifted)
    return shifted, e, np.maximum(np.add.reduce(e, axis=axis, keepdims=True), one)


def _few(x: Any, axis: Any) -> bool:
    """Tell if NumPy alone computes: few rows of floats, none of them empty."""
    return config.few_rows(x) and x.dtype in _BOUNDS and x.size > 0 and x.ndim > 0 and axis is not None


def softmax_by_numpy(x: np.ndarray, axis: Any = -1) -> np.ndarray:
    """`softmax` of an array of floats, not empty, in plain NumPy."""
    _, e, total = _powers(x, axis)
    e /= total
    return e


def _softmax_of_few_rows(x: Any, axis: Any = -1) -> Any:
    return softmax_by_numpy(x, axis) if _few(x, axis) else None


@differentiable(few_rows=_softmax_of_few_rows)
def softmax(x: Any, /, axis: Any = -1) -> Result:
    """e^x / sum(e^x): logits turned into probabilities that add up to 1. A row that is all -inf gives zeros.

    Raises TypeError unless x holds floats.
    """
    if _by_kernel(x, axis):
        p = kernels.softmax.softmax(x)
        return p, lambda g: (kernels.softmax.softmax_backward(p, g),)
    e = np.exp(x - largest_or_zero(x, axis))
    total = np.add.reduce(e, axis=axis, keepdims=True)
    y = e / np.where(total == 0, 1, total)
    return y, lambda g: (y * (g - np.add.reduce(g * y, axis=axis, keepdims=True)),)


def _log_softmax_of_few_rows(x: Any, axis: Any = -1) -> Any:
    if not _few(x, axis):
        return None
    shifted, _, total = _powers(x, axis)
    shifted -= np.log(total)
    return shifted


@differentiable(few_rows=_log_softmax_of_few_rows)
def log_softmax(x: Any, /, axis: Any = -1) -> Result:
    """The logarithm of softmax, without underflow; a row that is all -inf stays so.

    Raises TypeError unless x holds floats.
    """
    if _by_kernel(x, axis):
        log_p = kernels.softmax.softmax(x, logarithm=True)
        return log_p, lambda g: (kernels.softmax.softmax_backward(log_p, g, logarithm=True),)
    shifted = x - largest_or_zero(x, axis)
    total = np.add.reduce(np.exp(shifted), axis=axis, keepdims=True)
    y = shifted - np.log(np.where(total == 0, 1, total))
    return y, lambda g: (g - np.exp(y) * np.add.reduce(g, axis=axis, keepdims=True),)
