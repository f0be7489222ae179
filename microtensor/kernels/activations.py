"""Activations, one number at a time over whole arrays, each with its derivative: all that backward will need."""

from __future__ import annotations

import math

import numpy as np

from microtensor.kernels.math import gelu, gelu_tanh, relu, silu, squared_relu, tanh_both
from microtensor.kernels.runtime import door, threads
from microtensor.kernels.runtime.jit import kernel

#: The activations, as kernels know them.
NOTHING, GELU, GELU_TANH, SILU, TANH, RELU, SQUARED_RELU = range(7)
KINDS = {
    None: NOTHING,
    "gelu": GELU,
    "gelu_tanh": GELU_TANH,
    "silu": SILU,
    "tanh": TANH,
    "relu": RELU,
    "squared_relu": SQUARED_RELU,
}

#: The number of elements that are copied at a time, before they are worked on.
PIECE = 2**12


@kernel
def apply_in_place(kind, x, out):
    """out = f(x), and x becomes f'(x), for flat arrays: all that backward will need."""
    if x.ndim != 1 or out.shape != x.shape:
        raise ValueError("apply_in_place: x and out must be flat, and of one length")
    if kind == GELU:
        for i in range(x.size):
            out[i], x[i] = gelu(x[i])
    elif kind == GELU_TANH:
        for i in range(x.size):
            out[i], x[i] = gelu_tanh(x[i])
    elif kind == SILU:
        for i in range(x.size):
            out[i], x[i] = silu(x[i])
    elif kind == TANH:
        for i in range(x.size):
            out[i], x[i] = tanh_both(x[i])
    elif kind == RELU:
        for i in range(x.size):
            out[i], x[i] = relu(x[i])
    elif kind == SQUARED_RELU:
        for i in range(x.size):
            out[i], x[i] = squared_relu(x[i])


@kernel
def _apply_part(kind, x, derivatives, out, first, last):
    for start in range(first, last, PIECE):
        piece = derivatives[start : min(start + PIECE, last)]
        piece[:] = x[start : min(start + PIECE, last)]
        apply_in_place(kind, piece, out[start : min(start + PIECE, last)])


def kind_of(name: str | None) -> int:
    """The number by which kernels know an activation, or none. Raises ValueError for a name that isn't one."""
    if name not in KINDS:
        raise ValueError(f"the activation can be {', '.join(filter(None, KINDS))}, not {name!r}")
    return KINDS[name]


def activate(name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(f(x), f'(x)) for f one of `KINDS`, of each number of x."""
    kind = kind_of(name)
    door.fits("activate", x.dtype, x=(x, x.shape))
    x = np.asarray(x, order="C")
    out, derivatives = np.empty_like(x), np.empty_like(x)
    threads.share_rows(x.size, 4, _apply_part, kind, x.reshape(-1), derivatives.reshape(-1), out.reshape(-1))
    return out, derivatives


@kernel
def erf(x, out):
    """out[i] = erf(x[i]), over flat arrays."""
    if x.ndim != 1 or out.shape != x.shape:
        raise ValueError("erf: x and out must be flat, and of one length")
    for i in range(x.size):
        out[i] = math.erf(x[i])
