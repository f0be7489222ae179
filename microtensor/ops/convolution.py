"""Convolution along time: one small weight, moved over every part of a sequence. Each part it sees is a window, and all windows
together are multiplied by the weight as one product of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.differentiable import Result, composed, differentiable
from microtensor.ops.linear import refuse_other_dtype
from microtensor.ops.matmul import matmul
from microtensor.ops.shape import pad


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
