"""Products of arrays, diagonals, and lengths of vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor.differentiable import Result, composed, differentiable
from microtensor.ops.arithmetic import times
from microtensor.ops.arrangement import moveaxis, ravel
from microtensor.ops.indexing import _put
from microtensor.ops.matmul import matmul
from microtensor.ops.reduction import max as largest
from microtensor.ops.reduction import min as smallest
from microtensor.ops.shape import expand_dims, reshape, stack, transpose
from microtensor.ops.statistics import sum as total
from microtensor.tensor import as_array


@composed(numpy=np.tensordot)
def tensordot(x: Any, y: Any, /, axes: Any = 2) -> Any:
    """The products of x and y summed over the last `axes` axes of x and the first of y, or over those named in a pair: axes of
    x, and axes of y. The result has the other axes of x, then those of y.

    Raises ValueError when the summed axes don't have the same lengths.
    """
    if isinstance(axes, int | np.integer):
        ours, theirs = list(range(x.ndim - int(axes), x.ndim)), list(range(int(axes)))
    else:
        ours, theirs = ([int(a) for a in np.atleast_1d(part)] for part in axes)
    ours, theirs = [a % x.ndim for a in ours], [a % y.ndim for a in theirs]
    summed = [x.shape[a] for a in ours]
    if summed != [y.shape[a] for a in theirs]:
        raise ValueError(
            f"tensordot: axes {ours} of shape {x.shape} and {theirs} of shape {y.shape} don't have the same lengths"
        )
    left, right = ([a for a in range(z.ndim) if a not in gone] for z, gone in ((x, ours), (y, theirs)))
    rows, columns = [x.shape[a] for a in left], [y.shape[a] for a in right]
    n = math.prod(summed)
    z = matmul(
        reshape(transpose(x, left + ours), (math.prod(rows), n)), reshape(transpose(y, theirs + right), (n, math.prod(columns)))
    )
    return reshape(z, (*rows, *columns))


@composed(numpy=np.inner)
def inner(x: Any, y: Any, /) -> Any:
    """The products of x and y summed over the last axis of both; the product, where one is a number."""
    return tensordot(x, y, (-1, -1)) if np.ndim(x) and np.ndim(y) else x * y


@composed(numpy=np.outer)
def outer(x: Any, y: Any, /) -> Any:
    """Every element of x times every element of y, as a matrix; both are flattened."""
    return ravel(x)[:, None] * ravel(y)


@composed(numpy=np.kron)
def kron(x: Any, y: Any, /) -> Any:
    """Kronecker's product: x with each element replaced by a block, that element times y."""
    axes = max(x.ndim, y.ndim)
    x, y = (reshape(z, (1,) * (axes - z.ndim) + z.shape) for z in (x, y))
    blocks = expand_dims(x, tuple(range(1, 2 * axes, 2))) * expand_dims(y, tuple(range(0, 2 * axes, 2)))
    return reshape(blocks, tuple(m * n for m, n in zip(x.shape, y.shape, strict=True)))


