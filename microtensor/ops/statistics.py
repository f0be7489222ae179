"""sum, mean, var and std with NumPy's options: `where` chooses the elements that count, `dtype` the type to compute in."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.differentiable import composed
from microtensor.ops import arithmetic
from microtensor.ops.reduction import _mean, _std, _sum, _var
from microtensor.tensor import as_array


def _typed(x: Any, dtype: Any) -> Any:
    return x if dtype is None else arithmetic.astype(x, dtype)


def _chosen(x: Any, where: Any) -> Any:
    """x, and 0 for what doesn't count."""
    return x if where is None else arithmetic.where(where, x, np.zeros((), x.dtype))


def _how_many(x: Any, where: Any, axis: Any, keepdims: bool) -> Any:
    """How many elements count in each result, in the type of the result."""
    counted = np.broadcast_to(as_array(where).astype(bool), x.shape)
    return np.sum(counted, axis, x.dtype if x.dtype.kind == "f" else np.float64, keepdims=keepdims)


@composed(numpy=(np.sum, (np.add, "reduce")))
def sum(
    x: Any, /, axis: Any = None, keepdims: bool = False, *, dtype: Any = None, initial: Any = None, where: Any = None
) -> Any:
    """The sum, of the elements `where` it is True, in the type `dtype`, added to `initial`."""
    y = _sum(x if dtype is None and where is None else _chosen(_typed(x, dtype), where), axis=axis, keepdims=keepdims)
    return y if initial is None else y + initial


@composed(numpy=np.mean)
def mean(x: Any, /, axis: Any = None, keepdims: bool = False, *, dtype: Any = None, where: Any = None) -> Any:
    """The sum divided by the number of elements, of those `where` it is True; NaN when there are none."""
    if where is None:
        return _mean(_typed(x, dtype), axis=axis, keepdims=keepdims)
    x = _typed(x, dtype)
    return _sum(_chosen(x, where), axis=axis, keepdims=keepdims) / _how_many(x, where, axis, keepdims)


@composed(numpy=np.var)
def var(
    x: Any,
    /,
    axis: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    where: Any = None,
    correction: float | None = None,
) -> Any:
    """The mean squared distance from the mean, dividing by n - ddof, of the n elements `where` it is True.

    `correction` is another name for ddof. Raises ValueError when both are given.
    """
    x, ddof = _typed(x, dtype), _corrected(ddof, correction)
    if where is None:
        return _var(x, axis=axis, ddof=ddof, keepdims=keepdims)
    spread = _chosen(x - mean(x, axis, True, where=where), where)
    degrees = np.maximum(_how_many(x, where, axis, keepdims) - ddof, 0)
    return _sum(spread * spread, axis=axis, keepdims=keepdims) / degrees


@composed(numpy=np.std)
def std(
    x: Any,
    /,
    axis: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    where: Any = None,
    correction: float | None = None,
) -> Any:
    """The square root of the variance, with its options. Where all elements are equal the gradient is taken as 0."""
    if where is None:
        return _std(_typed(x, dtype), axis=axis, ddof=_corrected(ddof, correction), keepdims=keepdims)
    square = var(x, axis, ddof, keepdims, dtype=dtype, where=where, correction=correction)
    zero = np.equal(as_array(square), 0)
    return np.where(zero, 0, np.sqrt(np.where(zero, 1, square)))


def _corrected(ddof: float, correction: float | None) -> float:
    if correction is None:
        return ddof
    if ddof:
        raise ValueError("ddof and correction are two names of one number: give one of them")
    return correction
