"""The kernels of neural networks against their plain NumPy specifications, at awkward sizes and values, in both types."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtensor import kernels
from microtensor.kernels import linear, normalization
from microtensor.kernels.runtime import threads
from microtensor.kernels.softmax import STRIDE

SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from([np.float32, np.float64])
ROWS = st.sampled_from([0, 1, 2, 3, 15, 16, 17, 40])
WIDTHS = st.sampled_from([1, 2, STRIDE - 1, STRIDE, STRIDE + 1, 63, 64, 65, 130])


@pytest.fixture(autouse=True, scope="module")
def all_work_is_shared():
    before = threads.PART
    threads.PART = 1
    yield
    threads.PART = before


def scores(seed, shape, dtype):
    """Small, huge and tiny numbers, some -inf, and rows that are all -inf."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape) * rng.choice([1e-30, 1e-3, 1.0, 30.0, 1e4, 1e30], size=(*shape[:-1], 1))
    x[rng.random(shape) < 0.1] = -np.inf
    x[rng.random(shape[:-1]) < 0.1] = -np.inf
    return x.astype(dtype)


def softmax(x):
    x = x.astype(np.float64)
    most = x.max(axis=-1, keepdims=True, initial=-np.inf)
    e = np.exp(x - np.where(np.isinf(most), 0, most))
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


@given(seed=SEEDS, dtype=DTYPES, rows=ROWS, width=WIDTHS)
def test_softmax(seed, dtype, rows, width):
    x = scores(seed, (rows, width), dtype)
    p, log_p = kernels.softmax.softmax(x), kernels.softmax.softmax(x, logarithm=True)
    expected = softmax(x)
    assert p.dtype == log_p.dtype == dtype
    np.testing.assert_allclose(p, expected, rtol=2e-5 if dtype == np.float32 else 1e-12, atol=1e-37)
    likely = expected > 1e-30
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(np.exp(log_p.astype(np.float64)[likely]), expected[likely], rtol=100 * tolerance)
    np.testing.assert_array_equal(np.isinf(log_p), np.isinf(x))

    g = np.random.default_rng(seed).normal(size=x.shape).astype(dtype)
    wide = g.astype(np.float64)
    np.testing.assert_allclose(
        kernels.softmax.softmax_backward(p, g),
        expected * (wide - (wide * expected).sum(-1, keepdims=True)),
        atol=10 * tolerance,
    )
    np.testing.assert_allclose(
        kernels.softmax.softmax_backward(log_p, g, logarithm=True),
        wide - expected * wide.sum(-1, keepdims=True),
        atol=20 * tolerance,
    )


def test_softmax_keeps_nan_in_its_row():
    x = np.zeros((3, 70), np.float32)
    x[1, 69] = np.nan
    p = kernels.softmax.softmax(x)
    assert np.isnan(p[1]).all() and not np.isnan(p[[0, 2]]).any()


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
    p = softmax(s)
    dp = g @ v.swapaxes(-1, -2)
    ds = 0.4 * p * (dp - (dp * p).sum(-1, keepdims=True))
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-10}
    for found, expected in ((y, p @ v), (dq, ds @ k), (dk, ds.swapaxes(-1, -2) @ q), (dv, p.swapaxes(-1, -2) @ g)):
        np.testing.assert_allclose(found, expected, **tolerance)


def test_attention_reads_and_writes_parts_of_a_wide_matrix():
    rng = np.random.default_rng(0)
    packed = rng.normal(size=(2, 50, 3, 4, 16))
    q, k, v = (packed[:, :, i].swapaxes(1, 2) for i in range(3))
    y, logs = kernels.attention.attention(q, k, v, True, 0.25)
    apart = [x.copy() for x in (q, k, v)]
    expected, expected_logs = kernels.attention.attention(*apart, True, 0.25)
    np.testing.assert_array_equal(y, expected)
    slopes = np.full_like(packed, np.nan)
    kernels.attention.attention_backward(q, k, v, y, logs, True, 0.25, tuple(slopes[:, :, i].swapaxes(1, 2) for i in range(3)))
    for i, slope in enumerate(kernels.attention.attention_backward(*apart, y, expected_logs, True, 0.25)):
        np.testing.assert_array_equal(slopes[:, :, i].swapaxes(1, 2), slope)


def test_attention_with_huge_scores():
    q = np.full((1, 5, 4), 1e4, np.float32)
    y, _ = kernels.attention.attention(q, q, q, True, 1.0)
    np.testing.assert_array_equal(y, q)


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
    slope = factor * (h - (h.mean(-1, keepdims=True) if centre else 0) - normal * (h * normal).mean(-1, keepdims=True))
    # A centred row of one or two numbers loses its digits in the subtraction, whoever computes it.
    tolerance = 1e-8 if dtype == np.float64 else 1e-3
    if not (centre and width < 3):
        np.testing.assert_allclose(y, normal * w + (0 if bias is None else bias), rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(dx, slope, rtol=tolerance, atol=tolerance * np.abs(factor).max())
        if weight is not None:
            np.testing.assert_allclose(dweight, (g * normal).sum(0), rtol=tolerance, atol=tolerance * math.sqrt(rows))
    if bias is not None:
        np.testing.assert_allclose(dbias, g.astype(np.float64).sum(0), rtol=tolerance, atol=tolerance * math.sqrt(rows))


def normal_cdf(x):
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.ravel()]).reshape(x.shape)


