"""Muon against its formulas: Newton and Schulz's iteration as it is published, and AdamW in the other groups."""

import numpy as np
import pytest
from drawing import DTYPES, SEEDS, leaf
from hypothesis import given
from hypothesis import strategies as st

from microtensor import Tensor, optim
from microtensor.optim.muon import COEFFICIENTS, orthogonalise

pytestmark = pytest.mark.usefixtures("all_work_is_shared")


def published(x, steps=5):
    a, b, c = COEFFICIENTS
    x = x.astype(np.float64)
    wide = x.shape[0] <= x.shape[1]
    x = (x if wide else x.T) / (np.linalg.norm(x) + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x if wide else x.T


@given(seed=SEEDS, dtype=DTYPES, shape=st.tuples(st.integers(1, 40), st.integers(1, 40)), steps=st.integers(0, 6))
def test_the_iteration(seed, dtype, shape, steps):
    x = np.random.default_rng(seed).normal(size=(2, *shape)).astype(dtype)
    before = x.copy()
    y = orthogonalise(x, steps)
    assert y.dtype == dtype and y.shape == x.shape
    for found, given_x in zip(y, x, strict=True):
        np.testing.assert_allclose(found, published(given_x, steps), atol=1e-4 if dtype == np.float32 else 1e-9)
    np.testing.assert_array_equal(x, before)


def test_all_directions_become_about_equally_long():
    x = np.random.default_rng(0).normal(size=(30, 80)) * np.geomspace(1, 0.05, 30)[:, None]
    lengths = np.linalg.svd(orthogonalise(x), compute_uv=False)
    assert np.linalg.cond(x) > 15 and lengths.min() > 0.65 and lengths.max() < 1.25


def test_a_matrix_of_zeros_stays():
    assert not orthogonalise(np.zeros((3, 4), np.float32)).any()


@pytest.mark.parametrize("shape", [(6, 10), (10, 6), (5, 5)])
def test_muon(shape):
    rng = np.random.default_rng(0)
    value, gradients = rng.normal(size=shape), rng.normal(size=(4, *shape))
    p = Tensor(value, requires_grad=True)
    optimizer = optim.Muon([p], lr=0.1, momentum=0.9, weight_decay=0.2)
    mean = 0
    for g in gradients:
        p.grad = g
        optimizer.step(0.5)
        mean = 0.9 * mean + 0.1 * g
        value = value * (1 - 0.05 * 0.2) - 0.05 * max(1, shape[1] / shape[0]) ** 0.5 * published(0.1 * g + 0.9 * mean)
        np.testing.assert_allclose(p.data, value, atol=1e-9)


def test_other_groups_are_adamws():
    rng = np.random.default_rng(0)
    values, gradients = [rng.normal(size=s) for s in ((3, 2), (4,))], [rng.normal(size=s) for s in ((3, 2), (4,))]
    ours, theirs = ([Tensor(v, requires_grad=True) for v in values] for _ in range(2))
    options = {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1}
    muon = optim.Muon([{"params": ours, "algorithm": "adamw", **options}])
    adamw = optim.AdamW(theirs, **options)
    for _ in range(3):
        for parameters in (ours, theirs):
            for p, g in zip(parameters, gradients, strict=True):
                p.grad = g
        muon.step()
        adamw.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_a_state_of_both_kinds_goes_on():
    rng = np.random.default_rng(0)

    def make(matrix, vector):
        return optim.Muon([{"params": [matrix]}, {"params": [vector], "algorithm": "adamw"}])

    parameters = [Tensor(rng.normal(size=s), requires_grad=True) for s in ((3, 4), (4,))]
    optimizer = make(*parameters)
    for p in parameters:
        p.grad = rng.normal(size=p.shape)
    optimizer.step()
    state = optimizer.state_dict()
    assert sorted(state) == ["0.momentum", "1.mean", "1.square", "1.updates"]
    copies = [Tensor(p.data, requires_grad=True) for p in parameters]
    following = make(*copies)
    following.load_state_dict(state)
    for p, q in zip(parameters, copies, strict=True):
        p.grad = q.grad = rng.normal(size=p.shape)
    optimizer.step()
    following.step()
    for p, q in zip(parameters, copies, strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_what_does_not_belong_in_a_group_is_refused():
    with pytest.raises(ValueError, match="is for matrices"):
        optim.Muon([leaf(1.0, 2.0)])
    with pytest.raises(ValueError, match='"muon" or "adamw"'):
        optim.Muon([{"params": [leaf(1.0)], "algorithm": "sgd"}])
