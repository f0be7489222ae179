"""The gated unit's kernel against its formula, and far from 0."""

import numpy as np
import pytest
from cases import gated_tanh
from drawing import ROWS, SEEDS, WIDTHS
from hypothesis import given
from specification import agrees

import microtensor as mt
from microtensor import kernels


@given(seed=SEEDS, rows=ROWS, width=WIDTHS)
def test_gated_tanh(seed, rows, width):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(0, 3, (rows, 2 * width)), rng.normal(size=(rows, width))
    agrees(kernels.gates.gated_tanh, gated_tanh, x)

    def gradient(x, g):
        y, z = np.tanh(x[:, :width]), 1 / (1 + np.exp(-x[:, width:]))
        return np.concatenate([g * z * (1 - y * y), g * y * z * (1 - z)], axis=1)

    agrees(kernels.gates.gated_tanh_backward, gradient, x, g)


def test_gated_tanh_far_out():
    x = np.float32([[1e30, 1e30], [-np.inf, np.inf], [1e30, -np.inf], [np.nan, 1]])
    np.testing.assert_array_equal(kernels.gates.gated_tanh(x)[:, 0], np.float32([1, -1, 0, np.nan]))
    with pytest.raises(ValueError, match=r"\(\.\.\., 2 \* width\)"):
        mt.gated_tanh(x[:, :1])
