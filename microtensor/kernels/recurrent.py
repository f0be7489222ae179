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

from microtensor.kernels.arithmetic import accumulate, product
from microtensor.kernels.linear import bias_backward
from microtensor.kernels.math import constant, sigmoid, tanh
from microtensor.kernels.matmul import matmul, pack, readable
from microtensor.kernels.runtime import config, threads
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
    """What backward needs of a sequence of steps."""

    #: The activated gates (batch, time, gates * hidden).
    gates: np.ndarray
    #: LSTM: the memory after each step. GRU: what the reset gate multiplies. (batch, time, hidden); otherwise no numbers.
    inner: np.ndarray


@kernel
def _at(x, at, size):
    """x[at : at + size] of a flat array, in less code: a compiled slice looks for negative places, and counts references."""
    return at_address(x.ctypes.data + at * x.itemsize, size, x)


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


# What is done to a row of numbers. Each loop writes one array and reads a few, so that LLVM can make sure that they lie apart.


@kernel
def _copy(x, out):
    for j in range(x.size):
        out[j] = x[j]


@kernel
def _sigmoid_of_sum(x, out):
    for j in range(x.size):
        out[j] = sigmoid(out[j] + x[j])


@kernel
def _tanh_of_sum(x, out):
    for j in range(x.size):
        out[j] = tanh(out[j] + x[j])


@kernel
def _relu_of_sum(x, out):
    for j in range(x.size):
        total = out[j] + x[j]
        out[j] = total if not total <= constant(total, 0.0) else constant(total, 0.0)


@kernel
def _tanh_of_gated_sum(x, gate, out):
    for j in range(x.size):
        out[j] = tanh(out[j] + gate[j] * x[j])


@kernel
def _mixture(fraction, x, y, out):
    """(1 - fraction) * x + fraction * y."""
    for j in range(x.size):
        out[j] = x[j] + fraction[j] * (y[j] - x[j])


@kernel
def _sum_of_products(a, x, b, y, out):
    for j in range(x.size):
        out[j] = a[j] * x[j] + b[j] * y[j]


@kernel
def _gated_tanh(gate, x, out):
    for j in range(x.size):
        out[j] = gate[j] * tanh(x[j])


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
        _copy(_at(h, (first + i) * width, width), _at(state, i * row, width))
    for t in range(time):
        _product(state, row, rows, width, panels, bias, parts)
        for i in range(rows):
            gate, out, n = _row(gates, first + i, t), _row(hidden, first + i, t), width
            part, before = _at(parts, i * bias.size, gate.size), _at(state, i * row, n)
            if kind == LSTM:
                old = _row(inner, first + i, t - 1) if t > 0 else _at(c, (first + i) * n, n)
                memory = _row(inner, first + i, t)
                _sigmoid_of_sum(_at(part, 0, 2 * n), _at(gate, 0, 2 * n))
                _tanh_of_sum(_at(part, 2 * n, n), _at(gate, 2 * n, n))
                _sigmoid_of_sum(_at(part, 3 * n, n), _at(gate, 3 * n, n))
                _sum_of_products(_at(gate, n, n), old, _at(gate, 0, n), _at(gate, 2 * n, n), memory)
                _gated_tanh(_at(gate, 3 * n, n), memory, out)
            elif kind == GRU:
                _sigmoid_of_sum(_at(part, 0, 2 * n), _at(gate, 0, 2 * n))
                _copy(_at(part, 2 * n, n), _row(inner, first + i, t))
                _tanh_of_gated_sum(_at(part, 2 * n, n), _at(gate, 0, n), _at(gate, 2 * n, n))
                _mixture(_at(gate, n, n), _at(gate, 2 * n, n), before, out)
            else:
                if kind == RNN_TANH:
                    _tanh_of_sum(part, gate)
                else:
                    _relu_of_sum(part, gate)
                _copy(gate, out)
            _copy(out, before)


# The same backward: g is the gradient of what a row became.


@kernel
def _tanh_backward(g, y, out):
    """Through y = tanh(x)."""
    for j in range(g.size):
        out[j] = g[j] * (constant(y[j], 1.0) - y[j] * y[j])


@kernel
def _relu_backward(g, y, out):
    for j in range(g.size):
        out[j] = g[j] if y[j] > constant(y[j], 0.0) else constant(y[j], 0.0)


@kernel
def _times_sigmoid_backward(g, x, y, out):
    """Through x * y, for y = a sigmoid, to what that is of."""
    for j in range(g.size):
        out[j] = g[j] * x[j] * y[j] * (constant(y[j], 1.0) - y[j])


@kernel
def _times_tanh_backward(g, x, y, out):
    """Through x * y, for y = a tanh, to what that is of."""
    for j in range(g.size):
        out[j] = g[j] * x[j] * (constant(y[j], 1.0) - y[j] * y[j])


@kernel
def _gated_tanh_backward(g, gate, squashed, out):
    """Through gate * tanh(x) to x: added to out."""
    for j in range(g.size):
        out[j] += g[j] * gate[j] * (constant(g[j], 1.0) - squashed[j] * squashed[j])


@kernel
def _tanh(x, out):
    for j in range(x.size):
        out[j] = tanh(x[j])


@kernel
def _times(x, out):
    for j in range(x.size):
        out[j] *= x[j]


@kernel
def _times_rest(g, fraction, out):
    """(1 - fraction) * g."""
    for j in range(g.size):
        out[j] = g[j] - fraction[j] * g[j]


@kernel
def _times_difference(g, x, y, out):
    """(x - y) * g."""
    for j in range(g.size):
        out[j] = g[j] * (x[j] - y[j])


@kernel
def _sigmoid_backward(g, y, out):
    for j in range(g.size):
        out[j] = g[j] * y[j] * (constant(y[j], 1.0) - y[j])


