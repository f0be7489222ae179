"""Tensor itself: what it holds, how it refuses, and NumPy's protocols."""

import copy
import pickle

import numpy as np
import pytest

import microtensor as mt
from microtensor import Tensor


def test_floats_are_float32_and_arrays_keep_their_dtype():
    assert Tensor([1.0, 2.0]).dtype == np.float32
    assert Tensor(1.5).dtype == np.float32
    assert Tensor(np.array([1.0])).dtype == np.float64
    assert Tensor([np.float64(1.0)]).dtype == np.float64
    assert Tensor([1, 2]).dtype == np.int64
    assert Tensor([True]).dtype == bool
    assert Tensor([1.0], dtype=np.float64).dtype == np.float64


def test_python_numbers_never_promote():
    t = Tensor([1.0, 2.0], requires_grad=True)
    for y in (
        t * 2.0,
        2.0 * t,
        t + 1,
        1 - t,
        t / 3,
        1 / t,
        t**2,
        2.0**t,
        -t,
        abs(t),
        t.mean(),
        t.std(),
        mt.where(t > 1, t, 0.0),
    ):
        assert y.dtype == np.float32
        y.sum().backward()
    assert t.grad.dtype == np.float32


def test_it_owns_its_memory():
    source = np.ones(3)
    t = Tensor(source, requires_grad=True)
    source[0] = 5
    assert t.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="read-only"):
        t.data[0] = 5
    t.numpy()[0] = 5
    t.detach()._array[0] = 5
    assert t.tolist() == [1, 1, 1]


@pytest.mark.parametrize("data", ["text", [[1, 2], "x"], None, {1: 2}, 1 + 2j])
def test_what_is_not_numbers_is_refused(data):
    with pytest.raises((TypeError, ValueError)):
        Tensor(data)


def test_only_floats_can_require_gradients():
    with pytest.raises(TypeError, match="int64"):
        Tensor([1, 2], requires_grad=True)


def test_list_of_tensors_says_what_to_use():
    with pytest.raises(TypeError, match="stack"):
        Tensor([Tensor(1.0), Tensor(2.0)])


def test_numpy_functions_are_the_same_ops():
    t = Tensor(np.linspace(0.1, 1, 6).reshape(2, 3), requires_grad=True)
    for y, expected in [
        (np.tanh(t), np.tanh(t.data)),
        (np.sum(t, axis=1), t.data.sum(1)),
        (np.add.reduce(t, axis=0), t.data.sum(0)),
        (np.concatenate([t, t]), np.concatenate([t.data] * 2)),
        (np.einsum("ij->j", t), t.data.sum(0)),
        (np.float64(2) * t, 2 * t.data),
        (np.ones((2, 1)) @ t[:1], np.ones((2, 1)) @ t.data[:1]),
        (np.clip(t, 0.2, 0.5), np.clip(t.data, 0.2, 0.5)),
    ]:
        assert isinstance(y, Tensor) and y.requires_grad
        np.testing.assert_allclose(y.data, expected)
    assert np.shape(t) == (2, 3) and np.ndim(t) == 2 and np.size(t) == 6


def test_a_numpy_function_without_a_rule_is_an_error_that_names_it():
    t = Tensor([1.0], requires_grad=True)
    for name, call in [
        ("np.fft", np.fft.fft),
        ("np.spacing", np.spacing),
        ("np.median", np.median),
        ("np.add.accumulate", np.add.accumulate),
    ]:
        with pytest.raises(TypeError, match=name.rpartition(".")[2] if "fft" in name else name):
            call(t)
    with pytest.raises(TypeError, match="out="):
        np.add(np.ones(1), t, out=np.ones(1))
    with pytest.raises(TypeError, match=r"numpy\(\)"):
        np.asarray(t)
    assert np.asarray(t.detach()).tolist() == [1.0]


