"""Cells of recurrent networks: one step in time, from an input and the hidden state to the next hidden state.

A network is a loop over its steps: `for x in inputs: h = cell(x, h)`. The formulas, the names of the parameters and the order
of the gates are PyTorch's. Its weights are these, transposed: here `x @ weight` reads as it is written.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor.nn.layers import normal
from microtensor.nn.module import Module
from microtensor.ops.activations import relu, sigmoid, tanh
from microtensor.ops.linear import linear
from microtensor.ops.shape import split
from microtensor.tensor import Tensor


class _Cell(Module):
    """What the cells share: weights from the input and from the hidden state, for each of their gates side by side.

    weight_ih is (inputs, gates * hidden), weight_hh (hidden, gates * hidden), bias_ih and bias_hh are (gates * hidden,) or
    None. Weights start normally distributed, with standard deviation 1 / sqrt(rows), drawn by `rng`; biases start at 0.
    """

    gates = 1

    def __init__(self, inputs: int, hidden: int, bias: bool = True, rng: np.random.Generator | None = None) -> None:
        width = self.gates * hidden
        self.hidden = hidden
        self.weight_ih = normal((inputs, width), 1 / math.sqrt(inputs), rng)
        self.weight_hh = normal((hidden, width), 1 / math.sqrt(hidden), rng)
        self.bias_ih = Tensor(np.zeros(width, np.float32), requires_grad=True) if bias else None
        self.bias_hh = Tensor(np.zeros(width, np.float32), requires_grad=True) if bias else None

    def start(self, x: Any) -> np.ndarray:
        """The hidden state before the first step: zeros (..., hidden) for x (..., inputs)."""
        return np.zeros((*np.shape(x)[:-1], self.hidden), self.weight_hh.dtype)

    def from_input(self, x: Any) -> Any:
        """The input's part in every gate: (..., inputs) to (..., gates * hidden)."""
        return linear(x, self.weight_ih, self.bias_ih)

    def from_hidden(self, h: Any) -> Any:
        """The hidden state's part in every gate: (..., hidden) to (..., gates * hidden)."""
        return linear(h, self.weight_hh, self.bias_hh)


class RNNCell(_Cell):
    """The simple recurrent network of Elman (1990): h' = tanh(x @ weight_ih + bias_ih + h @ weight_hh + bias_hh).

    Args:
        inputs, hidden: the widths of x and h. weight_ih is (inputs, hidden), weight_hh (hidden, hidden), biases (hidden,).
        bias: whether there are any; they start at 0.
        rng: draws the weights, with standard deviation 1 / sqrt(rows).
        nonlinearity: "tanh" or "relu".
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        bias: bool = True,
        rng: np.random.Generator | None = None,
        nonlinearity: str = "tanh",
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f'RNNCell: nonlinearity is "tanh" or "relu", not {nonlinearity!r}')
        super().__init__(inputs, hidden, bias, rng)
        self.nonlinearity = nonlinearity

    def forward(self, x: Any, h: Any = None) -> Any:
        """x (..., inputs) and h (..., hidden), zeros unless given, to the next h."""
        total = self.from_input(x) + self.from_hidden(self.start(x) if h is None else h)
        return tanh(total) if self.nonlinearity == "tanh" else relu(total)


class LSTMCell(_Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    Beside the hidden state h it keeps a memory c, which changes only as its gates allow:

        i, f, g, o = split(x @ weight_ih + bias_ih + h @ weight_hh + bias_hh)
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')

    Args:
        inputs, hidden: the widths of x and of h and c. weight_ih is (inputs, 4 * hidden), weight_hh (hidden, 4 * hidden),
            biases (4 * hidden,): for the input gate i, the forget gate f, the new content g, the output gate o, in this order.
        bias: whether there are any; they start at 0.
        rng: draws the weights, with standard deviation 1 / sqrt(rows).
    """

    gates = 4

    def forward(self, x: Any, state: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
        """x (..., inputs) and (h, c), each (..., hidden) and zeros unless given, to the next (h, c)."""
        if state is not None and not (isinstance(state, tuple | list) and len(state) == 2):
            raise TypeError("LSTMCell: the state is a pair, (h, c), as the cell returns it")
        h, c = (self.start(x), self.start(x)) if state is None else state
        i, f, g, o = split(self.from_input(x) + self.from_hidden(h), 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c


class GRUCell(_Cell):
    """The gated recurrent unit (Cho et al. 2014, arXiv:1406.1078), with its reset gate after the product, as in PyTorch:

        r = sigmoid(x @ W_ir + b_ir + h @ W_hr + b_hr)
        z = sigmoid(x @ W_iz + b_iz + h @ W_hz + b_hz)
        n = tanh(x @ W_in + b_in + r * (h @ W_hn + b_hn))
        h' = (1 - z) * n + z * h

    Args:
        inputs, hidden: the widths of x and h. weight_ih is (inputs, 3 * hidden), weight_hh (hidden, 3 * hidden), biases
            (3 * hidden,): for the reset gate r, the update gate z and the new content n, in this order.
        bias: whether there are any; they start at 0.
        rng: draws the weights, with standard deviation 1 / sqrt(rows).
    """

    gates = 3

    def forward(self, x: Any, h: Any = None) -> Any:
        """x (..., inputs) and h (..., hidden), zeros unless given, to the next h."""
        h = self.start(x) if h is None else h
        input_r, input_z, input_n = split(self.from_input(x), 3, axis=-1)
        hidden_r, hidden_z, hidden_n = split(self.from_hidden(h), 3, axis=-1)
        r, z = sigmoid(input_r + hidden_r), sigmoid(input_z + hidden_z)
        n = tanh(input_n + r * hidden_n)
        return (1 - z) * n + z * h
