"""exp, tanh, the normal distribution and what is built of them, in arithmetic that LLVM turns into vector instructions.

A library's exp is called for one number at a time. A polynomial without branches is computed for 16 numbers at once. The
largest errors, on a million numbers from -10 to 10 (ulp: units in the result's last place):

    float32    exp 1.4 ulp, tanh 3 ulp, sigmoid and silu 3 ulp; both kinds of gelu 5.2e-7, absolute
    float64    exp 1 ulp, tanh 3 ulp, sigmoid and silu 4 ulp; both kinds of gelu 2e-15, absolute

float32's normal distribution is formula 7.1.26 of Abramowitz and Stegun's Handbook of Mathematical Functions; float64's is
the C library's erfc, which is 25 times as slow. Below -87.3 (-708.3 in float64) e^x counts as 0: its result would have fewer
digits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from microtensor.kernels.runtime.jit import kernel


def _expm1_parts(x):
    """(s, t) with e^x = s * (1 + t), where s is a power of two and t lies between -0.3 and 0.42; for -87 < x < 88.

    e^x = 2^n * e^r, where n is the whole number nearest to x / log(2), and r = x - n log(2) is at most log(2) / 2 in size;
    there float32 needs a polynomial of degree 6 (the one whose largest error is least, 3e-9), and float64 the first 13 terms of
    the Taylor series of e^r - 1, to be exact to the last digit.
    """
    return type(x)(1), np.expm1(x)  # what it means; compiled code uses the function below


@overload(_expm1_parts, jit_options={"fastmath": {"contract"}, "error_model": "numpy"})
def _expm1_parts_of(x):
    if x == types.float32:
        # Adding 1.5 * 2^23 rounds to a whole number n and leaves n in the lowest bits of the sum.
        magic, log2e = np.float32(12582912.0), np.float32(1.4426950408889634)
        high, low = np.float32(0.693359375), np.float32(-2.12194440e-4)  # log(2), in two parts: n * high is exact
        nearest = (1.0, 0.5000000436, 0.1666636481, 0.0416647733, 0.00837905904, 0.00140614222)
        c1, c2, c3, c4, c5, c6 = (np.float32(c) for c in nearest)

        def single(x):
            shifted = x * log2e + magic
            n = shifted - magic
            r = (x - n * high) - n * low
            s = np.int32((np.float32(shifted).view(np.int32) << np.int32(23)) + np.int32(0x3F800000)).view(np.float32)
            return s, r * (c1 + r * (c2 + r * (c3 + r * (c4 + r * (c5 + r * c6)))))

        return single

    wide_magic, wide_log2e = 6755399441055744.0, 1.4426950408889634
    wide_high, wide_low = 6.93147180369123816490e-01, 1.90821492927058770002e-10
    f = [1 / math.factorial(k) for k in range(14)]
    d2, d3, d4, d5, d6, d7, d8, d9, d10, d11, d12, d13 = f[2:]

    def double(x):
        shifted = x * wide_log2e + wide_magic
        n = shifted - wide_magic
        r = (x - n * wide_high) - n * wide_low
        s = np.int64((np.float64(shifted).view(np.int64) << np.int64(52)) + np.int64(0x3FF0000000000000)).view(np.float64)
        tail = d7 + r * (d8 + r * (d9 + r * (d10 + r * (d11 + r * (d12 + r * d13)))))
        return s, r * (1.0 + r * (d2 + r * (d3 + r * (d4 + r * (d5 + r * (d6 + r * tail))))))

    return double


def _lowest(x):
    """Below this e^x counts as 0."""
    return -87.3 if type(x) is np.float32 else -708.3


@overload(_lowest)
def _lowest_of(x):
    lowest = np.float32(-87.3) if x == types.float32 else -708.3
    return lambda x: lowest


def constant(x, value):
    """A number in the type of x: in a kernel, a plain 2.0 would make float64 of everything it touches."""
    return type(x)(value)


@overload(constant)
def _constant(x, value):
    if x == types.float32:
        return lambda x, value: np.float32(value)
    return lambda x, value: value


@kernel
def exp(x):
    """e^x, for x up to 88 (709 in float64): take the largest number off before."""
    s, t = _expm1_parts(x)
    y = s + s * t
    return y if not x < _lowest(x) else constant(x, 0.0)


@kernel
def tanh(x):
    """The hyperbolic tangent, -e / (e + 2) for e = e^(-2|x|) - 1."""
    z = constant(x, -2.0) * abs(x)
    s, t = _expm1_parts(z)
    e = (s - constant(x, 1.0)) + s * t
    e = e if not z < _lowest(x) else constant(x, -1.0)
    y = (constant(x, 0.0) - e) / (e + constant(x, 2.0))
    return y if not x < constant(x, 0.0) else -y


@kernel
def sigmoid(x):
    """1 / (1 + e^-x)."""
    e = exp(-abs(x))
    return (constant(x, 1.0) if not x < constant(x, 0.0) else e) / (constant(x, 1.0) + e)


def _normal(x):
    """(c, e): the fraction of a standard normal distribution that lies below x, and e^(-x^2 / 2)."""
    return type(x)(0.5 * math.erfc(-x * math.sqrt(0.5))), np.exp(-x * x / 2)


@overload(_normal, jit_options={"fastmath": {"contract"}, "error_model": "numpy"})
def _normal_of(x):
    if x == types.float32:
        half, one, zero = np.float32(0.5), np.float32(1.0), np.float32(0.0)
        p = np.float32(0.3275911 * math.sqrt(0.5))
        a1, a2, a3, a4, a5 = (np.float32(0.5 * a) for a in (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429))

        def single(x):
            e = exp(-half * x * x)
            t = one / (one + p * abs(x))
            beyond = e * (t * (a1 + t * (a2 + t * (a3 + t * (a4 + t * a5)))))
            return (one - beyond if not x < zero else beyond), e

        return single
    return lambda x: (0.5 * math.erfc(-x * 0.7071067811865476), math.exp(-0.5 * x * x))


# The activations return their value and their derivative, which share the expensive parts. (Where a caller wants only one,
# the compiler leaves the other out.) Far from 0 one factor overflows while the other is 0, and the product would be NaN.


@kernel
def tanh_both(x):
    """tanh(x) and its derivative."""
    y = tanh(x)
    return y, constant(x, 1.0) - y * y


@kernel
def gelu(x):
    """x times the chance that a standard normal number is below x, and the derivative of that."""
    below, e = _normal(x)
    y = x * below if not x < constant(x, -40.0) else constant(x, 0.0)
    derivative = below + x * e * constant(x, 0.3989422804014327) if not abs(x) > constant(x, 40.0) else below
    return y, derivative


@kernel
def gelu_tanh(x):
    """GPT-2's approximation of gelu, x (1 + tanh(u)) / 2 = x sigmoid(2 u), and its derivative."""
    one = constant(x, 1.0)
    s = sigmoid(constant(x, 1.5957691216057308) * (x + constant(x, 0.044715) * x * x * x))
    inner_derivative = constant(x, 1.5957691216057308) * (one + constant(x, 3 * 0.044715) * x * x)
    y = x * s if not x < constant(x, -40.0) else constant(x, 0.0)
    derivative = s + x * s * (one - s) * inner_derivative if not abs(x) > constant(x, 40.0) else s
    return y, derivative


@kernel
def silu(x):
    """x * sigmoid(x), and its derivative."""
    one = constant(x, 1.0)
    s = sigmoid(x)
    y = x * s if not x < constant(x, -700.0) else constant(x, 0.0)
    derivative = s * (one + x * (one - s)) if not abs(x) > constant(x, 700.0) else s
    return y, derivative


@kernel
def relu(x):
    """x where it is positive, else 0, and its derivative, which is taken as 0 at 0. (NaN stays NaN.)"""
    zero, one = constant(x, 0.0), constant(x, 1.0)
    y = x if not x <= zero else zero
    return y, one if x > zero else y - y


@kernel
def squared_relu(x):
    """x * x where x is positive, else 0, and its derivative. (NaN stays NaN.)"""
    y, _ = relu(x)
    return y * y, y + y
