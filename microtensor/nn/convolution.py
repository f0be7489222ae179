"""Convolutions in one direction, along time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor.nn.layers import normal
from microtensor.nn.module import Module
from microtensor.ops import convolution
from microtensor.tensor import Tensor


class Conv1d(Module):
    """`conv1d` with a weight and a bias: (batch, inputs, length) to (batch, outputs, length of the result), as in PyTorch.

    Args:
        inputs, outputs: the numbers of channels. weight is (outputs, inputs / groups, kernel_size), PyTorch's shape.
        kernel_size: how many steps of time one result sees.
        stride: how many steps lie between two results.
        padding: how many zeros are put at either end.
        dilation: how many steps lie between two that one result sees.
        groups: into how many parts the channels are divided, each with outputs of its own.
        bias: whether there is one, (outputs,), starting at 0.
        init_std: the standard deviation that weights start with; 1 / sqrt(inputs / groups * kernel_size) unless given.
        rng: draws them.

    Raises ValueError where the groups don't divide the channels.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        init_std: float | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        if groups < 1 or inputs % groups or outputs % groups:
            raise ValueError(f"Conv1d: {groups} groups don't divide {inputs} inputs and {outputs} outputs")
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        seen = inputs // groups * kernel_size
        shape = (outputs, inputs // groups, kernel_size)
        self.weight = normal(shape, 1 / math.sqrt(seen) if init_std is None else init_std, rng)
        self.bias = Tensor(np.zeros(outputs, np.float32), requires_grad=True) if bias else None

    def forward(self, x: Any) -> Any:
        """(batch, inputs, length) to (batch, outputs, length of the result)."""
        return convolution.conv1d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class CausalConv1d(Module):
    """`causal_conv1d` with a weight and a bias: no step sees those after it.

    Args:
        inputs, outputs: the numbers of channels.
        kernel_size: how many steps one result sees.
        dilation: how many steps lie between two that one result sees.
        depthwise: each channel sees itself alone; inputs and outputs are then the same number.
        bias: whether there is one, (outputs,), starting at 0.
        init_std: the standard deviation that weights start with; 1 / sqrt(the numbers that a result is a sum of) unless given.
        rng: draws them.

    Raises ValueError for a depthwise one with another number of outputs than inputs.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        dilation: int = 1,
        depthwise: bool = False,
        bias: bool = True,
        init_std: float | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        if depthwise and inputs != outputs:
            raise ValueError(f"CausalConv1d: a depthwise one has as many outputs as inputs, not {outputs} and {inputs}")
        self.dilation = dilation
        shape = (kernel_size, inputs) if depthwise else (kernel_size, inputs, outputs)
        seen = kernel_size * (1 if depthwise else inputs)
        self.weight = normal(shape, 1 / math.sqrt(seen) if init_std is None else init_std, rng)
        self.bias = Tensor(np.zeros(outputs, np.float32), requires_grad=True) if bias else None

    def forward(self, x: Any, cache: Any = None) -> Any:
        """(..., time, inputs) to (..., time, outputs); with a cache, after the steps that it remembers."""
        return convolution.causal_conv1d(x, self.weight, self.bias, self.dilation, cache)
