"""Dropout: some numbers set to 0 by chance, so that a network in training can't rely on any one of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable


@differentiable(linear=True)
def _dropout(x: Any, /, p: float, key: int) -> Result:
    """`dropout` by a kernel: the same key drops the same elements, so the gradient passes where x did."""
    return kernels.dropout.dropout(x, p, key), lambda g: (_dropout(g, p=p, key=key),)


@composed
def dropout(x: Any, /, p: float = 0.5, rng: np.random.Generator | None = None) -> Any:
    """x with each element set to 0 with chance p and the others scaled by 1 / (1 - p), which keeps the mean (Srivastava et
    al. 2014). `rng` draws a number that chooses the elements; a fresh one is made when None."""
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must be at least 0 and below 1, not {p}")
    if p == 0:
        return x
    rng = np.random.default_rng() if rng is None else rng
    return _dropout(x, p=p, key=int(rng.integers(2**32)))
