"""Logarithms and powers to the bases 2 and 10, and e^x - 1. (exp, log, log1p and logaddexp are in `arithmetic`.)"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor.differentiable import Result, differentiable
from microtensor.ops.arithmetic import _shapes_match, _share, over, times, unbroadcast
from microtensor.ops.elementwise import elementwise

_LN2, _LN10 = math.log(2), math.log(10)

log2 = elementwise(np.log2, "The logarithm to base 2.", lambda g, x, y: over(g / _LN2, x))
log10 = elementwise(np.log10, "The logarithm to base 10.", lambda g, x, y: over(g / _LN10, x))
exp2 = elementwise(np.exp2, "2 to the power x.", lambda g, x, y: times(g * _LN2, y))
expm1 = elementwise(np.expm1, "e^x - 1, exact for x near 0.", lambda g, x, y: times(g, np.exp(x)))


@differentiable(numpy=np.logaddexp2, unbounded=True, shape_hint=_shapes_match, numbers=False)
def logaddexp2(x: Any, y: Any, /) -> Result:
    """log2(2^x + 2^y), without overflow; -inf where both are -inf, with a gradient of 0. Where both are inf they share it."""
    return np.logaddexp2(x, y), (
        lambda g: unbroadcast(times(g, _share(_LN2 * x, _LN2 * y)), x),
        lambda g: unbroadcast(times(g, _share(_LN2 * y, _LN2 * x)), y),
    )
