"""Optimizers against their formulas, written out once more in plain Python; clipping and schedules."""

import math

import numpy as np
import pytest
from drawing import DTYPES, SEEDS, SIZES, leaf
from hypothesis import given
from hypothesis import strategies as st

from microtensor import Tensor, kernels, optim

pytestmark = pytest.mark.usefixtures("all_work_is_shared")

RNG = np.random.default_rng(0)

#: The optimizers, made of parameters and a learning rate, for what each must do.
OPTIMIZERS = {
    "SGD": optim.SGD,
    "SGD with momentum": lambda p, lr: optim.SGD(p, lr, momentum=0.9),
    "AdamW": lambda p, lr: optim.AdamW(p, lr, weight_decay=0.0),
    "Adam": lambda p, lr: optim.Adam(p, lr),
    "Muon": lambda p, lr: optim.Muon([{"params": [x], "algorithm": "muon" if x.ndim == 2 else "adamw"} for x in p], lr),
}
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def problem(dtype=np.float64):
    """Two parameters and, for each step, their gradients."""
    values = [RNG.normal(size=(3, 2)).astype(dtype), RNG.normal(size=()).astype(dtype)]
    gradients = [[RNG.normal(size=v.shape).astype(dtype) for v in values] for _ in range(4)]
    return values, gradients


def trained(make, values, gradients):
    parameters = [Tensor(v, requires_grad=True) for v in values]
    optimizer = make(parameters)
    for step in gradients:
        for p, g in zip(parameters, step, strict=True):
            p.grad = g
        optimizer.step()
        optimizer.zero_grad()
        assert all(p.grad is None for p in parameters)
    return [p.data for p in parameters]


@pytest.mark.parametrize("momentum, nesterov, decay", [(0, False, 0), (0.9, False, 0), (0.9, True, 0.1), (0, False, 0.1)])
def test_sgd(momentum, nesterov, decay):
    values, gradients = problem()
    found = trained(lambda p: optim.SGD(p, 0.1, momentum, nesterov, decay), values, gradients)
    for i, p in enumerate(values):
        velocity = 0
        for step in gradients:
            g = step[i] + decay * p
            velocity = momentum * velocity + g
            p = p - 0.1 * (g + momentum * velocity if nesterov else velocity)
        np.testing.assert_allclose(found[i], p, rtol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adamw(decay):
    values, gradients = problem()
    found = trained(lambda p: optim.AdamW(p, 0.1, (0.8, 0.9), 1e-6, decay), values, gradients)
    for i, p in enumerate(values):
        m = v = 0
        for t, step in enumerate(gradients, 1):
            m, v = 0.8 * m + 0.2 * step[i], 0.9 * v + 0.1 * step[i] ** 2
            p = p - 0.1 * decay * p
            p = p - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-6)
        np.testing.assert_allclose(found[i], p, rtol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_adds_its_decay_to_the_gradient(decay):
    values, gradients = problem()
    found = trained(lambda p: optim.Adam(p, 0.1, (0.8, 0.9), 1e-6, decay), values, gradients)
    for i, p in enumerate(values):
        m = v = 0
        for t, step in enumerate(gradients, 1):
            g = step[i] + decay * p
            m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
            p = p - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-6)
        np.testing.assert_allclose(found[i], p, rtol=1e-12)


def test_groups_have_options_of_their_own():
    a, b = Tensor([1.0], requires_grad=True), Tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([{"params": [a], "lr": 1.0}, {"params": [b]}], lr=0.5)
    a.grad = b.grad = np.ones(1)
    optimizer.step(lr_factor=0.5)
    assert a.tolist() == [0.5] and b.tolist() == [0.75]


# What every optimizer does


def test_every_optimizer_is_tested():
    made = {type(make([leaf(1.0)], 0.1)) for make in OPTIMIZERS.values()}
    missing = sorted(
        kind.__name__
        for kind in (*optim.Optimizer.__subclasses__(), *optim.Adam.__subclasses__())
        if kind.__module__.startswith(optim.__name__) and kind not in made
    )
    assert not missing, f"tests/microtensor/test_optim.py: OPTIMIZERS has no {', '.join(missing)}"


@every_optimizer
def test_a_parameter_without_a_gradient_stays(make):
    a, b, frozen = leaf(1.0), leaf(1.0), leaf(1.0)
    optimizer = make([a, b, frozen], 0.1)
    a.grad = frozen.grad = np.ones(1)
    frozen.requires_grad = False
    optimizer.step()
    assert a.tolist() != [1] and b.tolist() == frozen.tolist() == [1]


