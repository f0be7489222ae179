"""Functions that fold one or several axes: `axis` is None for all, a number, or a tuple; `keepdims` leaves length 1."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from microtensor.differentiable import Result, differentiable, not_differentiable
from microtensor.ops.arithmetic import times
from microtensor.ops.shape import broadcast_to
from microtensor.tensor import Tensor, as_array


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The folded axes, counted from the left."""
    if axis is None or ndim == 0:
        return tuple(range(ndim))
    return tuple([a % ndim for a in (axis if isinstance(axis, tuple) else (axis,))])


def _kept(y: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """The result of a reduction (or its gradient), with the folded axes back at length 1, so that it broadcasts against
    the reduction's input."""
    lengths = list(shape)
    for a in _axes(axis, len(shape)):
        lengths[a] = 1
    return y.reshape(lengths)


def _spread(g: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """The gradient of a reduction's result, handed to every element that was folded into it."""
    g = _kept(g, shape, axis)
    if isinstance(g, Tensor):
        return broadcast_to(g, shape)
    y = np.empty(shape, g.dtype)
    y[...] = g
    return y


def _count(shape: tuple[int, ...], axis: Any) -> int:
    return math.prod(shape[a] for a in _axes(axis, len(shape)))


@differentiable(linear=True, name="sum")
def _sum(x: Any, /, axis: Any = None, keepdims: bool = False) -> Result:
    """The sum."""
    shape = x.shape
    return np.add.reduce(x, axis=axis, keepdims=keepdims), lambda g: (_spread(g, shape, axis),)


@differentiable(linear=True, name="mean")
def _mean(x: Any, /, axis: Any = None, keepdims: bool = False) -> Result:
    """The sum divided by the number of elements; NaN when there are none."""
    shape = x.shape
    total = np.add.reduce(x, axis=axis, keepdims=keepdims)
    n = x.size // total.size if total.size else 0
    return total / n if n else total * np.nan, lambda g: (_spread(g / n if n else g, shape, axis),)


@differentiable(name="var", unbounded=True)
def _var(x: Any, /, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Result:
    """The mean squared distance from the mean, dividing by n - ddof."""
    spread = x - np.mean(x, axis=axis, keepdims=True)
    degrees = builtins.max(_count(x.shape, axis) - ddof, 0)
    y = np.add.reduce(spread * spread, axis=axis, keepdims=keepdims) / np.asarray(degrees, spread.dtype)
    return y, lambda g: (_kept(g, x.shape, axis) * (2 / degrees if degrees else np.nan) * spread,)


@differentiable(name="std", unbounded=True)
def _std(x: Any, /, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Result:
    """The square root of the variance. Where all elements are equal the gradient is taken as 0."""
    spread = x - np.mean(x, axis=axis, keepdims=True)
    y = np.sqrt(np.var(x, axis=axis, ddof=ddof, keepdims=True))
    degrees = builtins.max(_count(x.shape, axis) - ddof, 0)
    value = y if keepdims else y.reshape(np.add.reduce(as_array(x), axis=axis).shape)
    equal = as_array(y) == 0

    def pullback(g: Any) -> tuple[Any]:
        derivative = spread / (degrees * np.where(equal, 1, y))
        return (np.where(equal, 0, _kept(g, x.shape, axis) * derivative),)

    return value, pullback


def _extreme(x: Any, y: Any, axis: Any, keepdims: bool) -> Any:
    """The value and pullback of max or min: those elements that reach it share the gradient equally."""

    def pullback(g: Any) -> tuple[Any]:
        values, extreme = as_array(x), _kept(as_array(y), x.shape, axis)
        reached = (values == extreme) | (np.isnan(values) & np.isnan(extreme))
        weight = reached.astype(g.dtype)
        return (weight * (_kept(g, x.shape, axis) / weight.sum(axis=axis, keepdims=True)),)

    return y, pullback


@differentiable(numpy=(np.max, (np.maximum, "reduce")), shape_hint={"zero-size": "an empty axis has no largest element"})
def max(x: Any, /, axis: Any = None, keepdims: bool = False) -> Result:
    """The largest element; equal ones share the gradient."""
    return _extreme(x, np.maximum.reduce(x, axis=axis, keepdims=keepdims), axis, keepdims)


@differentiable(numpy=(np.min, (np.minimum, "reduce")), shape_hint={"zero-size": "an empty axis has no smallest element"})
def min(x: Any, /, axis: Any = None, keepdims: bool = False) -> Result:
    """The smallest element; equal ones share the gradient."""
    return _extreme(x, np.minimum.reduce(x, axis=axis, keepdims=keepdims), axis, keepdims)


def _product_of_others(rows: Any) -> Any:
    """For each element of a row the product of the others. (To divide the whole product by it would lose what the product can't
    hold: zeros, and numbers too small or too large.)"""
    if isinstance(rows, Tensor):
        # Each element has a row of its own that leaves it out; products of that can be differentiated again.
        return np.multiply.reduce(np.where(np.eye(rows.shape[-1], dtype=bool), 1, rows[..., None, :]), axis=-1)
    left, right = (np.ones(rows.shape, np.float64) for _ in range(2))
    np.multiply.accumulate(rows[..., :-1], axis=-1, out=left[..., 1:])
    np.multiply.accumulate(rows[..., :0:-1], axis=-1, out=right[..., -2::-1])
    return (left * right).astype(rows.dtype)


@differentiable(numpy=(np.prod, (np.multiply, "reduce")), unbounded=True)
def prod(x: Any, /, axis: Any = None, keepdims: bool = False) -> Result:
    """The product. Its derivative in one element is the product of the others, also where an element is 0."""
    y = np.multiply.reduce(x, axis=axis, keepdims=keepdims)

    def pullback(g: Any) -> tuple[Any]:
        # Lay the folded axes out as one, last.
        folded = _axes(axis, x.ndim)
        order = [i for i in range(x.ndim) if i not in folded] + list(folded)
        moved = x.transpose(order)
        n = _count(x.shape, axis)
        rows = moved.reshape((*moved.shape[: x.ndim - len(folded)], n))
        others = _product_of_others(rows).reshape(moved.shape).transpose(np.argsort(order).tolist())
        return (times(_kept(g, x.shape, axis), others),)

    return y, pullback


@differentiable(linear=True, numpy=np.cumsum)
def cumsum(x: Any, /, axis: Any = None) -> Result:
    """Running sums along an axis, or of the flattened array: element i is the sum of elements 0..i."""
    shape = x.shape

    def pullback(g: Any) -> tuple[Any]:
        # Element i went into the sums i, i+1, ...: a running sum from the other end.
        along = 0 if axis is None else axis
        return (np.flip(np.cumsum(np.flip(g, along), along), along).reshape(shape),)

    return np.cumsum(x, axis=axis), pullback


def largest_or_zero(x: Any, axis: Any) -> np.ndarray:
    """The shift to subtract before taking exponentials, so that none overflows: the largest element, or 0 where all are -inf.

    A plain array even when x is a Tensor, because what it is used for doesn't depend on it. Raises TypeError for integers.
    """
    if x.dtype.kind != "f":
        raise TypeError(f"needs floats, not {x.dtype}")
    largest: Any = np.maximum.reduce(as_array(x), axis=axis, keepdims=True, initial=-np.inf)
    return np.where(largest == -np.inf, 0, largest).astype(x.dtype)


@differentiable(unbounded=True)
def logsumexp(x: Any, /, axis: Any = None, keepdims: bool = False) -> Result:
    """log(sum(e^x)), without overflow; -inf where all elements are -inf, with a gradient of 0. Elements that are inf share
    the gradient."""
    shift = largest_or_zero(x, axis)
    infinite = shift == np.inf
    total = np.add.reduce(np.exp(np.where(infinite, 0, x - np.where(infinite, 0, shift))), axis=axis, keepdims=True)
    nothing = as_array(total) == 0
    log = np.log(np.where(nothing, 1, total)) + shift
    y = np.where(nothing, -np.inf, log)
    value = y if keepdims else y.reshape(np.add.reduce(as_array(x), axis=axis).shape)

    def pullback(g: Any) -> tuple[Any]:
        share = np.exp(np.where(infinite, 0, x - np.where(infinite, 0, log)))
        if np.any(infinite):
            largest = (as_array(x) == np.inf).astype(x.dtype)
            share = np.where(infinite, largest / np.maximum(largest.sum(axis=axis, keepdims=True), 1), share)
        return (_kept(g, x.shape, axis) * share,)

    return value, pullback


@not_differentiable(numpy=np.argmax)
def argmax(x: Any, /, axis: Any = None, keepdims: bool = False) -> Any:
    """The index of the (first) largest element, along an axis or in the flattened array."""
    return np.argmax(x, axis=axis, keepdims=keepdims)
