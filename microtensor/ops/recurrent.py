"""Recurrent networks over whole sequences: the hidden states after each step, from the inputs of all steps and a first state.

The formulas are those of the cells in `nn`, where the parameters are described.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.kernels.runtime import config
from microtensor.ops.activations import relu, tanh
from microtensor.ops.arithmetic import sigmoid
from microtensor.ops.linear import refuse_other_dtype
from microtensor.ops.matmul import matmul
from microtensor.ops.shape import split, stack

# One step of each network: from the input's part in its gates, the hidden state's part in them, and the state before, to the
# next state, a tuple that begins with the hidden state. Its functions are ops, or NumPy's.


def _rnn_step(bend: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda a, b, state, split, sigmoid, tanh: (bend(a + b),)


def _gru_step(a: Any, b: Any, state: Any, split: Any, sigmoid: Any, tanh: Any) -> tuple[Any, ...]:
    (input_r, input_z, input_n), (hidden_r, hidden_z, hidden_n) = split(a, 3, axis=-1), split(b, 3, axis=-1)
    r, z = sigmoid(input_r + hidden_r), sigmoid(input_z + hidden_z)
    n = tanh(input_n + r * hidden_n)
    return (n + z * (state[0] - n),)


def _lstm_step(a: Any, b: Any, state: Any, split: Any, sigmoid: Any, tanh: Any) -> tuple[Any, ...]:
    i, f, g, o = split(a + b, 4, axis=-1)
    c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


STEPS = {
    "tanh": _rnn_step(np.tanh),
    "relu": _rnn_step(relu),
    "gru": _gru_step,
    "lstm": _lstm_step,
}


def _recurrent_in_ops(
    x: Any, h: Any, c: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any = None, bias_hh: Any = None, *, kind: str
) -> Any:
    """`_recurrent` in other ops: its specification."""
    from_input = x if weight_ih is None else matmul(x, weight_ih)
    if bias_ih is not None:
        from_input = from_input + bias_ih
    state = (h,) if c is None else (h, c)
    states = []
    for t in range(x.shape[-2]):
        from_hidden = matmul(state[0][..., None, :], weight_hh)[..., 0, :]
        if bias_hh is not None:
            from_hidden = from_hidden + bias_hh
        state = STEPS[kind](from_input[..., t, :], from_hidden, state, split, sigmoid, tanh)
        states.append(state[0])
    return stack([*states, *state[1:]], axis=-2)


def _sigmoid_by_numpy(x: np.ndarray) -> Any:
    """The sigmoid, as a tanh that is squeezed: neither end overflows."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def _split_by_numpy(x: np.ndarray, parts: int, axis: int) -> list[np.ndarray]:
    """np.split along the last axis, in a tenth of its time."""
    width = x.shape[-1] // parts
    return [x[:, i * width : (i + 1) * width] for i in range(parts)]


def _recurrent_of_few_rows(
    x: Any, h: Any, c: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any = None, bias_hh: Any = None, *, kind: str
) -> Any:
    """`_recurrent` of few rows in plain NumPy."""
    if not config.few_rows(x):
        return None
    *batch, time, inputs = x.shape
    width, wide = weight_hh.shape
    from_input = x.reshape((-1, inputs))
    if weight_ih is not None:  # (in two axes: with three, NumPy leaves BLAS aside)
        from_input = np.dot(from_input, weight_ih)
    if bias_ih is not None:
        from_input += bias_ih
    from_input = from_input.reshape((-1, time, wide))
    state = tuple(s.reshape((-1, width)) for s in ((h,) if c is None else (h, c)))
    states = np.empty((len(from_input), time + len(state) - 1, width), x.dtype)
    for t in range(time):
        from_hidden = np.dot(state[0], weight_hh)
        if bias_hh is not None:
            from_hidden += bias_hh
        state = STEPS[kind](from_input[:, t], from_hidden, state, _split_by_numpy, _sigmoid_by_numpy, np.tanh)
        states[:, t] = state[0]
    if c is not None:
        states[:, time] = state[1]
    return states.reshape((*batch, -1, width))


@differentiable(name="recurrent", composite=_recurrent_in_ops, few_rows=_recurrent_of_few_rows)
def _recurrent(
    x: Any, h: Any, c: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any = None, bias_hh: Any = None, /, *, kind: str
) -> Result:
    """The hidden states after each step (..., time, hidden), by kernels; an LSTM's last memory is one more row."""
    lead, width = x.shape[:-2], len(weight_hh)
    rows, first_h = x.reshape((-1, *x.shape[-2:])), h.reshape((-1, width))
    first_c = None if c is None else c.reshape((-1, width))
    states, kept = kernels.recurrent.recurrent(kind, rows, first_h, first_c, weight_ih, weight_hh, bias_ih, bias_hh)

    def pullback(g: Any) -> Any:
        biased = bias_ih is not None, bias_hh is not None
        dx, dh, dc, *rest = kernels.recurrent.recurrent_backward(
            kind, rows, first_h, first_c, weight_ih, weight_hh, biased, states, kept, g.reshape(states.shape)
        )
        return dx.reshape(x.shape), dh.reshape(h.shape), None if c is None else dc.reshape(c.shape), *rest

    return states.reshape((*lead, *states.shape[1:])), pullback