@composed(numpy=np.cross)
def cross(x: Any, y: Any, /, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """The vector product, at right angles to both: of vectors with three elements along `axisa` of x and `axisb` of y, or along
    `axis` of all. Raises ValueError for vectors of another length."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = moveaxis(x, axisa, -1), moveaxis(y, axisb, -1)
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        raise ValueError(f"cross: takes vectors with 3 elements, not {x.shape[-1]} and {y.shape[-1]}")
    return moveaxis(
        stack(
            [x[..., i] * y[..., j] - x[..., j] * y[..., i] for i, j in ((1, 2), (2, 0), (0, 1))],
            -1,
        ),
        -1,
        axisc,
    )


@composed(numpy=np.diagonal)
def diagonal(x: Any, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The elements of which the indices along two axes are equal (or `offset` apart), as the last axis.

    Raises ValueError unless there are two different axes.
    """
    if x.ndim < 2 or (axis1 - axis2) % x.ndim == 0:
        raise ValueError(f"diagonal: lies between two different axes, not {axis1} and {axis2} of shape {x.shape}")
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    return x[(Ellipsis, *_diagonal_of(x.shape[-2], x.shape[-1], offset))]


def _diagonal_of(rows: int, columns: int, offset: int) -> tuple[np.ndarray, np.ndarray]:
    i = np.arange(max(min(rows, columns - offset) - max(-offset, 0), 0)) + max(-offset, 0)
    return i, i + offset


@composed(numpy=np.diag)
def diag(x: Any, /, k: int = 0) -> Any:
    """The k-th diagonal of a matrix, or the matrix that has a vector as its k-th diagonal, and 0 elsewhere.

    Raises ValueError for another number of axes.
    """
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ValueError(f"diag: takes a vector or a matrix, not shape {x.shape}")
    n = x.shape[0] + abs(k)
    return _put(np.zeros((n, n), x.dtype), x, _diagonal_of(n, n, k))


@composed(numpy=np.trace)
def trace(x: Any, /, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    """The sum of a diagonal. It is `np.trace(t)` or `t.trace()`, as `mt.trace` lists the steps of a computation."""
    return total(diagonal(x, offset, axis1, axis2), axis=-1, dtype=dtype)


@differentiable(name="norm", unbounded=True)
def _length(x: Any, /, axis: Any, keepdims: bool) -> Result:
    """The root of the sum of the squares."""
    y = np.sqrt(np.add.reduce(x * x, axis=axis, keepdims=True))
    zero = np.equal(as_array(y), 0)

    def pullback(g: Any) -> tuple[Any]:
        return (np.where(zero, 0, times(g.reshape(y.shape), x / np.where(zero, 1, y))),)

    return y if keepdims else y.reshape(np.add.reduce(as_array(x), axis=axis).shape), pullback


@composed(numpy=np.linalg.norm)
def norm(x: Any, /, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The length of vectors, along an axis, or of all elements: the root of the sum of the squares.

    `ord` chooses another norm. Of vectors: inf the largest size, -inf the smallest, 0 how many aren't 0, any other p the p-th
    root of the sum of the p-th powers. Of matrices (two axes): "fro" the root of the sum of the squares, 1 and -1 the largest
    and smallest sum of a column, inf and -inf of a row. An element that is 0 has a gradient of 0, and all of them have it where
    the norm is 0.

    Raises ValueError for those that need singular values (2, -2, "nuc" of matrices), which have no gradient rule.
    """
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    if axis is None and (ord is None or x.ndim not in (1, 2)):
        if ord is not None:
            raise ValueError(f"norm: ord={ord} is for vectors and matrices; say which axes of shape {x.shape} they lie along")
        y = _length(ravel(x), axis=0, keepdims=False)
        return reshape(y, (1,) * x.ndim) if keepdims else y
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    if len(axes) == 1:
        return _vector_norm(x, ord, int(axes[0]), keepdims)
    if len(axes) != 2:
        raise ValueError(f"norm: is of vectors (one axis) or of matrices (two), not of axes {axis}")
    if ord in (None, "fro", "f"):
        return _length(x, axis=axes, keepdims=keepdims)
    if ord not in (1, -1, np.inf, -np.inf):
        raise ValueError(f"norm: has a gradient rule for matrices with ord 1, -1, inf, -inf and 'fro', not {ord!r}")
    summed, chosen = axes if abs(ord) == 1 else axes[::-1]
    sums = total(abs(x), axis=summed, keepdims=True)
    y = (largest if ord > 0 else smallest)(sums, axis=chosen, keepdims=True)
    return y if keepdims else reshape(y, tuple(n for i, n in enumerate(x.shape) if i not in [a % x.ndim for a in axes]))


def _vector_norm(x: Any, ord: Any, axis: int, keepdims: bool) -> Any:
    if ord is None or ord == 2:
        return _length(x, axis=axis, keepdims=keepdims)
    if isinstance(ord, str):
        raise ValueError(f"norm: ord={ord!r} is for matrices")
    if abs(ord) == np.inf:
        return (largest if ord > 0 else smallest)(abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        return total(np.not_equal(x, 0).astype(x.dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return total(abs(x), axis=axis, keepdims=keepdims)
    powers = total(_power_of_size(x, ord), axis=axis, keepdims=keepdims)
    return _power_of_size(powers, 1 / ord)


def _power_of_size(x: Any, p: float) -> Any:
    """|x| to the power p; of 0 without a gradient."""
    zero = np.equal(as_array(x), 0)
    return np.where(zero, 0.0 if p > 0 else np.inf, abs(np.where(zero, 1, x)) ** p)
