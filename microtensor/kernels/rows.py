"""What works on each row of a matrix by itself: softmax and log-softmax, forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from microtensor.kernels import threads
from microtensor.kernels.elementary import exp
from microtensor.kernels.jit import intrinsic, kernel
from microtensor.kernels.vectors import array_pointer, load_vector, prefetch_range

#: Rows are padded to a multiple of this many numbers: a vector register of the widest kind.
STRIDE = 16

#: How many rows ahead memory is asked for, where a row has at least so many bytes. (Short ones the processor foresees.)
AHEAD, LONG = 4, 512

@intrinsic
def largest(typing: Any, x: Any, at: Any, n: Any) -> Any:
    """largest(x, at, n): the largest of x[at : at + n], for x flat and n a multiple of STRIDE; NaN if there is one.

    LLVM doesn't vectorise a loop with `if x[i] > most`, because of NaN.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, at, n = arguments
        number = context.get_value_type(signature.return_type)
        bits = signature.return_type.bitwidth
        vector = ir.VectorType(number, STRIDE)

        def function(name: str, result: Any, inputs: list[Any]) -> Any:
            return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, inputs), f"{name}.v{STRIDE}f{bits}")

        maximum = function("llvm.maximum", vector, [vector, vector])
        most = cgutils.alloca_once(builder, vector)
        pointer = array_pointer(context, builder, signature.args[0], x, at)
        builder.store(load_vector(builder, pointer, vector, bits // 8), most)
        step = ir.Constant(n.type, STRIDE)
        with cgutils.for_range_slice(builder, step, n, step) as (i, _):
            here = load_vector(builder, builder.gep(pointer, [i]), vector, bits // 8)
            builder.store(builder.call(maximum, [builder.load(most), here]), most)
        return builder.call(function("llvm.vector.reduce.fmaximum", number, [vector]), [builder.load(most)])

    return x.dtype(x, at, n), generate


@intrinsic
def copy(typing: Any, source: Any, s: Any, target: Any, t: Any, n: Any) -> Any:
    """copy(source, s, target, t, n): target[t : t + n] = source[s : s + n], for flat arrays of one type."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, s, target, t, n = arguments
        here = array_pointer(context, builder, signature.args[0], source, s)
        there = array_pointer(context, builder, signature.args[2], target, t)
        cgutils.raw_memcpy(builder, there, here, n, signature.args[2].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(source, s, target, t, n), generate


@kernel
def padded(n):
    """The next multiple of STRIDE."""
    return (n + STRIDE - 1) // STRIDE * STRIDE


@kernel
def exponentials(x, shift, out):
    """out = e^(x - shift)."""
    for j in range(x.size):
        out[j] = exp(x[j] - shift)


@kernel(sums=True)
def total(x):
    """The sum of a flat array."""
    result = x.dtype.type(0)
    for j in range(x.size):
        result += x[j]
    return result


@kernel(sums=True)
def dot(x, y):
    """The sum of the products of two flat arrays."""
    result = x.dtype.type(0)
    for j in range(x.size):
        result += x[j] * y[j]
    return result


@kernel
def scale(x, factor, out):
    """out = factor * x."""
    for j in range(x.size):
        out[j] = factor * x[j]


@kernel
def scale_in_place(x, factor):
    """x *= factor."""
    for j in range(x.size):
        x[j] *= factor


@kernel
def subtract(x, shift, out):
    """out = x - shift."""
    for j in range(x.size):
        out[j] = x[j] - shift


@kernel
def _start(x, shifts, r, powers):
    """powers = e^(x - shifts[r]); where nothing is possible (all -inf) the shift becomes 0, and all powers 0."""
    if shifts[r] == -np.inf:
        shifts[r] = 0
    exponentials(x, shifts[r], powers)


@kernel
def softmax_of_block(x, at, width, rows, raw, powers, p, shifts, totals):
    """The parts of softmax for a few rows of a flat array, from x[at].

    Fills powers[p:] (rows, padded width) with e^(x - shift), shifts with the largest of each row (0 where all is -inf) and totals
    with the sums of the powers (1 there: all probabilities are 0). raw is for rows that must be padded; it holds -inf.
    """
    n = padded(width)
    length = width * x.itemsize
    ahead = x.ctypes.data + at * x.itemsize + rows * length
    if n == width:  # nothing to pad: no need to copy
        for r in range(rows):
            shifts[r] = largest(x, at + r * n, n)
        for r in range(rows):
            if length >= LONG:
                prefetch_range(ahead + r * length, length)  # the rows after these, a few at a time
            _start(x[at + r * n : at + r * n + n], shifts, r, powers[p + r * n : p + r * n + n])
    else:
        for r in range(rows):
            copy(x, at + r * width, raw, r * n, width)
        for r in range(rows):
            shifts[r] = largest(raw, r * n, n)
        for r in range(rows):
            _start(raw[r * n : r * n + n], shifts, r, powers[p + r * n : p + r * n + n])
    for r in range(rows):
        totals[r] = total(powers[p + r * n : p + r * n + n])
        if totals[r] == 0:
            totals[r] = 1


@kernel
def rows_together(width):
    """How many rows are taken through each step together: one row's steps wait for each other, another row's don't."""
    return max(2, min(16, 1024 // padded(width)))


@kernel
def _softmax_rows(x, width, logarithm, out, first, last):
    """Rows first to last of softmax, or of its logarithm; x and out are (rows * width,), row after row."""
    n = padded(width)
    together = rows_together(width)
    in_place = n == width and not logarithm
    raw = np.full(together * n, -np.inf, x.dtype)
    powers = out if in_place else np.empty(together * n, x.dtype)
    shifts, totals = np.empty(together, x.dtype), np.empty(together, x.dtype)
    one = x.dtype.type(1)
    for i in range(first, last, together):
        rows = min(together, last - i)
        softmax_of_block(x, i * width, width, rows, raw, powers, i * width if in_place else 0, shifts, totals)
        for r in range(rows):
            at = (i + r) * width
            if width * out.itemsize >= LONG:
                prefetch_range(out.ctypes.data + (at + AHEAD * width) * out.itemsize, width * out.itemsize)
            if in_place:
                scale_in_place(out[at : at + width], one / totals[r])
            elif logarithm:
                subtract(x[at : at + width], shifts[r] + np.log(totals[r]), out[at : at + width])
            else:
                scale(powers[r * n : r * n + width], one / totals[r], out[at : at + width])


@kernel
def _softmax_slopes(y, g, width, logarithm, out, first, last):
    """The gradient of what went into softmax, or log-softmax, from what came out (y) and its gradient (g)."""
    for i in range(first * width, last * width, width):
        p, gradient, slope = y[i : i + width], g[i : i + width], out[i : i + width]
        if logarithm:
            all_of_it = total(gradient)
            for j in range(width):
                slope[j] = gradient[j] - exp(p[j]) * all_of_it
        else:
            mean = dot(p, gradient)
            for j in range(width):
                slope[j] = p[j] * (gradient[j] - mean)


def softmax(x: np.ndarray, logarithm: bool = False) -> np.ndarray:
    """e^x / sum(e^x) over the last axis of x (..., width), or its logarithm. A row that is all -inf gives zeros (or stays)."""
    x = np.asarray(x, order="C")
    out = np.empty_like(x)
    width = x.shape[-1]
    if x.size:
        threads.share_rows(x.size // width, 4 * width, _softmax_rows, x.reshape(-1), width, logarithm, out.reshape(-1))
    return out


def softmax_backward(y: np.ndarray, g: np.ndarray, logarithm: bool = False) -> np.ndarray:
    """The gradient of x, from y = softmax(x) or its logarithm, and the gradient g of y."""
    g = np.asarray(g, order="C")
    out = np.empty_like(y)
    width = y.shape[-1]
    if y.size:
        threads.share_rows(
            y.size // width, 3 * width, _softmax_slopes, y.reshape(-1), g.reshape(-1), width, logarithm, out.reshape(-1)
        )
    return out
