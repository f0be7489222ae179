"""Ops of one's own."""

import numpy as np
import pytest

import microtensor as mt
from microtensor import Tensor, differentiable


@differentiable
def cube(x):
    return x**3, lambda g: (g * 3 * x * x,)


@differentiable
def scaled(x, /, factor=2.0):
    return x * factor, lambda g: (g * factor,)


def test_five_lines_make_an_op_of_every_order():
    x = np.array([1.0, -2.0])
    assert mt.gradcheck(cube, [x]) and mt.gradgradcheck(cube, [x])
    assert cube(x).tolist() == [1, -8]
    assert isinstance(cube(Tensor(x)), Tensor)


def test_options_and_names():
    t = Tensor([1.0], requires_grad=True)
    assert scaled(t, 3.0).tolist() == scaled(t, factor=3.0).tolist() == scaled(x=t, factor=3.0).tolist() == [3]
    assert mt.linear(x=t, weight=Tensor([[2.0]]), bias=Tensor([1.0])).tolist() == [3]
    with pytest.raises(TypeError, match=r"scaled.*factor.*no gradient"):
        scaled(t, Tensor(2.0))
    with pytest.raises(TypeError, match="input x is missing"):
        mt.multiply(y=t)


def test_an_op_must_give_a_pullback():
    @differentiable
    def forgetful(x):
        return x * 2

    with pytest.raises(TypeError, match="forgetful.*value and its pullback"):
        forgetful(Tensor([1.0, 2.0, 3.0], requires_grad=True))


def test_a_pullback_must_fit_its_inputs():
    @differentiable
    def short(x, y):
        return x * y, lambda g: (g * y,)

    @differentiable
    def wrong_shape(x):
        return x * 1, lambda g: (g.sum(),)

    a, b = Tensor([1.0, 2.0], requires_grad=True), Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match="short.*1 gradients for 2"):
        short(a, b).sum().backward()
    with pytest.raises(ValueError, match=r"wrong_shape.*\(\).*\(2,\)"):
        wrong_shape(a).sum().backward()


def test_only_the_gradients_that_are_needed_are_computed():
    calls = []

    @differentiable
    def watched(x, y):
        return x * y, (lambda g: calls.append("x") or g * y, lambda g: calls.append("y") or g * x)

    watched(Tensor([1.0], requires_grad=True), Tensor([2.0])).backward()
    assert calls == ["x"]


def test_an_array_given_for_two_inputs_is_not_shared():
    @differentiable
    def plus(x, y):
        def pullback(g):
            both = g * 1.0
            return both, both

        return x + y, pullback

    a, b = Tensor([1.0], requires_grad=True), Tensor([2.0], requires_grad=True)
    plus(a, b).backward()
    assert not np.shares_memory(a._gradient, b._gradient)


def test_a_users_op_leaves_microtensors_own_alone():
    @differentiable
    def add(x, y):
        return x - y, (lambda g: g, lambda g: -g)

    assert (Tensor([3.0]) + Tensor([1.0])).tolist() == [4]
    assert add(Tensor([3.0]), Tensor([1.0])).tolist() == [2]


def test_lists_become_arrays():
    assert mt.add([1.0, 2.0], [3.0, 4.0]).tolist() == [4, 6]
    assert (Tensor([1.0, 2.0]) + [3.0, 4.0]).dtype == np.float32
