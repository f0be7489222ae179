"""Every op where derivatives are tried least: at 0 and 1, with ties and equal elements, at infinity, and where no gradient comes."""

import numpy as np
import pytest
from cases import CASES
from drawing import SEEDS, leaf
from hypothesis import given
from hypothesis import strategies as st

import microtensor as mt

every_op = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

#: Ops that work on one number at a time, or fold an axis: infinite inputs belong to their domain. (A matrix product adds 0 times
#: infinity to other numbers, as NumPy's does.)
TAKE_INFINITY = {
    "add", "subtract", "multiply", "divide", "power", "negative", "abs", "exp", "log", "log1p", "sqrt", "tanh", "sigmoid", "relu",
    "silu", "erf", "gelu", "softplus", "logaddexp", "maximum", "minimum", "where", "clip", "sum", "mean", "max", "min", "prod",
    "cumsum", "logsumexp",
}  # fmt: skip

#: Ops without corners at the numbers below.
SMOOTH = {
    "add", "subtract", "multiply", "negative", "exp", "sin", "cos", "tanh", "sigmoid", "silu", "erf", "gelu", "softplus",
    "logaddexp", "sum", "mean", "var", "prod", "cumsum", "logsumexp", "matmul", "dot", "einsum", "softmax", "log_softmax", "cross_entropy",
    "mse_loss", "binary_cross_entropy_with_logits", "conv1d", "linear", "layer_norm", "rms_norm", "scaled_dot_product_attention",
    "attention_weights", "multi_head_attention",
}  # fmt: skip


def special(draw, case, points):
    """A case's inputs with special points in place of their numbers: of some, of all, or one of them everywhere."""
    arrays, options = draw(case.inputs)
    rng = np.random.default_rng(draw(SEEDS))
    share = draw(st.sampled_from([0.3, 1.0]))
    pool = draw(st.sampled_from([points, points[:1], points[1:2]]))
    return [np.where(rng.random(x.shape) < share, rng.choice(pool, x.shape), x) for x in arrays], options


def points_for(case):
    return [0.0, 1.0, -1.0, 2.0, *([np.inf, -np.inf, 1e300, -800.0] if case.name in TAKE_INFINITY else [])]


@every_op
@given(data=st.data())
def test_where_no_gradient_comes_none_goes_on(case, data):
    arrays, options = special(data.draw, case, points_for(case))
    leaves = [mt.Tensor(x, requires_grad=True) for x in arrays]
    with np.errstate(all="ignore"):
        try:
            y = case.call(*leaves, **options)
        except ValueError:  # a probability can't be 2
            return
    y.backward(np.zeros(y.shape))
    for x in leaves:
        assert x.grad is None or not np.any(x.grad.data), "0 became something else on its way"


@every_op
@given(data=st.data(), seed=SEEDS)
def test_recorded_gradients_are_the_gradients_and_mixed_derivatives_agree(case, data, seed):
    arrays, options = special(data.draw, case, points_for(case))
    leaves = [mt.Tensor(x, requires_grad=True) for x in arrays]
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        try:
            y = case.call(*leaves, **options)
        except ValueError:
            return
        g = rng.uniform(0.5, 1.5, y.shape)
        plain = mt.grad(y, leaves, g)
        recorded = mt.grad(y, leaves, g, create_graph=True)
    for a, b in zip(plain, recorded, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-9, atol=1e-12, err_msg="recorded, the gradient is another")
    # The second derivative along u, then along v, is that along v, then along u.
    u, v = ([rng.normal(size=x.shape) for x in leaves] for _ in range(2))

    def along(one, other):
        with np.errstate(all="ignore"):
            total = sum((r * a).sum() for r, a in zip(recorded, one, strict=True))
            if not total.requires_grad:
                return 0.0
            second = mt.grad(total, leaves)
            return float(sum(np.sum(s.data * b) for s, b in zip(second, other, strict=True)))

    first, second = along(u, v), along(v, u)
    if np.isfinite(first) or np.isfinite(second):
        np.testing.assert_allclose(first, second, rtol=1e-6, atol=1e-8)


@every_op
@given(data=st.data(), seed=SEEDS)
def test_smooth_functions_have_their_derivatives_there_too(case, data, seed):
    if case.name not in SMOOTH:
        return
    arrays, options = special(data.draw, case, [0.0, 1.0, -1.0, 2.0])

    def f(*xs):
        return case.call(*xs, **options)

    if case.name.endswith("_norm"):  # a row of equal elements is steeper than a step
        arrays = [x + 0.5 * np.arange(x.size).reshape(x.shape) for x in arrays]
    assert mt.gradcheck(f, arrays, seed=seed)
    assert mt.gradgradcheck(f, arrays, seed=seed, rtol=1e-4, atol=1e-6)


