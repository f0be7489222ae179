"""The linear layer."""

import numpy as np
from drawing import SEEDS, WIDTHS
from hypothesis import given
from hypothesis import strategies as st
from specification import agrees

from microtensor import kernels
from microtensor.kernels import linear


@given(seed=SEEDS, rows=st.sampled_from([1, 5, linear.BLOCK, 2 * linear.BLOCK + 1]), width=WIDTHS)
def test_bias_gradient(seed, rows, width):
    g, derivatives = np.random.default_rng(seed).normal(size=(2, rows, width))
    agrees(lambda g: kernels.linear.bias_backward(g, None), lambda g: (g, g.sum(axis=0)), g, rtol=1e-4)
    agrees(kernels.linear.bias_backward, lambda g, d: (g * d, (g * d).sum(axis=0)), g, derivatives, rtol=1e-4)
