"""Convolution along time: one small weight, moved over every part of a sequence. Each part it sees is a window, and all windows
together are multiplied by the weight as one product of matrices.

`conv1d` is PyTorch's. `causal_conv1d` is for language: steps are rows, as everywhere else here, and none sees those after it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.kernels.runtime import config
from microtensor.ops.linear import linear, refuse_other_dtype
from microtensor.ops.matmul import matmul
from microtensor.ops.shape import pad
from microtensor.recording import thread
from microtensor.tensor import Tensor, as_array, wrap


def _slices(length: int, size: int, stride: int, dilation: int) -> list[slice]:
    """For each position in a window, where all windows have theirs."""
    last = length - dilation * (size - 1)
    return [slice(k * dilation, k * dilation + last, stride) for k in range(size)]


@differentiable(linear=True)
def _windows(x: Any, /, size: int, stride: int, dilation: int) -> Result:
    """(..., length) to (..., size, windows): every stretch of x of that size, one a column."""
    length = x.shape[-1]
    y = np.stack([x[..., part] for part in _slices(length, size, stride, dilation)], axis=-2)
    return y, lambda g: (_added_up(g, length=length, stride=stride, dilation=dilation),)


@differentiable(linear=True)
def _added_up(g: Any, /, length: int, stride: int, dilation: int) -> Result:
    """(..., size, windows) to (..., length): every window added where it was taken from, the pullback of taking them."""
    size = g.shape[-2]
    y = np.zeros((*g.shape[:-2], length), g.dtype)
    for k, part in enumerate(_slices(length, size, stride, dilation)):
        y[..., part] += g[..., k, :]
    return y, lambda h: (_windows(h, size=size, stride=stride, dilation=dilation),)


@composed
def conv1d(
    x: Any, weight: Any, bias: Any = None, /, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1
) -> Any:
    """The weight, moved along the last axis of x; shapes and options are PyTorch's.

    Args:
        x: (..., channels, length).
        weight: (outputs, channels / groups, size).
        bias: (outputs,), or None.
        stride: how many steps lie between two results.
        padding: how many zeros are put at either end of x.
        dilation: how many steps lie between two that one result sees.
        groups: into how many parts channels and outputs are divided; each part of the outputs sees one of the channels.

    Returns (..., outputs, (length + 2 * padding - dilation * (size - 1) - 1) // stride + 1). Raises ValueError for shapes and
    options that don't fit.
    """
    refuse_other_dtype("conv1d", x, weight)
    if min(stride, dilation, groups) < 1 or padding < 0:
        raise ValueError("conv1d: stride, dilation and groups must be at least 1, and padding at least 0")
    if x.ndim < 2 or weight.ndim != 3:
        raise ValueError(
            "conv1d: x must be (batch, channels, length) and weight (outputs, channels / groups, size), "
            f"not {x.shape} and {weight.shape}"
        )
    outputs, seen, size = weight.shape
    *lead, channels, length = x.shape
    if channels != seen * groups or outputs % groups:
        raise ValueError(
            f"conv1d: a weight of shape {weight.shape} in {groups} groups takes {seen * groups} channels, "
            f"but x of shape {x.shape} has {channels} (its axes are batch, channels, length)"
        )
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"conv1d: bias must be {(outputs,)}, one number an output, not {bias.shape}")
    if length + 2 * padding < dilation * (size - 1) + 1:
        raise ValueError(
            f"conv1d: a window of {size} steps, {dilation} apart, is longer than x of length {length} with padding {padding}"
        )
    if padding:
        x = pad(x, ((0, 0),) * (x.ndim - 1) + ((padding, padding),))
    seen_by_group = _windows(x, size=size, stride=stride, dilation=dilation)
    windows = seen_by_group.shape[-1]
    columns = seen_by_group.reshape((*lead, groups, seen * size, windows))
    y = matmul(weight.reshape((groups, outputs // groups, seen * size)), columns).reshape((*lead, outputs, windows))
    return y if bias is None else y + bias.reshape((outputs, 1))


@differentiable(linear=True)
def _seen(x: Any, /, size: int, dilation: int, before: int = 0) -> Result:
    """(..., before + time, channels) to (..., time, size * channels): for each step but the first `before`, the steps that it
    sees side by side, the last of them itself; zeros where there are none."""
    *lead, rows, channels = x.shape
    time = rows - before
    y = np.zeros((*lead, time, size, channels), x.dtype)
    for k in range(size):
        apart = (size - 1 - k) * dilation
        empty = min(max(apart - before, 0), time)
        y[..., empty:, k, :] = x[..., before + empty - apart : rows - apart, :]
    return y.reshape((*lead, time, size * channels)), lambda g: (_given_back(g, size=size, dilation=dilation, before=before),)


@differentiable(linear=True)
def _given_back(g: Any, /, size: int, dilation: int, before: int = 0) -> Result:
    """(..., time, size * channels) to (..., before + time, channels): the pullback of `_seen`."""
    *lead, time, width = g.shape
    rows = before + time
    apart_of = [(size - 1 - k) * dilation for k in range(size)]
    g = g.reshape((*lead, time, size, width // size))
    y = np.zeros((*lead, rows, width // size), g.dtype)
    for k, apart in enumerate(apart_of):
        empty = min(max(apart - before, 0), time)
        y[..., before + empty - apart : rows - apart, :] += g[..., empty:, k, :]
    return y, lambda h: (_seen(h, size=size, dilation=dilation, before=before),)


def _depthwise_in_ops(x: Any, weight: Any, bias: Any = None, dilation: int = 1, before: int = 0) -> Any:
    """Each channel's own convolution in other ops, or on plain arrays."""
    size, channels = weight.shape
    seen = _seen(x, size=size, dilation=dilation, before=before)
    y = (seen.reshape((*seen.shape[:-1], size, channels)) * weight).sum(axis=-2)
    return y if bias is None else y + bias


def _depthwise_of_few_rows(x: Any, weight: Any, bias: Any = None, dilation: int = 1) -> Any:
    return _depthwise_in_ops(x, weight, bias, dilation) if config.few_rows(x) else None


@differentiable(name="causal_conv1d", composite=_depthwise_in_ops, few_rows=_depthwise_of_few_rows)
def _depthwise(x: Any, weight: Any, bias: Any = None, /, dilation: int = 1) -> Result:
    """Each channel's own convolution by a kernel."""
    flat = (math.prod(x.shape[:-2]), *x.shape[-2:])
    y = kernels.convolution.depthwise(x.reshape(flat), weight, bias, dilation)

    def pullback(g: Any) -> Any:
        dx, dweight, dbias = kernels.convolution.depthwise_backward(x.reshape(flat), weight, dilation, g.reshape(flat))
        return dx.reshape(x.shape), dweight, None if bias is None else dbias

    return y.reshape(x.shape), pullback


def _causal(x: Any, weight: Any, bias: Any, dilation: int, before: int) -> Any:
    """The convolution of all steps of x but the first `before`, which are only seen."""
    if weight.ndim == 3:
        size, inputs, outputs = weight.shape
        return linear(_seen(x, size=size, dilation=dilation, before=before), weight.reshape((size * inputs, outputs)), bias)
    if before or not config.kernel_takes(x, weight, bias):
        return _depthwise_in_ops(x, weight, bias, dilation, before)
    return _depthwise(x, weight, bias, dilation=dilation)


@composed
def causal_conv1d(x: Any, weight: Any, bias: Any = None, /, dilation: int = 1, cache: Any = None) -> Any:
    """A convolution in which no step sees those after it: each sees itself and size - 1 others, `dilation` apart, before it.

    y[t] = bias + the sum over k of x[t - (size - 1 - k) * dilation] @ weight[k], where x is 0 before its start.

    Args:
        x: (..., time, channels).
        weight: (size, channels, outputs); or (size, channels), by which each channel is multiplied by itself ("depthwise").
        bias: (outputs,), or None.
        dilation: how many steps lie between two that are seen.
        cache: None, or an object that remembers the last steps: `cache.extend(x)` is given those in x, an array, which it
            copies if it keeps them, and returns them after as many as it has of the (size - 1) * dilation before.

    Returns (..., time, outputs). Raises ValueError for shapes and a dilation that don't fit, TypeError where x isn't float32
    and the weight is, and RuntimeError for a cache where gradients would be recorded.
    """
    refuse_other_dtype("causal_conv1d", x, weight)
    if dilation < 1:
        raise ValueError(f"causal_conv1d: dilation must be at least 1, not {dilation}")
    if x.ndim < 2 or weight.ndim not in (2, 3) or len(weight) < 1 or weight.shape[1] != x.shape[-1]:
        raise ValueError(
            "causal_conv1d: x must be (..., time, channels) and weight (size, channels, outputs) or (size, channels), "
            f"not {x.shape} and {weight.shape}"
        )
    if bias is not None and bias.shape != weight.shape[-1:]:
        raise ValueError(f"causal_conv1d: bias must be {weight.shape[-1:]}, one number an output, not {bias.shape}")
    if cache is None:
        return _causal(x, weight, bias, dilation, 0)
    if thread.mode.recording and any(type(given) is Tensor and given.requires_grad for given in (x, weight, bias)):
        raise RuntimeError(
            "causal_conv1d: a cache holds plain arrays, through which no gradient flows: compute within no_grad(), or without "
            "the cache"
        )
    given = cache.extend(as_array(x))
    y = _causal(given, as_array(weight), None if bias is None else as_array(bias), dilation, given.shape[-2] - x.shape[-2])
    return wrap(y) if type(x) is Tensor else y
