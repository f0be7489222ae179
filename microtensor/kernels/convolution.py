"""A causal convolution of each channel by itself: every step sees some of the steps before it."""

from __future__ import annotations

import numpy as np

from microtensor.kernels.arithmetic import accumulate
from microtensor.kernels.normalization import add_product
from microtensor.kernels.runtime import door, threads
from microtensor.kernels.runtime.jit import kernel

#: The number of steps that are computed together.
BLOCK = 64


@kernel
def _depthwise(x, weight, bias, dilation, out, first, last):
    """Blocks first to last, each of BLOCK steps of one sequence of x and out (batch, time, channels)."""
    time, size = x.shape[1], len(weight)
    blocks = -(-time // BLOCK)
    for block in range(first, last):
        i, start = block // blocks, block % blocks * BLOCK
        for t in range(start, min(start + BLOCK, time)):
            out[i, t] = bias
            for k in range(size):
                source = t - (size - 1 - k) * dilation
                if source >= 0:
                    add_product(x[i, source], weight[k], out[i, t])


@kernel
def _depthwise_gradients(x, weight, dilation, g, dx, parts, first, last):
    """The same blocks of dx; and each block's part (size + 1, channels) of the gradients of weight and of bias."""
    time, size = x.shape[1], len(weight)
    blocks = -(-time // BLOCK)
    for block in range(first, last):
        i, start = block // blocks, block % blocks * BLOCK
        parts[block] = 0
        for t in range(start, min(start + BLOCK, time)):
            dx[i, t] = 0
            for k in range(size):
                apart = (size - 1 - k) * dilation
                if t + apart < time:
                    add_product(g[i, t + apart], weight[k], dx[i, t])
                if t >= apart:
                    add_product(g[i, t], x[i, t - apart], parts[block, k])
            accumulate(g[i, t], parts[block, size])


def _blocks(x: np.ndarray) -> int:
    return len(x) * -(-x.shape[1] // BLOCK)


def _reach(kernel: str, x: np.ndarray, weight: np.ndarray, dilation: int) -> int:
    """The dilation, or one beyond the start for any that leads there: so a product with it stays a small number.

    Raises ValueError unless x is (batch, time, channels), weight (size, channels), and dilation at least 1.
    """
    if not isinstance(x, np.ndarray) or x.ndim != 3 or not isinstance(weight, np.ndarray) or weight.ndim != 2:
        raise ValueError(f"{kernel}: needs x (batch, time, channels) and weight (size, channels), not {door.shown(x)}")
    door.fits(kernel, x.dtype, x=(x, x.shape), weight=(weight, (len(weight), x.shape[2])))
    if dilation < 1:
        raise ValueError(f"{kernel}: dilation must be at least 1, not {dilation}")
    return min(dilation, x.shape[1])


def depthwise(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, dilation: int) -> np.ndarray:
    """y[:, t] = bias + the sum over k of weight[k] * x[:, t - (size - 1 - k) * dilation], for x (batch, time, channels), weight
    (size, channels) and bias (channels,); before its start, x is 0."""
    dilation = _reach("depthwise", x, weight, dilation)
    door.fits("depthwise", x.dtype, bias=(bias, x.shape[2:]))
    x, weight = np.asarray(x, order="C"), np.asarray(weight, order="C")
    bias = np.zeros(x.shape[2], x.dtype) if bias is None else np.asarray(bias, order="C")
    out = np.empty_like(x)
    threads.share_rows(_blocks(x), BLOCK * weight.size, _depthwise, x, weight, bias, dilation, out)
    return out


def depthwise_backward(
    x: np.ndarray, weight: np.ndarray, dilation: int, g: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of x, weight and bias from g, that of the result."""
    dilation = _reach("depthwise_backward", x, weight, dilation)
    door.fits("depthwise_backward", x.dtype, g=(g, x.shape))
    x, weight, g = (np.asarray(array, order="C") for array in (x, weight, g))
    dx, parts = np.empty_like(x), np.empty((_blocks(x), len(weight) + 1, x.shape[2]), x.dtype)
    threads.share_rows(_blocks(x), 2 * BLOCK * weight.size, _depthwise_gradients, x, weight, dilation, g, dx, parts)
    sums = parts.sum(axis=0)
    return dx, sums[:-1].copy(), sums[-1].copy()
