"""The kernel that reads a few rows with a cache of keys and values, against plain NumPy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtensor import kernels


def draw(rng, blocks, width, hidden, outputs, biases, dtype, centred=True, activation="gelu", eps=1e-5):
    def bias(n):
        return rng.normal(size=n).astype(dtype) if biases else None

    def product(inputs, outputs, norm, activation=None):
        before = (rng.normal(1, 0.2, width).astype(dtype), bias(width), eps, centred) if norm else None
        return before, (rng.normal(size=(inputs, outputs)) / math.sqrt(inputs)).astype(dtype), bias(outputs), activation

    found = []
    for _ in range(blocks):
        found += [product(width, 3 * width, True), product(width, width, False)]
        found += [product(width, hidden, True, activation), product(hidden, width, False)]
    return [*found, product(width, outputs, True)]


ACTIVATIONS = {
    "gelu": lambda x: x * np.vectorize(lambda t: 0.5 * math.erfc(-t / math.sqrt(2)))(x),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "squared_relu": lambda x: np.maximum(x, 0) ** 2,
}


def specification(products, heads, x):
    """The logits after every row, in float64."""

    def apply(product, x):
        norm, weight, bias, activation = product
        if norm is not None:
            scale, shift, eps, centred = norm
            if centred:
                x = x - x.mean(axis=-1, keepdims=True)
            x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * scale + (0 if shift is None else shift)
        y = x @ weight.astype(float) + (0 if bias is None else bias)
        return y if activation is None else ACTIVATIONS[activation](y)

    x = x.astype(float)
    rows, width = x.shape
    for qkv, out, up, down in zip(*[iter(products[:-1])] * 4, strict=True):
        query, key, value = (
            part.reshape(rows, heads, width // heads).swapaxes(0, 1) for part in np.split(apply(qkv, x), 3, axis=1)
        )
        scores = np.where(np.tri(rows, dtype=bool), query @ key.swapaxes(1, 2) / math.sqrt(width // heads), -np.inf)
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        attended = (p / p.sum(axis=-1, keepdims=True)) @ value
        x = x + apply(out, attended.swapaxes(0, 1).reshape(rows, width))
        x = x + apply(down, apply(up, x))
    return apply(products[-1], x)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1000), blocks=st.integers(1, 3), heads=st.integers(1, 4), head_width=st.sampled_from([1, 3, 8, 31, 32, 33]),
    hidden=st.integers(1, 70), vocabulary=st.integers(1, 70), pieces=st.lists(st.integers(1, 13), min_size=1, max_size=6),
    spare=st.integers(0, 40), biases=st.booleans(), dtype=st.sampled_from([np.float32, np.float64]), centred=st.booleans(),
    activation=st.sampled_from(sorted(ACTIVATIONS)), eps=st.sampled_from([1e-5, 0.1]),
)  # fmt: skip
def test_reading_in_pieces_is_reading_the_whole(
    seed, blocks, heads, head_width, hidden, vocabulary, pieces, spare, biases, dtype, centred, activation, eps
):
    rng = np.random.default_rng(seed)
    width = heads * head_width
    products = draw(rng, blocks, width, hidden, vocabulary, biases, dtype, centred, activation, eps)
    packed = kernels.residual_blocks.pack_blocks(products, heads)
    x = rng.normal(size=(sum(pieces), width)).astype(dtype)
    expected = specification(products, heads, x)
    keys, values = kernels.residual_blocks.empty_cache(packed, len(x) + spare)
    before = x.copy()
    at = 0
    for rows in pieces:
        found = kernels.residual_blocks.residual_blocks(packed, x[at : at + rows], keys, values, at)
        at += rows
        assert found.dtype == dtype and found.shape == (vocabulary,)
        scale = max(np.abs(expected[at - 1]).max(), 1)
        np.testing.assert_allclose(found, expected[at - 1], atol=(2e-4 if dtype == np.float32 else 1e-11) * scale)
    np.testing.assert_array_equal(x, before)


def test_the_same_bits_however_the_rows_come():
    rng = np.random.default_rng(0)
    products = draw(rng, 2, 48, 100, 65, True, np.float32)
    packed = kernels.residual_blocks.pack_blocks(products, 3)
    x = rng.normal(size=(40, 48)).astype(np.float32)
    results = []
    for pieces in ([40], [1] * 40, [7, 4, 4, 25]):
        keys, values = kernels.residual_blocks.empty_cache(packed, 64)
        at = 0
        for rows in pieces:
            found = kernels.residual_blocks.residual_blocks(packed, x[at : at + rows], keys, values, at)
            at += rows
        results.append(found)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_too_many_rows_are_refused():
    products = draw(np.random.default_rng(0), 1, 8, 8, 8, True, np.float32)
    packed = kernels.residual_blocks.pack_blocks(products, 2)
    keys, values = kernels.residual_blocks.empty_cache(packed, 5)
    with pytest.raises(ValueError, match="5 positions, and 3 rows at 3 don't fit"):
        kernels.residual_blocks.residual_blocks(packed, np.zeros((3, 8), np.float32), keys, values, 3)


def test_arrays_that_do_not_fit_are_refused_at_the_door():
    products = draw(np.random.default_rng(0), 1, 8, 8, 8, True, np.float32)
    with pytest.raises(ValueError, match="heads divide"):
        kernels.residual_blocks.pack_blocks(products, 3)
    with pytest.raises(ValueError, match="one dtype"):
        kernels.residual_blocks.pack_blocks([(n, w, b.astype(np.float64), a) for n, w, b, a in products], 2)
    packed = kernels.residual_blocks.pack_blocks(products, 2)
    keys, values = kernels.residual_blocks.empty_cache(packed, 5)
    x = np.zeros((1, 8), np.float32)
    for wrong in (
        (x.astype(np.float64), keys, values, 0), (x[:, :7], keys, values, 0), (x, keys[:, :1], values, 0), (x, keys, values, -1),
        (x[:0], keys, values, 0), (x, keys, values[..., :-8], 0), (x, np.zeros((), np.float32), values, 0),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="fit|must be"):
            kernels.residual_blocks.residual_blocks(packed, *wrong)
