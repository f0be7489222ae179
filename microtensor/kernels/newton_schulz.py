"""Newton and Schulz's iteration, which makes the singular values of matrices about equal: see `optim.muon`.

For each matrix x (rows, columns) of a batch, wide or tall, a symmetric matrix of its shorter side is found, with which x is
then multiplied. All that happens on the way are products of symmetric matrices, polynomials of one another: their results
are symmetric, too, and only the upper half is computed. A matrix is iterated by one thread, in memory that its core has near.
"""

from __future__ import annotations

import numpy as np

from microtensor.kernels.activations import NOTHING
from microtensor.kernels.matmul import _multiply, by_numpy
from microtensor.kernels.runtime import door, threads
from microtensor.kernels.runtime.jit import kernel

#: So many columns of a symmetric product are computed at a time, from the top down to the diagonal.
STRIP = 64


@kernel(inner=True)
def _symmetric(a, a_row, a_col, b, b_row, b_col, c, depth):
    """c (m, m) = a @ b, of which only the upper half is computed: a (m, depth), b (depth, m), at addresses."""
    m = c.shape[0]
    flat = c.reshape(-1)
    for j in range(0, m, STRIP):
        last = min(j + STRIP, m)
        _multiply(a, a_row, a_col, b, b_row, b_col, flat, 0, m, 0, last, j, last, depth, False, flat[:0], NOTHING, flat[:0])
    for i in range(m):
        for j in range(i):
            c[i, j] = c[j, i]


@kernel
def _iterate(x, steps, coefficients, scale, factors, first, last):
    """factors[n] for x[n], from first to last: `scale` times what brings the singular values of x near 1."""
    rows, columns = x.shape[1], x.shape[2]
    m = min(rows, columns)
    size = x.itemsize
    a, b, c = coefficients
    square, product, factor = np.empty((m, m), x.dtype), np.empty((m, m), x.dtype), np.empty((m, m), x.dtype)
    square_at, product_at, factor_at = square.ctypes.data, product.ctypes.data, factor.ctypes.data
    for n in range(first, last):
        at = x.ctypes.data + n * rows * columns * size
        if rows <= columns:
            _symmetric(at, columns, 1, at, 1, columns, square, columns)
        else:
            _symmetric(at, 1, columns, at, columns, 1, square, rows)
        trace = x.dtype.type(0)
        for i in range(m):
            trace += square[i, i]
        shrink = x.dtype.type(1) / (np.sqrt(trace) + x.dtype.type(1e-7))
        for i in range(m):
            for j in range(m):
                square[i, j] *= shrink * shrink
        found = factors[n]
        found_at = found.ctypes.data
        for i in range(m):
            found[i, :] = 0
            found[i, i] = scale * shrink
        for step in range(steps):
            _symmetric(square_at, m, 1, square_at, m, 1, product, m)
            for i in range(m):
                for j in range(m):
                    factor[i, j] = b * square[i, j] + c * product[i, j]
                factor[i, i] += a
            if step == 0:
                for i in range(m):
                    for j in range(m):
                        found[i, j] = scale * shrink * factor[i, j]
            else:
                _symmetric(factor_at, m, 1, found_at, m, 1, product, m)
                found[:] = product
            if step < steps - 1:
                _symmetric(factor_at, m, 1, square_at, m, 1, product, m)
                _symmetric(product_at, m, 1, factor_at, m, 1, square, m)


def factors(x: np.ndarray, steps: int, coefficients: tuple[float, float, float], scale: float = 1.0) -> np.ndarray:
    """The matrices that x is to be multiplied with, times `scale`: (n, m, m) for x (n, rows, columns), m the shorter side.

    With x divided by its norm, and S = x x^T (or x^T x, where that is smaller), they are the product over the steps of
    a + b S + c S^2, where each step replaces S by what it becomes. Raises ValueError for an array that isn't contiguous.
    """
    if x.ndim != 3:
        raise ValueError(f"newton_schulz: x must be (n, rows, columns), not {door.shown(x)}")
    door.address("newton_schulz", "x", x, x.dtype, x.shape)
    door.fits("newton_schulz", x.dtype, x=(x, x.shape))
    m = min(x.shape[1:])
    if by_numpy(m, m, m) or steps == 0:
        return _by_numpy(x, steps, coefficients, scale)
    found = np.empty((x.shape[0], m, m), x.dtype)
    number = x.dtype.type
    threads.share_rows(x.shape[0], m * m * m, _iterate, x, steps, tuple(map(number, coefficients)), number(scale), found)
    return found


def _by_numpy(x: np.ndarray, steps: int, coefficients: tuple[float, float, float], scale: float) -> np.ndarray:
    """The same by NumPy: what the kernel computes, and how small matrices are."""
    number = x.dtype.type
    a, b, c = map(number, coefficients)
    x = x if x.shape[1] <= x.shape[2] else x.swapaxes(1, 2)
    one = np.eye(x.shape[1], dtype=x.dtype)
    square = x @ x.swapaxes(1, 2)
    shrink = 1 / (np.sqrt(np.trace(square, axis1=1, axis2=2))[:, None, None] + number(1e-7))
    square = square * shrink * shrink
    found = number(scale) * shrink * one
    for step in range(steps):
        factor = a * one + b * square + c * (square @ square)
        found = factor @ found
        if step < steps - 1:
            square = factor @ square @ factor
    return found
