"""Rotary positions: the numbers of a head, taken in pairs, turned by angles that grow with the position; forward and backward.

The queries and keys of all heads lie side by side in a row, the values after them. One pass over memory brings each query and
key to length sqrt(head_width), if that is asked for, turns it, and copies the values.
"""

from __future__ import annotations

import numpy as np

from microtensor.kernels.runtime import door, threads
from microtensor.kernels.runtime.jit import kernel


@kernel
def _turn(x, cosines, sines, factor, out):
    """out = factor * x with the pairs (x[i], x[i + half]) turned."""
    half = cosines.size
    a, b, to_a, to_b = x[:half], x[half:], out[:half], out[half:]
    for i in range(half):
        to_a[i] = factor * (a[i] * cosines[i] - b[i] * sines[i])
        to_b[i] = factor * (b[i] * cosines[i] + a[i] * sines[i])


@kernel
def _turn_back(g, cosines, sines, out):
    half = cosines.size
    a, b, to_a, to_b = g[:half], g[half:], out[:half], out[half:]
    for i in range(half):
        to_a[i] = a[i] * cosines[i] + b[i] * sines[i]
        to_b[i] = b[i] * cosines[i] - a[i] * sines[i]


@kernel
def _dot(x, y):
    s = x.dtype.type(0)
    for i in range(x.size):
        s += x[i] * y[i]
    return s


@kernel
def _rotate_rows(x, turned, cosines, sines, normalise, eps, out, factors, first, last):
    """Rows first to last of x (rows, width), of which the first `turned` heads are turned and the others copied."""
    head = 2 * cosines.shape[1]
    time = cosines.shape[0]
    one, fraction = x.dtype.type(1), x.dtype.type(1 / max(head, 1))
    for i in range(first, last):
        at = i % time
        for h in range(turned):
            mine = x[i, h * head : (h + 1) * head]
            factor = one
            if normalise:
                factor = one / np.sqrt(_dot(mine, mine) * fraction + eps)
                factors[i, h] = factor
            _turn(mine, cosines[at], sines[at], factor, out[i, h * head : (h + 1) * head])
        rest, there = x[i, turned * head :], out[i, turned * head :]
        for j in range(rest.size):
            there[j] = rest[j]


@kernel
def _rotate_gradients(x, g, turned, cosines, sines, normalise, factors, dx, first, last):
    """With n the normalised numbers and h the gradient turned back: dx = factor * (h - n * mean(h * n))."""
    head = 2 * cosines.shape[1]
    time = cosines.shape[0]
    fraction = x.dtype.type(1 / max(head, 1))
    for i in range(first, last):
        at = i % time
        for h in range(turned):
            mine, there = x[i, h * head : (h + 1) * head], dx[i, h * head : (h + 1) * head]
            _turn_back(g[i, h * head : (h + 1) * head], cosines[at], sines[at], there)
            if normalise:
                factor = factors[i, h]
                along = _dot(mine, there) * factor * factor * fraction
                for j in range(head):
                    there[j] = factor * (there[j] - mine[j] * along)
        rest, there = g[i, turned * head :], dx[i, turned * head :]
        for j in range(rest.size):
            there[j] = rest[j]


def rotate(
    x: np.ndarray, turned: int, cosines: np.ndarray, sines: np.ndarray, normalise: bool, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """The first `turned` heads of each row turned by its position; the rest of the row as it is.

    Args:
        x: (..., time, width), the heads side by side.
        turned: how many heads are turned.
        cosines, sines: (time, head_width / 2), of the angle by which each pair of numbers of a head is turned at each position;
            number i makes a pair with number i + head_width / 2.
        normalise: divide each head that is turned by its root mean square first, to whose square `eps` is added.

    Returns the result and the factors (rows, turned) of the normalisation, for `rotate_backward`.
    """
    width = _check("rotate", x, turned, cosines, sines)
    x = np.asarray(x, order="C")
    rows = x.reshape((-1, width))
    out, factors = np.empty_like(rows), np.empty((len(rows), turned if normalise else 0), x.dtype)
    threads.share_rows(
        len(rows), 2 * width, _rotate_rows, rows, turned, cosines, sines, normalise, x.dtype.type(eps), out, factors
    )
    return out.reshape(x.shape), factors


def rotate_backward(
    x: np.ndarray, g: np.ndarray, turned: int, cosines: np.ndarray, sines: np.ndarray, normalise: bool, factors: np.ndarray
) -> np.ndarray:
    """The gradient of x, from g, that of the result of `rotate`."""
    width = _check("rotate_backward", x, turned, cosines, sines)
    kept = (x.size // width, turned if normalise else 0)
    door.fits("rotate_backward", x.dtype, g=(g, x.shape), factors=(factors, kept))
    x, g, factors = (np.asarray(a, order="C") for a in (x, g, factors))
    rows = x.reshape((-1, width))
    dx = np.empty_like(rows)
    threads.share_rows(
        len(rows), 2 * width, _rotate_gradients, rows, g.reshape((-1, width)), turned, cosines, sines, normalise, factors, dx
    )
    return dx.reshape(x.shape)


def _check(kernel: str, x: np.ndarray, turned: int, cosines: np.ndarray, sines: np.ndarray) -> int:
    """The width of a row. Raises ValueError unless positions and angles are as many, and the heads have room."""
    if not isinstance(x, np.ndarray) or x.ndim < 2 or not isinstance(cosines, np.ndarray) or cosines.ndim != 2:
        raise ValueError(f"{kernel}: needs x (..., time, width) and angles (time, pairs), not {door.shown(x)}")
    time, width = x.shape[-2:]
    angles = (time, cosines.shape[1])
    door.fits(kernel, x.dtype, x=(x, x.shape), cosines=(cosines, angles), sines=(sines, angles))
    if not 0 <= 2 * turned * cosines.shape[1] <= width or not x.size:
        raise ValueError(f"{kernel}: {turned} heads of {2 * cosines.shape[1]} numbers don't lie in {door.shown(x)}")
    return width
