"""Arithmetic: sums of large arrays, and the points at which derivatives go wrong elsewhere."""

import numpy as np
import pytest
from drawing import DTYPES, SEEDS, leaf
from hypothesis import given
from hypothesis import strategies as st

import microtensor as mt
from microtensor import Tensor, kernels

pytestmark = pytest.mark.usefixtures("all_work_is_shared")


@given(seed=SEEDS, dtype=DTYPES, n=st.sampled_from([0, 1, 15, 16, 17, 1000]))
def test_sums_of_arrays(seed, dtype, n):
    x, y = np.random.default_rng(seed).normal(size=(2, n)).astype(dtype)
    expected = x + y
    np.testing.assert_array_equal(kernels.arithmetic.add(x, y), expected)
    assert kernels.arithmetic.add_to(x, y) is y
    np.testing.assert_array_equal(y, expected)


def test_ties_are_shared():
    x = leaf(1.0, 3.0, 3.0)
    x.max().backward()
    assert x.grad.tolist() == [0, 0.5, 0.5]
    a, b = leaf(1.0), leaf(1.0)
    (mt.maximum(a, b) + mt.minimum(a, b)).backward()
    assert a.grad.tolist() == b.grad.tolist() == [1]


def test_kinks_have_a_finite_derivative():
    x = leaf(0.0)
    (mt.abs(x) + mt.relu(x)).backward()
    assert x.grad.tolist() == [0]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: mt.where(x > 0, mt.sqrt(x), 0.0),
        lambda x: mt.where(x > 0, mt.log(mt.maximum(x, 0.0)), 0.0),
        lambda x: mt.where(x > 0, mt.log1p(mt.maximum(x, 0.0) - 1), 0.0),
        lambda x: mt.where(x > 0, 1 / mt.maximum(x, 0.0), 0.0),
        lambda x: mt.where(x > 0, mt.maximum(x, 0.0) ** 0.5, 0.0),
    ],
)
def test_no_nan_through_where(f):
    x = leaf(0.0, 4.0)
    with np.errstate(all="ignore"):
        f(x).sum().backward()
    assert np.isfinite(x.grad.data).all() and x.grad.data[0] == 0 and x.grad.data[1] != 0


def test_powers_at_zero():
    x = leaf(0.0)
    for exponent, derivative in [(0, 0), (1, 1), (2, 0), (3, 0)]:
        assert mt.grad(x**exponent, x)[0].tolist() == [derivative]
    assert mt.grad(Tensor(0.0) ** (p := leaf(2.0)), p)[0].tolist() == [0]


def test_small_divisors_do_not_underflow():
    y = Tensor(np.float32([1e-23]), requires_grad=True)
    (np.float32([1e-23]) / y).sum().backward()
    np.testing.assert_allclose(y.grad.data, [-1e23], rtol=1e-5)


def test_integers_carry_no_gradient():
    x = leaf(1.4, 2.6)
    y = x.astype(np.int64)
    assert not y.requires_grad and y.tolist() == [1, 2]
    np.testing.assert_array_equal((x * y).data, [1.4, 5.2])
