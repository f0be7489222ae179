"""The selective scan's kernel against a plain loop, and what it says at its door."""

from types import SimpleNamespace

import numpy as np
import pytest
from cases import selective_scan
from drawing import SEEDS
from hypothesis import given
from hypothesis import strategies as st
from specification import agrees

import microtensor as mt
from microtensor import kernels
from microtensor.kernels.selective_scan import BLOCK, SEGMENT

#: Lengths around those of a segment, and numbers of channels around that of a block.
TIMES = st.sampled_from([1, 2, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT + 3])
CHANNELS = st.sampled_from([1, 3, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
STATES = st.sampled_from([1, 2, 5, 16])


def drawn(seed, time, channels, states, batch=2):
    """x, step, a, b, c, skip, as in a model."""
    rng = np.random.default_rng(seed)
    step, a = rng.uniform(0.01, 0.5, (batch, time, channels)), -rng.uniform(0.1, 3, (channels, states))
    b, c = rng.normal(size=(2, batch, time, states))
    return rng.normal(size=(batch, time, channels)), step, a, b, c, rng.normal(size=channels)


def states_after(x, step, a, b, state):
    for t in range(x.shape[1]):
        state = np.exp(step[:, t, :, None] * a) * state + (step[:, t] * x[:, t])[..., None] * b[:, t, None, :]
    return state


def gradients(x, step, a, b, c, skip, g):
    """By the chain rule, one step after the other, with all states of all steps."""
    start = np.zeros((len(x), *a.shape))
    before = [states_after(x[:, :t], step[:, :t], a, b[:, :t], start) for t in range(x.shape[1])]
    dx, dstep, da, db, dc = (np.zeros(array.shape) for array in (x, step, a, b, c))
    dh = np.zeros(start.shape)
    for t in reversed(range(x.shape[1])):
        decay = np.exp(step[:, t, :, None] * a)
        enters = (step[:, t] * x[:, t])[..., None]
        h = decay * before[t] + enters * b[:, t, None, :]
        dc[:, t] = (g[:, t, :, None] * h).sum(axis=1)
        dh = dh + g[:, t, :, None] * c[:, t, None, :]
        exponent = dh * decay * before[t]
        da += (exponent * step[:, t, :, None]).sum(axis=0)
        db[:, t] = (dh * enters).sum(axis=1)
        entered = (dh * b[:, t, None, :]).sum(axis=-1)
        dstep[:, t] = (exponent * a).sum(axis=-1) + entered * x[:, t]
        dx[:, t] = entered * step[:, t] + skip * g[:, t]
        dh = dh * decay
    return dx, dstep, da, db, dc, (g * x).sum(axis=(0, 1))


@given(seed=SEEDS, time=TIMES, channels=CHANNELS, states=STATES)
def test_forward_is_the_loop(seed, time, channels, states):
    inputs = drawn(seed, time, channels, states)
    agrees(lambda *arrays: kernels.selective_scan.selective_scan(*arrays)[0], selective_scan, *inputs, rtol=1e-4)


@given(seed=SEEDS, time=TIMES, channels=CHANNELS, states=STATES)
def test_the_state_goes_in_and_comes_out(seed, time, channels, states):
    x, step, a, b, c, skip = drawn(seed, time, channels, states)
    state = np.random.default_rng(seed).normal(size=(2, channels, states))

    def last(*arrays):
        return kernels.selective_scan.selective_scan(*arrays)[1]

    agrees(
        last, lambda x, step, a, b, c, skip, state: states_after(x, step, a, b, state), x, step, a, b, c, skip, state, rtol=1e-4
    )


@given(seed=SEEDS, time=TIMES, channels=CHANNELS, states=STATES)
def test_backward_is_the_chain_rule(seed, time, channels, states):
    inputs = drawn(seed, time, channels, states)
    g = np.random.default_rng(seed + 1).normal(size=inputs[0].shape)

    def backward(*arrays):
        *given, g = arrays
        kept = kernels.selective_scan.selective_scan(*given)[2]
        return kernels.selective_scan.selective_scan_backward(*given, kept, g)

    agrees(backward, gradients, *inputs, g, rtol=3e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes(dtype):
    """A state that forgets all, one that keeps all, one that outgrows its type, and NaN, which stays in its channel."""
    x = np.ones((1, 3, 4), dtype)
    step = np.ones((1, 3, 4), dtype)
    a = np.array([[-1e30], [0], [1e30], [np.nan]], dtype)
    ones = np.ones((1, 3, 1), dtype)
    y = kernels.selective_scan.selective_scan(x, step, a, ones, ones, np.zeros(4, dtype))[0]
    np.testing.assert_array_equal(y[0, :, 0], [1, 1, 1])
    np.testing.assert_array_equal(y[0, :, 1], [1, 2, 3])
    assert not np.isfinite(y[0, 1:, 2]).any() and np.isnan(y[0, 1:, 3]).all()


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("skipped", [True, False])
def test_with_a_cache_it_goes_on(few, skipped, monkeypatch):
    if not few:
        monkeypatch.setattr(mt.kernels.runtime.config, "FEW_ROWS", 0)
    x, step, a, b, c, skip = (array.astype(np.float32) for array in drawn(0, 40, 70, 4))
    skip = skip if skipped else None
    whole = mt.selective_scan(x, step, a, b, c, skip)
    cache, found = SimpleNamespace(state=None), []
    for start, stop in ((0, 1), (1, 20), (20, 21), (21, 40)):
        piece = slice(start, stop)
        found.append(mt.selective_scan(x[:, piece], step[:, piece], a, b[:, piece], c[:, piece], skip, cache=cache))
    np.testing.assert_allclose(np.concatenate(found, axis=1), whole, rtol=1e-4, atol=1e-5)
    assert cache.state.shape == (2, 70, 4)
    with pytest.raises(ValueError, match="other sequences"):
        mt.selective_scan(x[:1], step[:1], a, b[:1], c[:1], skip, cache=cache)
    with pytest.raises(RuntimeError, match="no_grad"):
        mt.selective_scan(mt.Tensor(x, requires_grad=True), step, a, b, c, skip, cache=SimpleNamespace(state=None))


def test_what_does_not_fit_is_said():
    x, step, a, b, c, skip = drawn(0, 4, 3, 2)
    for bad in (
        (x, step[:, 1:], a, b, c, skip),
        (x, step, a[1:], b, c, skip),
        (x, step, a, b[:, 1:], c, skip),
        (x, step, a, b, c[..., 1:], skip),
        (x, step, a, b, c, skip[1:]),
        (x[0, 0], step[0, 0], a, b, c, skip),
    ):
        with pytest.raises(ValueError, match=r"must be x and step \(\.\.\., time, channels\)"):
            mt.selective_scan(*bad)
    with pytest.raises(TypeError, match="float64 and the weight float32"):
        mt.selective_scan(x, step, a.astype(np.float32), b, c, skip)
