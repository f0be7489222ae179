"""Ops made of NumPy's ufuncs, a line each: those of one number with their derivative, and those without a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microtensor.differentiable import Result, differentiable, not_differentiable


def elementwise(ufunc: np.ufunc, meaning: str, pull: Callable[[Any, Any, Any], Any]) -> Any:
    """Make an op of a ufunc of one argument; `pull(g, x, y)` is the gradient of x, where y = ufunc(x)."""

    def body(x: Any, /) -> Result:
        y = ufunc(x)
        return y, lambda g: (pull(g, x, y),)

    return differentiable(_named(body, ufunc, meaning), numpy=ufunc, unbounded=True)


def without_gradient(ufunc: np.ufunc, meaning: str) -> Any:
    """Make an op without a gradient of a ufunc of one or two arguments."""

    def one(x: Any, /) -> Any:
        return ufunc(x)

    def two(x: Any, y: Any, /) -> Any:
        return ufunc(x, y)

    return not_differentiable(_named(one if ufunc.nin == 1 else two, ufunc, meaning), numpy=ufunc)


def _named(body: Any, ufunc: np.ufunc, meaning: str) -> Any:
    body.__name__ = body.__qualname__ = ufunc.__name__
    body.__doc__ = meaning
    return body
