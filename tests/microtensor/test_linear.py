"""The linear layer."""

import numpy as np
import pytest
from drawing import DTYPES, SEEDS, WIDTHS
from hypothesis import given
from hypothesis import strategies as st

from microtensor import kernels
from microtensor.kernels import linear

pytestmark = pytest.mark.usefixtures("all_work_is_shared")


@given(
    seed=SEEDS,
    dtype=DTYPES,
    rows=st.sampled_from([1, 5, linear.BLOCK, 2 * linear.BLOCK + 1]),
    width=WIDTHS,
    bent=st.booleans(),
)
def test_bias_gradient(seed, dtype, rows, width, bent):
    rng = np.random.default_rng(seed)
    g, derivatives = rng.normal(size=(2, rows, width)).astype(dtype)
    out, db = kernels.linear.bias_backward(g, derivatives if bent else None)
    np.testing.assert_allclose(out, g * derivatives if bent else g, rtol=1e-6)
    np.testing.assert_allclose(db, out.astype(np.float64).sum(axis=0), rtol=1e-4, atol=1e-5)
