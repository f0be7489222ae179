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


# Weights, heads and the cache


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_add_up_to_one_and_the_causal_mask_is_aligned_with_the_last_key(dtype):
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 3, 4)).astype(dtype), rng.normal(size=(2, 5, 4)).astype(dtype)
    weights = mt.attention_weights(Tensor(q, requires_grad=True), Tensor(k), causal=True)
    assert weights.dtype == dtype and weights.shape == (2, 3, 5)
    np.testing.assert_allclose(weights.data.sum(axis=-1), 1, rtol=1e-6)
    np.testing.assert_array_equal(weights.data > 0, np.broadcast_to(np.tri(3, 5, 2, dtype=bool), (2, 3, 5)))
    hidden = mt.attention_weights(k, q, causal=True)  # more queries than keys: the first two see nothing
    assert not hidden[:, :2].any() and np.allclose(hidden[:, 2:].sum(axis=-1), 1)


def test_attention_is_its_weights_times_the_values():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 6, 4)), rng.normal(size=(2, 6, 3))
    for options in (
        {},
        {"causal": True},
        {"scale": 0.1},
        {"mask": rng.random((5, 6)) < 0.5},
        {"mask": rng.normal(size=(5, 6))},
    ):
        expected = mt.attention_weights(q, k, **options) @ v
        for recorded in (False, True):
            y = mt.scaled_dot_product_attention(Tensor(q, requires_grad=recorded), k, v, **options)
            np.testing.assert_allclose(y.data, expected, rtol=1e-9, atol=1e-12)
    with pytest.raises(TypeError, match="mask must be booleans or floats, not int64"):
        mt.attention_weights(q, k, np.ones((5, 6), np.int64))


def test_heads_come_apart_and_together():
    packed = np.arange(2 * 3 * 24.0).reshape(2, 3, 24)
    query, key, value = mt.split_heads(packed, 4)
    assert query.shape == key.shape == value.shape == (2, 4, 3, 2)
    np.testing.assert_array_equal(key[1, 2, 0], packed[1, 0, 12:14])
    np.testing.assert_array_equal(mt.merge_heads(value), packed[..., 16:])
    assert len(mt.split_heads(packed, 2, parts=2)) == 2 and mt.split_heads(packed, 1, 1)[0].shape == (2, 1, 3, 24)
    for bad in (lambda: mt.split_heads(packed, 5), lambda: mt.split_heads(packed, 0), lambda: mt.split_heads(np.ones(6), 1)):
        with pytest.raises(ValueError, match="split_heads: needs"):
            bad()
    with pytest.raises(ValueError, match="merge_heads: needs"):
        mt.merge_heads(np.ones((2, 3)))


class Cache:
    """The least that a cache has to do."""

    def __init__(self):
        self.kept = None

    def extend(self, key, value):
        assert type(key) is type(value) is np.ndarray and key.shape == value.shape
        new = key.copy(), value.copy()
        self.kept = (
            new if self.kept is None else tuple(np.concatenate(both, axis=-2) for both in zip(self.kept, new, strict=True))
        )
        return self.kept


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pieces", [[9], [1] * 9, [4, 1, 2, 2]])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_reading_with_a_cache_is_reading_the_whole(dtype, pieces, lead):
    packed = np.random.default_rng(0).normal(size=(*lead, 9, 24)).astype(dtype)
    expected = mt.multi_head_attention(Tensor(packed, requires_grad=True), heads=4, causal=True).data
    cache, at = Cache(), 0
    for n in pieces:
        part = Tensor(packed[..., at : at + n, :], requires_grad=True)
        with mt.no_grad():
            y = mt.multi_head_attention(part, heads=4, causal=True, cache=cache)
        assert type(y) is Tensor and not y.requires_grad and y.dtype == dtype
        np.testing.assert_allclose(
            y.data, expected[..., at : at + n, :], rtol=1e-4 if dtype == np.float32 else 1e-10, atol=1e-5
        )
        at += n
    assert cache.kept[0].shape == (*lead, 4, 9, 2)


def test_a_cache_refuses_to_lose_gradients():
    packed = Tensor(np.ones((1, 2, 12)), requires_grad=True)
    with pytest.raises(RuntimeError, match=r"no_grad\(\)"):
        mt.multi_head_attention(packed, heads=2, cache=Cache())
    assert not mt.multi_head_attention(packed.detach(), heads=2, cache=Cache()).requires_grad
    with pytest.raises(ValueError, match=r"6 heads divide \(2 of queries"):
        mt.multi_head_attention(np.ones((1, 2, 13)), heads=2, cache=Cache())
