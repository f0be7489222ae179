"""Logarithms and powers to the bases 2 and 10, and e^x - 1. (exp, log, log1p and logaddexp are in `arithmetic`.)"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor.differentiable import Result, differentiable
from microtensor.ops.activations import sigmoid
from microtensor.ops.arithmetic import _over, _shapes_match, unbroadcast
from microtensor.ops.elementwise import elementwise

_LN2, _LN10 = math.log(2), math.log(10)

log2 = elementwise(np.log2, "The logarithm to base 2.", lambda g, x, y: _over(g / _LN2, x))
log10 = elementwise(np.log10, "The logarithm to base 10.", lambda g, x, y: _over(g / _LN10, x))
exp2 = elementwise(np.exp2, "2 to the power x.", lambda g, x, y: g * _LN2 * y)
expm1 = elementwise(np.expm1, "e^x - 1, exact for x near 0.", lambda g, x, y: g * np.exp(x))


@differentiable(numpy=np.logaddexp2, shape_hint=_shapes_match)
def logaddexp2(x: Any, y: Any, /) -> Result:
    """log2(2^x + 2^y), without overflow; -inf where both are -inf, with a gradient of 0. Where both are inf they share it."""

    def weight(a: Any, b: Any) -> Any:
        """The fraction of 2^a in 2^a + 2^b."""
        alike = np.logical_and(np.equal(a, b), np.isinf(a))
        share = sigmoid(_LN2 * (np.where(alike, 0, a) - np.where(alike, 0, b)))
        return np.where(np.logical_and(alike, np.less(a, 0)), 0, share)

    return np.logaddexp2(x, y), (lambda g: unbroadcast(g * weight(x, y), x), lambda g: unbroadcast(g * weight(y, x), y))
