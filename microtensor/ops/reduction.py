"""Functions that fold one or several axes: `axis` is None for all, a number, or a tuple; `keepdims` leaves length 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor.differentiable import differentiable, not_differentiable
from microtensor.ops.shape import broadcast_to
from microtensor.tensor import as_array


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The folded axes, counted from the left."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axis if isinstance(axis, tuple | list) else (axis,)))


def _kept(y: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """What a reduction gave (or its gradient), with the folded axes back at length 1, so that it broadcasts against
    the reduction's input."""
    folded = _axes(axis, len(shape))
    return y.reshape(tuple([1 if i in folded else n for i, n in enumerate(shape)]))


def _count(shape: tuple[int, ...], axis: Any) -> int:
    return math.prod(shape[a] for a in _axes(axis, len(shape)))


@differentiable(linear=True, numpy=(np.sum, (np.add, "reduce")))
def sum(x, /, axis=None, keepdims=False):
    """The sum."""
    shape = x.shape
    return np.add.reduce(x, axis=axis, keepdims=keepdims), lambda g: (broadcast_to(_kept(g, shape, axis), shape),)


@differentiable(linear=True, numpy=np.mean)
def mean(x, /, axis=None, keepdims=False):
    """The sum divided by the number of elements; NaN when there are none."""
    shape = x.shape
    total = np.add.reduce(x, axis=axis, keepdims=keepdims)
    n = _count(shape, axis)
    mean = total / n if n else total * np.nan
    return mean, lambda g: (broadcast_to(_kept(g / n, shape, axis), shape),) if n else (np.zeros(shape, g.dtype),)


@differentiable(numpy=np.var)
def var(x, /, axis=None, ddof=0, keepdims=False):
    """The mean squared distance from the mean, dividing by n - ddof."""
    spread = x - np.mean(x, axis=axis, keepdims=True)
    degrees = _count(x.shape, axis) - ddof
    y = np.add.reduce(spread * spread, axis=axis, keepdims=keepdims) / np.float64(degrees).astype(x.dtype)
    return y, lambda g: (_kept(g, x.shape, axis) * (2 / degrees) * spread,)


@differentiable(numpy=np.std)
def std(x, /, axis=None, ddof=0, keepdims=False):
    """The square root of the variance. Where all elements are equal the gradient is taken as 0."""
    spread = x - np.mean(x, axis=axis, keepdims=True)
    y = np.sqrt(np.var(x, axis=axis, ddof=ddof, keepdims=True))
    degrees = _count(x.shape, axis) - ddof
    value = y if keepdims else y.reshape(np.add.reduce(as_array(x), axis=axis).shape)
    return value, lambda g: (_kept(g, x.shape, axis) * spread / (degrees * np.where(y == 0, 1, y)),)


def _extreme(x: Any, y: Any, axis: Any, keepdims: bool) -> Any:
    """The value and pullback of max or min: those elements that reach it share the gradient equally."""

    def pullback(g: Any) -> tuple[Any]:
        reached = np.equal(x, _kept(y, x.shape, axis))
        share = reached.astype(g.dtype)
        return (share * (_kept(g, x.shape, axis) / share.sum(axis=axis, keepdims=True)),)

    return y, pullback


@differentiable(numpy=(np.max, (np.maximum, "reduce")), fits="an empty axis has no largest element")
def max(x, /, axis=None, keepdims=False):
    """The largest element; equal ones share the gradient."""
    return _extreme(x, np.maximum.reduce(x, axis=axis, keepdims=keepdims), axis, keepdims)


@differentiable(numpy=(np.min, (np.minimum, "reduce")), fits="an empty axis has no smallest element")
def min(x, /, axis=None, keepdims=False):
    """The smallest element; equal ones share the gradient."""
    return _extreme(x, np.minimum.reduce(x, axis=axis, keepdims=keepdims), axis, keepdims)


@differentiable(numpy=(np.prod, (np.multiply, "reduce")))
def prod(x, /, axis=None, keepdims=False):
    """The product. Its slope in one element is the product of the others, also where an element is 0."""
    y = np.multiply.reduce(x, axis=axis, keepdims=keepdims)

    def pullback(g: Any) -> tuple[Any]:
        g = _kept(g, x.shape, axis)
        if np.all(as_array(x)):
            return (g * (_kept(y, x.shape, axis) / x),)
        # Lay the folded axes out as one, last; then give each element a row of its own that leaves it out.
        folded = _axes(axis, x.ndim)
        order = [i for i in range(x.ndim) if i not in folded] + list(folded)
        moved = x.transpose(order)
        n = _count(x.shape, axis)
        rows = moved.reshape((*moved.shape[: x.ndim - len(folded)], 1, n))
        others = np.multiply.reduce(np.where(np.eye(n, dtype=bool), 1, rows), axis=-1)
        return (g * others.reshape(moved.shape).transpose(np.argsort(order).tolist()),)

    return y, pullback


@differentiable(linear=True, numpy=np.cumsum)
def cumsum(x, /, axis=None):
    """Running sums along an axis, or of the flattened array: element i is the sum of elements 0..i."""
    shape = x.shape

    def pullback(g: Any) -> tuple[Any]:
        # Element i went into the sums i, i+1, ...: a running sum from the other end.
        along = 0 if axis is None else axis
        return (np.flip(np.cumsum(np.flip(g, along), along), along).reshape(shape),)

    return np.cumsum(x, axis=axis), pullback


@differentiable
def logsumexp(x, /, axis=None, keepdims=False):
    """log(sum(e^x)), without overflow; -inf where all elements are -inf, with a gradient of 0."""
    largest = np.max(x, axis=axis, keepdims=True)
    shift = np.where(np.isfinite(as_array(largest)), largest, 0)
    y = np.log(np.add.reduce(np.exp(x - shift), axis=axis, keepdims=True)) + shift
    value = y if keepdims else y.reshape(np.add.reduce(as_array(x), axis=axis).shape)
    finite = np.where(np.isfinite(as_array(y)), y, 0)
    return value, lambda g: (_kept(g, x.shape, axis) * np.exp(x - finite),)


@not_differentiable(numpy=np.argmax)
def argmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The index of the (first) largest element, along an axis or in the flattened array."""
    return np.argmax(x, axis=axis, keepdims=keepdims)
