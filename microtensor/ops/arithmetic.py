"""Arithmetic and elementary functions, one number at a time. Shapes broadcast as in NumPy.

Where a derivative is infinite (sqrt and log at 0, division by 0, what overflows), a gradient of exactly 0 stays 0 instead of
becoming 0 times infinity, which is NaN: `where(x > 0, sqrt(x), 0)` has the gradient one expects.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable, not_differentiable
from microtensor.kernels.runtime import config
from microtensor.tensor import Tensor, as_array, as_beside


def unbroadcast(g: Any, like: Any) -> Any:
    """Sum `g` over the axes along which `like` was stretched, back to its shape: a value used n times gets n gradients."""
    shape = like.shape if hasattr(like, "shape") else np.shape(like)
    if g.shape == shape:
        return g
    extra = g.ndim - len(shape)
    stretched = tuple(i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1)
    return g.sum(axis=tuple(range(extra)) + stretched).reshape(shape)


# A gradient that is exactly 0 stays 0, whatever it meets on its way back: no gradient arrives, so none goes on. These two are
# the product and the quotient in which that holds. They are ops of their own, so that what is differentiated again is the
# product, and not the exception made for it.


def times(g: Any, factor: Any) -> Any:
    """g * factor, and 0 where g is 0, even if the factor is infinite or NaN."""
    if type(g) is Tensor or type(factor) is Tensor:
        return _product(g, factor)
    y = g * factor
    return y if _is_finite(y) else np.where(np.equal(g, 0), y.dtype.type(0), y)


def over(g: Any, denominator: Any) -> Any:
    """g / denominator, and 0 where g is 0, even if the denominator is 0 or NaN."""
    if type(g) is Tensor or type(denominator) is Tensor:
        return _quotient(g, denominator)
    y = np.true_divide(g, denominator)
    return y if _is_finite(y) else np.where(np.equal(g, 0), y.dtype.type(0), y)


def _is_finite(y: Any) -> bool:
    """Tell if no number is infinite or NaN; never wrongly yes. (A sum of squares is the quickest way to see that of few
    numbers; of many it might wake NumPy's threads.)"""
    flat = y.reshape(-1)
    return math.isfinite(flat.dot(flat) if flat.size < 2**12 else np.add.reduce(flat))


@differentiable(unbounded=True)
def _product(g: Any, factor: Any, /) -> Result:
    """`times`."""
    return times(g, factor), (
        lambda h: unbroadcast(times(h, factor), g),
        lambda h: unbroadcast(times(h, g), factor),
    )


@differentiable(unbounded=True)
def _quotient(g: Any, denominator: Any, /) -> Result:
    """`over`."""
    return over(g, denominator), (
        lambda h: unbroadcast(over(h, denominator), g),
        lambda h: unbroadcast(over(over(times(-h, g), denominator), denominator), denominator),
    )


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


@differentiable(numpy=np.multiply, unbounded=True, shape_hint=_shapes_match)
def multiply(x: Any, y: Any, /) -> Result:
    """x * y."""
    return x * y, (lambda g: unbroadcast(times(g, y), x), lambda g: unbroadcast(times(g, x), y))


@differentiable(numpy=np.true_divide, unbounded=True, shape_hint=_shapes_match)
def divide(x: Any, y: Any, /) -> Result:
    """x / y."""
    return x / y, (
        lambda g: unbroadcast(over(g, y), x),
        lambda g: unbroadcast(over(over(times(-g, x), y), y), y),
    )


@differentiable(numpy=np.power, unbounded=True, shape_hint=_shapes_match)
def power(x: Any, y: Any, /) -> Result:
    """x to the power y.

    At x = 0 the derivative in y is taken as 0 for y >= 0, its limit from above for y > 0; for y < 0 it is -inf.
    """
    return _power_with_logs(x, y, 0)


def _power_with_logs(x: Any, y: Any, logs: int) -> Result:
    """x^y log(x)^logs: the derivative of x^y in y, so many times. Its own derivatives are of the same kind."""

    def pull_x(g: Any) -> Any:
        derivative = times(y, _derivative(x, y - 1, logs))
        if logs:
            derivative = derivative + logs * _derivative(x, y - 1, logs - 1)
        return unbroadcast(times(g, derivative), x)

    return _power_value(x, y, logs), (pull_x, lambda g: unbroadcast(times(g, _derivative(x, y, logs + 1)), y))


_power_op = differentiable(_power_with_logs, name="power", unbounded=True)


def _derivative(x: Any, y: Any, logs: int) -> Any:
    if type(x) is Tensor or type(y) is Tensor:
        return _power_op(x, y, logs=logs)
    return _power_value(x, y, logs)


def _power_value(x: Any, y: Any, logs: int) -> Any:
    if type(x) is Tensor or type(y) is Tensor:
        return None  # only the pullback is wanted
    p = np.power(x, y)
    if logs == 0:
        return p
    zero = np.equal(x, 0)
    log = np.log(np.where(zero, p.dtype.type(1), x), dtype=p.dtype)
    at_zero = np.where(np.less(y, 0), (-1) ** logs * math.inf, 0).astype(p.dtype)
    return np.where(zero, at_zero, times(p, log**logs))


@differentiable(numpy=np.negative)
def negative(x: Any, /) -> Result:
    """-x."""
    return -x, lambda g: (-g,)


@differentiable(numpy=np.absolute)
def abs(x: Any, /) -> Result:
    """The absolute value; its derivative at 0 is taken as 0."""
    return np.absolute(x), lambda g: (g * sign(x),)


@not_differentiable(numpy=np.sign)
def sign(x, /):
    """-1, 0 or 1."""
    return np.sign(x)


@differentiable(numpy=np.exp, unbounded=True)
def exp(x: Any, /) -> Result:
    """e to the power x."""
    y = np.exp(x)
    return y, lambda g: (times(g, y),)


@differentiable(numpy=np.log, unbounded=True)
def log(x: Any, /) -> Result:
    """The natural logarithm."""
    return np.log(x), lambda g: (over(g, x),)


@differentiable(numpy=np.log1p, unbounded=True)
def log1p(x: Any, /) -> Result:
    """log(1 + x), exact for x near 0."""
    return np.log1p(x), lambda g: (over(g, 1 + x),)


@differentiable(numpy=np.sqrt, unbounded=True)
def sqrt(x: Any, /) -> Result:
    """The square root."""
    y = np.sqrt(x)
    return y, lambda g: (over(0.5 * g, y),)


@differentiable(numpy=np.sin)
def sin(x: Any, /) -> Result:
    """The sine, of radians."""
    return np.sin(x), lambda g: (g * np.cos(x),)


@differentiable(numpy=np.cos)
def cos(x: Any, /) -> Result:
    """The cosine, of radians."""
    return np.cos(x), lambda g: (-g * np.sin(x),)


def logistic(x: Any) -> tuple[Any, Any]:
    """(1 / (1 + e^-x), e^-|x|), of an array. Only powers of e below 1 are taken, so none overflows, and small results keep
    their digits."""
    e = np.exp(-np.absolute(x))
    return np.where(x >= 0, 1, e) / (1 + e), e


@differentiable
def sigmoid(x: Any, /) -> Result:
    """1 / (1 + e^-x): an S-shaped curve from 0 to 1."""
    if type(x) is Tensor:  # e^-|x| has a corner, where this has none
        return x, lambda g: (g * (sigmoid(x) * sigmoid(-x)),)
    y, e = logistic(x)
    return y, lambda g: (g * e / ((1 + e) * (1 + e)),)


def _share(x: Any, y: Any) -> Any:
    """e^x / (e^x + e^y): a half where both are inf, 0 where both are -inf."""
    same = np.logical_and(np.equal(x, y), np.isinf(as_array(x)))
    share = sigmoid(np.where(same, 0, x) - np.where(same, 0, y))
    return np.where(np.logical_and(same, np.less(x, 0)), 0, share)


@differentiable(numpy=np.logaddexp, unbounded=True, shape_hint=_shapes_match, numbers=False)
def logaddexp(x: Any, y: Any, /) -> Result:
    """log(e^x + e^y), without overflow; -inf where both are -inf, with a gradient of 0."""
    return np.logaddexp(x, y), (
        lambda g: unbroadcast(g * _share(x, y), x),
        lambda g: unbroadcast(g * _share(y, x), y),
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


@not_differentiable(numpy=np.argwhere)
def argwhere(x: Any, /) -> Any:
    """The indices of the elements that aren't 0, one row for each: shape (count, axes)."""
    return np.argwhere(x)


@composed(numpy=np.nonzero)
def nonzero(x: Any, /) -> tuple[Any, ...]:
    """The indices of the elements that aren't 0, an array for each axis: x[nonzero(x)] are those elements."""
    return tuple(argwhere(x).T)


@composed(numpy=np.where)
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """x where the condition holds, else y. The gradient goes to the one that was chosen.

    With a condition alone: the indices of the elements where it holds, an array for each axis, so that z[where(z > 0)] are z's
    positive elements. Raises ValueError when only one of x and y is given.
    """
    if x is not None and y is not None:
        return _choose(condition, x, y)
    if x is not None or y is not None:
        raise ValueError("where: takes both x and y, or neither")
    return nonzero(condition)


@differentiable(name="where", shape_hint=_shapes_match, integers=("condition",))
def _choose(condition: Any, x: Any, y: Any, /) -> Result:
    """x where the condition holds, else y. The gradient goes to the one that was chosen."""
    return np.where(condition, x, y), (
        None,
        lambda g: unbroadcast(np.where(condition, g, 0), x),
        lambda g: unbroadcast(np.where(condition, 0, g), y),
    )


@differentiable(numpy=np.clip, shape_hint=_shapes_match)
def clip(x: Any, /, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Result:
    """x, held between two bounds (either may be None); outside them the gradient is 0.

    The bounds are numbers or arrays, called `a_min` and `a_max` or `min` and `max`. Raises ValueError for both at once.
    """
    if (a_min is not None or a_max is not None) and (min is not None or max is not None):
        raise ValueError("the bounds are a_min and a_max, or min and max, not both")
    plain = as_array(x)
    low, high = (
        # (NumPy lets an integer be outside of what x can hold.)
        bound if bound is None else int(bound) if isinstance(bound, int | np.integer) else as_beside(bound, plain.dtype)
        for bound in (a_min if min is None else min, a_max if max is None else max)
    )
    inside: Any = True
    if low is not None:
        inside = plain >= low
    if high is not None:
        inside = np.logical_and(inside, plain <= high)
    return np.clip(plain, low, high), lambda g: (unbroadcast(np.where(inside, g, 0), x),)


def _comparison(ufunc: np.ufunc, meaning: str) -> Any:
    def compare(x: Any, y: Any, /) -> Any:
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
