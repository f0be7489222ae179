"""Recurrent networks: cells and layers against PyTorch's formulas in plain NumPy, and against PyTorch itself where it is
installed; the kernels against the same in other ops."""

import numpy as np
import pytest
from drawing import SEEDS
from hypothesis import given
from hypothesis import strategies as st
from specification import agrees

import microtensor as mt
from microtensor import Tensor, kernels, nn
from microtensor.kernels.runtime import config
from microtensor.ops.recurrent import _recurrent_in_ops

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


# Layers over whole sequences

LAYERS = {"RNN": ("tanh", 1), "GRU": ("gru", 3), "LSTM": ("lstm", 4)}


def drawn(kind, batch, time, inputs, hidden, seed=0):
    """x, h, c (None but for an LSTM), the weights, and the biases."""
    rng = np.random.default_rng(seed)
    wide = hidden * {"tanh": 1, "relu": 1, "gru": 3, "lstm": 4}[kind]
    shapes = (batch, time, inputs), (batch, hidden), (batch, hidden), (inputs, wide), (hidden, wide), (wide,), (wide,)
    arrays = [rng.normal(0, 0.5, shape) for shape in shapes]
    return arrays if kind == "lstm" else [*arrays[:2], *arrays[3:]]


def by_ops(kind, g, *arrays):
    """The states and all gradients by the composite in float64."""
    leaves = [Tensor(x.astype(np.float64), requires_grad=True) for x in arrays]
    x, h, *rest = leaves
    c, *parameters = rest if kind == "lstm" else (None, *rest)
    y = _recurrent_in_ops(x, h, c, *parameters, kind=kind)
    return y.data, *(gradient.data for gradient in mt.grad(y, leaves, g.astype(np.float64)))


@given(seed=SEEDS, kind=st.sampled_from(["tanh", "relu", "gru", "lstm"]), batch=st.sampled_from([1, 3, 4, 5, 12, 13, 29]),
       time=st.sampled_from([1, 2, 5]), inputs=st.sampled_from([1, 7]), hidden=st.sampled_from([1, 3, 8, 17, 33]))  # fmt: skip
def test_kernels_agree_with_ops_and_for_any_number_of_threads(seed, kind, batch, time, inputs, hidden):
    arrays = drawn(kind, batch, time, inputs, hidden, seed)
    g = np.random.default_rng(seed).normal(size=(batch, time + (kind == "lstm"), hidden))

    def fused(g, x, h, *rest):
        c, *parameters = rest if kind == "lstm" else (None, *rest)
        y, kept = kernels.recurrent.recurrent(kind, x, h, c, *parameters)
        states = y.copy()
        gradients = kernels.recurrent.recurrent_backward(kind, x, h, c, *parameters[:2], (True, True), y, kept, g)
        np.testing.assert_array_equal(y, states, err_msg="backward changed the states")
        return y, *(gradient for gradient in gradients if gradient is not None)

    agrees(fused, lambda g, *arrays: by_ops(kind, g, *arrays), g, *arrays, rtol=1e-4)


