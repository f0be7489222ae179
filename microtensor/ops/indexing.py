"""Choosing elements. What was chosen twice receives two gradients, and they add up."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.differentiable import Result, composed, differentiable, not_differentiable
from microtensor.ops.arithmetic import unbroadcast
from microtensor.tensor import Tensor, as_inputs, numpy_rules


@differentiable(linear=True, name="getitem")
def _pick(x: Any, /, key: Any) -> Result:
    """x[key], where the key holds only plain arrays, integers and slices."""
    return x[key], lambda g: (_scatter(g, key, x.shape),)


@differentiable(linear=True, name="scatter")
def _scatter(g: Any, /, key: Any, shape: Any) -> Result:
    """Zeros of that shape, with g added at the key: the pullback of picking."""
    y = np.zeros(shape, g.dtype)
    if _is_basic(key):
        y[key] = g
    else:
        np.add.at(y, key, g)
    return y, lambda h: (_pick(h, key),)


def _is_basic(key: Any) -> bool:
    """Tell if no element can be chosen twice, because the key has no arrays."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(part is None or part is Ellipsis or isinstance(part, int | np.integer | slice) for part in parts)


def _plain(part: Any) -> Any:
    """A part of a key as NumPy takes it, in memory of its own."""
    if isinstance(part, Tensor):
        part = part.numpy()
    if isinstance(part, list | np.ndarray):
        part = np.array(part)
        if part.size == 0 and part.dtype.kind == "f":
            part = part.astype(np.intp)
        if part.dtype.kind not in "biu":
            raise IndexError(f"an index must be made of integers or booleans, not {part.dtype}")
    return part


@composed
def getitem(x: Any, /, key: Any) -> Any:
    """x[key]: slices, None, Ellipsis, integers, and integer or boolean arrays, as in NumPy."""
    return _pick(x, tuple(map(_plain, key)) if isinstance(key, tuple) else _plain(key))


@composed(numpy=np.take)
def take(x: Any, /, indices: Any, axis: int | None = None) -> Any:
    """The elements (or the slices along an axis) at the given indices; x is flattened when the axis is None."""
    if axis is None:
        x, axis = x.reshape((-1,)), 0
    if not -x.ndim <= axis < x.ndim:
        raise np.exceptions.AxisError(f"take: axis {axis} is out of range for shape {x.shape}")
    key = indices if isinstance(indices, int | np.integer) else np.asarray(_plain(indices))
    if np.asarray(key).dtype.kind == "b":
        raise TypeError("take: indices must be integers; x[mask] chooses by booleans")
    return getitem(x, (slice(None),) * (axis % x.ndim) + (key,))


@composed(numpy=np.take_along_axis)
def take_along_axis(x: Any, /, indices: Any, axis: int | None = -1) -> Any:
    """For each position, the element of x at `indices` along the axis: x and indices agree in all other axes."""
    if axis is None:
        x, axis = x.reshape((-1,)), 0
    indices = np.asarray(_plain(indices))
    if indices.ndim != x.ndim:
        raise ValueError(f"take_along_axis: indices of shape {indices.shape} need as many axes as the array of shape {x.shape}")
    if not -x.ndim <= axis < x.ndim:
        raise np.exceptions.AxisError(f"take_along_axis: axis {axis} is out of range for shape {x.shape}")
    axis = axis % x.ndim
    return getitem(x, _along_axis(x.shape, indices, axis))


def _along_axis(shape: tuple[int, ...], indices: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    """The key of the elements that `indices` choose along an axis, for each position of the others."""
    key = [np.arange(n).reshape((-1,) + (1,) * (len(shape) - i - 1)) for i, n in enumerate(shape)]
    key[axis] = indices
    return tuple(key)


@differentiable(linear=True, name="put")
def _put(x: Any, values: Any, /, key: Any) -> Result:
    """A copy of x with the values at the key. Where a place is named twice, one of its values stays, and has the gradient."""
    y = np.array(x)
    y[key] = values
    order = np.arange(y[key].size).reshape(y[key].shape)
    winner = np.full(y.shape, -1)
    winner[key] = order
    stayed = winner[key] == order
    shape = np.shape(values)
    return y, (
        lambda g: np.where(winner < 0, g, 0),
        lambda g: unbroadcast(np.where(stayed, g[key], 0), np.empty(shape)),
    )


@composed
def put_along_axis(x: Any, indices: Any, values: Any, axis: int | None = -1) -> Any:
    """A copy of x with `values` at `indices` along the axis, for each position of the other axes: the opposite of
    `take_along_axis`. (NumPy's function of this name changes x in place, which a Tensor can't be.)

    Raises ValueError for shapes that don't fit, and IndexError for an index that is out of range.
    """
    x, values = as_inputs((x, values))
    if axis is None:
        return put_along_axis(x.reshape((-1,)), indices, values, 0).reshape(x.shape)
    indices = np.asarray(_plain(indices))
    if indices.ndim != x.ndim or not -x.ndim <= axis < x.ndim:
        raise ValueError(f"put_along_axis: indices of shape {indices.shape} don't fit axis {axis} of shape {x.shape}")
    return _put(x, values, _along_axis(x.shape, indices, axis % x.ndim))


def _in_place(*args: Any, **options: Any) -> Any:
    raise TypeError(
        "np.put_along_axis changes its array in place, which a Tensor can't be: write t = mt.put_along_axis(t, ...)"
    )


numpy_rules[np.put_along_axis] = _in_place


@not_differentiable
def one_hot(indices: Any, /, classes: int, dtype: Any = np.float32) -> Any:
    """For each index a row of `classes` zeros with a one at that index; shape (*indices.shape, classes).

    Raises IndexError for an index that is negative or not below `classes`.
    """
    indices = np.asarray(indices)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"one_hot: indices must be integers, not {indices.dtype}")
    if indices.size and (indices.min() < 0 or indices.max() >= classes):
        raise IndexError(f"one_hot: indices run from {indices.min()} to {indices.max()}, but must be in 0..{classes - 1}")
    return (indices[..., None] == np.arange(classes)).astype(dtype)
