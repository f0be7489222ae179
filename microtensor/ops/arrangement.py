"""The elements of one array in another order: moved, rolled, turned, laid out flat, and their differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.differentiable import Result, composed, differentiable
from microtensor.ops.arithmetic import identity, not_equal, subtract
from microtensor.ops.shape import broadcast_to, concatenate, flip, reshape, swapaxes
from microtensor.tensor import as_inputs


@differentiable(linear=True, numpy=np.moveaxis)
def moveaxis(x: Any, /, source: Any, destination: Any) -> Result:
    """x with some axes moved to other positions; the others keep their order."""
    return np.moveaxis(x, source, destination), lambda g: (np.moveaxis(g, destination, source),)


@differentiable(linear=True, numpy=np.roll)
def roll(x: Any, /, shift: Any, axis: Any = None) -> Result:
    """x with its elements moved by `shift` places along an axis (or several); what falls off one end comes in at the other. It
    is flattened while it is rolled when the axis is None."""
    return np.roll(x, shift, axis), lambda g: (np.roll(g, np.negative(shift).tolist(), axis),)


@composed(numpy=np.ravel)
def ravel(x: Any, /, order: str = "C") -> Any:
    """x as a vector, row after row; column after column when the order is "F"."""
    return reshape(x, (-1,), order)


@composed(numpy=np.fliplr)
def fliplr(x: Any, /) -> Any:
    """x in reverse order along the second axis: left and right exchanged."""
    return flip(x, 1)


@composed(numpy=np.flipud)
def flipud(x: Any, /) -> Any:
    """x in reverse order along the first axis: up and down exchanged."""
    return flip(x, 0)


@composed(numpy=np.rot90)
def rot90(x: Any, /, k: int = 1, axes: Any = (0, 1)) -> Any:
    """x turned by k quarters in the plane of two axes, from the first towards the second.

    Raises ValueError unless there are two different axes.
    """
    first, second = axes
    if x.ndim < 2 or (first - second) % x.ndim == 0:
        raise ValueError(f"rot90: turns in the plane of two different axes, not {tuple(axes)} of shape {x.shape}")
    if k % 4 == 0:
        return flip(x, ())
    if k % 4 == 2:
        return flip(x, (first, second))
    return swapaxes(flip(x, second), first, second) if k % 4 == 1 else flip(swapaxes(x, first, second), second)


@composed(numpy=np.diff)
def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Each element's difference from the one before it along an axis, taken n times; of booleans, if they differ.

    `prepend` and `append` are joined to x first: a number, or an array. Raises ValueError for a negative n and for an x without
    axes.
    """
    x, prepend, append = as_inputs((x, prepend, append))
    if n < 0 or x.ndim == 0:
        raise ValueError(f"diff: is taken at least 0 times of an array with axes, not {n} times of shape {x.shape}")
    border = list(x.shape)
    border[axis] = 1
    parts = [p if p is x or p.ndim else broadcast_to(p, border) for p in (prepend, x, append) if p is not None]
    if n == 0:
        return identity(x)
    x = concatenate(parts, axis) if len(parts) > 1 else x
    before = (slice(None),) * (axis % x.ndim)
    difference = not_equal if x.dtype == bool else subtract
    for _ in range(n):
        x = difference(x[(*before, slice(1, None))], x[(*before, slice(None, -1))])
    return x
