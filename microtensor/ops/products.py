"""Running products."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.differentiable import Result, differentiable
from microtensor.ops.arithmetic import times


@differentiable(numpy=np.cumprod, unbounded=True)
def cumprod(x: Any, /, axis: Any = None) -> Result:
    """Running products along an axis, or of the flattened array: element i is the product of elements 0..i. The derivatives
    divide by nothing, so they are right at 0 too."""
    y = np.cumprod(x, axis=axis)

    def pullback(g: Any) -> tuple[Any]:
        along = 0 if axis is None else axis
        factors = np.moveaxis(x.reshape((-1,)) if axis is None else x, along, 0)
        n = factors.shape[0]
        if n == 0:
            return (g.reshape(x.shape),)
        one = np.ones((1, *factors.shape[1:]), x.dtype)
        before = np.concatenate([one, np.moveaxis(y, along, 0)[:-1]])
        # Element i is a factor of products i, i+1, ...: its gradient is before[i] * s[i], where s[i] = g[i] + x[i+1] * s[i+1].
        # Reach twice as far in each round: s[i] = near[i] + ahead[i] * s[i + reach], with what lies beyond the end being 0.
        near, ahead, reach = np.moveaxis(g, along, 0), np.concatenate([factors[1:], 0 * one]), 1
        while reach < n:
            nothing = np.zeros((reach, *factors.shape[1:]), x.dtype)
            near = near + times(np.concatenate([near[reach:], nothing]), ahead)
            ahead = times(np.concatenate([ahead[reach:], nothing]), ahead)
            reach *= 2
        return (np.moveaxis(times(near, before), 0, along).reshape(x.shape),)

    return y, pullback
