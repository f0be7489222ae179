"""Cross-entropy: the kernel against plain NumPy."""

import numpy as np
import pytest
from drawing import DTYPES, SEEDS, SIZES, leaf
from hypothesis import given
from hypothesis import strategies as st

import microtensor as mt
from microtensor import kernels

pytestmark = pytest.mark.usefixtures("all_work_is_shared")


@given(seed=SEEDS, dtype=DTYPES, rows=SIZES, classes=SIZES.filter(bool), scale=st.sampled_from([0.0, 1.0, 50.0, 1e4]),
       smoothing=st.sampled_from([0.0, 0.2]))  # fmt: skip
def test_cross_entropy(seed, dtype, rows, classes, scale, smoothing):
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(rows, classes)) * scale).astype(dtype)
    logits[rng.random(logits.shape) < 0.1] = -np.inf
    target = rng.integers(0, classes, rows)
    target[rng.random(rows) < 0.2] = -7
    losses, gradient = np.full(rows, np.nan, dtype), np.full(logits.shape, np.nan, dtype)
    with np.errstate(all="ignore"):
        total, count, bad = kernels.cross_entropy.cross_entropy(
            logits.reshape(-1), target, -7, smoothing, losses, gradient.reshape(-1)
        )

    assert bad == -1 and count == (target != -7).sum()
    for i in range(rows):
        if target[i] == -7:
            assert losses[i] == 0 and not gradient[i].any()
            continue
        x = logits[i].astype(np.float64)
        shifted = x - (x.max() if np.isfinite(x.max()) else 0)
        weight = np.exp(shifted).sum() or 1.0
        wanted = np.full(classes, smoothing / classes)
        wanted[target[i]] += 1 - smoothing
        with np.errstate(invalid="ignore"):
            log_p = shifted - np.log(weight)
            expected = -np.sum(np.where(wanted > 0, wanted * log_p, 0))
        np.testing.assert_allclose(losses[i], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(gradient[i], np.exp(shifted) / weight - wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(total, losses.astype(np.float64).sum(), rtol=1e-6)


def test_cross_entropy_reports_a_bad_target_and_keeps_nan():
    losses, gradient = np.zeros(2), np.zeros((2, 3))
    logits = np.array([[0.0, np.nan, 1.0], [0.0, 1.0, 2.0]])
    assert (
        kernels.cross_entropy.cross_entropy(logits.reshape(-1), np.array([0, 3]), -1, 0.0, losses, gradient.reshape(-1))[2] == 1
    )
    assert np.isnan(losses[0]) and np.isnan(gradient[0]).all()


def test_impossible_classes_have_one_gradient():
    logits, target = leaf(1.0, 2.0, 3.0), leaf(0.0, 0.4, 0.6)
    loss = mt.cross_entropy(logits, target)
    for create_graph in (False, True):
        found = mt.grad(loss, target, create_graph=create_graph)[0]
        np.testing.assert_allclose(found.data, [2.40760596, 1.40760596, 0.40760596])
    assert mt.cross_entropy(np.array([-np.inf, 0.0]), np.array([0.0, 1.0])) == 0
