"""What every op owes its users, checked on random inputs: the right value, the right gradients of first and second order, the
dtype it was given, and that nothing it was given was changed or handed out again."""

import dataclasses

import numpy as np
import pytest
from cases import CASES
from drawing import SEEDS, broadcast
from hypothesis import given
from hypothesis import strategies as st
from specification import spread_out

import microtensor as mt
from microtensor.kernels import matmul
from microtensor.kernels.runtime import config, threads
from microtensor.tensor import ops

#: The ops that leave small arrays to NumPy. They are tested a second time as if all arrays were large.
HAVE_THRESHOLDS = (
    "add",
    "dropout",
    "matmul",
    "dot",
    "tanh",
    "linear",
    "cross_entropy",
    "softmax",
    "log_softmax",
    "gelu",
    "silu",
    "softplus",
    "erf",
    "embedding",
    "embedding_bag",
    "layer_norm",
    "rms_norm",
    "scaled_dot_product_attention",
    "multi_head_attention",
    "causal_conv1d",
    "gated_tanh",
    "selective_scan",
    "rnn",
    "gru",
    "lstm",
)
LARGE = [dataclasses.replace(case, large=True) for case in CASES if case.name in HAVE_THRESHOLDS]
every_op = pytest.mark.parametrize("case", CASES + LARGE, ids=lambda case: case.name + " as if large" * case.large)


@pytest.fixture(autouse=True)
def thresholds(request, monkeypatch):
    case = getattr(request.node, "callspec", None) and request.node.callspec.params.get("case")
    if case and case.large:
        for name in ("SMALL_PRODUCT", "LARGE_SUM", "LARGE_MAP", "FEW_ROWS"):
            monkeypatch.setattr(config, name, 0)
        monkeypatch.setattr(matmul, "LARGE", 0)
        monkeypatch.setattr(matmul, "DEEP", 1)
        monkeypatch.setattr(threads, "PART", 1)


@every_op
@given(data=st.data())
def test_value_is_numpys(case, data):
    arrays, options = data.draw(case.inputs)
    before = [x.copy() for x in arrays]
    expected = np.asarray(case.call_reference(*arrays, **options))

    leaves = [mt.Tensor(x, requires_grad=True) for x in arrays]
    y = case.call(*leaves, **options)

    assert isinstance(y, mt.Tensor)
    assert y.shape == expected.shape and y.dtype == expected.dtype == np.float64
    np.testing.assert_allclose(y.data, expected, rtol=1e-9, atol=1e-12)
    for leaf, x in zip(leaves, before, strict=True):
        np.testing.assert_array_equal(leaf.data, x, err_msg="the op changed its input")
        assert not np.shares_memory(leaf._array, y._array), "the result lies in the memory of a leaf"


@every_op
@given(data=st.data())
def test_plain_arrays_give_plain_arrays(case, data):
    arrays, options = data.draw(case.inputs)
    spread = [spread_out(x) for x in arrays]
    y = case.call(*spread, **options)
    assert not isinstance(y, mt.Tensor)
    np.testing.assert_allclose(y, case.call_reference(*arrays, **options), rtol=1e-9, atol=1e-12)
    for x, was in zip(spread, arrays, strict=True):
        np.testing.assert_array_equal(x, was, err_msg="the op changed its input")


@every_op
@given(data=st.data(), seed=SEEDS, turned=st.booleans())
def test_gradients_of_first_and_second_order(case, data, seed, turned):
    arrays, options = data.draw(case.inputs)

    def f(*xs):
        # `turned` hands the op views that are not contiguous.
        return case.call(*(x.T for x in xs) if turned else xs, **options)

    f.__name__ = case.name
    inputs = [x.T for x in arrays] if turned else arrays
    assert mt.gradcheck(f, inputs, seed=seed)
    assert mt.gradgradcheck(f, inputs, seed=seed, rtol=1e-4, atol=1e-6)


