"""Choosing elements. What was chosen twice receives two gradients, and they add up."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.differentiable import Result, composed, differentiable, not_differentiable
from microtensor.tensor import Tensor


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
    key = [np.arange(n).reshape((-1,) + (1,) * (x.ndim - i - 1)) for i, n in enumerate(x.shape)]
    key[axis] = indices
    return getitem(x, tuple(key))


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
