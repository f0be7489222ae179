"""The recurrent cells against PyTorch's formulas in plain NumPy, and against PyTorch itself where it is installed."""

import numpy as np
import pytest

import microtensor as mt
from microtensor import nn

CELLS = {"RNNCell": 1, "LSTMCell": 4, "GRUCell": 3}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def specification(kind, x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    """One step, with PyTorch's weights: (gates * hidden, inputs). The next h, and c for an LSTM."""
    a, b = x @ weight_ih.T + bias_ih, h @ weight_hh.T + bias_hh
    if kind == "RNNCell":
        return (np.tanh(a + b),)
    if kind == "LSTMCell":
        i, f, g, o = np.split(a + b, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    (ir, iz, inew), (hr, hz, hnew) = np.split(a, 3, axis=-1), np.split(b, 3, axis=-1)
    r, z = sigmoid(ir + hr), sigmoid(iz + hz)
    return ((1 - z) * np.tanh(inew + r * hnew) + z * h,)


def setting(kind, seed=0):
    """A cell whose biases aren't 0, with its weights as PyTorch has them, and an input and states."""
    rng = np.random.default_rng(seed)
    cell = getattr(nn, kind)(3, 5, rng=rng)
    for p in (cell.bias_ih, cell.bias_hh):
        p.data = rng.normal(size=p.shape)
    weights = {name: value.T for name, value in cell.state_dict().items()}
    x, h, c = (rng.normal(size=(2, n)).astype(np.float32) for n in (3, 5, 5))
    return cell, weights, x, h, c


def step(cell, x, h, c):
    if isinstance(cell, nn.LSTMCell):
        return cell(x, (h, c))
    return (cell(x, h),)


@pytest.mark.parametrize("kind", CELLS)
def test_a_step_is_pytorchs_formula(kind):
    cell, weights, x, h, c = setting(kind)
    for found, expected in zip(step(cell, x, h, c), specification(kind, x, h, c, **weights), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.data, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", CELLS)
def test_a_step_is_pytorchs_own(kind):
    torch = pytest.importorskip("torch")
    cell, weights, x, h, c = setting(kind)
    theirs = getattr(torch.nn, kind)(3, 5)
    theirs.load_state_dict({name: torch.tensor(np.ascontiguousarray(value)) for name, value in weights.items()})
    h_and_c = tuple(map(torch.tensor, (h, c)))
    expected = theirs(torch.tensor(x), h_and_c if kind == "LSTMCell" else h_and_c[0])
    expected = expected if isinstance(expected, tuple) else (expected,)
    for found, other in zip(step(cell, x, h, c), expected, strict=True):
        np.testing.assert_allclose(found.data, other.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", CELLS)
def test_it_starts_from_zeros_and_shapes_are_as_documented(kind):
    cell, _, x, h, c = setting(kind)
    width = CELLS[kind] * 5
    assert [p.shape for p in cell.parameters()] == [(3, width), (5, width), (width,), (width,)]
    zeros = step(cell, x, np.zeros_like(h), np.zeros_like(c))
    start = cell(x)
    for found, expected in zip(start if isinstance(start, tuple) else (start,), zeros, strict=True):
        np.testing.assert_array_equal(found.data, expected.data)
    assert len(getattr(nn, kind)(3, 5, bias=False).parameters()) == 2
    one = cell(x[0].tolist())
    assert (one[0] if isinstance(one, tuple) else one).shape == (5,)


@pytest.mark.parametrize("kind", CELLS)
def test_gradients_through_time(kind):
    cell, _, x, h, c = setting(kind)
    names = list(cell.state_dict())

    def two_steps(x, h, c, *values):
        for name, value in zip(names, values, strict=True):
            setattr(cell, name, value)
        state = step(cell, x, h, c)
        return step(cell, x, *state, *[c] * (2 - len(state)))

    assert mt.gradcheck(two_steps, x, h, c, *cell.parameters(), rtol=1e-4, atol=1e-6)


def test_relu_and_what_is_refused():
    cell = nn.RNNCell(3, 5, nonlinearity="relu")
    assert (cell(np.ones((2, 3), np.float32)).data >= 0).all()
    with pytest.raises(ValueError, match="'sine'"):
        nn.RNNCell(3, 5, nonlinearity="sine")
    with pytest.raises(TypeError, match=r"\(h, c\)"):
        nn.LSTMCell(3, 5)(np.ones((2, 3), np.float32), np.ones((2, 5), np.float32))
    with pytest.raises(TypeError, match="astype"):
        nn.GRUCell(3, 5)(np.ones((2, 3)))
