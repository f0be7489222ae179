"""What an op takes: whatever NumPy takes, and each in the type that it should have."""

import warnings

import numpy as np
import pytest
from cases import CASES
from hypothesis import given
from hypothesis import strategies as st

import microtensor as mt
from microtensor import nn, optim
from microtensor.tensor import as_inputs

every_op = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def swapped(x):
    """The same numbers in the other byte order, if x is an array."""
    return x.astype(x.dtype.newbyteorder("S")) if isinstance(x, np.ndarray) else x


def listed(x):
    return x.tolist() if isinstance(x, np.ndarray) and x.size else x


def same(found, expected, dtype):
    found, expected = (np.asarray(x.data if isinstance(x, mt.Tensor) else x) for x in (found, expected))
    assert found.dtype == dtype and found.dtype.isnative
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@every_op
@given(data=st.data())
def test_arrays_in_the_other_byte_order(case, data):
    arrays, options = data.draw(case.inputs)
    expected = case.call(*arrays, **options)
    options = {name: swapped(value) for name, value in options.items()}
    if case.name not in ("getitem", "var"):  # an array's own
        same(case.call(*map(swapped, arrays), **options), expected, np.float64)
    # Beside Tensors, and with gradients
    for i, x in enumerate(arrays):
        given = [mt.Tensor(a, requires_grad=True) if j == i else swapped(a) for j, a in enumerate(arrays)]
        y = case.call(*given, **options)
        same(y, expected, np.float64)
        if y.requires_grad:
            y.sum().backward()
        assert given[i].grad is None or given[i].grad.shape == x.shape


@every_op
@given(data=st.data())
def test_lists_beside_tensors_keep_their_digits_and_promote_nothing(case, data):
    arrays, options = data.draw(case.inputs)
    expected = np.asarray(case.call(*arrays, **options))
    if case.name == "where":
        return  # (a list has no comparison; below)
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, case.float32_tolerance)):
        for i in range(len(arrays)):
            given = [mt.Tensor(a, requires_grad=True, dtype=dtype) if j == i else listed(a) for j, a in enumerate(arrays)]
            if any(
                isinstance(a, np.ndarray) and a.size == 0 for a in (*given, *options.values())
            ):  # (an empty one has no list)
                continue
            y = case.call(*given, **{name: listed(value) for name, value in options.items() if name != "key"}, **keys(options))
            assert case.name == "astype" or y.dtype == dtype
            np.testing.assert_allclose(y.data, expected, rtol=tolerance, atol=tolerance)


def keys(options):
    """A list as a key means what an array means; a tuple doesn't."""
    return {"key": options["key"]} if "key" in options else {}


@every_op
@given(data=st.data())
def test_lists_alone_make_float32(case, data):
    arrays, options = data.draw(case.inputs)
    if case.name in ("astype", "getitem", "where", "power", "var") or any(x.size == 0 for x in arrays):
        return  # (lists have no operators and methods)
    y = case.call(*(x.tolist() for x in arrays), **options)
    expected = np.asarray(case.call(*arrays, **options))
    if not any(isinstance(x, np.ndarray) and x.dtype == np.float64 for x in options.values()):
        assert np.asarray(y).dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=case.float32_tolerance, atol=case.float32_tolerance)


@every_op
@given(data=st.data())
def test_no_op_warns(case, data):
    arrays, options = data.draw(case.inputs)
    leaves = [mt.Tensor(x, requires_grad=True) for x in arrays]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = case.call(*leaves, **options)
        y.backward(np.ones(y.shape))


def test_documented_cases_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nothing = mt.Tensor([-np.inf, -np.inf], requires_grad=True)
        for f in (
            mt.logsumexp,
            mt.softmax,
            mt.log_softmax,
            lambda x: mt.logsumexp(x, axis=0),
            lambda x: mt.softmax(x[:, None], 0),
        ):
            y = f(nothing)
            mt.grad(y.sum(), nothing, create_graph=True)
            f(nothing.data)
        zero = mt.Tensor([0.0, 4.0], requires_grad=True)
        np.sqrt(zero).sum().backward()
        assert zero.grad.tolist() == [np.inf, 0.25]
        mt.binary_cross_entropy(mt.Tensor([0.0, 1.0], requires_grad=True), [1.0, 1.0]).backward()
        mt.binary_cross_entropy_with_logits(mt.Tensor([np.inf, -np.inf], requires_grad=True), [1, 0]).backward()


t32 = mt.Tensor([1.0, 2.0], requires_grad=True)


@pytest.mark.parametrize(
    "call",
    [
        lambda: t32 + (0.1, 0.2), lambda: [1, 2] * t32, lambda: t32 / np.sqrt(64), lambda: np.float64(2) ** t32,
        lambda: np.clip(t32, [0.0, 0.0], (1.0, 1.0)), lambda: np.clip(t32, np.float64(0), np.int64(1)),
        lambda: mt.where([True, False], t32, [1, 2]), lambda: mt.where(np.array([1, 0]), t32, np.float64(0.1)),
        lambda: np.maximum(t32, [np.float64(0.1), 3]), lambda: np.stack([t32, [1, 2]]), lambda: np.concatenate([(1.5,), t32]),
        lambda: mt.layer_norm(t32, [1, 1], [0.5, 0]), lambda: t32 @ [1, 2], lambda: mt.einsum("i,i->i", t32, [0.1, 0.2]),
        lambda: mt.pad(t32, 1, constant_values=np.float64(0.1)), lambda: mt.full_like(t32, np.float64(0.1)),
        lambda: mt.mse_loss(t32, [1, 2]), lambda: mt.linear(t32[None], [[1, 2], [3, 4]], bias=[0.5, 1]),
    ],
)  # fmt: skip
def test_numbers_promote_nothing(call):
    assert call().dtype == np.float32


