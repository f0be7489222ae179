"""The convolution: what it refuses, and PyTorch's results where it is installed. (Values and gradients: test_ops.py.)"""

import numpy as np
import pytest

import microtensor as mt
from microtensor import nn


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
