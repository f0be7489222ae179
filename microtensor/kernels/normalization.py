"""LayerNorm and RMSNorm: each row scaled to a standard size, forward and backward."""

from __future__ import annotations

import numpy as np

from microtensor.kernels.runtime import door, threads
from microtensor.kernels.runtime.jit import kernel
from microtensor.kernels.softmax import dot, scale_in_place, subtract, total

#: The number of rows whose parts of the gradients of weight and bias are added up together.
BLOCK = 128


@kernel
def _scaled(x, factor, weight, bias, out):
    """out = factor * x * weight + bias; an empty weight counts as ones, an empty bias as zeros."""
    if weight.size == 0:
        for j in range(x.size):
            out[j] = factor * x[j]
    elif bias.size == 0:
        for j in range(x.size):
            out[j] = factor * x[j] * weight[j]
    else:
        for j in range(x.size):
            out[j] = factor * x[j] * weight[j] + bias[j]


@kernel
def _norm_rows(x, weight, bias, centre, eps, out, means, factors, first, last):
    """Rows first to last of x (rows, width), with their means (0 unless `centre`) and 1 / root mean square, which backward
    needs."""
    width = x.shape[1]
    fraction = x.dtype.type(1 / max(width, 1))
    spread = np.empty(width, x.dtype)
    for i in range(first, last):
        mean = total(x[i]) * fraction if centre else x.dtype.type(0)
        subtract(x[i], mean, spread)
        means[i] = mean
        factors[i] = x.dtype.type(1) / np.sqrt(dot(spread, spread) * fraction + x.dtype.type(eps))
        _scaled(spread, factors[i], weight, bias, out[i])


@kernel
def _norm_gradients(x, weight, bias, centre, means, factors, g, dx, parts, first, last):
    """The gradients of blocks first to last, each of BLOCK rows.

    With n the normalised row and h = g * weight: dx = factor * (h - mean(h) - n * mean(h * n)), without mean(h) for RMSNorm.
    Fills parts (blocks, 2, width) with each block's sums of g * n and of g, for weight and bias.
    """
    rows, width = x.shape
    fraction = x.dtype.type(1 / max(width, 1))
    normal, h = np.empty(width, x.dtype), np.empty(width, x.dtype)
    for block in range(first, last):
        parts[block] = 0
        for i in range(block * BLOCK, min((block + 1) * BLOCK, rows)):
            factor = factors[i]
            subtract(x[i], means[i], normal)
            scale_in_place(normal, factor)
            if weight.size > 0:
                _add_product(g[i], normal, parts[block, 0])
                for j in range(width):
                    h[j] = g[i, j] * weight[j]
                if bias.size > 0:
                    for j in range(width):
                        parts[block, 1, j] += g[i, j]
            else:
                for j in range(width):
                    h[j] = g[i, j]
            _row_gradient(
                normal, h, factor, total(h) * fraction if centre else x.dtype.type(0), dot(h, normal) * fraction, dx[i]
            )


@kernel
def _add_product(x, y, out):
    """out += x * y."""
    for j in range(x.size):
        out[j] += x[j] * y[j]


@kernel
def _row_gradient(normal, h, factor, mean, projection, out):
    for j in range(normal.size):
        out[j] = factor * (h[j] - mean - normal[j] * projection)


def norm(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, centre: bool, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """LayerNorm (centre) or RMSNorm of each row of x (..., width), times weight (width,), plus bias (width,).

    Returns the result, and the rows' means and factors for `norm_backward`.
    """
    rows, width = door.rows("norm", x)
    door.fits("norm", x.dtype, weight=(weight, (width,)), bias=(bias, (width,)))
    x = np.asarray(x, order="C")
    out, means, factors = np.empty_like(x), np.empty(rows, x.dtype), np.empty(rows, x.dtype)
    weight, bias = _given(weight, x), _given(bias, x)
    flat, flat_out = x.reshape((rows, width)), out.reshape((rows, width))
    threads.share_rows(rows, 2 * width, _norm_rows, flat, weight, bias, centre, eps, flat_out, means, factors)
    return out, means, factors


def norm_backward(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    centre: bool,
    means: np.ndarray,
    factors: np.ndarray,
    g: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of x, weight and bias, from g, that of the result."""
    rows, width = door.rows("norm_backward", x)
    of_rows, of_columns = (rows,), (width,)
    door.fits(
        "norm_backward", x.dtype, weight=(weight, of_columns), bias=(bias, of_columns), means=(means, of_rows),
        factors=(factors, of_rows), g=(g, x.shape),
    )  # fmt: skip
    x, g, means, factors = (np.asarray(a, order="C") for a in (x, g, means, factors))
    dx = np.empty_like(x)
    flat, flat_g, flat_dx = x.reshape((rows, width)), g.reshape((rows, width)), dx.reshape((rows, width))
    blocks = -(-rows // BLOCK)
    parts = np.zeros((blocks, 2, width), x.dtype)
    threads.share_rows(
        blocks,
        4 * width * BLOCK,
        _norm_gradients,
        flat,
        _given(weight, x),
        _given(bias, x),
        centre,
        means,
        factors,
        flat_g,
        flat_dx,
        parts,
    )
    sums = parts.sum(axis=0)
    return dx, sums[0], sums[1]


def _given(x: np.ndarray | None, like: np.ndarray) -> np.ndarray:
    return np.empty(0, like.dtype) if x is None else np.asarray(x, order="C")
