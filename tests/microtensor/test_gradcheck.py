"""The checker, checked against ops that are wrong on purpose."""

import numpy as np
import pytest

import microtensor as mt
from microtensor import GradientError, Tensor, differentiable, gradcheck, gradgradcheck

SQUARE = np.arange(1.0, 10.0).reshape(3, 3)


@differentiable
def wrong_factor(x):
    return x * x, lambda g: (g * x,)


@differentiable
def transposed_gradient(x):
    return x * 2, lambda g: (g.T * 2,)


@differentiable
def counted_once(x):
    def pullback(g):
        y = np.zeros_like(x)
        y[[0, 0, 1]] = g
        return (y,)

    return x[[0, 0, 1]], pullback


@differentiable
def lost(x):
    return x * 2, lambda g: (None,)


@differentiable
def wrong_in_one_entry(x):
    def pullback(g):
        y = 2 * g
        y[1, 2] *= 1.001
        return (y,)

    return x * 2, pullback


def wrong_second_order(x):
    @differentiable
    def square(x):
        constant = np.asarray(x.data if isinstance(x, Tensor) else x)
        return x * x, lambda g: (g * 2 * constant,)

    return square(x)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("op", [wrong_factor, transposed_gradient, counted_once, lost, wrong_in_one_entry])
def test_wrong_gradients_are_caught(op, fast):
    with pytest.raises(GradientError, match=op.__name__):
        gradcheck(op, [SQUARE], fast=fast)


def test_wrong_second_order_is_caught():
    assert gradcheck(wrong_second_order, [SQUARE])
    with pytest.raises(GradientError, match="the gradient of wrong_second_order"):
        gradgradcheck(wrong_second_order, [SQUARE])


def test_the_error_says_op_input_entry_expected_and_found():
    def f(x, y):
        return x + wrong_in_one_entry(y)

    with pytest.raises(GradientError) as caught:
        gradcheck(f, [SQUARE, SQUARE])
    message = str(caught.value)
    assert message.startswith("f: the gradient of input 1, of shape (3, 3), is wrong at entry (1, 2): expected ")
    expected, found = (float(message.split(word)[1].split()[0].rstrip(",")) for word in ("expected ", "found "))
    np.testing.assert_allclose(found / expected, 1.001, rtol=1e-5)
    with pytest.raises(GradientError, match="was it lost"):
        gradcheck(lost, [SQUARE])
    with pytest.raises(GradientError, match=r"wrong_factor \(in a lambda\)"):
        gradcheck(lambda x: wrong_factor(x), [SQUARE])


def test_detached_inside_is_lost():
    with pytest.raises(GradientError, match="lost"):
        gradcheck(lambda x: Tensor(x.numpy() * 2, requires_grad=True), [SQUARE])
    with pytest.raises(GradientError, match="lost inside"):
        gradcheck(lambda x: x.numpy() * 2, [SQUARE])


def test_random_functions_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(GradientError, match="another result"):
        gradcheck(lambda x: mt.dropout(x, 0.5, rng), [SQUARE])


def test_right_ones_pass_in_both_modes():
    for fast in (False, True):
        assert gradcheck(mt.tanh, [SQUARE], fast=fast)
        assert gradcheck(lambda x, i: x[i], [SQUARE, np.array([0, 0])], fast=fast)
        assert gradcheck(lambda x: (x * 2, mt.exp(0.1 * x)), Tensor(SQUARE), fast=fast)
        assert gradgradcheck(lambda x: (x * x, mt.exp(0.1 * x)), [SQUARE.astype(np.float32)], fast=fast)
    assert gradcheck(mt.tanh, 0.5)


def test_a_pullback_that_writes_to_its_gradient_is_caught():
    @differentiable
    def scribbler(x):
        def pullback(g):
            g *= 3
            return (g,)

        return 3 * x, pullback

    with pytest.raises(GradientError, match="scribbler.*writes"):
        gradcheck(scribbler, [SQUARE])


def test_a_wrong_composite_is_caught():
    @differentiable(composite=lambda x: 5 * x * x)
    def square(x, /):
        return x * x, lambda g: (2 * x * g,)

    assert gradcheck(square, [SQUARE])
    with pytest.raises(GradientError, match="square.*create_graph"):
        gradgradcheck(square, [SQUARE])


def test_nothing_to_check_is_an_error_and_no_grad_does_not_matter():
    with pytest.raises(GradientError, match="nothing to check"):
        gradcheck(lambda i: Tensor(i), [np.array([1, 2])])
    with mt.no_grad():
        assert gradcheck(mt.tanh, [SQUARE]) and gradgradcheck(mt.tanh, [SQUARE])
    assert gradcheck(mt.tanh, np.float32(0.5))


def test_several_inputs_one_after_the_other_or_in_a_list():
    x, y = SQUARE, SQUARE[0]
    for check in (gradcheck, gradgradcheck):
        assert (
            check(mt.multiply, x, y)
            and check(mt.multiply, [x, y])
            and check(mt.multiply, (x, y))
            and check(mt.multiply, x, 2.0)
        )
    with pytest.raises(GradientError, match="input 1"):
        gradcheck(lambda x, y: x + wrong_factor(y), x, y)
    with pytest.raises(GradientError, match="input 1"):
        gradcheck(lambda i, x: wrong_factor(x)[i], np.array([0, 1]), x)


def test_inputs_that_do_not_fit_are_told():
    for check in (gradcheck, gradgradcheck):
        with pytest.raises(
            TypeError, match=r"multiply: takes \(x, y\), but was given 1 of them: float64 \(3, 3\); .*gradcheck\(f, x, y\)"
        ):
            check(mt.multiply, (SQUARE))
        with pytest.raises(TypeError, match=r"tanh: takes \(x\), but was given 3 of them: float, float, float; .*np\.array"):
            check(mt.tanh, [1.0, 2.0, 3.0])
        with pytest.raises(TypeError, match=r"was given 2 of them.*joined inside f"):
            check(mt.tanh, SQUARE, SQUARE)
        with pytest.raises(TypeError, match=r"was given 0 of them: none"):
            check(mt.tanh)
        for integers in (np.array([1, 2]), Tensor([1, 2]), 3):
            with pytest.raises(GradientError, match=r"tanh: no input holds floating-point numbers.*int.*astype\(np\.float64\)"):
                check(mt.tanh, integers)