def bell(x):
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu_tanh(x):
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return 0.5 * x * (1 + np.tanh(u)), 0.5 * (1 + np.tanh(u)) + 0.5 * x * (1 - np.tanh(u) ** 2) * inner


ACTIVATIONS = {
    "tanh": lambda x: (np.tanh(x), 1 - np.tanh(x) ** 2),
    "silu": lambda x: (x * sigmoid(x), sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
    "gelu": lambda x: (x * normal_cdf(x), normal_cdf(x) + x * bell(x)),
    "gelu_tanh": gelu_tanh,
}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_keep_the_stated_errors(name, dtype):
    x = np.concatenate([np.linspace(-10, 10, 20_001), [0.0, 1e-30, -1e-30, 15.0, -15.0]]).astype(dtype)
    before = x.copy()
    y, slopes = kernels.activations.activate(name, x)
    value, slope = ACTIVATIONS[name](x.astype(np.float64))
    stated = 1e-6 if dtype == np.float32 else 2e-15
    assert y.dtype == slopes.dtype == dtype and np.array_equal(x, before)
    assert np.abs(y - value).max() < 2 * stated
    assert np.abs(slopes - slope).max() < 10 * stated
    if name == "tanh":
        np.testing.assert_allclose(y, value, rtol=4e-7 if dtype == np.float32 else 1e-15)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_far_out(name, dtype):
    far = [200.0, -200.0, 1e30, -1e30, np.inf, -np.inf, np.nan]
    y, slopes = kernels.activations.activate(name, np.array(far, dtype))
    ones = [1, -1, 1, -1, 1, -1, np.nan]
    if name == "tanh":
        np.testing.assert_array_equal(y, np.array(ones, dtype))
        np.testing.assert_array_equal(slopes, np.array([0, 0, 0, 0, 0, 0, np.nan], dtype))
    else:
        expected = np.array([200.0, 0, 1e30, 0, np.inf, 0, np.nan], dtype)
        np.testing.assert_allclose(y, expected, atol=1e-30)
        np.testing.assert_allclose(slopes, np.array([1, 0, 1, 0, 1, 0, np.nan]), atol=1e-30)


@given(
    seed=SEEDS,
    dtype=DTYPES,
    rows=st.sampled_from([1, 5, linear.BLOCK, 2 * linear.BLOCK + 1]),
    width=WIDTHS,
    sloped=st.booleans(),
)
def test_bias_gradient(seed, dtype, rows, width, sloped):
    rng = np.random.default_rng(seed)
    g, slopes = rng.normal(size=(2, rows, width)).astype(dtype)
    out, db = kernels.linear.bias_backward(g, slopes if sloped else None)
    np.testing.assert_allclose(out, g * slopes if sloped else g, rtol=1e-6)
    np.testing.assert_allclose(db, out.astype(np.float64).sum(axis=0), rtol=1e-4, atol=1e-5)


@given(seed=SEEDS, dtype=DTYPES, n=st.sampled_from([0, 1, 15, 16, 17, 1000]))
def test_sums_of_arrays(seed, dtype, n):
    x, y = np.random.default_rng(seed).normal(size=(2, n)).astype(dtype)
    expected = x + y
    np.testing.assert_array_equal(kernels.arithmetic.add(x, y), expected)
    assert kernels.arithmetic.add_to(x, y) is y
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_repeats_itself(p):
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


@given(seed=SEEDS, dtype=DTYPES, sizes=st.lists(st.sampled_from([0, 1, 7, 100, 2**14, 2**14 + 1]), min_size=1, max_size=4))
def test_adamw_over_several_arrays(seed, dtype, sizes):
    rng = np.random.default_rng(seed)
    p, g, m, s = ([rng.random(n).astype(dtype) for n in sizes] for _ in range(4))
    before = [[a.astype(np.float64) for a in arrays] for arrays in (p, g, m, s)]
    factors = [(0.1, 0.01, 0.99, 0.003 + i, 1.5, 1e-8) for i in range(len(sizes))]
    kernels.optimizers.adamw(p, g, m, s, factors)
    for i, (a, b, c, d, shrink, rate) in enumerate(zip(*before, [0.99] * len(sizes), [f[3] for f in factors], strict=True)):
        mean, square = c + 0.1 * (b - c), d + 0.01 * (b * b - d)
        np.testing.assert_allclose(m[i], mean, rtol=1e-5)
        np.testing.assert_allclose(s[i], square, rtol=1e-5)
        np.testing.assert_allclose(p[i], shrink * a - rate * mean / (1.5 * np.sqrt(square) + 1e-8), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(g[i], b)


@given(seed=SEEDS, dtype=DTYPES, sizes=st.lists(st.sampled_from([0, 1, 7, 300, 2**14 + 1]), min_size=1, max_size=4),
       size=st.sampled_from([1e-30, 1.0, 1e25]))  # fmt: skip
def test_norm_of_all_and_scaled(seed, dtype, sizes, size):
    rng = np.random.default_rng(seed)
    arrays = [(rng.normal(size=n) * size).astype(dtype) for n in sizes]
    expected = np.sqrt(sum((a.astype(np.float64) ** 2).sum() for a in arrays))
    np.testing.assert_allclose(kernels.optimizers.norm_of_all(arrays), expected, rtol=1e-6)
    for a, half in zip(arrays, kernels.optimizers.scaled(arrays, 0.5), strict=True):
        np.testing.assert_array_equal(half, dtype(0.5) * a)
        assert not np.shares_memory(a, half)
