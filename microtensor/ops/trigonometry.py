"""Trigonometric and hyperbolic functions and their inverses, of one number at a time. Angles are in radians.

(sin, cos and tanh are with the functions that networks are made of, in `arithmetic` and `activations`.)

A derivative that is infinite (arcsin at 1) leaves a gradient of exactly 0 at 0, as in `arithmetic`. Where x can be large,
derivatives divide by one factor after the other, so that no square overflows, and second ones are 0 at infinity.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.differentiable import Result, differentiable
from microtensor.ops.arithmetic import _shapes_match, over, times, unbroadcast
from microtensor.ops.elementwise import elementwise
from microtensor.tensor import as_array

tan = elementwise(np.tan, "The tangent.", lambda g, x, y: times(g, 1 + y * y))
sinh = elementwise(np.sinh, "The hyperbolic sine, (e^x - e^-x) / 2.", lambda g, x, y: times(g, np.cosh(x)))
cosh = elementwise(np.cosh, "The hyperbolic cosine, (e^x + e^-x) / 2.", lambda g, x, y: times(g, np.sinh(x)))
arcsin = elementwise(np.arcsin, "The angle whose sine is x, from -pi/2 to pi/2.", lambda g, x, y: over(g, np.sqrt(1 - x * x)))
arccos = elementwise(np.arccos, "The angle whose cosine is x, from 0 to pi.", lambda g, x, y: over(-g, np.sqrt(1 - x * x)))
arctan = elementwise(
    np.arctan,
    "The angle whose tangent is x, from -pi/2 to pi/2.",
    lambda g, x, y: over(over(g, np.hypot(x, 1)), np.hypot(x, 1)),
)
arcsinh = elementwise(np.arcsinh, "The number whose hyperbolic sine is x.", lambda g, x, y: over(g, np.hypot(x, 1)))
arccosh = elementwise(
    np.arccosh,
    "The number, at least 0, whose hyperbolic cosine is x.",
    lambda g, x, y: over(over(g, np.sqrt(x - 1)), np.sqrt(x + 1)),
)
arctanh = elementwise(np.arctanh, "The number whose hyperbolic tangent is x.", lambda g, x, y: over(g, 1 - x * x))


def _direction(x: Any, y: Any) -> tuple[Any, Any]:
    """The cosine and the sine of the angle at which (x, y) lies, and 0 for both at the origin. Infinite coordinates count as
    equal, as they do for arctan2."""
    plain_x, plain_y = as_array(x), as_array(y)
    far = np.isinf(plain_x) | np.isinf(plain_y)
    if far.any():
        x = np.where(far, np.sign(plain_x) * np.isinf(plain_x), x)
        y = np.where(far, np.sign(plain_y) * np.isinf(plain_y), y)
    length = np.hypot(x, y)
    origin = np.equal(as_array(length), 0)
    length = np.where(origin, 1, length)
    return np.where(origin, 0, x / length), np.where(origin, 0, y / length)


@differentiable(numpy=np.hypot, unbounded=True, shape_hint=_shapes_match)
def hypot(x: Any, y: Any, /) -> Result:
    """sqrt(x^2 + y^2), without overflow: the distance of (x, y) from the origin, where the gradient is taken as 0."""
    return np.hypot(x, y), (
        lambda g: unbroadcast(times(g, _direction(x, y)[0]), x),
        lambda g: unbroadcast(times(g, _direction(x, y)[1]), y),
    )


@differentiable(numpy=np.arctan2, unbounded=True, shape_hint=_shapes_match)
def arctan2(y: Any, x: Any, /) -> Result:
    """The angle at which (x, y) lies, from -pi to pi; the vertical coordinate comes first. At the origin the gradient is taken
    as 0."""

    def over_length(g: Any) -> Any:
        length = np.hypot(x, y)
        return over(g, np.where(np.equal(as_array(length), 0), 1, length))

    return np.arctan2(y, x), (
        lambda g: unbroadcast(over_length(times(g, _direction(x, y)[0])), y),
        lambda g: unbroadcast(over_length(times(-g, _direction(x, y)[1])), x),
    )
