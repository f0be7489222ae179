"""Losses at the points where they go wrong elsewhere, and what they refuse."""

import numpy as np
import pytest

import microtensor as mt
from microtensor import Tensor

BINARY = [mt.binary_cross_entropy, mt.binary_cross_entropy_with_logits]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_certain_mistake_is_a_large_loss_and_not_an_infinite_one(dtype):
    p = Tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True, dtype=dtype)
    losses = mt.binary_cross_entropy(p, [0, 1, 1, 0], reduction="none")
    assert losses.dtype == dtype and losses.tolist() == [0, 0, 100, 100]
    losses.sum().backward()
    np.testing.assert_allclose(p.grad.data, [0, 0, -1e12, 1e12], rtol=1e-6)


def test_logits_of_any_size_keep_their_digits():
    x = Tensor([200.0, -200.0, 20.0, -20.0, 1e30, -1e30], requires_grad=True)
    losses = mt.binary_cross_entropy_with_logits(x, [0, 1, 1, 0, 1, 0], reduction="none")
    tail = np.log1p(np.exp(-20.0))
    np.testing.assert_allclose(losses.data, [200, 200, tail, tail, 0, 0], rtol=1e-5)
    losses.sum().backward()
    np.testing.assert_allclose(x.grad.data, [1, -1, -np.exp(-20.0), np.exp(-20.0), 0, 0], rtol=1e-5)


def test_a_small_probability_is_not_lost():
    p = Tensor([1e-10])
    np.testing.assert_allclose(mt.binary_cross_entropy(p, [0.0]).item(), 1e-10, rtol=1e-6)


def test_probabilities_are_from_0_to_1():
    for p in (1.5, -0.1):
        with pytest.raises(ValueError, match="with_logits"):
            mt.binary_cross_entropy(Tensor([p]), [1.0])


@pytest.mark.parametrize("loss", [mt.mse_loss, *BINARY])
def test_shapes_dtypes_and_reductions_that_cannot_be_meant(loss):
    p = Tensor([[0.5], [0.25]], requires_grad=True)
    with pytest.raises(ValueError, match=r"\(2, 1\) and \(2,\)"):
        loss(p, np.ones(2, np.float32))
    with pytest.raises(TypeError, match=r"target\.astype\(np\.float32\)"):
        loss(p, np.ones((2, 1)))
    with pytest.raises(ValueError, match="not 'average'"):
        loss(p, np.ones((2, 1), np.float32), reduction="average")
    with pytest.raises(TypeError, match="floats, not int64"):
        loss(np.ones(2, np.int64), [1, 0])
    assert loss([0.5, 0.5], [1, 1]).dtype == np.float32
    for target in (np.ones((2, 1), int), np.ones((2, 1), bool), [[1.0], [1.0]]):
        assert loss(p, target).dtype == np.float32
    assert loss(Tensor(np.ones((0, 1))), np.ones((0, 1))).item() == 0
