"""NumPy as the specification of what has no gradient, of options, operators and methods, and of the order of arguments."""

import numpy as np
import pytest

import microtensor as mt
from microtensor.tensor import numpy_rules, ops

X = np.array([[1.5, -0.5, 2.0], [0.0, 2.5, -3.5]])
Y = np.array([[2.0, 2.0, -1.0], [0.0, -2.5, 3.0]])
SPECIAL = np.array([0.0, -0.0, 1.0, np.nan, np.inf, -np.inf])
WHOLE = np.array([[6, 3, 0], [5, 1, 2]])


def agree(found, expected):
    """The same values, shapes and types, in Tensors without gradients."""
    if isinstance(expected, tuple):
        assert isinstance(found, tuple) and len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            agree(one, other)
        return
    expected = np.asarray(expected)
    assert isinstance(found, mt.Tensor) and not found.requires_grad and found.dtype == expected.dtype
    np.testing.assert_allclose(found.data, expected, rtol=1e-6)


WITHOUT_GRADIENT = [
    *((name, (SPECIAL,), {}) for name in ("isnan", "isinf", "isfinite", "signbit", "logical_not", "any", "all", "nonzero", "argwhere")),
    *((name, (X,), {}) for name in ("floor", "ceil", "trunc", "round", "argmin", "argsort", "any", "all", "nonzero", "argwhere", "where")),
    *((name, (X, Y), {}) for name in ("logical_or", "logical_xor", "isclose")),
    *((name, (WHOLE, 3), {}) for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "floor_divide")),
    ("invert", (WHOLE,), {}),
    ("invert", (X > 0,), {}),
    ("floor_divide", (X, 0.4), {}),
    ("round", (X * 1.234, 1), {}),
    ("any", (X > 2,), {"axis": 1, "keepdims": True}),
    ("all", (X,), {"axis": (0, 1), "where": X != 0}),
    ("argmin", (X,), {"axis": 0, "keepdims": True}),
    ("argsort", (X,), {"axis": 0, "stable": True}),
    ("argsort", (X,), {"axis": None}),
]  # fmt: skip


@pytest.mark.parametrize("name, arrays, options", WITHOUT_GRADIENT)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_gradient(name, arrays, options, dtype):
    arrays = [x.astype(dtype) if getattr(x, "dtype", None) == np.float64 else x for x in arrays]
    function = getattr(np, name)
    expected = function(*arrays, **options)
    tensors = [mt.Tensor(x, requires_grad=x.dtype.kind == "f") if isinstance(x, np.ndarray) else x for x in arrays]
    agree(function(*tensors, **options), expected)
    agree(getattr(mt, name)(*tensors, **options), expected)
    assert not any(isinstance(y, mt.Tensor) for y in np.atleast_1d(getattr(mt, name)(*arrays, **options)))


def test_rounding_has_no_gradient_of_its_own_and_lets_others_pass():
    x = mt.Tensor(X, requires_grad=True)
    (x - np.floor(x)).sum().backward()
    assert (x.grad.data == 1).all()
    with pytest.raises(RuntimeError, match="without a gradient"):
        np.round(x).sum().backward()


def test_answers_are_booleans():
    x = mt.Tensor(X, requires_grad=True)
    assert np.allclose(x, X + 1e-9) is True and mt.allclose(x, Y) is False
    assert np.array_equal(x, X) is True and np.array_equal(X, x[0]) is False and mt.array_equal(x, x)
    assert np.allclose(mt.Tensor(SPECIAL), SPECIAL, equal_nan=True) and not np.allclose(mt.Tensor(SPECIAL), SPECIAL)


def test_every_function_of_numpys_with_an_ops_name_is_that_op():
    for name in vars(ops):
        function = getattr(np.linalg if name == "norm" else np, name, None)
        if function is not None and name not in ("astype", "identity", "put_along_axis"):
            assert function in numpy_rules, name


