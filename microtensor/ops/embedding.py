"""Embeddings: rows of a table, looked up by number, or the mean of several."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.kernels.runtime import config
from microtensor.tensor import Tensor, as_array, as_inputs


def _outside(index: int, rows: int) -> IndexError:
    return IndexError(f"index {index} is outside the table's rows 0..{rows - 1}")


def _looked_up(indices: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The table's rows at few indices, by NumPy, which would take a negative index to count from the end."""
    flat = indices.reshape(-1).tolist()
    if flat and (min(flat) < 0 or max(flat) >= len(table)):
        raise _outside(next(i for i in flat if not 0 <= i < len(table)), len(table))
    return table.take(indices, axis=0)


def _few(indices: Any, table: Any, rows: int) -> bool:
    """Tell if NumPy alone looks up: few indices that make few rows, for tables and indices as they should be."""
    if type(indices) is not np.ndarray or type(table) is not np.ndarray or table.ndim != 2 or indices.dtype.kind not in "iu":
        return False
    return rows <= config.FEW_ROWS and indices.size * table.shape[1] <= config.FEW_NUMBERS


def _embedding_of_few_rows(indices: Any, table: Any) -> Any:
    return _looked_up(indices, table) if _few(indices, table, np.size(indices)) else None


@differentiable(linear=True, few_rows=_embedding_of_few_rows, integers=("indices",), numbers=False)
def embedding(indices: Any, table: Any, /) -> Result:
    """The rows of `table` (rows, width) at integer `indices` of any shape (...): (..., width).

    A row that is looked up twice receives both gradients. Raises IndexError for an index outside the table.
    """
    if indices.dtype.kind not in "iu":
        raise TypeError("indices must be integers")
    if table.ndim != 2:
        raise ValueError("the table must have shape (rows, width)")
    rows, width = table.shape
    y = np.empty((*indices.shape, width), table.dtype)
    flat = np.ascontiguousarray(indices).reshape(-1)
    bad = kernels.embedding.gather(np.ascontiguousarray(table), flat, y.reshape((flat.size, width)))
    if bad >= 0:
        raise _outside(flat[bad], rows)
    return y, (None, lambda g: _embedding_pullback(indices, g, rows=rows))


@differentiable(name="embedding", linear=True)
def _embedding_pullback(indices: Any, g: Any, /, rows: int) -> Result:
    """The gradient of an embedding, carried back to its table; an op, so that it too can be differentiated."""
    flat = np.ascontiguousarray(indices).reshape(-1)
    table = np.zeros((rows, g.shape[-1]), g.dtype)
    kernels.embedding.scatter_add(np.ascontiguousarray(g).reshape((flat.size, g.shape[-1])), flat, table)
    return table, (None, lambda h: embedding(indices, h))


def _embedding_bag_of_few_rows(indices: Any, table: Any) -> Any:
    if not _few(indices, table, len(indices)):
        return None
    y = np.add.reduce(_looked_up(indices, table), axis=-2)
    y *= 1 / indices.shape[-1]
    return y


@differentiable(linear=True, name="embedding_bag", few_rows=_embedding_bag_of_few_rows, numbers=False)
def _embedding_bag(indices: Any, table: Any, /) -> Result:
    """The mean of the table's rows, for indices of shape (n, bag)."""
    if table.ndim != 2:
        raise ValueError("the table must have shape (rows, width)")
    rows, width = table.shape
    y = np.empty((len(indices), width), table.dtype)
    bad = kernels.embedding.gather_mean(np.ascontiguousarray(table), np.ascontiguousarray(indices), y)
    if bad >= 0:
        raise _outside(indices.reshape(-1)[bad], rows)
    spread = _embedding_bag_pullback
    return y, (None, lambda g: spread(indices, g, rows) if type(g) is Tensor else _spread_bags(indices, g, rows)[0])


def _spread_bags(indices: Any, g: Any, /, rows: int) -> Result:
    """A table of zeros with each bag's gradient divided among the rows it is the mean of."""
    table = np.zeros((rows, g.shape[-1]), g.dtype)
    kernels.embedding.scatter_mean(np.ascontiguousarray(g), np.ascontiguousarray(indices), table)
    return table, (None, lambda h: _embedding_bag(indices, h))


_embedding_bag_pullback = differentiable(_spread_bags, linear=True, name="embedding_bag")


@composed
def embedding_bag(indices: Any, table: Any) -> Any:
    """The mean of the rows of `table` (rows, width) at each bag of integer `indices` (..., bag): (..., width).

    The same as `embedding(indices, table).mean(axis=-2)`, without storing every row. Raises IndexError for an index outside
    the table.
    """
    if type(indices) is not ndarray or type(table) is not Tensor:  # (Its own, for this is called at every step.)
        indices, table = as_inputs((indices, table), integers=(0,))
        indices = as_array(indices)
    if indices.dtype.kind not in "iu" or indices.ndim == 0 or indices.shape[-1] == 0:
        raise ValueError(
            f"embedding_bag: indices must be integers (..., bag) with a bag of at least 1, not {indices.dtype} {indices.shape}"
        )
    if indices.ndim == 2:
        return _embedding_bag(indices, table)
    flat = indices.reshape((-1, indices.shape[-1]))
    return _embedding_bag(flat, table).reshape((*indices.shape[:-1], table.shape[-1]))
