"""Functions that move numbers without changing them. Each one's pullback moves the gradients back the same way."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from microtensor.differentiable import Result, composed, differentiable
from microtensor.tensor import as_inputs


@differentiable(
    linear=True, numpy=np.reshape, shape_hint={"cannot reshape": "the new shape must hold as many elements as the old one"}
)
def reshape(x: Any, /, shape: Any, order: str = "C") -> Result:
    """x with another shape and the same elements in the same order; one length may be -1.

    The order is "C", row after row, or "F", column after column (the first index runs fastest). Raises ValueError for another.
    """
    before = x.shape
    if order == "C":
        return x.reshape(shape), lambda g: (g.reshape(before),)
    if order != "F":
        raise ValueError(f'the order of the elements is "C" or "F", not {order!r}')
    backwards = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)[::-1]
    return x.transpose().reshape(backwards).transpose(), lambda g: (g.transpose().reshape(before[::-1]).transpose(),)


@composed
def flatten(x: Any, /, start: int = 0, end: int = -1) -> Any:
    """x with its axes from `start` to `end`, both included, joined to one: all of them, unless told otherwise."""
    if x.ndim == 0:
        return reshape(x, (1,))
    first, last = (*_normalized(start, x.ndim, "flatten"), *_normalized(end, x.ndim, "flatten"))
    if first > last:
        raise ValueError(f"flatten: axis {start} comes after axis {end} in shape {x.shape}")
    return reshape(x, (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


@differentiable(linear=True, numpy=np.transpose, shape_hint="axes= must name each axis once")
def transpose(x: Any, /, axes: Any = None) -> Result:
    """x with its axes in another order; reversed when `axes` is None."""
    y = x.transpose(axes)
    back = None if axes is None else tuple(np.argsort([axis % x.ndim for axis in axes]).tolist())
    return y, lambda g: (g.transpose() if back is None else g.transpose(back),)


@composed(numpy=np.swapaxes)
def swapaxes(x: Any, /, axis1: int, axis2: int) -> Any:
    """x with two axes exchanged."""
    axes = list(range(x.ndim))
    (first,), (second,) = _normalized(axis1, x.ndim, "swapaxes"), _normalized(axis2, x.ndim, "swapaxes")
    axes[first], axes[second] = second, first
    return transpose(x, axes)


@differentiable(
    linear=True, numpy=np.broadcast_to, shape_hint={"broadcast": "each axis must have the wanted length or 1, from the right"}
)
def broadcast_to(x: Any, /, shape: Any) -> Result:
    """x repeated along its axes of length 1 (and along new axes on the left) to the given shape, in memory of its own."""
    shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    extra = len(shape) - x.ndim
    if extra < 0:
        raise ValueError(f"an array with {x.ndim} axes can't be broadcast to {shape}")
    before = x.shape
    y = np.empty(shape, x.dtype)
    y[...] = x
    stretched = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(before) if n == 1 and shape[i + extra] != 1)
    return y, lambda g: (g.sum(axis=stretched).reshape(before),)


def _normalized(axis: int | Sequence[int], ndim: int, name: str) -> tuple[int, ...]:
    """Axes counted from the left, checked."""
    axes = tuple(map(operator.index, axis)) if isinstance(axis, list | tuple) else (operator.index(axis),)  # type: ignore[arg-type]
    for a in axes:
        if not -ndim <= a < ndim:
            raise np.exceptions.AxisError(f"{name}: axis {a} is out of range for {ndim} axes")
    found = tuple(a % ndim for a in axes)
    if len(set(found)) < len(found):
        raise ValueError(f"{name}: an axis is named twice in {axis}")
    return found


@composed(numpy=np.squeeze)
def squeeze(x: Any, /, axis: Any = None) -> Any:
    """x without its axes of length 1, or without those named, which must have length 1."""
    named = [i for i, n in enumerate(x.shape) if n == 1] if axis is None else _normalized(axis, x.ndim, "squeeze")
    for i in named:
        if x.shape[i] != 1:
            raise ValueError(f"squeeze: axis {i} of shape {x.shape} has length {x.shape[i]}, and only length 1 can be dropped")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in named))


@composed(numpy=np.expand_dims)
def expand_dims(x: Any, /, axis: Any) -> Any:
    """x with new axes of length 1 at the given positions of the result."""
    count = len(axis) if isinstance(axis, list | tuple) else 1
    new = _normalized(axis, x.ndim + count, "expand_dims")
    lengths = iter(x.shape)
    return reshape(x, tuple(1 if i in new else next(lengths) for i in range(x.ndim + count)))


@differentiable(
    linear=True,
    name="concatenate",
    numbers=False,
    shape_hint={"must match exactly": "all axes but the joined one must be equal"},
)
def _join(*arrays: Any, axis: Any) -> Result:
    """Arrays end to end along an axis."""
    y = np.concatenate(arrays, axis)
    ends = np.cumsum([a.shape[axis] for a in arrays]).tolist()
    before = (slice(None),) * (axis % y.ndim)

    def pullback(g: Any) -> tuple[Any, ...]:
        return tuple(g[(*before, slice(start, end))] for start, end in zip([0, *ends[:-1]], ends, strict=True))

    return y, pullback


@composed(numpy=np.concatenate)
def concatenate(arrays: Sequence[Any], axis: int | None = 0, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays joined end to end along an axis; flattened first when it is None.

    `dtype` is the result's type, if another is wanted. Raises TypeError where `casting` (NumPy's rule) doesn't allow it.
    """
    parts = as_inputs(arrays)
    y = _join(*(a.reshape((-1,)) for a in parts), axis=0) if axis is None else _join(*parts, axis=axis)
    if dtype is None or y.dtype == dtype:
        return y
    if not np.can_cast(y.dtype, dtype, casting):  # type: ignore[arg-type]
        raise TypeError(f"concatenate: casting={casting!r} doesn't allow {y.dtype} to become {np.dtype(dtype)}")
    return y.astype(dtype)