def _apply(name: str, kind: str, gates: int, x: Any, h: Any, c: Any, *parameters: Any) -> Any:
    """Check what an op was given, and compute the states, by kernels where these take it."""
    weight_ih, weight_hh, bias_ih, bias_hh = parameters
    if weight_hh.ndim != 2 or weight_hh.shape[1] != gates * weight_hh.shape[0]:
        raise ValueError(f"{name}: weight_hh must be (hidden, {gates} * hidden), not {weight_hh.shape}")
    width, wide = weight_hh.shape
    if weight_ih is None and (bias_ih is not None or x.shape[-1:] != (wide,)):
        raise ValueError(f"{name}: without weight_ih, x must be (..., time, {wide}) with its bias added, not {x.shape}")
    if x.ndim < 2 or x.shape[-2] == 0:
        raise ValueError(f"{name}: x must be (..., time, inputs) with at least one step, not {x.shape}")
    wanted: dict[str, tuple[Any, tuple[int, ...]]] = {
        "weight_ih": (weight_ih, (x.shape[-1], wide)),
        "bias_ih": (bias_ih, (wide,)),
        "bias_hh": (bias_hh, (wide,)),
        "h": (h, (*x.shape[:-2], width)),
        "c": (c, (*x.shape[:-2], width)),
    }
    for what, (given, shape) in wanted.items():
        if given is not None and given.shape != shape:
            raise ValueError(
                f"{name}: for x {x.shape} and a hidden state of {width}, {what} must be {shape}, not {given.shape}"
            )
    refuse_other_dtype(name, x, weight_hh)
    zeros = np.zeros((*x.shape[:-2], width), weight_hh.dtype)
    h = zeros if h is None else h
    c = zeros if c is None and kind == "lstm" else c
    if not config.kernel_takes(x, h, c, *parameters):
        return _recurrent_in_ops(x, h, c, *parameters, kind=kind)
    return _recurrent(x, h, c, *parameters, kind=kind)


@composed
def rnn(
    x: Any, h: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any = None, bias_hh: Any = None, /, nonlinearity: str = "tanh"
) -> Any:
    """The hidden states of a simple recurrent network (Elman 1990), as `nn.RNNCell` computes each: (..., time, hidden).

    Args:
        x: the inputs (..., time, inputs).
        h: the hidden state before the first step (..., hidden), or None for zeros.
        weight_ih, weight_hh, bias_ih, bias_hh: (inputs, hidden), (hidden, hidden), and (hidden,) or None. Where
            weight_ih and bias_ih are None, x is what they would have made of the inputs: (..., time, hidden).
        nonlinearity: "tanh" or "relu".

    Raises ValueError for shapes that don't fit, and for no steps.
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f'rnn: nonlinearity is "tanh" or "relu", not {nonlinearity!r}')
    return _apply("rnn", nonlinearity, 1, x, h, None, weight_ih, weight_hh, bias_ih, bias_hh)


@composed
def gru(x: Any, h: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any = None, bias_hh: Any = None, /) -> Any:
    """The hidden states of gated recurrent units (Cho et al. 2014), as `nn.GRUCell` computes each: (..., time, hidden).

    Args:
        x: the inputs (..., time, inputs).
        h: the hidden state before the first step (..., hidden), or None for zeros.
        weight_ih, weight_hh, bias_ih, bias_hh: (inputs, 3 * hidden), (hidden, 3 * hidden), and (3 * hidden,) or None. Where
            weight_ih and bias_ih are None, x is what they would have made of the inputs: (..., time, 3 * hidden).

    Raises ValueError for shapes that don't fit, and for no steps.
    """
    return _apply("gru", "gru", 3, x, h, None, weight_ih, weight_hh, bias_ih, bias_hh)


@composed
def lstm(
    x: Any, h: Any, c: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any = None, bias_hh: Any = None, /
) -> tuple[Any, Any]:
    """The hidden states (..., time, hidden) and the last memory (..., hidden) of a long short-term memory (Hochreiter and
    Schmidhuber 1997), as `nn.LSTMCell` computes each.

    Args:
        x: the inputs (..., time, inputs).
        h, c: the hidden state and the memory before the first step (..., hidden), or None for zeros.
        weight_ih, weight_hh, bias_ih, bias_hh: (inputs, 4 * hidden), (hidden, 4 * hidden), and (4 * hidden,) or None. Where
            weight_ih and bias_ih are None, x is what they would have made of the inputs: (..., time, 4 * hidden).

    Raises ValueError for shapes that don't fit, and for no steps.
    """
    states = _apply("lstm", "lstm", 4, x, h, c, weight_ih, weight_hh, bias_ih, bias_hh)
    return states[..., :-1, :], states[..., -1, :]