@pytest.mark.parametrize("kind", ["tanh", "relu", "gru", "lstm"])
def test_few_rows_by_numpy_are_the_same(kind):
    arrays = [x.astype(np.float32) for x in drawn(kind, 2, 5, 3, 4)]
    op = {"gru": mt.gru, "lstm": mt.lstm}.get(kind, lambda *xs: mt.rnn(*xs, nonlinearity=kind))
    recorded = op(Tensor(arrays[0], requires_grad=True), *arrays[1:])
    plain = op(*arrays)
    for one, other in zip(*(y if kind == "lstm" else (y,) for y in (recorded, plain)), strict=True):
        assert isinstance(one, Tensor) and isinstance(other, np.ndarray) and other.dtype == np.float32
        np.testing.assert_allclose(one.data, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("few", [True, False])
def test_layers_go_as_their_cells_do(kind, few, monkeypatch):
    if not few:
        monkeypatch.setattr(config, "FEW_ROWS", 0)
    rng = np.random.default_rng(0)
    network = getattr(nn, kind)(3, 5, layers=2, rng=rng)
    x = rng.normal(size=(2, 6, 3)).astype(np.float32)
    with mt.no_grad():
        y, _ = network(x)
    states = [None, None]
    for t in range(6):
        h = x[:, t]
        for i, cell in enumerate(network.cells):
            states[i] = cell(h, states[i])
            h = states[i][0] if kind == "LSTM" else states[i]
        np.testing.assert_allclose(y[:, t].data, h.data, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_state_goes_on_where_it_stopped(kind):
    rng = np.random.default_rng(0)
    network = getattr(nn, kind)(3, 5, layers=2, dropout=0.5, rng=rng).eval()
    x = Tensor(rng.normal(size=(2, 6, 3)).astype(np.float32), requires_grad=True)
    whole, last = network(x)
    first, state = network(x[:, :4])
    second, again = network(x[:, 4:], state)
    np.testing.assert_allclose(mt.concatenate([first, second], axis=1).data, whole.data, rtol=1e-5, atol=1e-6)
    for one, other in zip(*(s if kind == "LSTM" else (s,) for s in (last, again)), strict=True):
        assert one.shape == (2, 2, 5)
        np.testing.assert_allclose(one.data, other.data, rtol=1e-5, atol=1e-6)
    # Through the state the gradient goes on, too.
    expected, found = (mt.grad(y[:, -1].sum(), [x])[0].data for y in (whole, second))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(expected[:, 0]).max() > 0


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_are_pytorchs_own_with_all_gradients(kind):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    network = getattr(nn, kind)(7, 17, layers=2, rng=rng)
    for cell in network.cells:
        for p in (cell.bias_ih, cell.bias_hh):
            p.data = rng.normal(size=p.shape)
    theirs = getattr(torch.nn, kind)(7, 17, num_layers=2, batch_first=True)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    theirs.load_state_dict(
        {
            f"{name}_l{i}": torch.tensor(getattr(cell, name).numpy().T.copy())
            for i, cell in enumerate(network.cells)
            for name in names
        }
    )
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((5, 9, 7), (2, 5, 17), (2, 5, 17))]
    x, *state = (Tensor(a, requires_grad=True) for a in arrays)
    other_x, *other_state = (torch.tensor(a, requires_grad=True) for a in arrays)
    if kind != "LSTM":
        del state[1:], other_state[1:]
    y, last = network(x, tuple(state) if kind == "LSTM" else state[0])
    other_y, other_last = theirs(other_x, tuple(other_state) if kind == "LSTM" else other_state[0])
    results = [y, *(last if kind == "LSTM" else [last])]
    others = [other_y, *(other_last if kind == "LSTM" else [other_last])]
    total, other_total = 0, 0
    for result, other in zip(results, others, strict=True):
        np.testing.assert_allclose(result.data, other.detach().numpy(), rtol=1e-5, atol=1e-5)
        g = rng.normal(size=result.shape).astype(np.float32)
        total, other_total = total + (result * g).sum(), other_total + (other * torch.tensor(g)).sum()
    total.backward()
    other_total.backward()
    pairs = list(zip([x, *state], [other_x, *other_state], strict=True))
    pairs += [(getattr(cell, n), getattr(theirs, f"{n}_l{i}")) for i, cell in enumerate(network.cells) for n in names]
    for ours, other in pairs:
        expected = other.grad.numpy().T if ours.ndim == 2 else other.grad.numpy()
        np.testing.assert_allclose(ours.grad.data, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("rows", [4, 50])
def test_rows_of_a_table_as_inputs(kind, rows):
    """Whether each row is multiplied once or each step's: the same value and the same gradients."""
    rng = np.random.default_rng(0)
    network, table = getattr(nn, kind)(3, 5, layers=2, rng=rng), nn.Embedding(rows, 3, rng=rng)
    tokens = rng.integers(0, rows, (2, 6))
    parameters = [table.weight, *network.parameters()]
    y, other = network(tokens, table=table.weight)[0], network(table(tokens))[0]
    np.testing.assert_allclose(y.data, other.data, rtol=1e-5, atol=1e-6)
    g = rng.normal(size=y.shape).astype(np.float32)
    for found, expected in zip(mt.grad(y, parameters, g), mt.grad(other, parameters, g), strict=True):
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-4, atol=1e-5)


def test_what_layers_refuse():
    x = np.ones((2, 3, 4), np.float32)
    with pytest.raises(ValueError, match="at least one layer"):
        nn.GRU(4, 5, layers=0)
    with pytest.raises(ValueError, match="at least one step"):
        nn.GRU(4, 5)(x[:, :0])
    with pytest.raises(TypeError, match=r"pair, \(h, c\)"):
        nn.LSTM(4, 5)(x, np.ones((1, 2, 5), np.float32))
    with pytest.raises(ValueError, match="for 1 layers, not 2"):
        nn.RNN(4, 5)(x, np.ones((2, 2, 5), np.float32))
    with pytest.raises(ValueError, match=r"h must be \(2, 5\), not \(3, 5\)"):
        nn.RNN(4, 5)(x, np.ones((1, 3, 5), np.float32))
    with pytest.raises(ValueError, match="weight_ih must be"):
        nn.RNN(3, 5)(x)
    with pytest.raises(TypeError, match="astype"):
        nn.RNN(4, 5)(x.astype(np.float64))
    with pytest.raises(ValueError, match="without weight_ih"):
        mt.rnn(x, None, None, np.ones((5, 5), np.float32))
    with pytest.raises(ValueError, match="'sine'"):
        mt.rnn(x, None, np.ones((4, 5)), np.ones((5, 5)), nonlinearity="sine")


def test_kernels_check_what_they_trust():
    arrays = [x.astype(np.float32) for x in drawn("lstm", 2, 3, 4, 5)]
    wrongs = (
        (1, "h", np.zeros((3, 5), np.float32)),
        (4, "weight_hh", np.zeros((5, 19), np.float32)),
        (5, "bias_ih", np.zeros(20)),
    )
    for i, name, wrong in wrongs:
        with pytest.raises(ValueError, match=f"recurrent: {name} must be float32"):
            kernels.recurrent.recurrent("lstm", *arrays[:i], wrong, *arrays[i + 1 :])
    with pytest.raises(ValueError, match="at least one step"):
        kernels.recurrent.recurrent("lstm", arrays[0][:, :0], *arrays[1:])
