"""The matrix product. Nearly all the time of a neural network is spent here."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.kernels.runtime import config
from microtensor.ops.arithmetic import unbroadcast


def _matmul_shapes(x: Any, y: Any) -> str:
    x, y = np.shape(x), np.shape(y)
    if not x or not y:
        return "matmul needs at least one axis on both sides; use multiply for a single number"
    inner = y[-2] if len(y) > 1 else y[0]
    if x[-1] != inner:
        return f"the rows of the first have {x[-1]} elements and the columns of the second {inner}, which must be equal"
    try:
        np.broadcast_shapes(x[:-2], y[:-2])
    except ValueError:
        return "the axes before the last two must be equal, or one of them 1"
    return ""


def _product(x: Any, y: Any) -> Any:
    """x @ y, by our kernel where it is faster."""
    if config.is_float_array(x) and config.is_float_array(y) and x.ndim > 1 and y.ndim > 1 and x.dtype == y.dtype:
        return kernels.matmul.matmul(x, y)
    return np.matmul(x, y)


def _matmul_of_few_rows(x: Any, y: Any) -> Any:
    return np.matmul(x, y) if config.few_rows(x) else None


@differentiable(numpy=np.matmul, numbers=False, shape_hint=_matmul_shapes, few_rows=_matmul_of_few_rows)
def matmul(x: Any, y: Any, /) -> Result:
    """The matrix product x @ y, over the last two axes; the axes before them broadcast. A vector is a row on the left and
    a column on the right."""
    if y.ndim == 2:
        if x.ndim == 2:
            if x.size * y.shape[1] < config.SMALL_PRODUCT:
                return np.matmul(x, y), (lambda g: g.dot(y.T), x.T.dot)
            return _product(x, y), (lambda g: _product(g, y.T), lambda g: _product(x.T, g))
        if x.ndim > 2 and 0 not in y.shape:
            # One tall product instead of many small ones.
            rows = x.reshape((-1, x.shape[-1]))
            return _product(rows, y).reshape((*x.shape[:-1], y.shape[-1])), (
                lambda g: _product(g.reshape((-1, y.shape[-1])), y.T).reshape(x.shape),
                lambda g: _product(rows.T, g.reshape((-1, y.shape[-1]))),
            )
    z = _product(x, y)
    row = x.reshape((1, -1)) if x.ndim == 1 else x
    column = y.reshape((-1, 1)) if y.ndim == 1 else y
    whole = np.broadcast_shapes(row.shape[:-2], column.shape[:-2]) + (row.shape[-2], column.shape[-1])
    return z, (
        lambda g: unbroadcast(_product(g.reshape(whole), column.swapaxes(-1, -2)), row).reshape(x.shape),
        lambda g: unbroadcast(_product(row.swapaxes(-1, -2), g.reshape(whole)), column).reshape(y.shape),
    )


@composed(numpy=np.dot)
def dot(x: Any, y: Any, /) -> Any:
    """matmul of vectors and matrices, by NumPy's other name for it; more axes are refused, as NumPy treats them otherwise.

    Raises ValueError for arrays with more than two axes.
    """
    if np.ndim(x) > 2 or np.ndim(y) > 2:
        raise ValueError(f"dot: takes vectors and matrices, not {np.shape(x)} and {np.shape(y)}; use matmul or einsum")
    return matmul(x, y)
