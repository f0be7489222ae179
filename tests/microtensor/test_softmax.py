"""Softmax and its logarithm: the kernel against plain NumPy, and the rows that go wrong elsewhere."""

import numpy as np
import pytest
from drawing import DTYPES, ROWS, SEEDS, WIDTHS, naive_softmax
from hypothesis import given

import microtensor as mt
from microtensor import Tensor, kernels

pytestmark = pytest.mark.usefixtures("all_work_is_shared")


def scores(seed, shape, dtype):
    """Small, huge and tiny numbers, some -inf, and rows that are all -inf."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape) * rng.choice([1e-30, 1e-3, 1.0, 30.0, 1e4, 1e30], size=(*shape[:-1], 1))
    x[rng.random(shape) < 0.1] = -np.inf
    x[rng.random(shape[:-1]) < 0.1] = -np.inf
    return x.astype(dtype)


@given(seed=SEEDS, dtype=DTYPES, rows=ROWS, width=WIDTHS)
def test_softmax(seed, dtype, rows, width):
    x = scores(seed, (rows, width), dtype)
    p, log_p = kernels.softmax.softmax(x), kernels.softmax.softmax(x, logarithm=True)
    expected = naive_softmax(x)
    assert p.dtype == log_p.dtype == dtype
    np.testing.assert_allclose(p, expected, rtol=2e-5 if dtype == np.float32 else 1e-12, atol=1e-37)
    likely = expected > 1e-30
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(np.exp(log_p.astype(np.float64)[likely]), expected[likely], rtol=100 * tolerance)
    np.testing.assert_array_equal(np.isinf(log_p), np.isinf(x))

    g = np.random.default_rng(seed).normal(size=x.shape).astype(dtype)
    wide = g.astype(np.float64)
    np.testing.assert_allclose(
        kernels.softmax.softmax_backward(p, g),
        expected * (wide - (wide * expected).sum(-1, keepdims=True)),
        atol=10 * tolerance,
    )
    np.testing.assert_allclose(
        kernels.softmax.softmax_backward(log_p, g, logarithm=True),
        wide - expected * wide.sum(-1, keepdims=True),
        atol=20 * tolerance,
    )


def test_softmax_keeps_nan_in_its_row():
    x = np.zeros((3, 70), np.float32)
    x[1, 69] = np.nan
    p = kernels.softmax.softmax(x)
    assert np.isnan(p[1]).all() and not np.isnan(p[[0, 2]]).any()


def test_rows_of_minus_infinity():
    x = Tensor(np.array([[-np.inf, -np.inf], [0.0, -np.inf]]), requires_grad=True)
    assert mt.softmax(x).tolist() == [[0, 0], [1, 0]]
    with np.errstate(divide="ignore"):
        assert mt.logsumexp(x, axis=1).tolist() == [-np.inf, 0]
    assert mt.log_softmax(x).data[0].tolist() == [-np.inf, -np.inf]
    (mt.softmax(x).sum() + mt.logsumexp(x[1])).backward()
    assert np.isfinite(x.grad.data).all()
    assert mt.cross_entropy(x, np.array([0, 0]), reduction="none").tolist() == [np.inf, 0]


def test_huge_scores_do_not_overflow():
    x = Tensor(np.array([[1e4, -1e4, 0.0]], np.float32), requires_grad=True)
    loss = mt.cross_entropy(x, np.array([0])) + mt.logsumexp(x).sum() + mt.softmax(x).sum() + mt.sigmoid(x).sum()
    with np.errstate(all="raise", under="ignore"):
        loss.backward()
    assert np.isfinite(x.grad.data).all()


def test_infinite_scores():
    with np.errstate(invalid="ignore"):
        assert np.isnan(mt.softmax(Tensor([1.0, np.inf])).data).any()
    with pytest.raises(TypeError, match="softmax.*floats"):
        mt.softmax(Tensor([1, 2]))
