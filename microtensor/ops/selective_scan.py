"""The selective scan: a hidden state that goes from step to step; each says how much of it fades, and what is added."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.kernels.runtime import config
from microtensor.ops.linear import refuse_other_dtype
from microtensor.recording import thread
from microtensor.tensor import Tensor, as_array, wrap


def _by_steps(x: Any, step: Any, a: Any, b: Any, c: Any, skip: Any, state: Any) -> tuple[Any, Any]:
    """The scan as it is defined, one step after the other, in other ops or on plain arrays; returns y and the last state."""
    decays = np.exp(step[..., None] * a)  # (..., time, channels, states)
    added = (step * x)[..., None] * b[..., None, :]
    shown = []
    for t in range(x.shape[-2]):
        state = decays[..., t, :, :] * state + added[..., t, :, :]
        shown.append((state * c[..., t, None, :]).sum(axis=-1))
    y = np.stack(shown, axis=-2) if shown else (decays * added * c[..., None, :]).sum(axis=-1)  # (of no steps)
    return (y if skip is None else y + skip * x), state


def _start(x: Any, a: Any) -> np.ndarray:
    return np.zeros((*x.shape[:-2], *a.shape), x.dtype)


def _scan_in_ops(x: Any, step: Any, a: Any, b: Any, c: Any, skip: Any = None) -> Any:
    """`selective_scan` in other ops."""
    return _by_steps(x, step, a, b, c, skip, _start(x, a))[0]


def _scan_of_few_rows(x: Any, step: Any, a: Any, b: Any, c: Any, skip: Any = None) -> Any:
    return _scan_in_ops(x, step, a, b, c, skip) if _few(x, a) else None


def _few(x: Any, a: Any) -> bool:
    return config.few_rows(x) and x.size * a.shape[1] <= config.FEW_NUMBERS


def _by_kernel(x: Any, step: Any, a: Any, b: Any, c: Any, skip: Any, state: Any = None) -> tuple[Any, ...]:
    """The kernel's three results for arrays with any leading axes, which become one."""
    batch = (math.prod(x.shape[:-2]),)
    flat = [array.reshape(batch + array.shape[-2:]) for array in (x, step, b, c)]
    x, step, b, c = flat
    state = None if state is None else state.reshape(batch + a.shape)
    skip = np.zeros(x.shape[-1:], x.dtype) if skip is None else skip
    return kernels.selective_scan.selective_scan(x, step, a, b, c, skip, state)


@differentiable(name="selective_scan", composite=_scan_in_ops, few_rows=_scan_of_few_rows)
def _scan(x: Any, step: Any, a: Any, b: Any, c: Any, skip: Any = None, /) -> Result:
    """`selective_scan` by a kernel."""
    y, _, kept = _by_kernel(x, step, a, b, c, skip)

    def pullback(g: Any) -> Any:
        batch = (math.prod(x.shape[:-2]),)
        flat = [array.reshape(batch + array.shape[-2:]) for array in (x, step, b, c, g)]
        given = np.zeros(x.shape[-1:], x.dtype) if skip is None else skip
        dx, dstep, da, db, dc, dskip = kernels.selective_scan.selective_scan_backward(
            flat[0], flat[1], a, flat[2], flat[3], given, kept, flat[4]
        )
        inputs = [d.reshape(array.shape) for d, array in ((dx, x), (dstep, step), (da, a), (db, b), (dc, c))]
        return (*inputs, None if skip is None else dskip)

    return y.reshape(x.shape), pullback


def _scan_with_cache(x: Any, step: Any, a: Any, b: Any, c: Any, skip: Any, cache: Any) -> Any:
    """`selective_scan` of the steps after those whose hidden state the cache holds, on plain arrays."""
    inputs = (x, step, a, b, c, skip)
    if thread.mode.recording and any(type(given) is Tensor and given.requires_grad for given in inputs):
        raise RuntimeError(
            "selective_scan: a cache holds plain arrays, through which no gradient flows: compute within no_grad(), or without "
            "the cache"
        )
    state = _start(x, a) if cache.state is None else cache.state
    if state.shape != (*x.shape[:-2], *a.shape):
        raise ValueError(f"selective_scan: the cache's state is {state.shape}, and x {x.shape}: other sequences than before")
    arrays: list[Any] = [None if given is None else as_array(given) for given in (*inputs, state)]
    if config.kernel_takes(*arrays) and not _few(arrays[0], arrays[2]):
        y, last, _ = _by_kernel(*arrays)
        y, last = y.reshape(x.shape), last.reshape(state.shape)
    else:
        y, last = _by_steps(*arrays)
    cache.state = last
    return wrap(y) if type(x) is Tensor else y


@composed
def selective_scan(x: Any, step: Any, a: Any, b: Any, c: Any, skip: Any = None, /, cache: Any = None) -> Any:
    """Scan a sequence by a selective state space model (Gu and Dao 2023, arXiv:2312.00752).

    Every channel has a hidden state h of its own, a list of numbers that starts as zeros. At each step t,

        h[t] = exp(step[t] * a) * h[t-1] + step[t] * b[t] * x[t]
        y[t] = (c[t] * h[t]).sum() + skip * x[t]

    Forward and backward need memory for y and a few of the states only.

    Args:
        x: (..., time, channels).
        step: like x: how far the step goes. (The paper's delta; positive.)
        a: (channels, states): how each state fades. (Negative: one that doesn't fade grows.)
        b, c: (..., time, states): how a step enters each state, and how the state is read.
        skip: (channels,), or None for nothing.
        cache: None, or an object with an attribute `state`: what h was after earlier steps (..., channels, states), or None
            before any. The scan goes on from there, and puts what h is then in its place.

    Returns y, like x. Raises ValueError for shapes that don't fit, TypeError where x isn't float32 and `a` is, and RuntimeError
    for a cache where gradients would be recorded.
    """
    lead, channels = x.shape[:-1], x.shape[-1:]
    fits = x.ndim >= 2 and step.shape == x.shape and a.ndim == 2 and a.shape[:1] == channels
    if not fits or b.shape != (*lead, a.shape[1]) or c.shape != b.shape or (skip is not None and skip.shape != channels):
        shapes = f"x {x.shape}, step {step.shape}, a {a.shape}, b {b.shape}, c {c.shape}"
        raise ValueError(
            "selective_scan: the shapes must be x and step (..., time, channels), a (channels, states), b and c (..., time, "
            f"states), skip (channels,), not {shapes}{'' if skip is None else f', skip {skip.shape}'}"
        )
    if cache is not None:
        return _scan_with_cache(x, step, a, b, c, skip, cache)
    if not config.kernel_takes(x, step, a, b, c, skip):
        refuse_other_dtype("selective_scan", x, a)
        return _scan_in_ops(x, step, a, b, c, skip)
    return _scan(x, step, a, b, c, skip)