@every_optimizer
def test_state_dict_continues_bit_for_bit(make):
    values, gradients = problem(np.float32)
    straight = trained(lambda p: make(p, 0.1), values, gradients)
    parameters = [Tensor(v, requires_grad=True) for v in values]
    optimizer = make(parameters, 0.1)
    for step in gradients:
        for p, g in zip(parameters, step, strict=True):
            p.grad = g
        optimizer.step()
        state = optimizer.state_dict()
        kept = {name: array.copy() for name, array in state.items()}
        parameters = [Tensor(p.data, requires_grad=True) for p in parameters]
        following = make(parameters, 0.1)
        following.load_state_dict(state)
        optimizer.step()  # changes neither the copy nor what goes on from it
        for name, array in kept.items():
            np.testing.assert_array_equal(state[name], array)
        optimizer = following
    for p, expected in zip(parameters, straight, strict=True):
        assert p.dtype == np.float32
        np.testing.assert_array_equal(p.data, expected)
    if state:
        with pytest.raises(ValueError, match="doesn't belong"):
            make([leaf(*np.ones(9))], 0.1).load_state_dict(state)


@every_optimizer
def test_a_minimum_is_found(make):
    x = Tensor([3.0, -2.0], requires_grad=True)
    optimizer = make([x], 0.1)
    for step in range(300):
        ((x - np.array([1.0, 2.0], np.float32)) ** 2).sum().backward()
        optimizer.step(lr_factor=1 - step / 300)
        optimizer.zero_grad()
    np.testing.assert_allclose(x.data, [1, 2], atol=1e-2)


@every_optimizer
@pytest.mark.parametrize("lr", [-0.1, math.nan, math.inf])
def test_a_bad_learning_rate_is_refused(make, lr):
    with pytest.raises(ValueError, match=f"lr must be at least 0, not {lr}"):
        make([leaf(1.0)], lr)


