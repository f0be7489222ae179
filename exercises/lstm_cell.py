"""Exercise: a step of an LSTM, long short-term memory (chapter 11 of the course).

A recurrent network reads one input after the other, and keeps what it has read in a hidden state h. An LSTM has a memory c
beside it, which changes only as far as three gates allow. With * element by element,

    i, f, g, o = the four quarters of  x @ weight_ih + bias_ih + h @ weight_hh + bias_hh
    c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h' = sigmoid(o) * tanh(c')

i is the input gate, f the forget gate, g the new content, o the output gate (Hochreiter and Schmidhuber 1997, "Long Short-Term
Memory"; the forget gate is of Gers, Schmidhuber and Cummins 2000, "Learning to Forget"; the order of the quarters is
PyTorch's).

Hints. `mt.split(y, 4, axis=-1)` gives the quarters, `mt.sigmoid` and `mt.tanh` bend. Written in operators and functions of `mt`
or NumPy, the step has its gradient already: the engine records it. `mt.zeros((batch, hidden))` is a state to begin with.

Check it: python -m pytest exercises/test_lstm_cell.py
"""

from typing import Any

import numpy as np

import microtensor as mt
from microtensor import Tensor, nn


class LSTMCell(nn.Module):
    """A step of an LSTM.

    Args:
        inputs, hidden: the widths of x, and of h and c. weight_ih is (inputs, 4 * hidden), weight_hh (hidden, 4 * hidden), and
            bias_ih and bias_hh are (4 * hidden,).
        rng: draws the weights.
    """

    def __init__(self, inputs: int, hidden: int, rng: np.random.Generator | None = None) -> None:
        def parameter(values: np.ndarray) -> Tensor:
            return Tensor(values.astype(np.float32), requires_grad=True)

        rng = rng or np.random.default_rng()
        self.hidden = hidden
        self.weight_ih = parameter(rng.normal(0, inputs**-0.5, (inputs, 4 * hidden)))
        self.weight_hh = parameter(rng.normal(0, hidden**-0.5, (hidden, 4 * hidden)))
        self.bias_ih = parameter(np.zeros(4 * hidden))
        self.bias_hh = parameter(np.zeros(4 * hidden))

    def forward(self, x: Any, state: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
        """The next (h, c), each (batch, hidden), for x (batch, inputs) and the state (h, c), which is zeros if it is None."""
        raise NotImplementedError("take the state apart, compute the gates, and return the next (h, c)")
