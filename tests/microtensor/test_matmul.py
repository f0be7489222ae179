"""The matrix product against its specification, `a @ b`, at sizes around its tiles and blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtensor import kernels
from microtensor.kernels import matmul
from microtensor.kernels.runtime import config
from microtensor.kernels.runtime.simd import ROWS, VECTOR_BYTES

SEEDS = st.integers(0, 2**32 - 1)
WIDTH = 2 * VECTOR_BYTES // 4  # a tile's columns, in float32
SIZES = st.sampled_from(
    [0, 1, 2, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS + 3, WIDTH - 1, WIDTH, WIDTH + 1, 3 * WIDTH + WIDTH // 4 + 1]
)
DEPTHS = st.sampled_from([0, 1, 2, 7, 65, matmul.DEPTH, matmul.DEPTH + 1, matmul.DEEP + 3])
LAYOUTS = st.sampled_from(["rows", "columns", "gaps", "backwards", "repeated"])
DTYPES = st.sampled_from([np.float32, np.float64])


@pytest.fixture(autouse=True, scope="module")
def every_product_is_ours():
    before = config.SMALL_PRODUCT, matmul.LARGE
    config.SMALL_PRODUCT, matmul.LARGE = 0, 0
    yield
    config.SMALL_PRODUCT, matmul.LARGE = before


def lay_out(x, layout):
    """The same numbers, differently in memory."""
    if layout == "columns":
        return np.asfortranarray(x)
    if layout == "gaps":
        wide = np.full((*x.shape[:-2], x.shape[-2] * 2, x.shape[-1] * 3), np.nan, x.dtype)
        wide[..., ::2, ::3] = x
        return wide[..., ::2, ::3]
    if layout == "backwards":
        return x[..., ::-1, ::-1].copy()[..., ::-1, ::-1]
    if layout == "repeated":
        return np.broadcast_to(x[..., :1, :], x.shape)
    return x


def tolerance(dtype, depth):
    return (2e-6 if dtype == np.float32 else 1e-14) * (depth + 8)


@given(seed=SEEDS, dtype=DTYPES, rows=SIZES, depth=DEPTHS, columns=SIZES, a_layout=LAYOUTS, b_layout=LAYOUTS)
def test_any_shape_in_any_order(seed, dtype, rows, depth, columns, a_layout, b_layout):
    rng = np.random.default_rng(seed)
    a = lay_out(rng.normal(size=(rows, depth)).astype(dtype), a_layout)
    b = lay_out(rng.normal(size=(depth, columns)).astype(dtype), b_layout)
    before = a.copy(), b.copy()
    c = kernels.matmul.matmul(a, b)
    assert c.dtype == dtype and c.flags.c_contiguous and c.shape == (rows, columns)
    np.testing.assert_allclose(c, a.astype(np.float64) @ b.astype(np.float64), atol=tolerance(dtype, depth))
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(b, before[1])


@given(seed=SEEDS, dtype=DTYPES, rows=SIZES, depth=DEPTHS, columns=SIZES)
def test_what_is_added_to_it(seed, dtype, rows, depth, columns):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(rows, depth)).astype(dtype), rng.normal(size=(depth, columns)).astype(dtype)
    bias, there = rng.normal(size=columns).astype(dtype), rng.normal(size=(rows, columns)).astype(dtype)
    expected = there + a @ b
    assert kernels.matmul.matmul(a, b, add_to=there) is there
    np.testing.assert_allclose(there, expected, atol=tolerance(dtype, depth))
    np.testing.assert_allclose(kernels.matmul.matmul(a, b, bias), a @ b + bias, atol=tolerance(dtype, depth))
    derivatives, activated = kernels.matmul.matmul(a, b, bias, "silu")
    h = (a @ b + bias).astype(np.float64)
    s = 1 / (1 + np.exp(-h))
    np.testing.assert_allclose(activated, h * s, atol=4 * tolerance(dtype, depth))
    np.testing.assert_allclose(derivatives, s * (1 + h * (1 - s)), atol=4 * tolerance(dtype, depth))


@given(seed=SEEDS, dtype=DTYPES, batch=st.sampled_from([((3,), (3,)), ((2, 1), (4,)), ((1,), (3, 2)), ((), (3,)), ((3,), ()), ((0,), (0,))]),
       rows=SIZES, columns=SIZES, layout=LAYOUTS)  # fmt: skip
def test_batches_broadcast(seed, dtype, batch, rows, columns, layout):
    rng = np.random.default_rng(seed)
    a = lay_out(rng.normal(size=(*batch[0], rows, 9)).astype(dtype), layout)
    b = rng.normal(size=(*batch[1], columns, 9)).astype(dtype).swapaxes(-1, -2)
    np.testing.assert_allclose(kernels.matmul.matmul(a, b), np.matmul(a, b), atol=tolerance(dtype, 9))


@pytest.mark.parametrize("extreme", [1e-38, 1e38, np.inf, np.nan])
def test_extreme_numbers_stay_in_their_row_and_column(extreme):
    a, b = np.ones((ROWS + 1, 5), np.float32), np.ones((5, WIDTH + 1), np.float32)
    a[3, 2] = extreme
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(kernels.matmul.matmul(a, b), a @ b)


def test_the_same_bits_with_any_number_of_threads():
    rng = np.random.default_rng(0)
    products = [((500, 70), (70, 90)), ((40, 3000), (3000, 50)), ((7, 30, 40), (7, 40, 20)), ((20, 64), (64, 500))]
    arrays = [tuple(rng.normal(size=s).astype(np.float32) for s in shapes) for shapes in products]
    before = kernels.runtime.config.get_num_threads()
    try:
        found = []
        for n in (1, 2, 3, 2):
            kernels.runtime.config.set_num_threads(n)
            found.append([kernels.matmul.matmul(a, b) for a, b in arrays])
    finally:
        kernels.runtime.config.set_num_threads(before)
    for others in found[1:]:
        for first, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(first, other)


def test_numpy_can_be_chosen(monkeypatch):
    monkeypatch.setattr(matmul, "_single", None)  # calling ours would fail
    a, b = np.ones((50, 40)), np.ones((40, 30))
    kernels.runtime.config.use_numpy_matmul()
    try:
        np.testing.assert_array_equal(kernels.matmul.matmul(a, b, np.ones(30)), a @ b + 1)
        there = np.ones((50, 30))
        np.testing.assert_array_equal(kernels.matmul.matmul(a, b, add_to=there), a @ b + 1)
        assert kernels.matmul.matmul(a, b, None, "tanh")[1][0, 0] == 1
    finally:
        kernels.runtime.config.use_numpy_matmul(False)
    with pytest.raises(TypeError):
        kernels.matmul.matmul(a, b)


def test_bad_shapes_are_named():
    with pytest.raises(ValueError, match="the rows of the first have 3 elements and the columns of the second 4"):
        kernels.matmul.matmul(np.ones((2, 3)), np.ones((4, 5)))
    with pytest.raises(
        ValueError, match=r"add_to must be float64 \(2, 5\), contiguous and writable, not float64 \(2, 5\), with gaps"
    ):
        kernels.matmul.matmul(np.ones((2, 3)), np.ones((3, 5)), add_to=np.ones((5, 2)).T)
    with pytest.raises(ValueError, match="add_to goes without bias"):
        kernels.matmul.matmul(np.ones((2, 3)), np.ones((3, 5)), np.ones(5), add_to=np.ones((2, 5)))
