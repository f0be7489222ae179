"""Checks of the exercise in lstm_cell.py, the simple ones first."""

import numpy as np

import microtensor as mt
from exercises.lstm_cell import LSTMCell

PARAMETERS = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
OPEN, SHUT = 50.0, -50.0
X = np.array([[0.5, -1.0]], np.float32)
H = np.array([[0.3, -0.2, 0.1]], np.float32)
C = np.array([[2.0, -1.0, 0.5]], np.float32)


def gated(i, f, g, o):
    """The next h and c of a cell whose gates have these values, whatever its input is."""
    cell = LSTMCell(2, 3, rng=np.random.default_rng(0))
    for name in PARAMETERS:
        getattr(cell, name).data = np.zeros(getattr(cell, name).shape, np.float32)
    cell.bias_ih.data = np.repeat(np.array([i, f, g, o], np.float32), 3)
    return (y.numpy() for y in cell(X, (H, C)))


def drawn():
    """A cell and its parameters, all of them drawn."""
    rng = np.random.default_rng(1)
    cell = LSTMCell(2, 3, rng=rng)
    parameters = [rng.normal(size=getattr(cell, name).shape).astype(np.float32) for name in PARAMETERS]
    for name, value in zip(PARAMETERS, parameters, strict=True):
        getattr(cell, name).data = value
    return cell, parameters


def formula(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    """The next h and c in plain NumPy, gate by gate."""
    quarters = (x @ weight_ih + bias_ih + h @ weight_hh + bias_hh).reshape(len(x), 4, -1)
    i, f, o = (1 / (1 + np.exp(-quarters[:, gate])) for gate in (0, 1, 3))
    c = f * c + i * np.tanh(quarters[:, 2])
    return o * np.tanh(c), c


def test_a_step_gives_a_hidden_state_and_a_memory():
    result = LSTMCell(2, 3)(X, (H, C))
    assert isinstance(result, tuple) and len(result) == 2, f"a step returns a pair, (h, c), and yours a {type(result).__name__}"
    for name, y in zip("hc", result, strict=True):
        assert y.shape == (1, 3), f"for one row of inputs and 3 hidden units, {name} is (1, 3), and yours {y.shape}"


def test_the_state_before_stays_as_it_was():
    h, c = H.copy(), C.copy()
    LSTMCell(2, 3)(X, (h, c))
    assert np.array_equal(h, H) and np.array_equal(c, C), (
        "your step writes to the state it was given: c = ... instead of c *= ..."
    )


def test_an_open_forget_gate_keeps_the_memory():
    _, c = gated(i=SHUT, f=OPEN, g=OPEN, o=OPEN)
    assert np.allclose(c, C), (
        f"with an open forget gate and a shut input gate the memory stays what it was, {C[0]}, and yours becomes {c[0]}: "
        "are the quarters in the order i, f, g, o?"
    )


def test_a_shut_forget_gate_clears_the_memory():
    _, c = gated(i=SHUT, f=SHUT, g=OPEN, o=OPEN)
    assert np.allclose(c, 0), f"with its forget gate and its input gate shut the memory becomes 0, and yours {c[0]}"


def test_the_input_gate_lets_new_content_in():
    _, c = gated(i=OPEN, f=OPEN, g=OPEN, o=OPEN)
    assert np.allclose(c, C + 1), (
        f"with all gates open and g = {OPEN:g}, tanh(g) = 1 is added to the memory {C[0]}, and yours is {c[0]}"
    )
    _, c = gated(i=OPEN, f=SHUT, g=SHUT, o=OPEN)
    assert np.allclose(c, -1), (
        f"new content lies between -1 and 1, for g = {SHUT:g} at -1, and yours is {c[0]}: it is bent by tanh"
    )


def test_the_hidden_state_shows_the_new_memory():
    h, _ = gated(i=SHUT, f=OPEN, g=0.0, o=SHUT)
    assert np.allclose(h, 0), f"with a shut output gate the hidden state is 0, and yours is {h[0]}"
    h, _ = gated(i=OPEN, f=SHUT, g=OPEN, o=OPEN)
    old = "; you have shown the memory before the step" if np.allclose(h, np.tanh(C)) else ""
    assert np.allclose(h, np.tanh(1)), (
        f"the hidden state is tanh of the new memory, here tanh(1) = 0.762, and yours is {h[0]}{old}"
    )


def test_without_a_state_it_begins_with_zeros():
    cell, _ = drawn()
    zeros = np.zeros((1, 3), np.float32)
    for one, other in zip(cell(X), cell(X, (zeros, zeros)), strict=True):
        assert np.allclose(one.numpy(), other.numpy()), "without a state the step should be as from an h and a c of zeros"


def test_a_step_is_the_formula():
    cell, parameters = drawn()
    for name, y, wanted in zip("hc", cell(X, (H, C)), formula(X, H, C, *parameters), strict=True):
        assert np.allclose(y.numpy(), wanted, atol=1e-5), (
            f"{name} should be {wanted[0].round(4)}, and is {y.numpy()[0].round(4)}: do x, h and both biases take part in every gate?"
        )


def test_each_row_is_a_sequence_of_its_own():
    cell, _ = drawn()
    x, h, c = (np.concatenate([a, -a]) for a in (X, H, C))
    for both, first in zip(cell(x, (h, c)), cell(X, (H, C)), strict=True):
        assert np.allclose(both.numpy()[:1], first.numpy(), atol=1e-6), "what the first row gives depends on the second"


def test_the_gradient_reaches_everything_through_two_steps():
    cell, parameters = drawn()

    def two_steps(x, h, c, *values):
        for name, value in zip(PARAMETERS, values, strict=True):
            setattr(cell, name, value)
        return cell(x, cell(x, (h, c)))

    mt.gradcheck(two_steps, X, H, C, *parameters)
