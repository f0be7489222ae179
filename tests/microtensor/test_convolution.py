"""Convolutions: what they refuse, the causal one's kernel and cache, and PyTorch's results where it is installed. (Values and
gradients: test_ops.py.)"""

import numpy as np
import pytest
from cases import causal_conv1d
from drawing import SEEDS, WIDTHS
from hypothesis import given
from hypothesis import strategies as st
from specification import agrees

import microtensor as mt
from microtensor import kernels, nn
from microtensor.kernels.convolution import BLOCK


def test_a_layer_has_pytorchs_shapes():
    layer = nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2, rng=np.random.default_rng(0))
    assert layer.weight.shape == (6, 2, 3) and layer.bias.shape == (6,)
    x = np.ones((5, 4, 9), np.float32)
    assert layer(x).shape == (5, 6, 5) and layer(x[0]).shape == (6, 5) and layer(x).dtype == np.float32
    assert nn.Conv1d(4, 6, 3, bias=False).num_parameters() == 72


def test_it_is_pytorchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(2, 4, 11)), rng.normal(size=(6, 2, 3)), rng.normal(size=6)
    options = {"stride": 2, "padding": 2, "dilation": 2, "groups": 2}
    expected = torch.nn.functional.conv1d(*map(torch.tensor, (x, weight, bias)), **options)
    np.testing.assert_allclose(mt.conv1d(x, weight, bias, **options), expected.numpy(), rtol=1e-10)


@pytest.mark.parametrize(
    "x, weight, options, words",
    [
        ((1, 3, 9), (6, 2, 3), {}, ["takes 2 channels", "has 3"]),
        ((1, 9, 4), (6, 4, 3), {}, ["batch, channels, length"]),
        ((9,), (6, 4, 3), {}, ["batch, channels, length", "(9,)"]),
        ((1, 4, 9), (5, 2, 3), {"groups": 2}, ["(5, 2, 3)", "2 groups"]),
        ((1, 4, 4), (6, 4, 3), {"dilation": 2}, ["3 steps, 2 apart", "length 4"]),
        ((1, 4, 9), (6, 4, 3), {"stride": 0}, ["at least 1"]),
        ((1, 4, 9), (6, 4, 3), {"padding": -1}, ["at least 0"]),
        ((1, 4, 9), (6, 4, 3), {"bias": np.ones((1, 6), np.float32)}, ["bias", "(6,)"]),
    ],
)
def test_what_does_not_fit(x, weight, options, words):
    with pytest.raises(ValueError) as caught:
        mt.conv1d(mt.Tensor(np.ones(x, np.float32)), np.ones(weight, np.float32), **options)
    for word in words:
        assert word in str(caught.value)


def test_groups_divide_the_channels():
    with pytest.raises(ValueError, match="3 groups"):
        nn.Conv1d(4, 6, 3, groups=3)
    with pytest.raises(TypeError, match="astype"):
        nn.Conv1d(4, 6, 3)(np.ones((1, 4, 9)))


# Causal convolutions


class Remembered:
    """A cache that keeps all steps that it has seen."""

    def __init__(self):
        self.steps = None

    def extend(self, x):
        self.steps = x.copy() if self.steps is None else np.concatenate([self.steps, x], axis=-2)
        return self.steps


TIMES = st.sampled_from([1, 2, 7, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3])


@given(seed=SEEDS, time=TIMES, channels=WIDTHS, size=st.integers(1, 4), dilation=st.sampled_from([1, 2, 70]))
def test_depthwise(seed, time, channels, size, dilation):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=(2, 2, time, channels))
    weight, bias = rng.normal(size=(size, channels)), rng.normal(size=channels)
    agrees(
        lambda *arrays: kernels.convolution.depthwise(*arrays, dilation),
        lambda *a: causal_conv1d(*a, dilation),
        x,
        weight,
        bias,
    )

    def gradients(x, weight, g):
        dx, dweight = np.zeros(x.shape), np.zeros(weight.shape)
        for t in range(time):
            for k in range(size):
                source = t - (size - 1 - k) * dilation
                if source >= 0:
                    dx[:, source] += g[:, t] * weight[k]
                    dweight[k] += (g[:, t] * x[:, source]).sum(axis=0)
        return dx, dweight, g.sum(axis=(0, 1))

    agrees(lambda x, w, g: kernels.convolution.depthwise_backward(x, w, dilation, g), gradients, x, weight, g, rtol=1e-4)


