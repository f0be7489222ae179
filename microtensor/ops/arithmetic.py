"""Arithmetic and elementary functions, one number at a time. Shapes broadcast as in NumPy.

Where a derivative is infinite (sqrt and log at 0, division by 0), a gradient of exactly 0 stays 0 instead of becoming
0 times infinity, which is NaN: `where(x > 0, sqrt(x), 0)` has the gradient one expects.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, differentiable, not_differentiable
from microtensor.kernels.runtime import config


def unbroadcast(g: Any, like: Any) -> Any:
    """Sum `g` over the axes along which `like` was stretched, back to its shape: a value used n times gets n gradients."""
    shape = like.shape if hasattr(like, "shape") else np.shape(like)
    if g.shape == shape:
        return g
    extra = g.ndim - len(shape)
    stretched = tuple(i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1)
    return g.sum(axis=tuple(range(extra)) + stretched).reshape(shape)


def _over(g: Any, denominator: Any) -> Any:
    """g / denominator, but 0 / 0 is 0: no gradient arrives, so none goes on."""
    if isinstance(denominator, int | float):
        return g / denominator
    neither = np.logical_and(np.equal(denominator, 0), np.equal(g, 0))
    return g / np.where(neither, 1, denominator)


def _shapes_match(*inputs: Any) -> str:
    shapes = [np.shape(x) for x in inputs]
    if any(not isinstance(n, int) for s in shapes for n in s):
        return ""
    for axis in range(1, min(map(len, shapes)) + 1):
        lengths = {s[-axis] for s in shapes} - {1}
        if len(lengths) > 1:
            return (
                f"counted from the right, axis {axis} has lengths {' and '.join(str(s[-axis]) for s in shapes)}, "
                "which must be equal, or one of them 1"
            )
    return ""


@differentiable
def identity(x: Any, /) -> Result:
    """x itself, as a new node of the graph."""
    return x, lambda g: (g,)


@differentiable(linear=True)
def astype(x: Any, /, dtype: Any) -> Result:
    """x with another element type; the gradient comes back in the type of x."""
    before = x.dtype
    y = x.astype(dtype)
    return y, (lambda g: (g.astype(before),)) if y.dtype.kind == "f" else None


@differentiable(numpy=np.add, shape_hint=_shapes_match)
def add(x: Any, y: Any, /) -> Result:
    """x + y."""
    if type(x) is type(y) is np.ndarray and config.large_and_alike(x, y):
        return kernels.arithmetic.add(x, y), (lambda g: g, lambda g: g)
    return x + y, (lambda g: unbroadcast(g, x), lambda g: unbroadcast(g, y))


@differentiable(numpy=np.subtract, shape_hint=_shapes_match)
def subtract(x: Any, y: Any, /) -> Result:
    """x - y."""
    return x - y, (lambda g: unbroadcast(g, x), lambda g: unbroadcast(-g, y))


@differentiable(numpy=np.multiply, shape_hint=_shapes_match)
def multiply(x: Any, y: Any, /) -> Result:
    """x * y."""
    return x * y, (lambda g: unbroadcast(g * y, x), lambda g: unbroadcast(g * x, y))


@differentiable(numpy=np.true_divide, shape_hint=_shapes_match)
def divide(x: Any, y: Any, /) -> Result:
    """x / y."""
    return x / y, (
        lambda g: unbroadcast(_over(g, y), x),
        lambda g: unbroadcast(_over(_over(-g * x, y), y), y),
    )


@differentiable(numpy=np.power, shape_hint=_shapes_match)
def power(x: Any, y: Any, /) -> Result:
    """x to the power y. At x = 0 the derivative in y is taken as 0, its limit from above for y > 0."""

    def pull_x(g: Any) -> Any:
        base = np.where(np.logical_and(np.equal(x, 0), np.equal(g, 0)), 1, x)
        return unbroadcast(g * y * np.power(base, np.where(np.equal(y, 0), 1, y - 1)), x)

    def pull_y(g: Any) -> Any:
        zero = np.equal(x, 0)
        base = np.where(zero, 1, x)
        return unbroadcast(np.where(zero, 0, g * np.log(base) * np.power(base, y)), y)

    return np.power(x, y), (pull_x, pull_y)


@differentiable(numpy=np.negative)
def negative(x: Any, /) -> Result:
    """-x."""
    return -x, lambda g: (-g,)


@differentiable(numpy=np.absolute)
def abs(x: Any, /) -> Result:
    """The absolute value; its derivative at 0 is taken as 0."""
    return np.absolute(x), lambda g: (g * sign(x),)


@not_differentiable(numpy=np.sign)
def sign(x):
    """-1, 0 or 1."""
    return np.sign(x)


@differentiable(numpy=np.exp)
def exp(x: Any, /) -> Result:
    """e to the power x."""
    y = np.exp(x)
    return y, lambda g: (g * y,)


@differentiable(numpy=np.log)
def log(x: Any, /) -> Result:
    """The natural logarithm."""
    return np.log(x), lambda g: (_over(g, x),)


@differentiable(numpy=np.log1p)
def log1p(x: Any, /) -> Result:
    """log(1 + x), exact for x near 0."""
    return np.log1p(x), lambda g: (_over(g, 1 + x),)


@differentiable(numpy=np.sqrt)
def sqrt(x: Any, /) -> Result:
    """The square root."""
    y = np.sqrt(x)
    return y, lambda g: (_over(0.5 * g, y),)


@differentiable(numpy=np.sin)
def sin(x: Any, /) -> Result:
    """The sine, of radians."""
    return np.sin(x), lambda g: (g * np.cos(x),)


@differentiable(numpy=np.cos)
def cos(x: Any, /) -> Result:
    """The cosine, of radians."""
    return np.cos(x), lambda g: (-g * np.sin(x),)


def logistic(x: Any) -> tuple[Any, Any]:
    """(1 / (1 + e^-x), e^-|x|). Only powers of e below 1 are taken, so none overflows, and small results keep their digits."""
    e = np.exp(-np.absolute(x))
    return np.where(x >= 0, 1, e) / (1 + e), e


@differentiable(numpy=np.logaddexp, shape_hint=_shapes_match)
def logaddexp(x: Any, y: Any, /) -> Result:
    """log(e^x + e^y), without overflow."""
    return np.logaddexp(x, y), (
        lambda g: unbroadcast(g * logistic(x - y)[0], x),
        lambda g: unbroadcast(g * logistic(y - x)[0], y),
    )


def _tie_weight(x: Any, y: Any) -> Any:
    """The fraction of the gradient that goes to x when the larger of x and y is taken: 1, 0, or one half in a tie."""
    return np.where(x == y, 0.5, np.where(x > y, 1.0, 0.0))


@differentiable(numpy=np.maximum, shape_hint=_shapes_match)
def maximum(x: Any, y: Any, /) -> Result:
    """The larger of x and y; in a tie each gets half the gradient."""
    return np.maximum(x, y), (
        lambda g: unbroadcast(g * _tie_weight(x, y).astype(g.dtype), x),
        lambda g: unbroadcast(g * _tie_weight(y, x).astype(g.dtype), y),
    )


@differentiable(numpy=np.minimum, shape_hint=_shapes_match)
def minimum(x: Any, y: Any, /) -> Result:
    """The smaller of x and y; in a tie each gets half the gradient."""
    return np.minimum(x, y), (
        lambda g: unbroadcast(g * _tie_weight(y, x).astype(g.dtype), x),
        lambda g: unbroadcast(g * _tie_weight(x, y).astype(g.dtype), y),
    )


@differentiable(numpy=np.where, shape_hint=_shapes_match)
def where(condition: Any, x: Any, y: Any, /) -> Result:
    """x where the condition holds, else y. The gradient goes to the one that was chosen."""
    return np.where(condition, x, y), (
        None,
        lambda g: unbroadcast(np.where(condition, g, 0), x),
        lambda g: unbroadcast(np.where(condition, 0, g), y),
    )


@differentiable(numpy=np.clip)
def clip(x: Any, /, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Result:
    """x, held between two bounds (either may be None); outside them the gradient is 0."""
    low, high = a_min if min is None else min, a_max if max is None else max
    inside = True
    if low is not None:
        inside = x >= low
    if high is not None:
        inside = np.logical_and(inside, x <= high)
    y = x
    if low is not None:
        y = np.maximum(y, low)
    if high is not None:
        y = np.minimum(y, high)
    return y, lambda g: (unbroadcast(np.where(inside, g, 0), x),)


def _comparison(ufunc: np.ufunc, meaning: str) -> Any:
    def compare(x: Any, y: Any) -> Any:
        return ufunc(x, y)

    compare.__name__ = ufunc.__name__
    compare.__doc__ = f"True where {meaning}, element by element; booleans, without a gradient."
    return not_differentiable(compare, numpy=ufunc)


equal = _comparison(np.equal, "x == y")
not_equal = _comparison(np.not_equal, "x != y")
less = _comparison(np.less, "x < y")
less_equal = _comparison(np.less_equal, "x <= y")
greater = _comparison(np.greater, "x > y")
greater_equal = _comparison(np.greater_equal, "x >= y")
logical_and = _comparison(np.logical_and, "both hold")
