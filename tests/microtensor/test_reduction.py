"""Reductions: sums, means, variances."""

import numpy as np
import pytest
from drawing import leaf

import microtensor as mt
from microtensor import Tensor


def test_a_ufuncs_reduce_folds_the_first_axis():
    t = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert np.add.reduce(t).tolist() == [4, 6] and np.maximum.reduce(t).tolist() == [3, 4]
    assert np.add.reduce(t, axis=None).tolist() == 10


def test_variance_of_integers_and_of_too_few():
    assert Tensor([True, False, True]).var().item() == pytest.approx(2 / 9)
    assert Tensor(np.arange(200, dtype=np.uint8)).var().item() == pytest.approx(3333.25)
    with np.errstate(all="ignore"):
        assert np.isinf(leaf(3.0, 4.0).var(ddof=3).item())


def test_axes_of_a_single_number():
    x = leaf(2.0).reshape(())
    for f in (mt.sum, mt.mean, mt.max, mt.min, mt.prod, mt.logsumexp):
        (g,) = mt.grad(f(x, axis=0) * 1.0, x)
        assert g.tolist() == 1