def derivative(f):
    """The derivative of a function, as a function that can be differentiated."""

    def derivative(x):
        with mt.enable_grad():
            x = x if x.requires_grad else mt.Tensor(x.data, requires_grad=True)
            y = f(x)
            return mt.grad(y, x, np.ones(y.shape), create_graph=True)[0]

    return derivative


@pytest.mark.parametrize("f", [mt.sigmoid, mt.softplus, mt.tanh, mt.silu, mt.gelu, mt.erf, lambda x: mt.logaddexp(x, x * x)])
def test_third_derivatives_have_no_corners(f):
    assert mt.gradgradcheck(derivative(f), np.array([0.0, 1.0, -1.0]), rtol=1e-3, atol=1e-5)


def gradients(f, *values, dtype=np.float64):
    leaves = [mt.Tensor(np.asarray(v, dtype), requires_grad=True) for v in values]
    with np.errstate(all="ignore"):
        f(*leaves).sum().backward()
    return [x.grad.tolist() for x in leaves]


INF = np.inf


@pytest.mark.parametrize(
    "f, inputs, expected",
    [
        (lambda p: mt.where(p > 0, p * np.log(p), 0.0), [[0.0, 1.0]], [[0.0, 1.0]]),
        (lambda x: mt.where(x > 0, np.sqrt(x), 0.0), [[0.0, -1.0, 4.0]], [[0.0, 0.0, 0.25]]),
        (lambda x: mt.where(x > 0, 1 / x, 0.0), [[0.0, 2.0]], [[0.0, -0.25]]),
        (lambda x: x**0, [[INF, -INF, 0.0, 2.0]], [[0.0, 0.0, 0.0, 0.0]]),
        (lambda y: 0.0**y, [[-1.0, 0.0, 1.0]], [[-INF, 0.0, 0.0]]),
        (np.logaddexp, [[-INF, INF, 1.0], [-INF, INF, INF]], [[0.0, 0.5, 0.0], [0.0, 0.5, 1.0]]),
        (mt.logsumexp, [[-INF, -INF]], [[0.0, 0.0]]),
        (mt.logsumexp, [[INF, INF, 1.0]], [[0.5, 0.5, 0.0]]),
        (mt.silu, [[INF, -INF]], [[1.0, 0.0]]),
        (lambda x: mt.binary_cross_entropy_with_logits(x, [1.0, 0.0]), [[INF, -INF]], [[0.0, 0.0]]),
        (np.max, [[np.nan, 1.0]], [[1.0, 0.0]]),
    ],
)
def test_gradients_at_the_edge(f, inputs, expected):
    assert gradients(f, *inputs) == expected


def test_an_unchosen_branch_that_overflows():
    found = gradients(lambda x: mt.where(x > 20, x, np.log(1 + np.exp(x))), [100.0, 0.0], dtype=np.float32)
    assert found == [[1.0, 0.5]]


def test_a_product_that_underflows_has_a_gradient():
    found = gradients(np.prod, [1e-30, 1e-20], dtype=np.float32)[0]
    np.testing.assert_allclose(found, [1e-20, 1e-30], rtol=1e-6)


@pytest.mark.parametrize("f", [mt.gelu, mt.silu, lambda x: mt.gelu(x, "tanh")])
def test_activations_have_one_gradient_at_infinity(f):
    x = leaf(INF, -INF, 1e300, -1e300)
    recorded = mt.grad(f(x).sum(), x, create_graph=True)[0]
    assert recorded.tolist() == mt.grad(f(x).sum(), x)[0].tolist() == [1, 0, 1, 0]
    assert mt.grad(recorded.sum(), x)[0].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("x, y, expected", [(2.0, 0.0, 0.5), (0.5, 0.0, 2.0), (0.0, 1.0, 1.0), (INF, 0.0, 0.0)])
def test_a_power_has_one_mixed_derivative(x, y, expected):
    for first in (0, 1):
        inputs = [leaf(x), leaf(y)]
        (derivative,) = mt.grad((inputs[0] ** inputs[1]).sum(), inputs[first], create_graph=True)
        assert mt.grad(derivative.sum(), inputs[1 - first])[0].item() == expected


def test_the_deviation_of_equal_elements_has_no_second_derivative():
    x = leaf(2.0, 2.0)
    (derivative,) = mt.grad(np.std(x), x, create_graph=True)
    assert derivative.tolist() == [0, 0] == mt.grad((derivative * np.array([1.0, 2.0])).sum(), x)[0].tolist()
