"""One step of one sequence of a recurrent network, forward and backward: what the gates do to a row of numbers.

A gate's place in a row is that of its columns in the weights. What kernels hand over here fits together: they have made it.
"""

from __future__ import annotations

from microtensor.kernels.arithmetic import product
from microtensor.kernels.math import constant, sigmoid, tanh
from microtensor.kernels.runtime.jit import kernel
from microtensor.kernels.runtime.simd import at_address


@kernel(inner=True)
def part(x, at, size):
    """x[at : at + size] of a flat array, in less code: a compiled slice looks for negative places, and counts references."""
    return at_address(x.ctypes.data + at * x.itemsize, size, x)


# What is done to a row of numbers. Each loop writes one array and reads a few, so that LLVM can make sure that they lie apart.


@kernel(inner=True)
def copy(x, out):
    """Make out what x is."""
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


@kernel(inner=True)
def rnn(gate, fed_back, relu, out):
    """A step of a simple network. `gate` is the input's part and becomes what is activated, `fed_back` the hidden state's part;
    `out` becomes the next hidden state."""
    if relu:
        _relu_of_sum(fed_back, gate)
    else:
        _tanh_of_sum(fed_back, gate)
    copy(gate, out)


@kernel(inner=True)
def gru(gate, fed_back, before, reset, out):
    """A step of gated recurrent units: r, z and n side by side in `gate`. `before` is the hidden state before the step, `reset`
    becomes what the reset gate multiplies."""
    n = out.size
    _sigmoid_of_sum(part(fed_back, 0, 2 * n), part(gate, 0, 2 * n))
    copy(part(fed_back, 2 * n, n), reset)
    _tanh_of_gated_sum(part(fed_back, 2 * n, n), part(gate, 0, n), part(gate, 2 * n, n))
    _mixture(part(gate, n, n), part(gate, 2 * n, n), before, out)


@kernel(inner=True)
def lstm(gate, fed_back, old, memory, out):
    """A step of a long short-term memory: i, f, g and o side by side in `gate`. `old` is the memory before the step, `memory`
    becomes the one after it."""
    n = out.size
    _sigmoid_of_sum(part(fed_back, 0, 2 * n), part(gate, 0, 2 * n))
    _tanh_of_sum(part(fed_back, 2 * n, n), part(gate, 2 * n, n))
    _sigmoid_of_sum(part(fed_back, 3 * n, n), part(gate, 3 * n, n))
    _sum_of_products(part(gate, n, n), old, part(gate, 0, n), part(gate, 2 * n, n), memory)
    _gated_tanh(part(gate, 3 * n, n), memory, out)


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


@kernel(inner=True)
def rnn_backward(g, gate, relu, out):
    """A step of a simple network: from g, the gradient of its hidden state, to what came into the activation, `out`."""
    if relu:
        _relu_backward(g, gate, out)
    else:
        _tanh_backward(g, gate, out)


@kernel(inner=True)
def lstm_backward(g, gate, old, memory, squashed, d_memory, out):
    """A step of an LSTM: from g, the gradient of its hidden state, and d_memory, that of its memory, to what came into the
    gates, `out`. d_memory becomes the gradient of the memory before the step."""
    n = g.size
    i, f, new, o = part(gate, 0, n), part(gate, n, n), part(gate, 2 * n, n), part(gate, 3 * n, n)
    _tanh(memory, squashed)
    _times_sigmoid_backward(g, squashed, o, part(out, 3 * n, n))
    _gated_tanh_backward(g, o, squashed, d_memory)
    _times_sigmoid_backward(d_memory, new, i, part(out, 0, n))
    _times_sigmoid_backward(d_memory, old, f, part(out, n, n))
    _times_tanh_backward(d_memory, i, new, part(out, 2 * n, n))
    _times(f, d_memory)


@kernel(inner=True)
def gru_backward(g, gate, old, reset, work, direct, out):
    """A step of a GRU: from g to what came into the gates, `out`; `work` is what went through the reset gate, which multiplied
    `reset`. `direct` becomes the gradient that the hidden state before gets past the gates."""
    n = g.size
    r, z, new = part(gate, 0, n), part(gate, n, n), part(gate, 2 * n, n)
    d_new, d_z = part(out, 2 * n, n), part(out, n, n)
    _times_rest(g, z, work)
    _tanh_backward(work, new, d_new)
    _times_difference(g, old, new, work)
    _sigmoid_backward(work, z, d_z)
    _times_sigmoid_backward(d_new, reset, r, part(out, 0, n))
    product(d_new, r, work)
    product(g, z, direct)
