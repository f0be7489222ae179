"""Sorting, and where the sorted elements lay."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.differentiable import composed, not_differentiable
from microtensor.ops.indexing import take_along_axis
from microtensor.tensor import as_array


@not_differentiable(numpy=np.argsort)
def argsort(x: Any, /, axis: int | None = -1, kind: Any = None, order: None = None, *, stable: bool | None = None) -> Any:
    """The indices that sort x along an axis, or flattened when it is None."""
    return np.argsort(x, axis=axis, kind=kind, order=order, stable=stable)


@composed(numpy=np.sort)
def sort(x: Any, /, axis: int | None = -1, kind: Any = None, order: None = None, *, stable: bool | None = None) -> Any:
    """The elements in ascending order along an axis, or flattened when it is None. Each has the gradient of the place that it
    went to."""
    return take_along_axis(x, argsort(as_array(x), axis, kind, order, stable=stable), axis)


@not_differentiable(numpy=np.argmin)
def argmin(x: Any, /, axis: Any = None, keepdims: bool = False) -> Any:
    """The index of the (first) smallest element, along an axis or in the flattened array."""
    return np.argmin(x, axis=axis, keepdims=keepdims)
