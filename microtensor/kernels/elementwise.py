"""Functions of one number at a time, over whole arrays: activations and their gradients, the gradient of a bias, dropout."""

from __future__ import annotations

import numpy as np

from microtensor.kernels import threads
from microtensor.kernels.elementary import gelu, gelu_slope, gelu_tanh, gelu_tanh_slope, silu, silu_slope, tanh, tanh_slope
from microtensor.kernels.jit import kernel

#: The activations, as kernels know them.
NOTHING, GELU, GELU_TANH, SILU, TANH = range(5)
KINDS = {None: NOTHING, "gelu": GELU, "gelu_tanh": GELU_TANH, "silu": SILU, "tanh": TANH}

#: How many rows' parts of the gradient of a bias are added up at a time.
BLOCK = 128


@kernel
def apply(kind, x, out):
    """out = f(x), for flat arrays."""
    if kind == GELU:
        for i in range(x.size):
            out[i] = gelu(x[i])
    elif kind == GELU_TANH:
        for i in range(x.size):
            out[i] = gelu_tanh(x[i])
    elif kind == SILU:
        for i in range(x.size):
            out[i] = silu(x[i])
    elif kind == TANH:
        for i in range(x.size):
            out[i] = tanh(x[i])


@kernel
def apply_slope(kind, x, g, out):
    """out = g * f'(x), for flat arrays."""
    if kind == GELU:
        for i in range(x.size):
            out[i] = g[i] * gelu_slope(x[i])
    elif kind == GELU_TANH:
        for i in range(x.size):
            out[i] = g[i] * gelu_tanh_slope(x[i])
    elif kind == SILU:
        for i in range(x.size):
            out[i] = g[i] * silu_slope(x[i])
    elif kind == TANH:
        for i in range(x.size):
            out[i] = g[i] * tanh_slope(x[i])


@kernel
def _apply_part(kind, x, out, first, last):
    apply(kind, x[first:last], out[first:last])


@kernel
def _slope_part(kind, x, g, out, first, last):
    apply_slope(kind, x[first:last], g[first:last], out[first:last])


@kernel
def _bias_part(kind, x, g, out, parts, first, last):
    """Blocks first to last, each of BLOCK rows: out = g * f'(x), and parts[block] = the sum of out's rows (of g's, for NOTHING)."""
    rows = g.shape[0]
    for block in range(first, last):
        sums = parts[block]
        sums[:] = 0
        for i in range(block * BLOCK, min((block + 1) * BLOCK, rows)):
            if kind == NOTHING:
                _add(g[i], sums)
            else:
                apply_slope(kind, x[i], g[i], out[i])
                _add(out[i], sums)


@kernel
def _add(x, out):
    for j in range(x.size):
        out[j] += x[j]


def activate(name: str, x: np.ndarray) -> np.ndarray:
    """The activation of that name ("gelu", "gelu_tanh", "silu", "tanh"), of each number of x."""
    x = np.asarray(x, order="C")
    out = np.empty_like(x)
    threads.share_rows(x.size, 4, _apply_part, KINDS[name], x.reshape(-1), out.reshape(-1))
    return out


def activate_backward(name: str, x: np.ndarray, g: np.ndarray) -> np.ndarray:
    """The gradient of x, from g, that of activate(name, x)."""
    x, g = np.asarray(x, order="C"), np.asarray(g, order="C")
    out = np.empty_like(x)
    threads.share_rows(x.size, 4, _slope_part, KINDS[name], x.reshape(-1), g.reshape(-1), out.reshape(-1))
    return out


def bias_backward(g: np.ndarray, name: str | None = None, x: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(gradient of h, gradient of b) for y = f(h), h = ... + b, from g, that of y; all (rows, width) but b, (width,).

    `name` is f and x is h; without them f changes nothing, and g itself comes back.
    """
    g = np.asarray(g, order="C")
    rows, width = g.shape
    x = g if x is None else np.asarray(x, order="C")
    out = g if name is None else np.empty_like(g)
    parts = np.empty((-(-rows // BLOCK), width), g.dtype)
    cost = BLOCK * width * (1 if name is None else 4)
    threads.share_rows(len(parts), cost, _bias_part, KINDS[name], x, g, out, parts)
    return out, parts.sum(axis=0)


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
    x = np.asarray(x, order="C")
    out = np.empty_like(x)
    threshold = np.uint32(min(round(p * 2**32), 2**32 - 1))
    threads.share_rows(
        x.size, 2, _keep, x.reshape(-1), np.uint32(key), threshold, x.dtype.type(1 / (1 - p)), out.reshape(-1)
    )
    return out
