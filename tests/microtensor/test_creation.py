"""Tensors made from a shape."""

import numpy as np
import pytest

import microtensor as mt


@pytest.mark.parametrize(
    "made, expected",
    [
        (lambda: mt.zeros(2, 3), np.zeros((2, 3), np.float32)),
        (lambda: mt.zeros((2, 3)), np.zeros((2, 3), np.float32)),
        (lambda: mt.ones(), np.ones((), np.float32)),
        (lambda: mt.ones(np.int64(2), dtype=np.float64), np.ones(2)),
        (lambda: mt.full((2,), 1.5), np.full(2, 1.5, np.float32)),
        (lambda: mt.full(2, 7), np.full(2, 7)),
        (lambda: mt.arange(3), np.arange(3)),
        (lambda: mt.arange(1, 2, 0.25), np.arange(1, 2, 0.25, np.float32)),
        (lambda: mt.arange(3, dtype=np.float64), np.arange(3.0)),
        (lambda: mt.zeros_like(mt.Tensor([1, 2])), np.zeros(2, int)),
        (lambda: mt.ones_like(np.ones((2, 1), np.float32)), np.ones((2, 1), np.float32)),
        (lambda: mt.full_like(mt.Tensor([1.0, 2.0]), 0.5), np.full(2, 0.5, np.float32)),
        (lambda: np.zeros_like(mt.Tensor([1.0, 2.0], requires_grad=True)), np.zeros(2, np.float32)),
    ],
)
def test_values_and_types(made, expected):
    t = made()
    assert isinstance(t, mt.Tensor) and not t.requires_grad
    assert t.shape == expected.shape and t.dtype == expected.dtype
    np.testing.assert_array_equal(t.data, expected)


def test_requires_grad():
    for t in (mt.zeros(2, requires_grad=True), mt.randn(2, requires_grad=True), mt.ones_like(np.ones(2), requires_grad=True)):
        assert t.requires_grad
    with pytest.raises(TypeError, match="int64"):
        mt.arange(3, requires_grad=True)


def test_chance_is_seeded_or_passed_on():
    a, b, c = mt.randn(2, 3, rng=0), mt.randn((2, 3), rng=np.random.default_rng(0)), mt.randn(2, 3)
    assert a.dtype == np.float32 and a.tolist() == b.tolist() != c.tolist()
    rng = np.random.default_rng(0)
    assert mt.randn(3, rng=rng).tolist() != mt.randn(3, rng=rng).tolist()
    assert mt.randn(3, rng=0, dtype=np.float64).dtype == np.float64
    like = mt.randn_like(mt.Tensor(np.ones(3)), rng=0)
    assert like.dtype == np.float64 and like.tolist() == mt.randn(3, rng=0, dtype=np.float64).tolist()
    assert abs(mt.randn(10_000, rng=0).data.std() - 1) < 0.05


def test_what_is_no_shape():
    for call in (lambda: mt.zeros((2, 3), np.float64), lambda: mt.ones(2.0), lambda: mt.randn(-1)):
        with pytest.raises(TypeError, match="made of lengths"):
            call()
