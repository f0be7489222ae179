"""The kernel that reads a few rows with a cache of keys and values, against plain NumPy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtensor import kernels


def draw(rng, blocks, width, hidden, vocabulary, biases, dtype):
    def layer(inputs, outputs):
        bias = rng.normal(size=outputs).astype(dtype) if biases else None
        return (rng.normal(size=(inputs, outputs)) / math.sqrt(inputs)).astype(dtype), bias

    def norm():
        return rng.normal(1, 0.2, width).astype(dtype), rng.normal(size=width).astype(dtype) if biases else None

    return [
        {"norm1": norm(), "qkv": layer(width, 3 * width), "out": layer(width, width),
         "norm2": norm(), "up": layer(width, hidden), "down": layer(hidden, width)}
        for _ in range(blocks)
    ], norm(), layer(width, vocabulary)[0]  # fmt: skip


def specification(blocks, norm, head, heads, x):
    """The scores after every row, in float64."""

    def apply(layer, x):
        return x @ layer[0].astype(float) + (0 if layer[1] is None else layer[1])

    def normalise(layer, x):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5)
        return x * layer[0] + (0 if layer[1] is None else layer[1])

    x = x.astype(float)
    rows, width = x.shape
    for block in blocks:
        query, key, value = (
            part.reshape(rows, heads, width // heads).swapaxes(0, 1)
            for part in np.split(apply(block["qkv"], normalise(block["norm1"], x)), 3, axis=1)
        )
        scores = np.where(np.tri(rows, dtype=bool), query @ key.swapaxes(1, 2) / math.sqrt(width // heads), -np.inf)
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        found = (p / p.sum(axis=-1, keepdims=True)) @ value
        x = x + apply(block["out"], found.swapaxes(0, 1).reshape(rows, width))
        h = apply(block["up"], normalise(block["norm2"], x))
        h = h * np.vectorize(lambda t: 0.5 * math.erfc(-t / math.sqrt(2)))(h)
        x = x + apply(block["down"], h)
    return normalise(norm, x) @ head


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1000), blocks=st.integers(1, 3), heads=st.integers(1, 4), each=st.sampled_from([1, 3, 8, 31, 32, 33]),
    hidden=st.integers(1, 70), vocabulary=st.integers(1, 70), pieces=st.lists(st.integers(1, 13), min_size=1, max_size=6),
    spare=st.integers(0, 40), biases=st.booleans(), dtype=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_reading_in_pieces_is_reading_the_whole(seed, blocks, heads, each, hidden, vocabulary, pieces, spare, biases, dtype):
    rng = np.random.default_rng(seed)
    width = heads * each
    weights, norm, head = draw(rng, blocks, width, hidden, vocabulary, biases, dtype)
    packed = kernels.residual_blocks.pack_transformer(weights, norm, head, heads)
    x = rng.normal(size=(sum(pieces), width)).astype(dtype)
    expected = specification(weights, norm, head, heads, x)
    keys, values = kernels.residual_blocks.empty_cache(packed, len(x) + spare)
    before = x.copy()
    at = 0
    for rows in pieces:
        found = kernels.residual_blocks.cached_transformer(packed, x[at : at + rows], keys, values, at)
        at += rows
        assert found.dtype == dtype and found.shape == (vocabulary,)
        scale = max(np.abs(expected[at - 1]).max(), 1)
        np.testing.assert_allclose(found, expected[at - 1], atol=(2e-4 if dtype == np.float32 else 1e-11) * scale)
    np.testing.assert_array_equal(x, before)


def test_the_same_bits_however_the_rows_come():
    rng = np.random.default_rng(0)
    weights, norm, head = draw(rng, 2, 48, 100, 65, True, np.float32)
    packed = kernels.residual_blocks.pack_transformer(weights, norm, head, 3)
    x = rng.normal(size=(40, 48)).astype(np.float32)
    results = []
    for pieces in ([40], [1] * 40, [7, 4, 4, 25]):
        keys, values = kernels.residual_blocks.empty_cache(packed, 64)
        at = 0
        for rows in pieces:
            found = kernels.residual_blocks.cached_transformer(packed, x[at : at + rows], keys, values, at)
            at += rows
        results.append(found)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_too_many_rows_are_refused():
    weights, norm, head = draw(np.random.default_rng(0), 1, 8, 8, 8, True, np.float32)
    packed = kernels.residual_blocks.pack_transformer(weights, norm, head, 2)
    keys, values = kernels.residual_blocks.empty_cache(packed, 5)
    with pytest.raises(ValueError, match="5 positions, and 3 rows at 3 don't fit"):
        kernels.residual_blocks.cached_transformer(packed, np.zeros((3, 8), np.float32), keys, values, 3)
