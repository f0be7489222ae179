"""First and second derivatives where a formula would give 0 / 0 or 0 times infinity: at 0, 1 and infinity, and in ties."""

import numpy as np
import pytest
from drawing import leaf

import microtensor as mt

inf, nan = np.inf, np.nan
HALF = np.sqrt(0.5)

#: An op, its numbers, its first derivatives, and the derivatives of those summed over the inputs (None: not looked at).
POINTS = [
    (np.arcsin, [1.0], [inf], [inf]),
    (np.arcsin, [-1.0], [inf], [-inf]),
    (np.arccos, [1.0], [-inf], [-inf]),
    (np.arctan, [inf], [0.0], [0.0]),
    (np.arctan, [1e200], [0.0], [0.0]),
    (np.arcsinh, [-inf], [0.0], [0.0]),
    (np.arccosh, [1.0], [inf], [-inf]),
    (np.arccosh, [inf], [0.0], [0.0]),
    (np.arctanh, [0.0], [1.0], [0.0]),
    (np.arctan2, [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
    (np.arctan2, [0.0, 1.0], [1.0, 0.0], [-1.0, -1.0]),
    (np.arctan2, [0.0, -1.0], [-1.0, 0.0], [-1.0, -1.0]),
    (np.arctan2, [1e200, 1e200], [5e-201, -5e-201], [0.0, 0.0]),
    (np.arctan2, [1e-200, 1e-200], [5e199, -5e199], None),
    (np.arctan2, [inf, inf], [0.0, 0.0], [0.0, 0.0]),
    (np.hypot, [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
    (np.hypot, [0.0, 2.0], [0.0, 1.0], [0.5, 0.0]),
    (np.hypot, [-inf, 1.0], [-1.0, 0.0], [0.0, 0.0]),
    (np.hypot, [inf, inf], [HALF, HALF], [0.0, 0.0]),
    (np.log2, [inf], [0.0], [0.0]),
    (np.log10, [0.0], [inf], [-inf]),
    (np.exp2, [-inf], [0.0], [0.0]),
    (np.expm1, [-inf], [0.0], [0.0]),
    (np.reciprocal, [inf], [0.0], [0.0]),
    (np.reciprocal, [0.0], [-inf], [inf]),
    (np.logaddexp2, [-inf, -inf], [0.0, 0.0], [0.0, 0.0]),
    (np.logaddexp2, [inf, inf], [0.5, 0.5], [0.0, 0.0]),
    (np.logaddexp2, [-inf, 0.0], [0.0, 1.0], [0.0, 0.0]),
    (lambda x: mt.logaddexp2(x, 1.0), [1.0], [0.5], [np.log(2) / 4]),
    (np.remainder, [-7.0, 3.0], [1.0, 3.0], None),
    (np.remainder, [6.0, 3.0], [1.0, -2.0], None),
    (np.remainder, [1.0, inf], [1.0, 0.0], None),
    (np.fmax, [1.0, 1.0], [0.5, 0.5], None),
    (np.fmax, [nan, 1.0], [0.0, 1.0], None),
    (np.fmin, [1.0, nan], [1.0, 0.0], None),
    (np.copysign, [0.0, -1.0], [0.0, 0.0], None),
    (np.copysign, [-2.0, 0.0], [-1.0, 0.0], None),
]  # fmt: skip


@pytest.mark.parametrize("f, at, first, second", POINTS)
@pytest.mark.parametrize("axes", [0, 1])
def test_numbers(f, at, first, second, axes):
    xs = [mt.Tensor(np.full((1,) * axes, x), requires_grad=True) for x in at]
    with np.errstate(all="ignore"):
        found = mt.grad(f(*xs), xs, create_graph=True)
        np.testing.assert_allclose([g.item() for g in found], first)
        assert [g.item() for g in mt.grad(f(*xs), xs)] == [g.item() for g in found]
        if second is not None:
            np.testing.assert_allclose([g.item() for g in mt.grad(sum(found), xs)], second, atol=1e-300)


#: The same of an array: an op, its elements, the gradient of the sum of the result, the gradient of that gradient's sum.
ARRAYS = [
    (np.cumprod, [0.0, 2.0, 0.0, 3.0], [3.0, 0.0, 0.0, 0.0], [9.0, 1.0, 8.0, 0.0]),
    (np.cumprod, [1e-200, 1e-200, 1e200], [2.0, 1.0, 0.0], None),
    (np.linalg.norm, [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
    (np.linalg.norm, [0.0, 2.0], [0.0, 1.0], [0.5, 0.0]),
    (lambda x: mt.norm(x, 3), [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
    (lambda x: mt.norm(x, 1.5), [0.0, 2.0], [0.0, 1.0], [0.0, 0.0]),
    (lambda x: mt.norm(x, np.inf), [2.0, -2.0], [0.5, -0.5], None),
    (np.sort, [1.0, 1.0, 0.0], [1.0, 1.0, 1.0], None),
    (np.nan_to_num, [inf, -inf, nan, 3.0], [0.0, 0.0, 0.0, 1.0], None),
    (lambda x: np.std(x, where=[True, True, False]), [2.0, 2.0, 5.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
]  # fmt: skip


@pytest.mark.parametrize("f, at, first, second", ARRAYS)
def test_arrays(f, at, first, second):
    x = leaf(*at)
    with np.errstate(all="ignore"):
        (found,) = mt.grad(f(x).sum(), x, create_graph=True)
        np.testing.assert_allclose(found.data, first, atol=1e-150)
        if second is not None:
            np.testing.assert_allclose(mt.grad(found.sum(), x)[0].data, second)


def test_cumprod_is_exact_with_many_zeros_and_to_the_third_order():
    x = np.array([[2.0, 0.0, -1.0, 0.0, 3.0], [0.0, 0.0, 1.0, 2.0, 0.5]])
    for axis in (0, 1, None):
        f = lambda x, axis=axis: np.cumprod(x, axis)  # noqa: E731
        assert mt.gradcheck(f, x) and mt.gradgradcheck(f, x)
        assert mt.gradgradcheck(lambda x, f=f: mt.grad((f(x) * f(x)).sum(), x, create_graph=True)[0], x)


def test_put_along_axis_gives_the_gradient_to_the_value_that_stayed():
    x, values = mt.Tensor(np.zeros((1, 3)), requires_grad=True), mt.Tensor(np.array([[1.0, 2.0]]), requires_grad=True)
    y = mt.put_along_axis(x, np.array([[1, 1]]), values, 1)
    (y * np.array([10.0, 20.0, 30.0])).sum().backward()
    assert x.grad.tolist() == [[10, 0, 30]] and values.grad.data.sum() == 20
    assert y.data[0, 1] == values.data[values.grad.data == 20].item()
    with pytest.raises(TypeError, match=r"t = mt\.put_along_axis"):
        np.put_along_axis(x, np.array([[0]]), 1.0, 1)


@pytest.mark.parametrize("f, at, first, second", POINTS)
def test_what_was_not_chosen_has_a_gradient_of_0(f, at, first, second):
    xs = [mt.Tensor(np.array([x]), requires_grad=True) for x in at]
    with np.errstate(all="ignore"):
        found = mt.grad(np.where([False], f(*xs), sum(xs)), xs, np.ones(1), create_graph=True)
    assert [g.item() for g in found] == [1] * len(xs)


@pytest.mark.parametrize("options", [{}, {"endpoint": False, "axis": -1}, {"num": 1}, {"num": 0}])
def test_linspace_between_tensors(options):
    bounds = np.array([[0.3], [-1.0]]), np.array([2.0, 5.0, 0.25])

    def f(start, stop):
        return np.linspace(start, stop, **{"num": 4, **options})

    np.testing.assert_allclose(f(*map(mt.Tensor, bounds)).data, f(*bounds), atol=1e-12)
    assert mt.gradcheck(f, *bounds) and mt.gradgradcheck(f, *bounds)
    assert np.linspace(mt.Tensor(bounds[0]), [0.1], 2)[1, 0, 0].item() == 0.1


def test_types_that_are_asked_for_have_gradients_in_the_type_before():
    x = mt.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    for y in (
        np.sum(x, dtype=np.float64),
        np.concatenate([x, x], dtype=np.float64),
        np.mean(x, dtype=np.float64),
        np.trace(x, dtype=np.float64),
    ):
        assert y.dtype == np.float64
        assert mt.grad(y.sum(), x)[0].dtype == np.float32