@kernel
def _lstm_backward(g, gate, old, memory, squashed, d_memory, out):
    """A step of an LSTM: from g, the gradient of its hidden state, and d_memory, that of its memory, to what came into the
    gates, `out`. d_memory becomes the gradient of the memory before the step."""
    n = g.size
    i, f, new, o = _at(gate, 0, n), _at(gate, n, n), _at(gate, 2 * n, n), _at(gate, 3 * n, n)
    _tanh(memory, squashed)
    _times_sigmoid_backward(g, squashed, o, _at(out, 3 * n, n))
    _gated_tanh_backward(g, o, squashed, d_memory)
    _times_sigmoid_backward(d_memory, new, i, _at(out, 0, n))
    _times_sigmoid_backward(d_memory, old, f, _at(out, n, n))
    _times_tanh_backward(d_memory, i, new, _at(out, 2 * n, n))
    _times(f, d_memory)


@kernel
def _gru_backward(g, gate, old, reset, work, direct, out):
    """A step of a GRU: from g to what came into the gates, `out`; `work` is what went through the reset gate, which multiplied
    `reset`. `direct` becomes the gradient that the hidden state before gets past the gates."""
    n = g.size
    r, z, new = _at(gate, 0, n), _at(gate, n, n), _at(gate, 2 * n, n)
    d_new, d_z = _at(out, 2 * n, n), _at(out, n, n)
    _times_rest(g, z, work)
    _tanh_backward(work, new, d_new)
    _times_difference(g, old, new, work)
    _sigmoid_backward(work, z, d_z)
    _times_sigmoid_backward(d_new, reset, r, _at(out, 0, n))
    product(d_new, r, work)
    product(g, z, direct)


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
            gate, d_part, d_before = _row(gates, b, t), _at(d_parts, i * row, wide), _at(d_c, b * n, n)
            d = _at(d_state, i * bias.size, n)
            accumulate(_row(g, b, t), d)
            if kind == LSTM:
                old = _row(inner, b, t - 1) if t > 0 else _at(c, b * n, n)
                _lstm_backward(d, gate, old, _row(inner, b, t), work, d_before, d_part)
                _copy(d_part, _row(d_gates, b, t))
            elif kind == GRU:
                accumulate(d_before, d)
                old = _row(hidden, b, t - 1) if t > 0 else _at(h, b * n, n)
                _gru_backward(d, gate, old, _row(inner, b, t), work, d_before, d_part)
                _copy(d_part, _row(d_gates, b, t))
                _copy(work, _row(d_reset, b, t))
                _copy(work, _at(d_part, 2 * n, n))
            else:
                if kind == RNN_TANH:
                    _tanh_backward(d, gate, d_part)
                else:
                    _relu_backward(d, gate, d_part)
                _copy(d_part, _row(d_gates, b, t))
        _product(d_parts, row, rows, wide, panels, bias, d_state)
    for i in range(rows):
        _copy(_at(d_state, i * bias.size, n), _at(d_h, (first + i) * n, n))
        if kind == GRU:
            accumulate(_at(d_c, (first + i) * n, n), _at(d_h, (first + i) * n, n))


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
    kind = KINDS[name]
    _check(GATES[kind], x, h, c, weight_ih, weight_hh, bias_ih, bias_hh)
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
    """
    kind = KINDS[name]
    x, h, weight_hh, g = (np.asarray(a, order="C") for a in (x, h, weight_hh, g))
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


def _check(gates: int, x: Any, h: Any, c: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any) -> None:
    """Raises ValueError for what would let the kernel read or write beside an array."""
    (batch, time, inputs), width = x.shape, h.shape[-1]
    wide = gates * width
    wanted = (batch, width), (batch, width), (inputs, wide), (width, wide), (wide,), (wide,)
    if weight_ih is None and (inputs != wide or bias_ih is not None):
        raise ValueError(f"recurrent: without weight_ih, x must be (batch, time, {wide}) with its bias added, not {x.shape}")
    given = h, c, weight_ih, weight_hh, bias_ih, bias_hh
    if any(a is not None and (a.shape != shape or a.dtype != x.dtype) for a, shape in zip(given, wanted, strict=True)):
        shapes = ", ".join("None" if a is None else f"{a.dtype} {a.shape}" for a in (x, *given))
        raise ValueError(f"recurrent: x, h, c, weights and biases don't fit together: {shapes}")
    if time < 1:
        raise ValueError("recurrent: needs at least one step")


def _panels(weight: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """A weight (depth, columns) in whole panels, flat, and its bias (zeros, if None), which is as long as they are wide."""
    depth, columns = weight.shape
    lanes = 2 * VECTOR_BYTES // weight.itemsize
    wide = -(-columns // lanes) * lanes
    row = np.zeros(wide, weight.dtype)
    if bias is not None:
        row[:columns] = bias
    if wide > columns:
        padded = np.zeros((depth, wide), weight.dtype)
        padded[:, :columns] = weight
        weight = padded
    weight, strides = readable(weight)
    panels = np.empty(depth * wide, weight.dtype)
    pack(weight.ctypes.data, *strides, depth, wide, panels)
    return panels, row


def _share(batch: int, cost: int, kernel: Any, *args: Any) -> None:
    """Call kernel(*args, first, last) for parts of a batch, one of whose sequences costs `cost` elementary operations. Every
    part reads the whole weight at every step, so there is one for each thread, of whole tiles of few rows."""
    units = -(-batch // FEW_ROWS)
    pieces = min(config.get_num_threads(), units) if batch * cost >= threads.PART else 1
    ends = [min(i * units // pieces * FEW_ROWS, batch) for i in range(pieces + 1)]
    threads.share(lambda i: kernel(*args, ends[i], ends[i + 1]), pieces)
