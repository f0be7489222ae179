"""Activations and their derivatives, to the errors that are stated, and far from 0."""

import math

import numpy as np
import pytest
from drawing import DTYPES, SEEDS, SIZES
from hypothesis import given

import microtensor as mt
from microtensor import Tensor, kernels

pytestmark = pytest.mark.usefixtures("all_work_is_shared")


def normal_cdf(x):
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.ravel()]).reshape(x.shape)


def bell(x):
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu_tanh(x):
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return 0.5 * x * (1 + np.tanh(u)), 0.5 * (1 + np.tanh(u)) + 0.5 * x * (1 - np.tanh(u) ** 2) * inner


ACTIVATIONS = {
    "tanh": lambda x: (np.tanh(x), 1 - np.tanh(x) ** 2),
    "silu": lambda x: (x * sigmoid(x), sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
    "gelu": lambda x: (x * normal_cdf(x), normal_cdf(x) + x * bell(x)),
    "gelu_tanh": gelu_tanh,
    "relu": lambda x: (np.maximum(x, 0), np.where(x > 0, 1.0, 0.0)),
    "squared_relu": lambda x: (np.maximum(x, 0) ** 2, 2 * np.maximum(x, 0)),
}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_keep_the_stated_errors(name, dtype):
    x = np.concatenate([np.linspace(-10, 10, 20_001), [0.0, 1e-30, -1e-30, 15.0, -15.0]]).astype(dtype)
    before = x.copy()
    y, derivatives = kernels.activations.activate(name, x)
    value, derivative = ACTIVATIONS[name](x.astype(np.float64))
    stated = 1e-6 if dtype == np.float32 else 2e-15
    if name == "squared_relu":
        stated *= 100  # its largest value
    assert y.dtype == derivatives.dtype == dtype and np.array_equal(x, before)
    assert np.abs(y - value).max() < 2 * stated
    assert np.abs(derivatives - derivative).max() < 10 * stated
    if name == "tanh":
        np.testing.assert_allclose(y, value, rtol=4e-7 if dtype == np.float32 else 1e-15)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_far_out(name, dtype):
    far = [200.0, -200.0, 1e30, -1e30, np.inf, -np.inf, np.nan]
    y, derivatives = kernels.activations.activate(name, np.array(far, dtype))
    ones = [1, -1, 1, -1, 1, -1, np.nan]
    if name == "tanh":
        np.testing.assert_array_equal(y, np.array(ones, dtype))
        np.testing.assert_array_equal(derivatives, np.array([0, 0, 0, 0, 0, 0, np.nan], dtype))
    elif name == "squared_relu":
        with np.errstate(over="ignore"):
            square = np.square(dtype(1e30))
        np.testing.assert_allclose(y, np.array([40000.0, 0, square, 0, np.inf, 0, np.nan], dtype))
        np.testing.assert_allclose(derivatives, np.array([400, 0, 2e30, 0, np.inf, 0, np.nan], dtype))
    else:
        expected = np.array([200.0, 0, 1e30, 0, np.inf, 0, np.nan], dtype)
        np.testing.assert_allclose(y, expected, atol=1e-30)
        np.testing.assert_allclose(derivatives, np.array([1, 0, 1, 0, 1, 0, np.nan]), atol=1e-30)


@given(seed=SEEDS, dtype=DTYPES, n=SIZES)
def test_erf(seed, dtype, n):
    x = np.random.default_rng(seed).normal(size=n).astype(dtype)
    y = np.empty_like(x)
    kernels.activations.erf(x, y)
    np.testing.assert_allclose(y, [math.erf(v) for v in x], rtol=1e-5)


def test_the_lower_tail_of_sigmoid():
    x = Tensor(np.float32([-20.0, -15.0, 20.0]), requires_grad=True)
    y = mt.sigmoid(x)
    np.testing.assert_allclose(y.data, 1 / (1 + np.exp(-np.float64([-20, -15, 20]))), rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.data[0], 2.06e-9, rtol=1e-2)
