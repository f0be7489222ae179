"""Optimizer updates, in place: the only kernels that write to what they are given; and the norm for clipping.

All but `sgd` take all parameters at once, as their addresses, so that a model of many small arrays costs one call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from microtensor.kernels.runtime import door, threads
from microtensor.kernels.runtime.jit import kernel
from microtensor.kernels.runtime.simd import at_address

#: The arrays are taken in pieces of at most this many numbers.
PIECE = 2**14


@kernel
def sgd(parameter, gradient, lr):
    """parameter -= lr * gradient, over flat arrays."""
    if parameter.ndim != 1 or gradient.shape != parameter.shape:
        raise ValueError("sgd: the parameter and the gradient must be flat, and of one length")
    rate = parameter.dtype.type(lr)
    for i in range(parameter.size):
        parameter[i] -= rate * gradient[i]


@kernel
def _adamw_pieces(pieces, addresses, factors, like, first, last):
    """AdamW on pieces first to last.

    Args:
        pieces: (n, 3), integers: the array that a piece belongs to, where in it it begins, and its length.
        addresses: (arrays, 4), integers: of the parameter, its gradient, its running mean and its running square.
        factors: (arrays, 6), in the parameters' type: see `adamw`.
        like: an array of that type.
    """
    for n in range(first, last):
        array, start, length = pieces[n]
        at = start * like.itemsize
        parameter, gradient = (
            at_address(addresses[array, 0] + at, length, like),
            at_address(addresses[array, 1] + at, length, like),
        )
        mean, square = at_address(addresses[array, 2] + at, length, like), at_address(addresses[array, 3] + at, length, like)
        _adamw(parameter, gradient, mean, square, factors[array])


@kernel
def _adamw(parameter, gradient, mean, square, factors):
    forget_mean, forget_square, shrink, rate, correction, eps = factors
    for i in range(parameter.size):
        g = gradient[i]
        m = mean[i] + forget_mean * (g - mean[i])
        s = square[i] + forget_square * (g * g - square[i])
        mean[i] = m
        square[i] = s
        parameter[i] = parameter[i] * shrink - rate * m / (np.sqrt(s) * correction + eps)


def adamw(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    means: Sequence[np.ndarray],
    squares: Sequence[np.ndarray],
    factors: Sequence[tuple[float, ...]],
) -> None:
    """Update contiguous arrays of one type in place.

    `factors` has for each array (1 - beta1, 1 - beta2, shrink, rate, correction, eps), and the update is
        mean += (1 - beta1) (gradient - mean);  square += (1 - beta2) (gradient^2 - square)
        parameter = shrink * parameter - rate * mean / (correction * sqrt(square) + eps)
    """
    if not parameters:
        return
    like = _like(parameters)
    written, read = (True, False, True, True), ("parameter", "gradient", "mean", "square")
    addresses = np.array([
        [door.address("adamw", n, a, like.dtype, four[0].shape, w) for n, a, w in zip(read, four, written, strict=True)]
        for four in zip(parameters, gradients, means, squares, strict=True)
    ])  # fmt: skip
    numbers = np.array(factors, like.dtype)
    door.fits("adamw", like.dtype, factors=(numbers, (len(parameters), 6)))
    pieces = _pieces(parameters)
    threads.share_rows(len(pieces), 4 * PIECE, _adamw_pieces, pieces, addresses, numbers, like)


@kernel(mixed=True)
def _squares_of_pieces(pieces, addresses, like, sums, first, last):
    """sums[n] = the sum of the squares of piece n, in float64, where a float32's square neither overflows nor vanishes."""
    for n in range(first, last):
        array, start, length = pieces[n]
        sums[n] = _square_sum(at_address(addresses[array] + start * like.itemsize, length, like))


@kernel(sums=True)
def _square_sum(x):
    result = 0.0
    for i in range(x.size):
        wide = np.float64(x[i])
        result += wide * wide
    return result


def norm_of_all(arrays: Sequence[np.ndarray]) -> float:
    """The square root of the sum of all squares, of contiguous arrays of one type."""
    if not arrays:
        return 0.0
    like = _like(arrays)
    addresses = np.array([door.address("norm_of_all", "an array", a, like.dtype, a.shape) for a in arrays])
    pieces = _pieces(arrays)
    sums = np.empty(len(pieces))
    threads.share_rows(len(pieces), PIECE, _squares_of_pieces, pieces, addresses, like, sums)
    return math.sqrt(float(sums.sum()))


@kernel
def _scale_pieces(pieces, addresses, factor, like, first, last):
    for n in range(first, last):
        array, start, length = pieces[n]
        at = start * like.itemsize
        _scale(at_address(addresses[array, 0] + at, length, like), factor, at_address(addresses[array, 1] + at, length, like))


@kernel
def _scale(x, factor, out):
    for i in range(x.size):
        out[i] = x[i] * factor


def scaled(arrays: Sequence[np.ndarray], factor: float) -> list[np.ndarray]:
    """factor * array for each of several contiguous arrays of one type."""
    if not arrays:
        return []
    like = _like(arrays)
    given = [door.address("scaled", "an array", a, like.dtype, a.shape) for a in arrays]
    results = [np.empty_like(a) for a in arrays]
    addresses = np.array([(a, r.ctypes.data) for a, r in zip(given, results, strict=True)])
    pieces = _pieces(arrays)
    threads.share_rows(len(pieces), PIECE, _scale_pieces, pieces, addresses, like.dtype.type(factor), like)
    return results


def _like(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """An empty array that tells kernels the type of several."""
    return np.empty(0, arrays[0].dtype if arrays[0].dtype in door.FLOATS else np.float32)


def _pieces(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """All arrays, cut to pieces: (n, 3), the array's number, the start and the length of each piece."""
    return np.array(
        [(i, start, min(PIECE, a.size - start)) for i, a in enumerate(arrays) for start in range(0, a.size, PIECE)], np.int64
    ).reshape((-1, 3))