# What some are told


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda p: optim.SGD(p, 0.1, momentum=1.0), "momentum"),
        (lambda p: optim.AdamW(p, betas=(0.9, 1.0)), "betas"),
        (lambda p: optim.AdamW(p, betas=(0.9,)), "two numbers"),
        (lambda p: optim.AdamW(p).load_state_dict({"0.mean": np.zeros(1, np.float32)}), "lacks square, updates"),
        (lambda p: optim.AdamW(p).load_state_dict({"0.mean": np.zeros((), np.float32)}), "doesn't belong"),
        (lambda p: optim.AdamW(p).load_state_dict({"0.mean": np.zeros(1, np.int32)}), "doesn't belong"),
        (lambda p: optim.AdamW(p).load_state_dict({"0.updates": np.array(-1)}), "is a count"),
        (lambda p: optim.AdamW(p).load_state_dict({"0.momentum": np.zeros(1)}), "doesn't belong"),
        (lambda p: optim.SGD([], 0.1), "no parameters"),
        (lambda p: optim.SGD([p[0], p[0]], 0.1), "twice"),
        (lambda p: optim.SGD([p[0] * 2], 0.1), "requires_grad"),
        (lambda p: optim.SGD([{"params": p, "rate": 1}], 0.1), "unknown option 'rate'"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make([Tensor([1.0], requires_grad=True)])


def test_clip_grad_norm():
    a, b = Tensor([0.0], requires_grad=True), Tensor([0.0], requires_grad=True)
    a.grad, b.grad = np.array([3.0]), np.array([4.0])
    assert optim.clip_grad_norm([a, b], 10.0) == 5 and a.grad.tolist() == [3]
    assert optim.clip_grad_norm([a, b], 1.0) == 5
    np.testing.assert_allclose([a.grad.item(), b.grad.item()], [0.6, 0.8], rtol=1e-6)
    with pytest.raises(ValueError, match="above 0"):
        optim.clip_grad_norm([a], 0)


def test_schedules():
    assert [optim.constant()(s) for s in (0, 9)] == [1, 1]
    steps = optim.piecewise([50, 100], [1.0, 0.5, 0.2])
    assert [steps(s) for s in (0, 49, 50, 99, 100, 1000)] == [1, 1, 0.5, 0.5, 0.2, 0.2]
    cosine = optim.warmup_cosine(10, 110, final=0.1)
    assert 0 < cosine(0) < cosine(9) < cosine(10) == 1
    np.testing.assert_allclose(cosine(60), 0.55)
    np.testing.assert_allclose([cosine(110), cosine(999)], 0.1)
    for bad in (lambda: optim.piecewise([1], [1.0]), lambda: optim.warmup_cosine(10, 5)):
        with pytest.raises(ValueError):
            bad()


def test_clipping_leaves_what_was_read_before():
    x = leaf(3.0, 4.0)
    (x * x).sum().backward()
    before = x.grad
    assert optim.clip_grad_norm(x, 1.0) == 10
    assert before.tolist() == [6, 8]
    np.testing.assert_allclose(x.grad.data, [0.6, 0.8])


# The kernels against plain NumPy


@given(seed=SEEDS, dtype=DTYPES, n=SIZES)
def test_the_kernel_of_sgd(seed, dtype, n):
    rng = np.random.default_rng(seed)
    p, g = rng.normal(size=n).astype(dtype), rng.normal(size=n).astype(dtype)
    expected = p - dtype(0.1) * g
    kernels.optimizers.sgd(p, g, dtype(0.1))
    np.testing.assert_allclose(p, expected, rtol=1e-5, atol=1e-6)


@given(seed=SEEDS, dtype=DTYPES, sizes=st.lists(st.sampled_from([0, 1, 7, 100, 2**14, 2**14 + 1]), min_size=1, max_size=4))
def test_adamw_over_several_arrays(seed, dtype, sizes):
    rng = np.random.default_rng(seed)
    p, g, m, s = ([rng.random(n).astype(dtype) for n in sizes] for _ in range(4))
    before = [[a.astype(np.float64) for a in arrays] for arrays in (p, g, m, s)]
    factors = [(0.1, 0.01, 0.99, 0.003 + i, 1.5, 1e-8) for i in range(len(sizes))]
    kernels.optimizers.adamw(p, g, m, s, factors)
    for i, (a, b, c, d, shrink, rate) in enumerate(zip(*before, [0.99] * len(sizes), [f[3] for f in factors], strict=True)):
        mean, square = c + 0.1 * (b - c), d + 0.01 * (b * b - d)
        np.testing.assert_allclose(m[i], mean, rtol=1e-5)
        np.testing.assert_allclose(s[i], square, rtol=1e-5)
        np.testing.assert_allclose(p[i], shrink * a - rate * mean / (1.5 * np.sqrt(square) + 1e-8), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(g[i], b)


@given(seed=SEEDS, dtype=DTYPES, sizes=st.lists(st.sampled_from([0, 1, 7, 300, 2**14 + 1]), min_size=1, max_size=4),
       size=st.sampled_from([1e-30, 1.0, 1e25]))  # fmt: skip
def test_norm_of_all_and_scaled(seed, dtype, sizes, size):
    rng = np.random.default_rng(seed)
    arrays = [(rng.normal(size=n) * size).astype(dtype) for n in sizes]
    expected = np.sqrt(sum((a.astype(np.float64) ** 2).sum() for a in arrays))
    np.testing.assert_allclose(kernels.optimizers.norm_of_all(arrays), expected, rtol=1e-6)
    for a, half in zip(arrays, kernels.optimizers.scaled(arrays, 0.5), strict=True):
        np.testing.assert_array_equal(half, dtype(0.5) * a)
        assert not np.shares_memory(a, half)


def test_a_new_optimizer_is_a_subclass_with_an_update():
    class SignDescent(optim.Optimizer):
        """Steps along the sign of a running mean of the gradient."""

        state_names = frozenset({"mean"})

        def __init__(self, parameters, lr=0.1, forget=0.5):
            super().__init__(parameters, {"lr": lr, "forget": forget})

        def update(self, parameters, lr, group):
            for p in parameters:
                mean = self.state[p].setdefault("mean", np.zeros(p.shape))
                mean += group["forget"] * (p.grad.data - mean)
                p.data = p.data - lr * np.sign(mean)

    x = Tensor(np.array([3.0, -2.0]), requires_grad=True)
    optimizer = SignDescent([{"params": [x], "forget": 1.0}])
    for step in range(50):
        (x * x).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        if step == 0:
            np.testing.assert_allclose(x.data, [2.9, -1.9])
    assert np.abs(x.data).max() < 0.2 and list(optimizer.state_dict()) == ["0.mean"]
    again = SignDescent([x])
    again.load_state_dict(optimizer.state_dict())
    with pytest.raises(ValueError, match="doesn't belong"):
        optim.SGD([x], 0.1).load_state_dict(optimizer.state_dict())


def test_what_a_new_optimizer_forgot_is_named():
    x = leaf(1.0)
    x.grad = np.ones(1)
    bare = optim.Optimizer([x], {"lr": 1.0})
    with pytest.raises(TypeError, match="Optimizer doesn't define update"):
        bare.step()
    with pytest.raises(ValueError, match="Optimizer: its options lack lr"):
        optim.Optimizer([x], {"rate": 1.0})

    class Momentum(optim.Optimizer):
        def update(self, parameters, lr, group):
            for p in parameters:
                self.state[p]["velocity"] = p.grad.data

    with pytest.raises(TypeError, match="Momentum: state_names lacks velocity, which update keeps"):
        Momentum([x], {"lr": 1.0}).step()
