"""Functions of one number at a time, over whole arrays: activations and their gradients, the gradient of a bias, dropout."""

from __future__ import annotations

import math

import numpy as np

from microtensor.kernels.math import gelu, gelu_tanh, silu, tanh_both
from microtensor.kernels.runtime import threads
from microtensor.kernels.runtime.jit import kernel

#: The activations, as kernels know them.
NOTHING, GELU, GELU_TANH, SILU, TANH = range(5)
KINDS = {None: NOTHING, "gelu": GELU, "gelu_tanh": GELU_TANH, "silu": SILU, "tanh": TANH}

#: How many numbers are copied at a time, before they are worked on.
PIECE = 2**12

#: How many rows' parts of the gradient of a bias are added up at a time.
BLOCK = 128


@kernel
def apply_in_place(kind, x, out):
    """out = f(x), and x becomes f'(x), for flat arrays: all that backward will need."""
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


@kernel
def _apply_part(kind, x, slopes, out, first, last):
    for start in range(first, last, PIECE):
        piece = slopes[start : min(start + PIECE, last)]
        piece[:] = x[start : min(start + PIECE, last)]
        apply_in_place(kind, piece, out[start : min(start + PIECE, last)])


@kernel
def _bias_part(slopes, g, out, parts, first, last):
    """Blocks first to last, each of BLOCK rows: out = g * slopes, and parts[block] = the sum of out's rows (of g's, without
    slopes)."""
    rows = g.shape[0]
    for block in range(first, last):
        sums = parts[block]
        sums[:] = 0
        for i in range(block * BLOCK, min((block + 1) * BLOCK, rows)):
            if slopes.size > 0:
                _multiply(g[i], slopes[i], out[i])
                _add(out[i], sums)
            else:
                _add(g[i], sums)


@kernel
def _multiply(x, y, out):
    for j in range(x.size):
        out[j] = x[j] * y[j]


@kernel
def _add(x, out):
    for j in range(x.size):
        out[j] += x[j]


@kernel
def _add_part(x, y, out, first, last):
    x, y, out = x[first:last], y[first:last], out[first:last]
    for i in range(x.size):
        out[i] = x[i] + y[i]


@kernel
def _add_to_part(x, y, first, last):
    x, y = x[first:last], y[first:last]
    for i in range(x.size):
        y[i] += x[i]


def add(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x + y, for large contiguous arrays of the same shape and type."""
    out = np.empty_like(x)
    threads.share_rows(x.size, 1, _add_part, x.reshape(-1), y.reshape(-1), out.reshape(-1))
    return out


def add_to(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """y += x, for large contiguous arrays of the same shape and type; returns y."""
    threads.share_rows(x.size, 1, _add_to_part, x.reshape(-1), y.reshape(-1))
    return y


@kernel
def _multiply_part(x, y, out, first, last):
    _multiply(x[first:last], y[first:last], out[first:last])


def multiply(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x * y, for arrays of the same shape and type."""
    x, y = np.asarray(x, order="C"), np.asarray(y, order="C")
    out = np.empty_like(x)
    threads.share_rows(x.size, 1, _multiply_part, x.reshape(-1), y.reshape(-1), out.reshape(-1))
    return out


def activate(name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(f(x), f'(x)) for f "gelu", "gelu_tanh", "silu" or "tanh", of each number of x."""
    x = np.asarray(x, order="C")
    out, slopes = np.empty_like(x), np.empty_like(x)
    threads.share_rows(x.size, 4, _apply_part, KINDS[name], x.reshape(-1), slopes.reshape(-1), out.reshape(-1))
    return out, slopes


def bias_backward(g: np.ndarray, slopes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(gradient of h, gradient of b) for y = f(h), h = ... + b, from g, that of y; all (..., width) but b, (width,).

    `slopes` are f'(h); without them f changes nothing, and g itself comes back.
    """
    g = np.asarray(g, order="C")
    width = g.shape[-1]
    rows = g.size // width
    out = g if slopes is None else np.empty_like(g)
    parts = np.empty((-(-rows // BLOCK), width), g.dtype)
    flat = [(a.reshape((-1, width)) if a is not None else np.empty((0, width), g.dtype)) for a in (slopes, g, out)]
    threads.share_rows(len(parts), BLOCK * width, _bias_part, *flat, parts)
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
    threads.share_rows(x.size, 2, _keep, x.reshape(-1), np.uint32(key), threshold, x.dtype.type(1 / (1 - p)), out.reshape(-1))
    return out


@kernel
def erf(x, out):
    """out[i] = erf(x[i]), over flat arrays."""
    for i in range(x.size):
        out[i] = math.erf(x[i])
