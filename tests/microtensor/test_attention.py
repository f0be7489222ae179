"""Attention: the kernel against plain NumPy, its weights, its heads, and its cache."""

import numpy as np
import pytest
from drawing import DTYPES, SEEDS, naive_softmax
from hypothesis import given
from hypothesis import strategies as st

import microtensor as mt
from microtensor import Tensor, kernels

pytestmark = pytest.mark.usefixtures("all_work_is_shared")


LENGTHS = st.sampled_from([1, 2, 11, 12, 13, 31, 32, 33, 47, 48, 49, 100])


@given(seed=SEEDS, dtype=DTYPES, queries=LENGTHS, keys=LENGTHS, width=st.sampled_from([1, 3, 8, 32, 33]),
       values_width=st.sampled_from([1, 5, 32, 40]), causal=st.booleans(), order=st.sampled_from(["heads first", "time first"]))  # fmt: skip
def test_attention(seed, dtype, queries, keys, width, values_width, causal, order):
    rng = np.random.default_rng(seed)

    def draw(length, width):
        shape = (2, 3, length, width) if order == "heads first" else (2, length, 3, width)
        x = rng.normal(size=shape).astype(dtype)
        return x if order == "heads first" else x.swapaxes(1, 2)

    q, k, v, g = draw(queries, width), draw(keys, width), draw(keys, values_width), draw(queries, values_width)
    y, logs = kernels.attention.attention(q, k, v, causal, 0.4)
    dq, dk, dv = kernels.attention.attention_backward(q, k, v, g, logs, causal, 0.4)
    assert y.dtype == dq.dtype == dtype
    assert (y if order == "heads first" else y.swapaxes(1, 2)).flags.c_contiguous, "the result has another order"

    q, k, v, g = (x.astype(np.float64) for x in (q, k, v, g))
    s = 0.4 * q @ k.swapaxes(-1, -2)
    if causal:
        s = np.where(np.tri(queries, keys, keys - queries, dtype=bool), s, -np.inf)
    p = naive_softmax(s)
    dp = g @ v.swapaxes(-1, -2)
    ds = 0.4 * p * (dp - (dp * p).sum(-1, keepdims=True))
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-10}
    for result, expected in ((y, p @ v), (dq, ds @ k), (dk, ds.swapaxes(-1, -2) @ q), (dv, p.swapaxes(-1, -2) @ g)):
        np.testing.assert_allclose(result, expected, **tolerance)


def test_attention_reads_and_writes_parts_of_a_wide_matrix():
    rng = np.random.default_rng(0)
    packed = rng.normal(size=(2, 50, 3, 4, 16))
    q, k, v = (packed[:, :, i].swapaxes(1, 2) for i in range(3))
    y, logs = kernels.attention.attention(q, k, v, True, 0.25)
    apart = [x.copy() for x in (q, k, v)]
    expected, expected_logs = kernels.attention.attention(*apart, True, 0.25)
    np.testing.assert_array_equal(y, expected)
    gradients = np.full_like(packed, np.nan)
    kernels.attention.attention_backward(
        q, k, v, y, logs, True, 0.25, tuple(gradients[:, :, i].swapaxes(1, 2) for i in range(3))
    )
    for i, gradient in enumerate(kernels.attention.attention_backward(*apart, y, expected_logs, True, 0.25)):
        np.testing.assert_array_equal(gradients[:, :, i].swapaxes(1, 2), gradient)


def test_attention_with_huge_scores():
    q = np.full((1, 5, 4), 1e4, np.float32)
    y, _ = kernels.attention.attention(q, q, q, True, 1.0)
    np.testing.assert_array_equal(y, q)


def test_attention_that_may_look_at_nothing_is_zero():
    q = Tensor(np.ones((2, 3)), requires_grad=True)
    y = mt.scaled_dot_product_attention(q, q, q, mask=np.array([[False, False], [True, False]]))
    assert y.tolist() == [[0, 0, 0], [1, 1, 1]]
    y.sum().backward()
    assert np.isfinite(q.grad.data).all()