def test_conversions():
    t = Tensor([[2.0]])
    assert float(t) == 2.0 and int(t) == 2 and bool(t) and t.item() == 2.0 and len(t) == 1
    assert [1, 2, 3][Tensor(1)] == 2
    assert repr(Tensor([1.0, 2.0], requires_grad=True)) == "Tensor([1., 2.], requires_grad=True)"
    assert [row.tolist() for row in Tensor([[1.0], [2.0]])] == [[1.0], [2.0]]
    with pytest.raises(TypeError, match="iterated"):
        iter(Tensor(1.0))


def test_new_values_keep_shape_and_dtype():
    t = Tensor([1.0, 2.0], requires_grad=True)
    t.data = np.array([3.0, 4.0])
    assert t.tolist() == [3, 4] and t.dtype == np.float32
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        t.data = np.zeros(3)
    with pytest.raises(RuntimeError, match="leaf"):
        (t * 2).data = np.zeros(2)


def test_a_misspelt_attribute_is_an_error():
    with pytest.raises(AttributeError):
        Tensor([1.0]).requires_gard = True


def test_pickles_and_subclasses():
    t = pickle.loads(pickle.dumps(Tensor([1.0, 2.0], requires_grad=True)))
    (t * t).sum().backward()
    assert t.grad.tolist() == [2, 4]
    with pytest.raises(TypeError, match="detach"):
        pickle.dumps(t * 2)
    with pytest.raises(TypeError, match="subclassed"):
        type("Special", (Tensor,), {})


def test_copies():
    t = Tensor([1.0], requires_grad=True)
    twin = copy.deepcopy(t)
    assert twin.requires_grad and twin is not t and not np.shares_memory(twin._array, t._array)
    with pytest.raises(TypeError, match="detach"):
        copy.copy(t)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: Tensor(np.ones((3, 4))) @ Tensor(np.ones((5, 6))), ["matmul", "(3, 4)", "(5, 6)", "4 elements", "5"]),
        (lambda: Tensor(np.ones((3, 4))) + Tensor(np.ones((3, 5))), ["add", "(3, 4)", "(3, 5)", "axis 1", "4 and 5"]),
        (lambda: Tensor(np.ones((3, 4))).reshape(5, 5), ["reshape", "(3, 4)", "as many elements"]),
        (lambda: mt.concatenate([Tensor(np.ones((2, 3))), np.ones((2, 4))]), ["concatenate", "(2, 3)", "(2, 4)"]),
        (lambda: mt.stack([Tensor(np.ones(2)), np.ones(3)]), ["stack", "(2,)", "(3,)"]),
        (lambda: mt.split(Tensor(np.ones(5)), 2), ["split", "length 5", "2"]),
        (lambda: Tensor(np.ones((2, 3))).sum(axis=2), ["sum", "axis 2", "(2, 3)"]),
        (lambda: Tensor(np.ones((2, 3)))[5], ["getitem", "5", "(2, 3)"]),
        (lambda: Tensor(np.ones((2, 3))).squeeze(1), ["squeeze", "length 3"]),
        (lambda: mt.einsum("ij,jk->ik", Tensor(np.ones((2, 3))), np.ones((4, 5))), ["einsum", "'j'", "3 and 4"]),
        (lambda: mt.einsum("ij->k", Tensor(np.ones((2, 3)))), ["einsum", "'k'"]),
        (lambda: mt.cross_entropy(Tensor(np.ones((2, 3))), np.array([0, 3])), ["cross_entropy", "target 3", "0..2"]),
        (lambda: mt.cross_entropy(Tensor(np.ones((2, 3))), np.array([0])), ["cross_entropy", "(2,)", "(1,)"]),
        (lambda: mt.embedding(np.array([-1]), Tensor(np.ones((2, 3)))), ["embedding", "index -1", "0..1"]),
        (lambda: mt.embedding_bag(np.array([[0, 2]]), Tensor(np.ones((2, 3)))), ["embedding_bag", "index 2", "0..1"]),
        (lambda: mt.layer_norm(Tensor(np.ones((2, 3))), np.ones(4)), ["layer_norm", "(4,)", "(3,)"]),
        (lambda: mt.max(Tensor(np.ones((0,)))), ["max", "empty axis"]),
        (lambda: mt.take(Tensor(np.ones(3)), np.array([True])), ["take", "integers"]),
        (lambda: mt.take_along_axis(Tensor(np.ones((2, 2))), np.zeros((2, 2), int), axis=5), ["take_along_axis", "axis 5"]),
        (lambda: mt.clip(Tensor([1.0], requires_grad=True), min=Tensor(0.0)), ["clip", "option", "no gradient"]),
        (lambda: Tensor(np.ones((2, 2))) @ 2.0, ["matmul"]),
        (
            lambda: mt.scaled_dot_product_attention(*[Tensor(np.ones((2, 2)))] * 3, mask=np.ones((2, 2), int)),
            ["booleans or floats"],
        ),
        (lambda: mt.dropout(Tensor(1.0), 1.0), ["dropout", "below 1"]),
    ],
)
def test_errors_name_the_op_the_shapes_and_what_would_fit(call, words):
    with pytest.raises((ValueError, IndexError, TypeError)) as caught:
        call()
    for word in words:
        assert word in str(caught.value), (word, str(caught.value))


