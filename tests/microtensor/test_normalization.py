"""LayerNorm and RMSNorm: the kernel against plain NumPy."""

import math

import numpy as np
import pytest
from drawing import DTYPES, SEEDS, WIDTHS
from hypothesis import given
from hypothesis import strategies as st

from microtensor import kernels
from microtensor.kernels import normalization

pytestmark = pytest.mark.usefixtures("all_work_is_shared")


@given(seed=SEEDS, dtype=DTYPES, rows=st.sampled_from([1, 2, normalization.BLOCK - 1, normalization.BLOCK, normalization.BLOCK + 1]), width=WIDTHS,
       centre=st.booleans(), parts=st.sampled_from(["", "weight", "weight and bias"]), size=st.sampled_from([1e-18, 1.0, 1e15]))  # fmt: skip
def test_norm(seed, dtype, rows, width, centre, parts, size):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(rows, width)) * size + (size if centre else 0)).astype(dtype)
    weight = rng.normal(size=width).astype(dtype) if "weight" in parts else None
    bias = rng.normal(size=width).astype(dtype) if "bias" in parts else None
    g = rng.normal(size=x.shape).astype(dtype)
    y, means, factors = kernels.normalization.norm(x, weight, bias, centre, 1e-5)
    dx, dweight, dbias = kernels.normalization.norm_backward(x, weight, bias, centre, means, factors, g)

    wide = x.astype(np.float64)
    spread = wide - wide.mean(-1, keepdims=True) if centre else wide
    factor = 1 / np.sqrt((spread**2).mean(-1, keepdims=True) + 1e-5)
    normal = spread * factor
    w, h = (1.0, g) if weight is None else (weight.astype(np.float64), g * weight.astype(np.float64))
    expected = factor * (h - (h.mean(-1, keepdims=True) if centre else 0) - normal * (h * normal).mean(-1, keepdims=True))
    # A centred row of one or two numbers loses its digits in the subtraction, whoever computes it.
    tolerance = 1e-8 if dtype == np.float64 else 1e-3
    if not (centre and width < 3):
        np.testing.assert_allclose(y, normal * w + (0 if bias is None else bias), rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(dx, expected, rtol=tolerance, atol=tolerance * np.abs(factor).max())
        if weight is not None:
            np.testing.assert_allclose(dweight, (g * normal).sum(0), rtol=tolerance, atol=tolerance * math.sqrt(rows))
    if bias is not None:
        np.testing.assert_allclose(dbias, g.astype(np.float64).sum(0), rtol=tolerance, atol=tolerance * math.sqrt(rows))
