"""Recurrent networks over whole sequences: the loop over time, forward and backward, in one kernel each.

The input's part in all gates of all steps is one large product of matrices. What is left for the loop is the hidden state's
part, one small product a step that needs the result of the one before. So the weight is packed once, for all steps, as panels
that `tile` reads; and after each product come the gates, while its result is in the core's own cache.

Backward goes through the steps in reverse, and gives the gradient of what came into the gates. From it the gradients of the
weights follow as large products again, of all steps at once.

Threads divide the sequences of a batch, which know nothing of each other: each goes through all steps without waiting for
another, and a result's bits don't depend on the number of threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from microtensor.kernels.arithmetic import accumulate
from microtensor.kernels.linear import bias_backward
from microtensor.kernels.matmul import matmul, packed
from microtensor.kernels.recurrent_cells import (
    copy,
    gru,
    gru_backward,
    lstm,
    lstm_backward,
    part,
    rnn,
    rnn_backward,
)
from microtensor.kernels.runtime import config, door, threads
from microtensor.kernels.runtime.jit import kernel
from microtensor.kernels.runtime.simd import ROWS, VECTOR_BYTES, at_address, make_tile, tile

#: The kinds of networks, as kernels know them, and how many gates each has side by side.
RNN_TANH, RNN_RELU, GRU, LSTM = range(4)
KINDS = {"tanh": RNN_TANH, "relu": RNN_RELU, "gru": GRU, "lstm": LSTM}
GATES = {RNN_TANH: 1, RNN_RELU: 1, GRU: 3, LSTM: 4}

#: Where fewer than ROWS rows are left they are multiplied by so many.
FEW_ROWS = 4
few_rows_tile = make_tile(2, rows=FEW_ROWS)

#: Rows that are read by tiles lie so many numbers further apart than they need: at a distance of a power of two they would push
#: each other out of the cache.
GAP = 16


class Kept(NamedTuple):
    """The arrays of a sequence of steps that backward needs."""

    #: The activated gates (batch, time, gates * hidden).
    gates: np.ndarray
    #: LSTM: the memory after each step. GRU: what the reset gate multiplies. (batch, time, hidden); otherwise no numbers.
    inner: np.ndarray


@kernel
def _row(x, i, t):
    """x[i, t], in less code."""
    return at_address(x.ctypes.data + (i * x.shape[1] + t) * x.shape[2] * x.itemsize, x.shape[2], x)


@kernel
def _product(x, x_row, rows, depth, panels, bias, out):
    """out (rows, columns) = bias + x @ a matrix in panels, of flat arrays; rows of x are x_row numbers apart, and x and
    out have room for FEW_ROWS - 1 more of them, as the last tile may begin at the last row."""
    size = x.itemsize
    width = 2 * VECTOR_BYTES // size
    columns = bias.size
    for j in range(0, columns, width):
        i = 0
        while i < rows:
            left = x.ctypes.data + i * x_row * size
            at = i * columns + j
            if i + ROWS <= rows:
                tile(left, x_row, 1, panels, j * depth, bias, j, 0, out, at, columns, depth, True)
                i += ROWS
            else:
                few_rows_tile(left, x_row, 1, panels, j * depth, bias, j, 0, out, at, columns, depth, True)
                i += FEW_ROWS


@kernel
def _forward(kind, gates, inner, h, c, panels, bias, hidden, first, last):
    """Sequences first to last of a batch. `gates` holds the input's part (batch, time, gates * width) and becomes the activated
    gates; h and c are the first states (batch, width); `hidden` (batch, time or more, width) is written."""
    time, width = gates.shape[1], h.shape[1]
    rows = last - first
    row = width + GAP
    room = rows + FEW_ROWS - 1  # the last tile may begin at the last row
    state = np.zeros(room * row, h.dtype)
    parts = np.empty(room * bias.size, h.dtype)
    for i in range(rows):
        copy(part(h, (first + i) * width, width), part(state, i * row, width))
    for t in range(time):
        _product(state, row, rows, width, panels, bias, parts)
        for i in range(rows):
            gate, out, n = _row(gates, first + i, t), _row(hidden, first + i, t), width
            fed_back, before = part(parts, i * bias.size, gate.size), part(state, i * row, n)
            if kind == LSTM:
                old = _row(inner, first + i, t - 1) if t > 0 else part(c, (first + i) * n, n)
                lstm(gate, fed_back, old, _row(inner, first + i, t), out)
            elif kind == GRU:
                gru(gate, fed_back, before, _row(inner, first + i, t), out)
            else:
                rnn(gate, fed_back, kind == RNN_RELU, out)
            copy(out, before)


@kernel
def _backward(kind, gates, inner, h, c, hidden, g, panels, bias, d_gates, d_reset, d_h, d_c, first, last):
    """Sequences first to last of a batch, backward, from g, the gradient of `hidden`, and d_c, that of an LSTM's last memory
    (zeros for others). `d_gates` is written, and for a GRU `d_reset`, what goes through its reset gate to the hidden state's
    part. d_h and d_c become the gradients of the first states. `bias` is a row of zeros, as long as the panels are wide."""
    time, width = gates.shape[1], h.shape[1]
    rows, wide = last - first, gates.shape[2]
    row = wide + GAP
    room = rows + FEW_ROWS - 1  # the last tile may begin at the last row
    d_parts = np.zeros(room * row, h.dtype)
    d_state = np.zeros(room * bias.size, h.dtype)
    work = np.empty(width, h.dtype)
    n = width
    for t in range(time - 1, -1, -1):
        for i in range(rows):
            b = first + i
            gate, d_part, d_before = _row(gates, b, t), part(d_parts, i * row, wide), part(d_c, b * n, n)
            d = part(d_state, i * bias.size, n)
            accumulate(_row(g, b, t), d)
            if kind == LSTM:
                old = _row(inner, b, t - 1) if t > 0 else part(c, b * n, n)
                lstm_backward(d, gate, old, _row(inner, b, t), work, d_before, d_part)
                copy(d_part, _row(d_gates, b, t))
            elif kind == GRU:
                accumulate(d_before, d)
                old = _row(hidden, b, t - 1) if t > 0 else part(h, b * n, n)
                gru_backward(d, gate, old, _row(inner, b, t), work, d_before, d_part)
                copy(d_part, _row(d_gates, b, t))
                copy(work, _row(d_reset, b, t))
                copy(work, part(d_part, 2 * n, n))
            else:
                rnn_backward(d, gate, kind == RNN_RELU, d_part)
                copy(d_part, _row(d_gates, b, t))
        _product(d_parts, row, rows, wide, panels, bias, d_state)
    for i in range(rows):
        copy(part(d_state, i * bias.size, n), part(d_h, (first + i) * n, n))
        if kind == GRU:
            accumulate(part(d_c, (first + i) * n, n), part(d_h, (first + i) * n, n))


def recurrent(
    name: str,
    x: np.ndarray,
    h: np.ndarray,
    c: np.ndarray | None,
    weight_ih: np.ndarray | None,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray | None,
    bias_hh: np.ndarray | None,
) -> tuple[np.ndarray, Kept]:
    """Compute a network's hidden states after each step (batch, time, hidden), and what backward needs.

    Args:
        name: "tanh" or "relu" of a simple network, "gru" or "lstm".
        x: (batch, time, inputs), or, without weight_ih and bias_ih, the input's part (batch, time, gates * hidden).
        h, c: the first hidden state, and for an LSTM the first memory: (batch, hidden).
        weight_ih, weight_hh, bias_ih, bias_hh: (inputs, gates * hidden), (hidden, gates * hidden), (gates * hidden,) or None.

    After an LSTM's hidden states comes one more row, its last memory: (batch, time + 1, hidden). Raises ValueError for shapes
    and dtypes that don't fit together, before anything is read.
    """
    kind = _check("recurrent", name, x, h, c, weight_ih, weight_hh, bias_ih, bias_hh)
    x, h, weight_hh = (np.asarray(a, order="C") for a in (x, h, weight_hh))
    (batch, time), width = x.shape[:2], h.shape[1]
    gates = x.copy() if weight_ih is None else matmul(x, np.asarray(weight_ih, order="C"), bias_ih)
    inner = np.empty((batch, time if kind in (GRU, LSTM) else 0, width), x.dtype)
    hidden = np.empty((batch, time + (kind == LSTM), width), x.dtype)
    panels, bias = _panels(weight_hh, bias_hh)
    c = h if c is None else np.asarray(c, order="C")
    _share(batch, 8 * time * weight_hh.size, _forward, kind, gates, inner, h, c, panels, bias, hidden)
    if kind == LSTM:
        hidden[:, -1] = inner[:, -1]
    return hidden, Kept(gates, inner)


def recurrent_backward(
    name: str,
    x: np.ndarray,
    h: np.ndarray,
    c: np.ndarray | None,
    weight_ih: np.ndarray | None,
    weight_hh: np.ndarray,
    biased: tuple[bool, bool],
    hidden: np.ndarray,
    kept: Kept,
    g: np.ndarray,
) -> tuple[np.ndarray | None, ...]:
    """Compute the gradients of x, h, c, weight_ih, weight_hh, bias_ih and bias_hh from g, that of `hidden`.

    `hidden` and `kept` are what `recurrent` gave, and `biased` says which biases there are; what isn't there has no gradient.
    Raises ValueError for what doesn't fit together.
    """
    kind = _check("recurrent_backward", name, x, h, c, weight_ih, weight_hh)
    steps, wide = x.shape[:2], weight_hh.shape[1]
    inside = (*steps, h.shape[1]) if kind in (GRU, LSTM) else (len(x), 0, h.shape[1])
    states = (len(x), steps[1] + (kind == LSTM), h.shape[1])
    door.fits(
        "recurrent_backward", x.dtype, hidden=(hidden, states), g=(g, states), gates=(kept.gates, (*steps, wide)),
        inner=(kept.inner, inside),
    )  # fmt: skip
    kept = Kept(*(np.asarray(a, order="C") for a in kept))
    x, h, weight_hh, hidden, g = (np.asarray(a, order="C") for a in (x, h, weight_hh, hidden, g))
    (batch, time), width = x.shape[:2], h.shape[1]
    d_c = g[:, -1].copy() if kind == LSTM else np.zeros_like(h)
    d_h, d_gates = np.empty_like(h), np.empty_like(kept.gates)
    d_reset = np.empty((batch, time if kind == GRU else 0, width), x.dtype)
    panels, bias = _panels(weight_hh.T, None)
    first_c = h if c is None else np.asarray(c, order="C")
    _share(
        batch, 8 * time * weight_hh.size, _backward,
        kind, kept.gates, kept.inner, h, first_c, hidden, g, panels, bias, d_gates, d_reset, d_h, d_c,
    )  # fmt: skip
    before = np.concatenate([h[:, None], hidden[:, : time - 1]], axis=1).reshape((-1, width))
    flat = d_gates.reshape((batch * time, -1))
    d_x, d_weight_ih = d_gates, None  # what there is without weight_ih
    if weight_ih is not None:
        d_x = matmul(d_gates, np.asarray(weight_ih, order="C").T)
        d_weight_ih = matmul(x.reshape((batch * time, -1)).T, flat)
    d_bias_ih = bias_backward(flat)[1]
    if kind == GRU:
        reset = d_reset.reshape((-1, width))
        parts = matmul(before.T, flat[:, : 2 * width]), matmul(before.T, reset)
        d_weight_hh = np.concatenate(parts, axis=1)
        d_bias_hh = np.concatenate([d_bias_ih[: 2 * width], bias_backward(reset)[1]]) if biased[1] else None
    else:
        d_weight_hh = matmul(before.T, flat)
        d_bias_hh = d_bias_ih.copy() if biased[1] else None
    return (
        d_x, d_h, None if c is None else d_c, d_weight_ih, d_weight_hh,
        d_bias_ih if biased[0] else None, d_bias_hh,
    )  # fmt: skip


def _check(
    kernel: str, name: str, x: Any, h: Any, c: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any = None, bias_hh: Any = None
) -> int:
    """The kind of a network. Raises ValueError for an unknown one, and for arrays that don't fit together."""
    if name not in KINDS:
        raise ValueError(f"{kernel}: the kind is one of {', '.join(KINDS)}, not {name!r}")
    if not isinstance(x, np.ndarray) or x.ndim != 3 or not x.shape[1]:
        raise ValueError(f"{kernel}: x must be (batch, time, inputs) with at least one step, not {door.shown(x)}")
    if not isinstance(h, np.ndarray) or h.ndim != 2 or not h.shape[1]:
        raise ValueError(f"{kernel}: h must be (batch, hidden), not {door.shown(h)}")
    kind = KINDS[name]
    width, wide = h.shape[1], GATES[kind] * h.shape[1]
    if (c is None) == (kind == LSTM):
        raise ValueError(f"{kernel}: {name} has {'a' if c is None else 'no'} memory c")
    if weight_hh is None or (weight_ih is None and bias_ih is not None):
        raise ValueError(f"{kernel}: weight_hh is needed, and weight_ih where there is bias_ih")
    door.fits(
        kernel, x.dtype, x=(x, (*x.shape[:2], wide) if weight_ih is None else x.shape), h=(h, (x.shape[0], width)),
        c=(c, (x.shape[0], width)), weight_ih=(weight_ih, (x.shape[2], wide)), weight_hh=(weight_hh, (width, wide)),
        bias_ih=(bias_ih, (wide,)), bias_hh=(bias_hh, (wide,)),
    )  # fmt: skip
    return kind


def _panels(weight: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """A weight (depth, columns) in panels for `tile`, and its bias (zeros, if None), which is as long as they are wide."""
    panels = packed(weight)
    row = np.zeros(panels.size // len(weight), weight.dtype)
    if bias is not None:
        row[: bias.size] = bias
    return panels, row


def _share(batch: int, cost: int, kernel: Any, *args: Any) -> None:
    """Call kernel(*args, first, last) for parts of a batch, one of whose sequences costs `cost` elementary operations. Every
    part reads the whole weight at every step, so there is one for each thread, of whole tiles of few rows."""
    units = -(-batch // FEW_ROWS)
    pieces = min(config.get_num_threads(), units) if batch * cost >= threads.PART else 1
    ends = [min(i * units // pieces * FEW_ROWS, batch) for i in range(pieces + 1)]
    threads.share(lambda i: kernel(*args, ends[i], ends[i + 1]), pieces)
