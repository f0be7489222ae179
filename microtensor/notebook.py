"""A Tensor as a notebook shows it: a table of its numbers, with the middle left out where there are many."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

#: So many rows and columns are shown; of longer axes, those at either end.
ROWS, COLUMNS = 12, 10


def table(array: np.ndarray, requires_grad: bool) -> str:
    """The numbers of an array of one or two axes as an HTML table; of others as text."""
    shape = "x".join(map(str, array.shape)) or "number"
    caption = f"Tensor {shape}, {array.dtype}{', requires_grad=True' if requires_grad else ''}"
    if array.ndim not in (1, 2) or array.size == 0:
        return f"<pre>{caption}\n{html.escape(np.array2string(array, separator=', '))}</pre>"
    matrix = np.atleast_2d(array)
    rows, columns = _shown(matrix.shape[0], ROWS), _shown(matrix.shape[1], COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{'…' if None in (i, j) else _number(matrix[i, j])}</td>" for j in columns) + "</tr>"
        for i in rows
    )
    return f"<table><caption>{caption}</caption>{body}</table>"


def _shown(length: int, most: int) -> list[int | None]:
    """Which of so many are shown; None stands for what is left out."""
    if length <= most:
        return list(range(length))
    return [*range(most // 2), None, *range(length - most // 2, length)]


def _number(value: Any) -> str:
    return f"{value:.4g}" if value.dtype.kind == "f" else str(value)
