"""Softmax and log-softmax of the rows of a matrix, forward and backward; and the parts of them that other kernels need."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from microtensor.kernels.math import exp
from microtensor.kernels.runtime import door, threads
from microtensor.kernels.runtime.jit import intrinsic, kernel
from microtensor.kernels.runtime.simd import array_pointer, load_vector, prefetch_range

#: Rows are padded to a multiple of this many numbers: a vector register of the widest kind.
STRIDE = 16

#: Memory is asked for so many rows ahead, where a row has at least so many bytes. (Short ones the processor foresees.)
AHEAD, LONG = 4, 512


def _reduction(name: str, whole: str) -> Any:
    """Make a function that folds n numbers of a flat array, a vector at a time, by LLVM's `name`, and the vector by `whole`."""

    @intrinsic
    def reduce(typing: Any, x: Any, at: Any, n: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, at, n = arguments
            size = signature.return_type.bitwidth // 8
            number = context.get_value_type(signature.return_type)
            vector = ir.VectorType(number, STRIDE)

            def call(name: str, result: Any, *inputs: Any, **options: Any) -> Any:
                kind = ir.FunctionType(result, [i.type for i in inputs])
                function = cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{STRIDE}f{8 * size}")
                return builder.call(function, inputs, **options)

            def fold(left: Any, right: Any) -> Any:
                return builder.fadd(left, right) if name == "add" else call(name, vector, left, right)

            folded = cgutils.alloca_once(builder, vector)
            pointer = array_pointer(context, builder, signature.args[0], x, at)
            builder.store(load_vector(builder, pointer, vector, size), folded)
            step = ir.Constant(n.type, STRIDE)
            with cgutils.for_range_slice(builder, step, n, step) as (i, _):
                here = load_vector(builder, builder.gep(pointer, [i]), vector, size)
                builder.store(fold(builder.load(folded), here), folded)
            start = [ir.Constant(number, 0.0)] if name == "add" else []
            return call(whole, number, *start, builder.load(folded), fastmath=("reassoc",) if name == "add" else ())

        return x.dtype(x, at, n), generate

    return reduce


#: largest(x, at, n): the largest of x[at : at + n], for x flat and n a multiple of STRIDE (not 0); NaN if there is one. LLVM
#: doesn't vectorise a loop with `if x[i] > most`, because of NaN.
largest = _reduction("llvm.maximum", "llvm.vector.reduce.fmaximum")

#: padded_total(x, at, n): the sum of x[at : at + n], under the same conditions. (`total` takes any array, and what a row has
#: beyond a multiple of 64 it adds one by one.)
padded_total = _reduction("add", "llvm.vector.reduce.fadd")


@kernel
def padded(n):
    """The next multiple of STRIDE."""
    return (n + STRIDE - 1) // STRIDE * STRIDE


@kernel(inner=True)
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


@kernel(sums=True, inner=True)
def dot(x, y):
    """The sum of the products of two flat arrays."""
    result = x.dtype.type(0)
    for j in range(x.size):
        result += x[j] * y[j]
    return result


@kernel(inner=True)
def scale(x, factor, out):
    """out = factor * x."""
    for j in range(x.size):
        out[j] = factor * x[j]


@kernel
def scale_in_place(x, factor):
    """x *= factor."""
    for j in range(x.size):
        x[j] *= factor


@kernel(inner=True)
def subtract(x, shift, out):
    """out = x - shift."""
    for j in range(x.size):
        out[j] = x[j] - shift


@kernel
def _logarithms(x, shift, log_total, out):
    """out = x - shift - log_total, the shift first: where x is huge, its sum with the logarithm would lose the latter."""
    for j in range(x.size):
        out[j] = (x[j] - shift) - log_total


@kernel
def _start(x, shifts, r, powers):
    """powers = e^(x - shifts[r]); where nothing is possible (all -inf) the shift becomes 0, and all powers 0."""
    if shifts[r] == -np.inf:
        shifts[r] = 0
    exponentials(x, shifts[r], powers)


@kernel(inner=True)
def softmax_of_block(x, at, width, rows, raw, powers, p, shifts, totals):
    """The parts of softmax for a few rows of a flat array, from x[at].

    Fills powers[p:] (rows, padded width) with e^(x - shift), shifts with the largest of each row (0 where all is -inf) and
    totals with the sums of the powers (1 there: all probabilities are 0). raw is for rows that must be padded; it holds -inf.
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
            scale(x[at + r * width : at + (r + 1) * width], x.dtype.type(1), raw[r * n : r * n + width])
        for r in range(rows):
            shifts[r] = largest(raw, r * n, n)
        for r in range(rows):
            _start(raw[r * n : r * n + n], shifts, r, powers[p + r * n : p + r * n + n])
    for r in range(rows):
        totals[r] = padded_total(powers, p + r * n, n)
        if totals[r] == 0:
            totals[r] = 1


@kernel
def rows_together(width):
    """The number of rows that take each step together: one row's steps wait for each other, another row's don't."""
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
                _logarithms(x[at : at + width], shifts[r], np.log(totals[r]), out[at : at + width])
            else:
                scale(powers[r * n : r * n + width], one / totals[r], out[at : at + width])


@kernel
def _softmax_gradients(y, g, width, logarithm, out, first, last):
    """The gradient of what went into softmax, or log-softmax, from what came out (y) and its gradient (g)."""
    for i in range(first * width, last * width, width):
        p, gradient, result = y[i : i + width], g[i : i + width], out[i : i + width]
        if logarithm:
            gradient_sum = total(gradient)
            for j in range(width):
                result[j] = gradient[j] - exp(p[j]) * gradient_sum
        else:
            mean = dot(p, gradient)
            for j in range(width):
                result[j] = p[j] * (gradient[j] - mean)


def softmax(x: np.ndarray, logarithm: bool = False) -> np.ndarray:
    """e^x / sum(e^x) over the last axis of x (..., width), or its logarithm. A row that is all -inf gives zeros (or stays)."""
    rows, width = door.rows("softmax", x)
    x = np.asarray(x, order="C")
    out = np.empty_like(x)
    if x.size:
        threads.share_rows(rows, 4 * width, _softmax_rows, x.reshape(-1), width, logarithm, out.reshape(-1))
    return out


def softmax_backward(y: np.ndarray, g: np.ndarray, logarithm: bool = False) -> np.ndarray:
    """The gradient of x, from y = softmax(x) or its logarithm, and the gradient g of y."""
    rows, width = door.rows("softmax_backward", y)
    door.fits("softmax_backward", y.dtype, g=(g, y.shape))
    y, g = np.asarray(y, order="C"), np.asarray(g, order="C")
    out = np.empty_like(y)
    if y.size:
        threads.share_rows(rows, 3 * width, _softmax_gradients, y.reshape(-1), g.reshape(-1), width, logarithm, out.reshape(-1))
    return out
