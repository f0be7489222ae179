"""Recurrent networks: cells, which go one step in time, and layers of them over whole sequences.

A cell goes from an input and the hidden state to the next hidden state, and a network is a loop over its steps: `for x in
inputs: h = cell(x, h)`. `RNN`, `GRU` and `LSTM` do the whole loop at once, in compiled code, by the parameters of the cells
that they hold. The formulas, the names of the parameters and the order of the gates are PyTorch's. Its weights are these,
transposed: here `x @ weight` reads as it is written.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor.nn.layers import Dropout, normal
from microtensor.nn.module import Module
from microtensor.ops.activations import relu, sigmoid, tanh
from microtensor.ops.embedding import embedding
from microtensor.ops.linear import linear
from microtensor.ops.recurrent import gru, lstm, rnn
from microtensor.ops.shape import split, stack
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


class _Layers(Module):
    """Layers of cells over whole sequences: each reads the hidden states of the one before.

    Args:
        inputs, hidden: the widths of x and of the hidden state.
        layers: how many follow each other.
        bias: whether there are any; they start at 0.
        dropout: the fraction of the hidden states dropped between layers while training.
        rng: draws the weights, with standard deviation 1 / sqrt(rows), and what is dropped.
    """

    #: The cell, and the names of its states.
    cell: type[_Cell]
    state_names: tuple[str, ...] = ("h",)

    def __init__(
        self,
        inputs: int,
        hidden: int,
        layers: int = 1,
        bias: bool = True,
        dropout: float = 0.0,
        rng: np.random.Generator | None = None,
        **options: Any,
    ) -> None:
        if layers < 1:
            raise ValueError(f"{type(self).__name__}: needs at least one layer, not {layers}")
        widths = [inputs] + [hidden] * (layers - 1)
        self.hidden = hidden
        self.cells = [self.cell(width, hidden, bias, rng, **options) for width in widths]
        self.dropout = Dropout(dropout, rng)

    def forward(self, x: Any, state: Any = None, table: Any = None) -> tuple[Tensor, Any]:
        """x (..., time, inputs) and the state before the first step, to the last layer's hidden states (..., time, hidden)
        and the state after the last step.

        With a table (rows, inputs), x is whole numbers (..., time), the rows that are the inputs. Where there are fewer rows
        than steps, each row is multiplied by the weight once, and not once for each step that it is the input of.

        A state is an array (layers, ..., hidden), for an LSTM a pair of them, h and c; zeros unless given. Raises ValueError
        for shapes that don't fit, and TypeError for what is no state.
        """
        states = (state,) if len(self.state_names) == 1 else state
        if state is None:
            states = ([None] * len(self.cells),) * len(self.state_names)
        elif not isinstance(states, tuple | list) or len(states) != len(self.state_names):
            raise TypeError(f"{type(self).__name__}: the state is a pair, ({', '.join(self.state_names)}), as it is returned")
        elif any(len(each) != len(self.cells) for each in states):
            lengths = ", ".join(str(len(each)) for each in states)
            raise ValueError(
                f"{type(self).__name__}: a state must be (layers, ..., hidden) for {len(self.cells)} layers, not {lengths}"
            )
        last = []
        for i, cell in enumerate(self.cells):
            weight: Tensor | None = cell.weight_ih
            bias = cell.bias_ih
            if i > 0:
                x = self.dropout(x)
            elif table is not None and np.size(x) > len(table):
                x, weight, bias = embedding(x, linear(table, weight, bias)), None, None
            elif table is not None:
                x = embedding(x, table)
            x, *after = self.sequence(cell, x, weight, bias, *(each[i] for each in states))
            last.append(after)
        joined = tuple(each[0][None] if len(each) == 1 else stack(each) for each in zip(*last, strict=True))
        return x, joined if len(joined) > 1 else joined[0]

    def sequence(self, cell: Any, x: Any, weight_ih: Any, bias_ih: Any, *states: Any) -> tuple[Any, ...]:
        """A layer's hidden states, and its states after the last step."""
        raise NotImplementedError


class RNN(_Layers):
    """Layers of a simple recurrent network (Elman 1990) over whole sequences: see `RNNCell`.

    Args:
        inputs, hidden: the widths of x and of the hidden state.
        layers: how many follow each other; each reads the hidden states of the one before.
        bias: whether there are any; they start at 0.
        dropout: the fraction of the hidden states dropped between layers while training.
        rng: draws the weights, with standard deviation 1 / sqrt(rows), and what is dropped.
        nonlinearity: "tanh" or "relu".
    """

    cell = RNNCell

    def sequence(self, cell: RNNCell, x: Any, weight_ih: Any, bias_ih: Any, h: Any) -> tuple[Any, ...]:
        """A layer's hidden states, and the last of them."""
        y = rnn(x, h, weight_ih, cell.weight_hh, bias_ih, cell.bias_hh, nonlinearity=cell.nonlinearity)
        return y, y[..., -1, :]


class GRU(_Layers):
    """Layers of gated recurrent units (Cho et al. 2014) over whole sequences: see `GRUCell`.

    Args:
        inputs, hidden: the widths of x and of the hidden state.
        layers: how many follow each other; each reads the hidden states of the one before.
        bias: whether there are any; they start at 0.
        dropout: the fraction of the hidden states dropped between layers while training.
        rng: draws the weights, with standard deviation 1 / sqrt(rows), and what is dropped.
    """

    cell = GRUCell

    def sequence(self, cell: GRUCell, x: Any, weight_ih: Any, bias_ih: Any, h: Any) -> tuple[Any, ...]:
        """A layer's hidden states, and the last of them."""
        y = gru(x, h, weight_ih, cell.weight_hh, bias_ih, cell.bias_hh)
        return y, y[..., -1, :]


class LSTM(_Layers):
    """Layers of long short-term memory (Hochreiter and Schmidhuber 1997) over whole sequences: see `LSTMCell`.

    Args:
        inputs, hidden: the widths of x, and of the hidden state and the memory.
        layers: how many follow each other; each reads the hidden states of the one before.
        bias: whether there are any; they start at 0.
        dropout: the fraction of the hidden states dropped between layers while training.
        rng: draws the weights, with standard deviation 1 / sqrt(rows), and what is dropped.
    """

    cell = LSTMCell
    state_names = ("h", "c")

    def sequence(self, cell: LSTMCell, x: Any, weight_ih: Any, bias_ih: Any, h: Any, c: Any) -> tuple[Any, ...]:
        """A layer's hidden states, and its last hidden state and memory."""
        y, c = lstm(x, h, c, weight_ih, cell.weight_hh, bias_ih, cell.bias_hh)
        return y, y[..., -1, :], c