@every_op
@given(data=st.data(), seed=SEEDS)
def test_gradients_have_memory_of_their_own(case, data, seed):
    arrays, options = data.draw(case.inputs)
    leaves = [mt.Tensor(x, requires_grad=True) for x in arrays]
    y = case.call(*leaves, **options)
    cotangent = np.random.default_rng(seed).normal(size=y.shape)
    given_cotangent = cotangent.copy()
    y.backward(cotangent)

    np.testing.assert_array_equal(cotangent, given_cotangent, err_msg="backward changed the cotangent")
    gradients = [leaf._gradient for leaf in leaves if leaf._gradient is not None]
    for leaf in leaves:
        if leaf._gradient is not None:
            assert leaf._gradient.shape == leaf.shape and leaf._gradient.dtype == leaf.dtype
    others = [cotangent, y._array, *(leaf._array for leaf in leaves)]
    for i, gradient in enumerate(gradients):
        assert not any(np.shares_memory(gradient, other) for other in others + gradients[:i])
    for leaf, x in zip(leaves, arrays, strict=True):
        np.testing.assert_array_equal(leaf.data, x, err_msg="backward changed an input")


@every_op
@given(data=st.data(), seed=SEEDS)
def test_float32_stays_float32_and_near_float64(case, data, seed):
    arrays, options = data.draw(case.inputs)
    options = {
        k: v.astype(np.float32) if isinstance(v, np.ndarray) and v.dtype == np.float64 else v for k, v in options.items()
    }
    found = {}
    for dtype in (np.float32, np.float64):
        leaves = [mt.Tensor(x.astype(np.float32), requires_grad=True, dtype=dtype) for x in arrays]
        y = case.call(*leaves, **options)
        if case.name != "astype":
            assert y.dtype == dtype
        y.backward(np.random.default_rng(seed).normal(size=y.shape))
        found[dtype] = [y.data, *(leaf.grad.data for leaf in leaves if leaf.grad is not None)]
        assert all(leaf.grad is None or leaf.grad.dtype == dtype for leaf in leaves)
    for single, double in zip(found[np.float32], found[np.float64], strict=True):
        np.testing.assert_allclose(single, double, rtol=case.float32_tolerance, atol=case.float32_tolerance)


NOT_DIFFERENTIABLE = {
    "all", "allclose", "any", "argmax", "argmin", "argsort", "argwhere", "array_equal", "bitwise_and", "bitwise_or", "bitwise_xor",
    "ceil", "equal", "floor", "floor_divide", "greater", "greater_equal", "invert", "isclose", "isfinite", "isinf", "isnan",
    "less", "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor", "nonzero", "not_equal", "one_hot", "round",
    "sign", "signbit", "trunc",
}  # fmt: skip
PARTS = {"backward", "graph", "identity"}  # what ops and Tensor's methods are made of; tested through them


def test_every_op_has_a_case():
    public = {name for name in vars(ops) if not name.startswith("_")} - PARTS
    tested = {case.name for case in CASES}
    missing = sorted(public - tested - NOT_DIFFERENTIABLE)
    assert not missing, f"tests/microtensor/cases.py has no Case for {', '.join(missing)}"
    missing = sorted(public - set(mt.__all__))
    assert not missing, f"microtensor/__init__.py doesn't export {', '.join(missing)}"
    assert public - tested == NOT_DIFFERENTIABLE


@pytest.mark.parametrize("name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and"])
@given(data=st.data())
def test_comparisons_are_booleans_without_gradient(name, data):
    (x, y), _ = data.draw(broadcast(2))
    result = getattr(mt, name)(mt.Tensor(x, requires_grad=True), mt.Tensor(y))
    assert not result.requires_grad and result.dtype == bool
    np.testing.assert_array_equal(result.data, getattr(np, name)(x, y))
    np.testing.assert_array_equal(getattr(np, name)(mt.Tensor(x), y).data, result.data)


def test_argmax_and_one_hot():
    x = mt.Tensor([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0]], requires_grad=True)
    assert mt.argmax(x, axis=1).tolist() == [1, 2] == np.argmax(x, axis=1).tolist()
    assert x.argmax().item() == 5 and x.argmax(axis=0, keepdims=True).shape == (1, 3)
    assert mt.one_hot(np.array([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    with pytest.raises(IndexError, match=r"-1 to 0, but must be in 0\.\.2"):
        mt.one_hot(np.array([-1, 0]), 3)
    with pytest.raises(TypeError, match="integers"):
        mt.one_hot(np.array([0.5]), 3)
    with pytest.raises(RuntimeError, match="argmax"):
        x.argmax().backward()
