"""Sums and products of whole arrays, one number at a time, by all threads: for arrays so large that memory is the limit."""

from __future__ import annotations

import numpy as np

from microtensor.kernels.runtime import door, threads
from microtensor.kernels.runtime.jit import kernel


@kernel(inner=True)
def product(x, y, out):
    """out = x * y, over flat arrays."""
    for j in range(x.size):
        out[j] = x[j] * y[j]


@kernel(inner=True)
def accumulate(x, out):
    """out += x, over flat arrays."""
    for j in range(x.size):
        out[j] += x[j]


@kernel
def _add_part(x, y, out, first, last):
    x, y, out = x[first:last], y[first:last], out[first:last]
    for i in range(x.size):
        out[i] = x[i] + y[i]


@kernel
def _accumulate_part(x, out, first, last):
    accumulate(x[first:last], out[first:last])


@kernel
def _multiply_part(x, y, out, first, last):
    product(x[first:last], y[first:last], out[first:last])


def add(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x + y, for large contiguous arrays of the same shape and type."""
    door.fits("add", x.dtype, x=(x, x.shape), y=(y, x.shape))
    out = np.empty_like(x)
    threads.share_rows(x.size, 1, _add_part, x.reshape(-1), y.reshape(-1), out.reshape(-1))
    return out


def add_to(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """y += x, for large contiguous arrays of the same shape and type; returns y."""
    door.fits("add_to", x.dtype, x=(x, x.shape), y=(y, x.shape))
    door.address("add_to", "y", y, x.dtype, x.shape, written=True)  # (a copy of it would be written to, and forgotten)
    threads.share_rows(x.size, 1, _accumulate_part, x.reshape(-1), y.reshape(-1))
    return y


def multiply(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x * y, for arrays of the same shape and type."""
    x, y = np.asarray(x, order="C"), np.asarray(y, order="C")
    door.fits("multiply", x.dtype, x=(x, x.shape), y=(y, x.shape))
    out = np.empty_like(x)
    threads.share_rows(x.size, 1, _multiply_part, x.reshape(-1), y.reshape(-1), out.reshape(-1))
    return out
