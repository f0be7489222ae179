"""Embeddings: the kernels against plain NumPy."""

import numpy as np
import pytest
from drawing import DTYPES, SEEDS, SIZES
from hypothesis import given
from hypothesis import strategies as st

import microtensor as mt
from microtensor import kernels


@given(seed=SEEDS, dtype=DTYPES, rows=SIZES, width=SIZES, n=SIZES)
def test_gather_and_scatter_add(seed, dtype, rows, width, n):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, width)).astype(dtype)
    indices = rng.integers(0, max(rows, 1), n if rows else 0)
    out = np.full((len(indices), width), np.nan, dtype)
    assert kernels.embedding.gather(table, indices, out) == -1
    np.testing.assert_array_equal(out, table[indices])

    total, expected = np.ones_like(table), np.ones_like(table)
    kernels.embedding.scatter_add(out, indices, total)
    np.add.at(expected, indices, out)
    np.testing.assert_allclose(total, expected, rtol=1e-5)


@given(seed=SEEDS, dtype=DTYPES, width=SIZES, n=SIZES, bag=st.integers(1, 9))
def test_gather_mean_and_scatter_mean(seed, dtype, width, n, bag):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(5, width)).astype(dtype)
    indices = rng.integers(0, 5, (n, bag))
    out = np.full((n, width), np.nan, dtype)
    assert kernels.embedding.gather_mean(table, indices, out) == -1
    np.testing.assert_allclose(out, table[indices].mean(axis=1), rtol=1e-4, atol=1e-5)

    total, expected = np.ones_like(table), np.ones_like(table)
    kernels.embedding.scatter_mean(out, indices, total)
    np.add.at(expected, indices, np.repeat(out[:, None] / bag, bag, axis=1))
    np.testing.assert_allclose(total, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bad", [-1, 5])
def test_indices_outside_the_table_are_found(bad):
    table, out = np.zeros((5, 2)), np.zeros((3, 2))
    assert kernels.embedding.gather(table, np.array([0, 4, bad]), out) == 2
    assert kernels.embedding.gather_mean(table, np.array([[0, 4], [1, bad], [0, 0]]), out) == 3


@pytest.mark.parametrize("op", [mt.embedding, mt.embedding_bag])
def test_indices_that_lie_apart(op):
    """The columns of a table of tokens, as many as a kernel looks up."""
    rng = np.random.default_rng(0)
    apart, values = rng.integers(0, 7, (4000, 5))[:, 1:3], rng.normal(size=(7, 3)).astype(np.float32)
    found = []
    for indices in (apart, np.ascontiguousarray(apart)):
        table = mt.Tensor(values, requires_grad=True)
        y = op(indices, table)
        (y * y).sum().backward()
        found.append((y.data, table.grad.data))
    for ours, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(op(apart[:, 0, None], values), op(apart[:, 0].copy()[:, None], values))
