"""Checks of the exercise in softmax.py, the simple ones first."""

import numpy as np

import microtensor as mt
from exercises.softmax import softmax

LOGITS = np.array([[1.0, 2.0, 0.5], [-1.0, 0.0, 3.0]])


def pulled_back(x, g, axis):
    """The gradient of x, when that of its softmax is g."""
    x = mt.Tensor(x, requires_grad=True)
    softmax(x, axis=axis).backward(g)
    return x.grad.numpy()


def test_equal_logits_have_equal_probabilities():
    p = softmax(np.zeros(4))
    assert np.shape(p) == (4,), (
        f"4 logits have 4 probabilities, and you gave {p}: does softmax return a pair, the probabilities and the pullback?"
    )
    assert np.allclose(p, 0.25), f"four equal logits have the probability 0.25 each, and not {p}"


def test_a_gap_between_logits_is_a_factor_between_probabilities():
    p = softmax(np.log([1.0, 2.0, 5.0]))
    assert np.allclose(p, [1 / 8, 2 / 8, 5 / 8]), (
        f"the logits log 1, log 2, log 5 have the probabilities 1/8, 2/8, 5/8, not {p}"
    )


def test_the_logits_stay_as_they_were():
    x = LOGITS.copy()
    softmax(x)
    assert np.array_equal(x, LOGITS), (
        "your softmax writes to its input, which belongs to the caller: x - ... instead of x -= ..."
    )


def test_each_row_adds_up_to_1():
    for row, p in enumerate(softmax(LOGITS)):
        assert np.isclose(p.sum(), 1), (
            f"row {row} adds up to {p.sum():.4f}, and should to 1: each row is a prediction of its own, so sum along the axis"
        )


def test_the_axis_can_be_chosen():
    sums = softmax(LOGITS, axis=0).sum(axis=0)
    assert np.allclose(sums, 1), f"with axis=0 each column adds up to 1, and yours add up to {sums}"


def test_large_logits_do_not_overflow():
    with np.errstate(all="ignore"):
        p = softmax(np.array([1000.0, 1000.0, 0.0]))
    assert np.allclose(p, [0.5, 0.5, 0]), (
        f"e^1000 is too large for a float, so your probabilities are {p}: subtract the largest first"
    )


def test_the_gradient_of_one_probability():
    found, p = pulled_back(LOGITS[0], np.array([1.0, 0.0, 0.0]), -1), np.exp(LOGITS[0]) / np.exp(LOGITS[0]).sum()
    wanted = [p[0] * (1 - p[0]), -p[0] * p[1], -p[0] * p[2]]
    assert not np.allclose(found, [p[0], 0, 0]), (
        "your pullback forgets that each logit changes all probabilities, through the sum they are divided by: "
        f"for g = [1, 0, 0] it gives {found.round(3)}, and should {np.round(wanted, 3)}"
    )
    assert np.allclose(found, wanted), (
        f"for g = [1, 0, 0] your pullback gives {found.round(3)}, and should {np.round(wanted, 3)}"
    )


def test_the_gradient_against_finite_differences():
    mt.gradcheck(softmax, LOGITS)


def test_the_gradient_along_another_axis():
    try:
        mt.gradcheck(lambda x: softmax(x, axis=0), LOGITS)
    except mt.GradientError as error:
        raise AssertionError(f"with axis=0 the pullback has to sum along that axis, too: {error}") from None
