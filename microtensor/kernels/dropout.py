"""Dropout: numbers set to 0 by a hash of their index, so that nothing about the choice need be stored."""

from __future__ import annotations

import numpy as np

from microtensor.kernels.runtime import door, threads
from microtensor.kernels.runtime.jit import kernel


@kernel
def _keep(x, key, threshold, factor, out, first, last):
    """Numbers first to last of dropout. Number i is kept where a hash of i and the key is at least the threshold.

    The hash is a finaliser of 32 bits that changes about half of its output for each bit of its input (two rounds of shifting
    and multiplying; the constants are those found by C. Wellons in 2018).
    """
    x, out = x[first:last], out[first:last]
    start = np.uint32(first)
    for i in range(x.size):
        h = np.uint32(np.uint32(i) + start) ^ key
        h = np.uint32((h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D))
        h = np.uint32((h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B))
        h = np.uint32(h ^ (h >> np.uint32(16)))
        out[i] = x[i] * factor if h >= threshold else x.dtype.type(0)


def dropout(x: np.ndarray, p: float, key: int) -> np.ndarray:
    """x with each number set to 0 with chance p, and the others multiplied by 1 / (1 - p).

    The same key drops the same ones: the gradient is dropout of the gradient, and nothing about the choice need be stored.
    """
    door.fits("dropout", x.dtype, x=(x, x.shape))
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must be at least 0 and below 1, not {p}")
    x = np.asarray(x, order="C")
    out = np.empty_like(x)
    threshold = np.uint32(min(round(p * 2**32), 2**32 - 1))
    threads.share_rows(x.size, 2, _keep, x.reshape(-1), np.uint32(key), threshold, x.dtype.type(1 / (1 - p)), out.reshape(-1))
    return out
