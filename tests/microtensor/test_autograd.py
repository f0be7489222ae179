"""The walk back: the lost days of other engines, one test each."""

import threading

import numpy as np
import pytest
from drawing import leaf

import microtensor as mt
from microtensor import Tensor, optim


def test_a_node_used_twice_gets_both_gradients():
    x = leaf(3.0)
    y = x * x
    (y * y + y).backward()
    assert x.grad.tolist() == [4 * 27 + 6]


def test_gradients_add_up_until_they_are_forgotten():
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5, 5]
    x.grad = None
    assert x.grad is None


def test_backward_twice_is_an_error_unless_the_graph_is_kept():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8]
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward()


def test_a_leaf_is_its_own_gradient():
    x = leaf(2.0)
    x.backward()
    x.backward()
    assert x.grad.tolist() == [2]


def test_a_chain_of_100_000_ops():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + x
    y.backward()
    assert x.grad.tolist() == [100_001]
    for _ in range(100_000):  # one that is dropped without a backward
        y = x * y
    del y


def test_changing_a_leaf_between_forward_and_backward_is_an_error():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = (x * w).sum()
    w.data = np.zeros(2)
    with pytest.raises(RuntimeError, match="new values"):
        y.backward()

    loss = (x * w).sum()
    (x * w).sum().backward()
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="multiply.*new values"):
        loss.backward()


def test_changing_the_callers_arrays_does_not_matter():
    x, factor, index, target = leaf(1.0, 2.0), np.array([3.0, 4.0]), np.array([1, 1]), np.array([0])
    y = (x * factor).sum() + x[index].sum() + mt.cross_entropy(x[None], target) + mt.where(factor > 3, x, 0).sum()
    factor[...], index[...], target[...] = 0, 0, 1
    y.backward()
    p = np.exp([1.0, 2.0]) / np.exp([1.0, 2.0]).sum()
    np.testing.assert_allclose(x.grad.data, [3 + 0 + p[0] - 1 + 0, 4 + 2 + p[1] + 1])


def test_a_view_of_a_leaf_does_not_change_when_the_leaf_learns():
    w = leaf(1.0, 2.0)
    views = [w.reshape(2, 1), w[:1], w.T, mt.squeeze(w), mt.split(w, 2)[0], mt.clip(w), mt.broadcast_to(w, (2, 2))]
    before = [v.numpy() for v in views]
    w.grad = np.ones(2)
    optim.SGD([w], lr=1.0).step()
    for view, was in zip(views, before, strict=True):
        np.testing.assert_array_equal(view.data, was)


def test_no_grad_and_detach():
    x = leaf(2.0)
    with mt.no_grad():
        assert not (x * x).requires_grad
        with mt.enable_grad():
            assert (x * x).requires_grad

    @mt.no_grad()
    def f():
        """Its doc."""
        return x * x

    assert not f().requires_grad and f.__doc__ == "Its doc."
    (x.detach() * x).backward()
    assert x.grad.tolist() == [2]
    with pytest.raises(RuntimeError, match="nothing to differentiate"):
        f().backward()