@composed(numpy=np.stack)
def stack(arrays: Sequence[Any], axis: int = 0, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays of one shape joined along a new axis."""
    parts = as_inputs(arrays)
    shapes = {a.shape for a in parts}
    if len(shapes) != 1:
        listed = " and ".join(map(str, sorted(shapes))) or "none given"
        raise ValueError(f"stack: all arrays must have the same shape, but the shapes are {listed}")
    _normalized(axis, parts[0].ndim + 1, "stack")
    return concatenate([expand_dims(a, axis) for a in parts], axis, dtype=dtype, casting=casting)


@composed(numpy=np.split)
def split(x: Any, /, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """x cut along an axis: into that many equal pieces, or at the given positions."""
    (axis,) = _normalized(axis, x.ndim, "split")
    length = x.shape[axis]
    if isinstance(indices_or_sections, int | np.integer):
        sections = int(indices_or_sections)
        if sections < 1 or length % sections:
            raise ValueError(f"split: axis {axis} of length {length} can't be cut into {sections} equal pieces")
        cuts = list(range(0, length + 1, length // sections)) if length else [0] * (sections + 1)
    else:
        cuts = [0, *indices_or_sections, length]
    before = (slice(None),) * axis
    return [x[(*before, slice(a, b))] for a, b in itertools.pairwise(cuts)]


@composed(numpy=np.pad)
def pad(x: Any, /, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    """x with a border: `pad_width` wide, or (before, after), or such a pair for each axis.

    The mode says what it is made of: "constant" of a constant, "edge" of the outermost elements, "reflect" of those that a
    mirror on the outermost ones shows, "symmetric" of those that a mirror beyond them shows, "wrap" of the other end's. Raises
    ValueError for another.
    """
    if mode == "constant":
        return _pad_with_constant(x, pad_width, constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ValueError(f'pad: the mode is "constant", "edge", "reflect", "symmetric" or "wrap", not {mode!r}')
    for axis, widths in enumerate(np.broadcast_to(pad_width, (x.ndim, 2)).tolist() if x.ndim else []):
        x = x[(slice(None),) * axis + (np.pad(np.arange(x.shape[axis]), widths, mode=mode),)]
    return x


@differentiable(
    linear=True, name="pad", shape_hint={"broadcast": "pad_width is a number, (before, after), or a pair for each axis"}
)
def _pad_with_constant(x: Any, /, pad_width: Any, constant_values: Any) -> Result:
    """x with a border of a constant."""
    widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist() if x.ndim else []
    inner = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))
    y = np.pad(x, widths, constant_values=constant_values) if x.ndim else x
    return y, lambda g: (g[inner],)


@composed(numpy=np.flip)
def flip(x: Any, /, axis: Any = None) -> Any:
    """x in reverse order along the named axes, or along all."""
    reverse = range(x.ndim) if axis is None else _normalized(axis, x.ndim, "flip")
    return x[tuple(slice(None, None, -1) if i in reverse else slice(None) for i in range(x.ndim))]


@composed(numpy=np.repeat)
def repeat(x: Any, /, repeats: Any, axis: int | None = None) -> Any:
    """Each element (or each slice along the axis) repeated in place; x is flattened when the axis is None."""
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    (axis,) = _normalized(axis, x.ndim, "repeat")
    return x[(slice(None),) * axis + (np.repeat(np.arange(x.shape[axis]), repeats),)]


@composed(numpy=np.tril)
def tril(x: Any, /, k: int = 0) -> Any:
    """The lower triangle of the last two axes, up to the k-th diagonal; 0 above it."""
    return np.where(np.tri(*_matrix(x, "tril"), k=k, dtype=bool), x, x.dtype.type(0))


@composed(numpy=np.triu)
def triu(x: Any, /, k: int = 0) -> Any:
    """The upper triangle of the last two axes, from the k-th diagonal on; 0 below it."""
    return np.where(np.tri(*_matrix(x, "triu"), k=k - 1, dtype=bool), x.dtype.type(0), x)


def _matrix(x: Any, name: str) -> tuple[int, int]:
    if x.ndim < 2:
        raise ValueError(f"{name}: needs at least two axes, not shape {x.shape}")
    return x.shape[-2], x.shape[-1]
