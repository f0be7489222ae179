"""Dropout."""

import numpy as np
import pytest

from microtensor import kernels

pytestmark = pytest.mark.usefixtures("all_work_is_shared")


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_dropout_drops_its_fraction_and_repeats_itself(p):
    x = np.ones(200_000, np.float32)
    y = kernels.dropout.dropout(x, p, key=12345)
    np.testing.assert_array_equal(y, kernels.dropout.dropout(x, p, key=12345))
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - p)] if p else [1], rtol=1e-6)
    assert abs((y == 0).mean() - p) < 0.005
    other = kernels.dropout.dropout(x, p, key=12346)
    if p:
        # Neighbours, and other keys, are independent.
        dropped, beside, elsewhere = y[:-1] == 0, y[1:] == 0, other[:-1] == 0
        assert abs((dropped & beside).mean() - p * p) < 0.005
        assert abs((dropped & elsewhere).mean() - p * p) < 0.005