def test_no_grad_concerns_one_thread():
    seen = []
    with mt.no_grad():
        thread = threading.Thread(target=lambda: seen.append((leaf(1.0) * 2).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_several_numbers_need_a_gradient_of_their_shape():
    y = leaf(1.0, 2.0) * 2
    with pytest.raises(RuntimeError, match=r"\(2,\)"):
        y.backward()
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        y.backward(np.ones(3))


def test_grad_of_leaves_and_of_the_middle():
    x, w, unused = leaf(2.0), leaf(5.0), leaf(1.0)
    y = x * w
    z = y * y
    gx, gy, gu = mt.grad(z, [x, y, unused])
    assert (gx.tolist(), gy.tolist(), gu.tolist()) == ([2 * 10 * 5], [20], [0])
    assert x.grad is None and mt.grad(z, x)[0].tolist() == [100]  # the graph is kept
    (gz,) = mt.grad(z, z)
    assert gz.tolist() == [1]
    with pytest.raises(RuntimeError, match="requires_grad"):
        mt.grad(z, Tensor(1.0))


def test_third_derivative():
    x = leaf(0.7)
    y = mt.sin(x)
    for _ in range(3):
        (y,) = mt.grad(y, x, create_graph=True)
    np.testing.assert_allclose(y.data, -np.cos(0.7))


def test_mixed_dtypes_give_each_input_its_own():
    a = Tensor(np.ones(2, np.float32), requires_grad=True)
    b = Tensor(np.ones(2), requires_grad=True)
    (a * b * a).sum().backward()
    assert a.grad.dtype == np.float32 and b.grad.dtype == np.float64
    (g,) = mt.grad((a * b).sum(), a, create_graph=True)
    assert g.dtype == np.float32


# Found by looking for trouble


@pytest.mark.parametrize("create_graph", [False, True])
def test_grad_too_refuses_a_stale_graph(create_graph):
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    x.data = np.array([5.0, 5.0])
    with pytest.raises(RuntimeError, match="new values"):
        mt.grad(y, x, create_graph=create_graph)


def test_an_input_that_gets_no_gradient_must_not_change_either():
    condition, x = leaf(1.0, 0.0), leaf(1.0, 1.0)
    y = np.where(condition, x * 3, 0.0).sum()
    condition.grad = np.array([1.0, -1.0])
    optim.SGD([condition], lr=1.0).step()
    with pytest.raises(RuntimeError, match="where.*new values"):
        y.backward()


@pytest.mark.parametrize("make", [lambda t: t.T * 0.1, lambda t: t[:1], lambda t: t.detach()])
def test_what_becomes_a_leaf_gets_memory_of_its_own(make):
    source = Tensor(np.arange(6.0).reshape(2, 3))
    hidden = Tensor(np.ones((2, 3)), requires_grad=True) * 2
    for start in (source, hidden.detach()):
        w = make(start)
        w.requires_grad = True
        before = start.numpy(), hidden.numpy(), w.numpy()
        w.sum().backward()
        optim.SGD([w], lr=1.0).step()
        np.testing.assert_array_equal(w.data, before[2] - 1)
        np.testing.assert_array_equal(start.data, before[0])
        np.testing.assert_array_equal(hidden.data, before[1])


def test_options_and_odd_arrays_are_copied_too(tmp_path):
    low = np.zeros(2)
    x = leaf(1.0, 2.0)
    y = (mt.clip(x, low) ** 3).sum()
    mapped = np.memmap(tmp_path / "tokens", float, "w+", shape=(2,))
    mapped[:] = 2
    z = (x * mapped).sum()
    low[:] = mapped[:] = 9
    assert mt.grad(y, x)[0].tolist() == mt.grad(y, x, create_graph=True)[0].tolist() == [3, 12]
    assert mt.grad(z, x)[0].tolist() == [2, 2]
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    assert (Tensor(np.ones((2, 2))) * matrix).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(TypeError, match="masked"):
        x * np.ma.array([1.0, 2.0], mask=[0, 1])


def test_only_real_numbers():
    with pytest.raises(TypeError, match="complex"):
        leaf(1.0) * (3 + 4j)
    with pytest.raises(TypeError, match="float16"):
        Tensor(np.ones(2, np.float16))
    assert Tensor(np.array([1.0], ">f4")).dtype.isnative


def test_grad_of_nothing_keeps_the_graph():
    x = leaf(1.0)
    y = x * 2
    assert mt.grad(y, []) == ()
    y.backward()


def test_no_grad_shared_by_threads_and_generators():
    switch = mt.no_grad()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with mt.no_grad(), switch:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    with switch:
        thread.start()
        inside.wait()
    assert (leaf(1.0) * 2).requires_grad
    leave.set()
    thread.join()

    def numbers():
        yield 1

    with pytest.raises(TypeError, match="generator"):
        mt.no_grad()(numbers)