IN_PLACE = {
    "+=": lambda t, x: t.__iadd__(x), "-=": lambda t, x: t.__isub__(x), "*=": lambda t, x: t.__imul__(x),
    "/=": lambda t, x: t.__itruediv__(x), "**=": lambda t, x: t.__ipow__(x), "@=": lambda t, x: t.__imatmul__(x),
    "[]=": lambda t, x: t.__setitem__(slice(None), x) or t,
}  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_operators_in_place_change_a_leaf_where_nothing_is_recorded(name):
    change = IN_PLACE[name]
    x = np.array([[2.0, 0.5], [1.0, 3.0]])
    expected = x.copy()
    exec({"[]=": "a[:] = x"}.get(name, f"a = a {name[:-1]} x"), scope := {"a": expected, "x": x})
    for requires_grad in (True, False):
        t = Tensor(x, requires_grad=requires_grad)
        with mt.no_grad():
            assert change(t, x) is t and change(t, Tensor(t.data, requires_grad=True)) is t
        t.data = x
        if requires_grad:
            y = (t * t).sum()
            with pytest.raises(RuntimeError, match="no_grad"):
                change(t, x)
            np.testing.assert_array_equal(t.data, x)
            with mt.no_grad():
                change(t, x)
            with pytest.raises(RuntimeError, match="new values"):
                y.backward()
        else:
            change(t, x)
            with pytest.raises(RuntimeError, match="no_grad"):
                change(t, Tensor(x, requires_grad=True))
        np.testing.assert_allclose(t.data, scope["a"])
        assert t.requires_grad is requires_grad and t._array.flags.c_contiguous
    computed = Tensor(x, requires_grad=True) * 1
    for recording in (mt.enable_grad, mt.no_grad):
        with recording(), pytest.raises(RuntimeError, match="computed from others"):
            change(computed, x)


def test_in_place_keeps_shape_and_type_and_what_was_computed():
    t = Tensor([1.0, 2.0])
    w = Tensor([3.0, 4.0], requires_grad=True)
    y = (t * w).sum()
    t += np.array([0.5, 0.5])
    assert t.dtype == np.float32 and t.tolist() == [1.5, 2.5]
    y.backward()
    assert w.grad.tolist() == [1, 2]  # as it was when y was computed
    with pytest.raises(ValueError, match="can't take"):
        t += np.ones((2, 2))
    counts = Tensor([1, 2])
    with pytest.raises(TypeError, match="int64"):
        counts += 0.5
    assert counts.tolist() == [1, 2]


def test_training_by_hand():
    w = Tensor([3.0], requires_grad=True)
    for _ in range(50):
        (w * w).sum().backward()
        with mt.no_grad():
            w -= 0.2 * w.grad
        w.grad = None
    assert abs(w.item()) < 1e-6
