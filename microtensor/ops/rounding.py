"""Whole parts, remainders, and other simple functions of one or two numbers.

What rounds has a derivative of 0 or none, so it is an op without a gradient, as `sign` is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.differentiable import Result, composed, differentiable, not_differentiable
from microtensor.ops.arithmetic import _shapes_match, identity, maximum, minimum, over, times, unbroadcast, where
from microtensor.ops.elementwise import elementwise, without_gradient

floor = without_gradient(np.floor, "The largest whole number that isn't above x; without a gradient.")
ceil = without_gradient(np.ceil, "The smallest whole number that isn't below x; without a gradient.")
trunc = without_gradient(np.trunc, "x without its fraction; without a gradient.")
floor_divide = without_gradient(np.floor_divide, "x // y, the quotient rounded down; without a gradient.")

square = elementwise(np.square, "x * x.", lambda g, x, y: times(g, 2 * x))
reciprocal = elementwise(np.reciprocal, "1 / x; of integers, the whole part.", lambda g, x, y: over(over(-g, x), x))


@not_differentiable(numpy=(np.round, np.around))
def round(x: Any, /, decimals: int = 0) -> Any:
    """x to that many decimals, halves to the even neighbour; without a gradient."""
    return np.round(x, decimals)


@differentiable(numpy=np.remainder, unbounded=True, shape_hint=_shapes_match)
def remainder(x: Any, y: Any, /) -> Result:
    """x % y: what is left of x after whole multiples of y, with the sign of y."""
    return np.remainder(x, y), (
        lambda g: unbroadcast(g, x),
        lambda g: unbroadcast(times(-g, np.floor_divide(x, y)), y),
    )


@composed(numpy=np.positive)
def positive(x: Any, /) -> Any:
    """+x, which is x."""
    return identity(x)


@differentiable(numpy=np.copysign, shape_hint=_shapes_match)
def copysign(x: Any, y: Any, /) -> Result:
    """x with the sign of y; the derivative at x = 0 is taken as 0, and y has no gradient."""
    z = np.copysign(x, y)
    return z, (lambda g: unbroadcast(times(g, np.sign(x) * np.sign(z)), x), None)


@composed(numpy=np.fmax)
def fmax(x: Any, y: Any, /) -> Any:
    """The larger of x and y, or the one that isn't NaN; in a tie each gets half the gradient."""
    return where(np.isnan(x), y, where(np.isnan(y), x, maximum(x, y)))


@composed(numpy=np.fmin)
def fmin(x: Any, y: Any, /) -> Any:
    """The smaller of x and y, or the one that isn't NaN; in a tie each gets half the gradient."""
    return where(np.isnan(x), y, where(np.isnan(y), x, minimum(x, y)))


@differentiable(numpy=np.nan_to_num)
def nan_to_num(x: Any, /, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Result:
    """x with numbers in the place of NaN and of the infinities (the type's largest and least, unless given); those have a
    gradient of 0. The result is always a copy."""
    finite = np.isfinite(x)
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf), lambda g: (np.where(finite, g, 0),)