def test_numbers_beside_float64_are_not_rounded():
    t = mt.Tensor(np.zeros(2), requires_grad=True)
    assert (t + [0.1, 0.2]).tolist() == (t + (0.1, 0.2)).tolist() == [0.1, 0.2]
    t.data = [0.1, 0.2]
    t.grad = (0.1, 0.2)
    assert t.tolist() == t.grad.tolist() == [0.1, 0.2] and (t == [0.1, 0.2]).data.all()
    assert mt.full_like(t, 0.1).tolist() == [0.1, 0.1] and (mt.Tensor([0]) + [0.1]).tolist() == [0.1]
    x = mt.Tensor(np.array(1.0), requires_grad=True)
    (x * 1).backward(0.1)
    assert x.grad.item() == 0.1
    assert (mt.Tensor([0.1]) == [0.1]).item() and (mt.Tensor([0.1]) == np.float64(0.1)).item()


def test_what_is_no_number_is_refused():
    t = mt.Tensor([1.0], requires_grad=True)
    for wrong in (None, {}, [t], "x"):
        with pytest.raises((TypeError, ValueError)):
            t.data = wrong
    with pytest.raises(TypeError, match="mask would be lost"):
        t + np.ma.array([1.0], mask=[True])
    assert as_inputs([None, "causal"]) == [None, "causal"]


def test_indices_may_be_numbers_and_lists():
    table = mt.Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    assert mt.embedding(2, table).tolist() == [4, 5] and mt.embedding([], table).shape == (0, 2)
    assert mt.embedding([0, 2], table).tolist() == mt.embedding((0, 2), table).tolist() == [[0, 1], [4, 5]]
    assert mt.embedding_bag([[0, 2]], table).tolist() == [[2, 3]]
    expected = mt.cross_entropy(table[:1], np.array([1])).item()
    for target in ([1], (1,), np.array([1], ">i8"), [np.int64(1)]):
        assert mt.cross_entropy(table[:1], target).item() == expected
    assert mt.cross_entropy(table[0], 1).item() == expected
    assert mt.broadcast_to(mt.Tensor(1.0), 3).tolist() == [1, 1, 1] and mt.softmax(3.0) == 1
    mask = [[True, False], [True, True]]
    one, other = (mt.scaled_dot_product_attention(table[:2], table[:2].data, table[:2], m) for m in (mask, np.array(mask)))
    assert one.tolist() == other.tolist()


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: np.flip(mt.ones(2, 2), (0, 0)), ValueError, "named twice"),
        (lambda: np.squeeze(mt.ones(1, 2), (0, -2)), ValueError, "named twice"),
        (lambda: np.clip(mt.ones(2), 0, 1, max=3), ValueError, "not both"),
        (lambda: optim.SGD(nn.Linear(1, 1).parameters(), 0.1, nesterov=True), ValueError, "momentum must be above 0"),
        (lambda: optim.SGD([{"params": [t32], "momentum": 0.0}], 0.1, 0.9, True), ValueError, "momentum must be above 0"),
        (lambda: np.linalg.det(mt.ones(2, 2)), TypeError, "^np.linalg.det"),
        *[
            (lambda call=call: call(mt.ones(2, 3)), np.exceptions.AxisError, "axis")
            for call in (
                lambda t: np.max(t, axis=3), lambda t: np.sum(t, axis=-3), lambda t: np.squeeze(t, 4), lambda t: np.flip(t, 2),
                lambda t: np.stack([t, t], 5), lambda t: np.concatenate([t, t], 2), lambda t: np.expand_dims(t, 5),
                lambda t: np.swapaxes(t, 0, 2), lambda t: np.split(t, 1, 2), lambda t: np.repeat(t, 2, 2), lambda t: t.argmax(2),
                lambda t: np.take(t, 0, 2), lambda t: np.take_along_axis(t, np.zeros((2, 3), int), 2), lambda t: np.cumsum(t, 2),
                lambda t: mt.softmax(t, 2), lambda t: mt.log_softmax(t, 2), lambda t: mt.logsumexp(t, 2), lambda t: np.std(t, 2),
                lambda t: np.transpose(t, (0, 2)), lambda t: mt.flatten(t, 3), lambda t: np.prod(t, 2),
            )
        ],
    ],
)  # fmt: skip
def test_nonsense_is_refused(call, error, words):
    with pytest.raises(error, match=words) as caught:
        call()
    assert "empty axis" not in str(caught.value)


def test_types_and_shapes_that_are_kept():
    booleans = mt.Tensor(np.ones((2, 2), bool))
    assert np.tril(booleans).dtype == np.triu(booleans).dtype == bool
    assert np.clip(mt.Tensor(np.array([1, 200], np.uint8)), -1, 300).tolist() == [1, 200]
    assert 3.0 in mt.Tensor([1.0, 3.0]) and 2.0 not in mt.Tensor([1.0, 3.0])
    number = mt.Tensor(3.0, requires_grad=True)
    assert mt.softmax(number).item() == 1 and mt.log_softmax(number, 0).item() == 0 and np.pad(number, 1).item() == 3