OPERATORS = [
    (lambda x, y: x // y, X, 0.4), (lambda x, y: x // y, 7.0, Y + 0.25), (lambda x, y: x % y, X, 0.4), (lambda x, y: x % y, 7, Y + 0.25),
    (divmod, X, 0.4), (divmod, 7.0, Y + 0.25), (lambda x, y: x & y, X > 0, Y > 0), (lambda x, y: x | y, X > 0, Y > 0),
    (lambda x, y: x ^ y, X > 0, Y > 0), (lambda x, y: x & y, 6, WHOLE), (lambda x, y: x | y, 6, WHOLE), (lambda x, y: x ^ y, 6, WHOLE),
    (lambda x, _: ~x, X > 0, None), (lambda x, _: +x, X, None),
]  # fmt: skip


@pytest.mark.parametrize("f, x, y", OPERATORS)
def test_operators(f, x, y):
    expected = f(x, y)
    for tensor in (0, 1) if isinstance(y, np.ndarray) and isinstance(x, np.ndarray) else (int(not isinstance(x, np.ndarray)),):
        given = [mt.Tensor(v) if i == tensor else v for i, v in enumerate((x, y))]
        agree(f(*given), expected)


def test_operators_keep_float32_and_flow():
    x = mt.Tensor([1.5, -2.5], requires_grad=True)
    for y in (x % 2, 7 % x, +x, x // 2, 7 // x):
        assert y.dtype == np.float32
    (+x % 2).sum().backward()
    assert x.grad.tolist() == [1, 1]
    assert (+x) is not x and mt.positive(x).requires_grad


METHODS = [
    ("any", (), {"axis": 0}), ("all", (), {}), ("argmin", (), {"axis": 1}), ("argsort", (), {"axis": 0}), ("argsort", (0,), {}),
    ("ravel", (), {}), ("ravel", ("F",), {}), ("cumprod", (), {"axis": 1}), ("cumsum", (1,), {}), ("diagonal", (1,), {}),
    ("trace", (), {}), ("trace", (), {"offset": -1}), ("round", (), {}), ("round", (1,), {}), ("nonzero", (), {}), ("squeeze", (), {}),
    ("reshape", ((3, 2),), {"order": "F"}), ("reshape", (3, 2), {"order": "F"}), ("reshape", (-1,), {"order": "C"}), ("swapaxes", (0, 1), {}),
    ("sum", (), {"axis": 0, "where": X > 0}), ("sum", (), {"dtype": np.float32, "initial": 2.0}), ("mean", (), {"where": X > 0}),
    ("var", (), {"axis": 1, "ddof": 1}), ("std", (), {"where": X > 0}),
]  # fmt: skip


@pytest.mark.parametrize("name, args, options", METHODS)
def test_methods(name, args, options):
    expected = getattr(X, name)(*args, **options)
    agree(getattr(mt.Tensor(X), name)(*args, **options), expected)


def test_sort_is_a_copy():
    x = mt.Tensor(X)
    agree(x.sort(), np.sort(X))
    agree(x.sort(axis=None), np.sort(X, None))
    np.testing.assert_array_equal(x.data, X)


POSITIONS = [
    (np.sum, 0, np.float32), (np.sum, 0, None, None, True), (np.mean, 1, np.float32), (np.var, 1, np.float32), (np.std, 1, None, None, 1, True),
    (np.prod, 1, None, None, True), (np.max, 0, None, True), (np.argmax, 0, None), (np.any, 1, None, True), (np.cumsum, 1, None, None),
    (np.trace, 1, 0, 1, np.float32, None), (np.clip, -1, 1, None), (np.round, 1, None), (np.take, [0, 1], 1, None), (np.cumprod, 0, None),
]  # fmt: skip


@pytest.mark.parametrize("case", POSITIONS)
def test_arguments_in_numpys_order(case):
    function, *args = case
    agree(function(mt.Tensor(X), *args), function(X, *args))


def test_out_is_refused():
    x = mt.Tensor(X)
    for call in (lambda: np.sum(x, out=np.zeros(())), lambda: np.sum(x, None, None, np.zeros(()))):
        with pytest.raises(TypeError, match="out"):
            call()


def test_types_stay_as_numpys():
    single, flags = X.astype(np.float32), X > 0
    for f in (
        lambda x: np.hypot(x, 1.0), lambda x: np.arctan2(1.0, x), lambda x: np.fmax(x, 0.5), lambda x: np.copysign(2.0, x), lambda x: np.logaddexp2(x, 1),
        lambda x: np.append(x, x), lambda x: np.pad(x, 1, "edge"), np.linalg.norm, np.nan_to_num, lambda x: np.kron(x, x),
        lambda x: np.mean(x, where=flags), lambda x: np.var(x, where=flags, correction=1), lambda x: np.sum(x, initial=1.0),
        lambda x: np.linspace(x, 1.0, 3), lambda x: np.diag(x[0], 1), lambda x: np.linalg.norm(x, 3, axis=0), lambda x: np.cross(x, x[0]),
    ):  # fmt: skip
        assert f(mt.Tensor(single)).dtype == np.float32 == f(single).dtype
    assert np.diff(mt.Tensor(single), prepend=0.0).dtype == np.float32  # where NumPy promotes
    for f in (
        np.square,
        np.sort,
        np.tan,
        np.diff,
        lambda x: np.tile(x, 2),
        lambda x: np.roll(x, 1),
        np.diag,
        np.cumprod,
        np.linalg.norm,
        np.reciprocal,
    ):
        agree(f(mt.Tensor(WHOLE + 1)), f(WHOLE + 1))
    for f in (np.diff, np.sort, np.diag, lambda x: np.pad(x, 1, "wrap"), np.trace, lambda x: np.sum(x, where=flags)):
        agree(f(mt.Tensor(flags)), f(flags))


def test_indices_and_creation():
    x = mt.Tensor(X, requires_grad=True)
    for name in ("triu", "tril"):
        indices = getattr(np, f"{name}_indices_from")(x, 1)
        agree(indices, getattr(np, f"{name}_indices_from")(X, 1))
        agree(getattr(mt, f"{name}_indices")(2, 1, 3), getattr(np, f"{name}_indices")(2, 1, 3))
        np.testing.assert_array_equal(x[indices].data, X[getattr(np, f"{name}_indices")(2, 1, 3)])
    assert x[np.where(x > 0)].tolist() == X[X > 0].tolist()
    agree(np.empty_like(x) * 0, np.zeros_like(X))
    np.testing.assert_array_equal(mt.linspace(0, 1, 5).data, np.linspace(0, 1, 5))
    assert mt.linspace(0, 1, 5).dtype == np.float32 and mt.linspace(0, 1, requires_grad=True).requires_grad
    agree(mt.linspace(0, 10, 4, dtype=int), np.linspace(0, 10, 4, dtype=int))
    values, step = np.linspace(mt.Tensor(np.array(0.0)), 1.0, 4, endpoint=False, retstep=True)
    assert values.tolist() == [0, 0.25, 0.5, 0.75] and step.item() == 0.25


REFUSED = [
    (lambda x: np.where(x, x), ValueError, "both x and y, or neither"),
    (lambda x: np.pad(x, 1, "mean"), ValueError, "edge"),
    (lambda x: x.reshape(-1, order="K"), ValueError, '"C" or "F"'),
    (lambda x: np.linalg.norm(x, "nuc"), ValueError, "gradient rule"),
    (lambda x: np.linalg.norm(x[0], "fro"), ValueError, "matrices"),
    (lambda x: np.tensordot(x, x, 1), ValueError, "same lengths"),
    (lambda x: np.cross(x[:, :2], x[:, :2]), ValueError, "3 elements"),
    (lambda x: np.diagonal(x, 0, 1, 1), ValueError, "two different axes"),
    (lambda x: np.diag(x[None]), ValueError, "vector or a matrix"),
    (lambda x: np.rot90(x, axes=(0, 0)), ValueError, "two different axes"),
    (lambda x: np.diff(x, -1), ValueError, "-1 times"),
    (lambda x: np.meshgrid(x[0], indexing="ji"), ValueError, "ji"),
    (lambda x: np.array_split(x, 0), ValueError, "at least 1 piece"),
    (lambda x: np.concatenate([x], dtype=int), TypeError, "float64 to become int64"),
    (lambda x: np.var(x, ddof=1, correction=1), ValueError, "two names"),
    (lambda x: np.einsum(x, 3), TypeError, "list of numbers"),
    (lambda x: mt.put_along_axis(x, [0], 1.0, 0), ValueError, "don't fit"),
    (lambda x: mt.linspace(x, 1, -1), ValueError, "at least 0"),
    (lambda x: mt.cross_entropy(x, [0, 1], weight=[1.0]), ValueError, "for each class"),
    (lambda x: mt.cross_entropy(x, [0, 3], weight=[1.0, 2.0, 3.0]), IndexError, "target 3 at row 1"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, message", REFUSED)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(mt.Tensor(X, requires_grad=True))
