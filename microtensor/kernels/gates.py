"""The gated unit of WaveNet: one half of the numbers, bent, and let through as far as the other half says."""

from __future__ import annotations

import numpy as np

from microtensor.kernels.math import constant, sigmoid, tanh
from microtensor.kernels.runtime import door, threads
from microtensor.kernels.runtime.jit import kernel


@kernel
def _gated(x, out, first, last):
    """Rows first to last of x (rows, 2 * width) and out (rows, width)."""
    width = out.shape[1]
    for i in range(first, last):
        value, gate, y = x[i, :width], x[i, width:], out[i]
        for j in range(y.size):
            y[j] = tanh(value[j]) * sigmoid(gate[j])


@kernel
def _bend(value, gate, y, z):
    for j in range(y.size):
        y[j], z[j] = tanh(value[j]), sigmoid(gate[j])


@kernel
def _gate_gradients(y, z, g, dvalue, dgate):
    for j in range(y.size):
        dvalue[j] = g[j] * z[j] * (constant(y[j], 1.0) - y[j] * y[j])
    for j in range(y.size):
        dgate[j] = g[j] * y[j] * z[j] * (constant(y[j], 1.0) - z[j])


@kernel
def _gated_gradients(x, g, dx, first, last):
    """Rows first to last of dx, from x and g, the gradient of the result."""
    width = g.shape[1]
    room = np.empty((2, width), x.dtype)
    for i in range(first, last):
        _bend(x[i, :width], x[i, width:], room[0], room[1])
        _gate_gradients(room[0], room[1], g[i], dx[i, :width], dx[i, width:])


def _halves(kernel: str, x: np.ndarray) -> tuple[int, int]:
    """(rows, width) of an array (..., 2 * width). Raises ValueError for another one."""
    rows, both = door.rows(kernel, x)
    if both % 2:
        raise ValueError(f"{kernel}: needs rows of two halves, not {door.shown(x)}")
    return rows, both // 2


def gated_tanh(x: np.ndarray) -> np.ndarray:
    """tanh(a) * sigmoid(b), where a and b are the halves of the rows of x (..., 2 * width)."""
    rows, width = _halves("gated_tanh", x)
    x = np.asarray(x, order="C")
    out = np.empty((*x.shape[:-1], width), x.dtype)
    threads.share_rows(rows, 8 * width, _gated, x.reshape((rows, 2 * width)), out.reshape((rows, width)))
    return out


def gated_tanh_backward(x: np.ndarray, g: np.ndarray) -> np.ndarray:
    """The gradient of x from g, that of the result."""
    rows, width = _halves("gated_tanh_backward", x)
    door.fits("gated_tanh_backward", x.dtype, g=(g, (*x.shape[:-1], width)))
    x, g = np.asarray(x, order="C"), np.asarray(g, order="C")
    dx = np.empty_like(x)
    flat = x.reshape((rows, 2 * width)), g.reshape((rows, width)), dx.reshape((rows, 2 * width))
    threads.share_rows(rows, 12 * width, _gated_gradients, *flat)
    return dx