@pytest.mark.parametrize("depthwise", [True, False])
def test_in_a_causal_one_no_step_sees_those_after_it(depthwise):
    rng = np.random.default_rng(0)
    layer = nn.CausalConv1d(3, 3, 3, dilation=2, depthwise=depthwise, rng=rng)
    x = rng.normal(size=(1, 12, 3)).astype(np.float32)
    before = layer(mt.Tensor(x)).data
    for t in range(12):
        changed = x.copy()
        changed[:, t] += 1
        moved = np.flatnonzero((layer(mt.Tensor(changed)).data != before).any(axis=(0, 2)))
        assert moved.tolist() == [s for s in (t, t + 2, t + 4) if s < 12]


@pytest.mark.parametrize("depthwise", [True, False])
def test_with_a_cache_a_causal_one_goes_on(depthwise):
    rng = np.random.default_rng(1)
    layer = nn.CausalConv1d(4, 4, 3, dilation=5, depthwise=depthwise, rng=rng)
    x = rng.normal(size=(2, 40, 4)).astype(np.float32)
    cache = Remembered()
    with mt.no_grad():
        pieces = [layer(mt.Tensor(x[:, a:b]), cache).data for a, b in ((0, 1), (1, 12), (12, 13), (13, 40))]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), layer(mt.Tensor(x)).data, rtol=1e-5, atol=1e-6)
    with pytest.raises(RuntimeError, match="no_grad"):
        layer(mt.Tensor(x), Remembered())


def test_a_causal_one_is_pytorchs_of_what_is_padded_on_the_left():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    for depthwise in (True, False):
        layer = nn.CausalConv1d(6, 6, 3, dilation=4, depthwise=depthwise, rng=rng)
        layer.bias.data = rng.normal(size=6).astype(np.float32)
        x = mt.Tensor(rng.normal(size=(2, 30, 6)).astype(np.float32), requires_grad=True)
        g = rng.normal(size=(2, 30, 6)).astype(np.float32)
        y = layer(x)
        y.backward(g)

        theirs = torch.nn.Conv1d(6, 6, 3, dilation=4, groups=6 if depthwise else 1)
        weight = layer.weight.data.T[:, None] if depthwise else layer.weight.data.transpose(2, 1, 0)
        theirs.weight.data, theirs.bias.data = torch.tensor(weight.copy()), torch.tensor(layer.bias.data.copy())
        given = torch.tensor(x.data.copy(), requires_grad=True)
        expected = theirs(torch.nn.functional.pad(given.transpose(1, 2), (8, 0))).transpose(1, 2)
        expected.backward(torch.tensor(g))
        np.testing.assert_allclose(y.data, expected.detach(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(x.grad.data, given.grad, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(layer.bias.grad.data, theirs.bias.grad, rtol=1e-5, atol=1e-5)
        found = layer.weight.grad.data
        found = found.T[:, None] if depthwise else found.transpose(2, 1, 0)
        np.testing.assert_allclose(found, theirs.weight.grad, rtol=1e-5, atol=1e-5)


def test_what_does_not_fit_a_causal_one_is_said():
    x, dense, each = np.ones((5, 3)), np.ones((2, 3, 4)), np.ones((2, 3))
    for weight, bias in ((dense[:, 1:], None), (each[:, 1:], None), (dense[0, 0], None), (dense[:0], None)):
        with pytest.raises(ValueError, match=r"weight \(size, channels, outputs\) or \(size, channels\)"):
            mt.causal_conv1d(x, weight, bias)
    with pytest.raises(ValueError, match="one number an output"):
        mt.causal_conv1d(x, dense, np.ones(3))
    with pytest.raises(ValueError, match="at least 1, not 0"):
        mt.causal_conv1d(x, each, None, dilation=0)
    with pytest.raises(TypeError, match="float64 and the weight float32"):
        mt.causal_conv1d(x, each.astype(np.float32))
    with pytest.raises(ValueError, match="as many outputs as inputs, not 4 and 3"):
        nn.CausalConv1d(3, 4, 2, depthwise=True)
