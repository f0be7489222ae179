"""Questions and their combination: booleans, without a gradient. (Comparisons are in `arithmetic`.)"""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.differentiable import composed, not_differentiable
from microtensor.ops.elementwise import without_gradient

isnan = without_gradient(np.isnan, "True where x is NaN.")
isinf = without_gradient(np.isinf, "True where x is infinite, of either sign.")
isfinite = without_gradient(np.isfinite, "True where x is neither infinite nor NaN.")
signbit = without_gradient(np.signbit, "True where x is negative, -0.0 included.")
logical_or = without_gradient(np.logical_or, "True where at least one holds.")
logical_xor = without_gradient(np.logical_xor, "True where just one holds.")
logical_not = without_gradient(np.logical_not, "True where x doesn't hold (where it is 0).")
bitwise_and = without_gradient(np.bitwise_and, "x & y, bit by bit, of integers or booleans.")
bitwise_or = without_gradient(np.bitwise_or, "x | y, bit by bit, of integers or booleans.")
bitwise_xor = without_gradient(np.bitwise_xor, "x ^ y, bit by bit, of integers or booleans.")
invert = without_gradient(np.invert, "~x, each bit turned over, of integers or booleans.")


@not_differentiable(numpy=(np.any, (np.logical_or, "reduce")))
def any(x: Any, /, axis: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    """True where at least one element along the axes holds (isn't 0)."""
    return np.any(x, axis=axis, keepdims=keepdims, where=where)


@not_differentiable(numpy=(np.all, (np.logical_and, "reduce")))
def all(x: Any, /, axis: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    """True where every element along the axes holds (isn't 0)."""
    return np.all(x, axis=axis, keepdims=keepdims, where=where)


@not_differentiable(numpy=np.isclose)
def isclose(x: Any, y: Any, /, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """True where x and y differ by at most atol + rtol * |y|."""
    return np.isclose(x, y, rtol, atol, equal_nan)


@composed(numpy=np.allclose)
def allclose(x: Any, y: Any, /, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Tell if all elements of x and y are close, as by `isclose`."""
    return bool(np.all(isclose(x, y, rtol, atol, equal_nan)))


@composed(numpy=np.array_equal)
def array_equal(x: Any, y: Any, /, equal_nan: bool = False) -> bool:
    """Tell if x and y have the same shape and the same elements."""
    return np.array_equal(getattr(x, "_array", x), getattr(y, "_array", y), equal_nan)
