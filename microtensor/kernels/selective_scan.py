"""The scan of a selective state space model, forward and backward: a hidden state that each step lets fade and adds to.

For each channel c and each of its states n, at each step t:

    h[t, c, n] = exp(step[t, c] * a[c, n]) * h[t-1, c, n] + step[t, c] * b[t, n] * x[t, c]
    y[t, c]    = the sum over n of c[t, n] * h[t, c, n],  + skip[c] * x[t, c]

Channels don't meet, so blocks of them are computed side by side, by several threads. All states of all steps would be `states`
times as many numbers as x. Forward keeps those before every SEGMENT-th step only, and backward computes the others again from
there, a segment at a time: they never leave the processor's cache.
"""

from __future__ import annotations

import numpy as np

from microtensor.kernels.math import exp_of_any
from microtensor.kernels.runtime import door, threads
from microtensor.kernels.runtime.jit import kernel
from microtensor.kernels.softmax import dot

#: The number of channels that are computed together, as wide as a few vector registers.
BLOCK = 64
#: The number of steps whose states backward computes again at a time.
SEGMENT = 16


@kernel
def _fill(x, start, out):
    """out (BLOCK,) = x[start:], and zeros beyond its end."""
    x = x[start : min(start + BLOCK, x.size)]
    for k in range(x.size):
        out[k] = x[k]
    for k in range(x.size, BLOCK):
        out[k] = 0


@kernel
def _put(x, start, out):
    """out[start:] = x (BLOCK,), as far as out reaches."""
    out = out[start : min(start + BLOCK, out.size)]
    for k in range(out.size):
        out[k] = x[k]


# All loops below go over a whole block, whose length the compiler knows; channels that don't exist are zeros. (Arrays to
# work in are taken from a larger one by index. Unpacked, they would count as ones with gaps, whose loops aren't vectorised.)


@kernel
def _times(x, y, out):
    for k in range(BLOCK):
        out[k] = x[k] * y[k]


@kernel
def _advance(h, step, a, added, b, c, y):
    """One step of one state: h = exp(step * a) * h + b * added, and y += c * h; all but b and c have a number a channel."""
    for k in range(BLOCK):
        h[k] = exp_of_any(step[k] * a[k]) * h[k] + b * added[k]
        y[k] += c * h[k]


@kernel
def _scan(x, step, a, b, c, skip, h, kept, y, first, last):
    """Items first to last, each a block of channels of one sequence. The hidden states h are (items, states, BLOCK), and those
    before every SEGMENT-th step go to kept (items, segments, states, BLOCK)."""
    time, channels = x.shape[1:]
    blocks = -(-channels // BLOCK)
    decay, room = np.empty((len(a), BLOCK), x.dtype), np.empty((5, BLOCK), x.dtype)
    row, pace, added, through, total = room[0], room[1], room[2], room[3], room[4]
    for item in range(first, last):
        i, start, state = item // blocks, item % blocks * BLOCK, h[item]
        for n in range(len(a)):
            _fill(a[n], start, decay[n])
        _fill(skip, start, through)
        for t in range(time):
            if t % SEGMENT == 0:
                kept[item, t // SEGMENT] = state
            _fill(x[i, t], start, row)
            _fill(step[i, t], start, pace)
            _times(pace, row, added)
            _times(through, row, total)
            for n in range(len(a)):
                _advance(state[n], pace, decay[n], added, b[i, t, n], c[i, t, n], total)
            _put(total, start, y[i, t])


@kernel
def _decays(step, a, out):
    for k in range(BLOCK):
        out[k] = exp_of_any(step[k] * a[k])


@kernel
def _plus(x, factor, y, out):
    """out = x + factor * y."""
    for k in range(BLOCK):
        out[k] = x[k] + factor * y[k]


@kernel
def _add_scaled(x, factor, out):
    """out += factor * x."""
    for k in range(BLOCK):
        out[k] += factor * x[k]


@kernel
def _multiply_by(x, out):
    """out *= x."""
    for k in range(BLOCK):
        out[k] *= x[k]


@kernel
def _add_products(x, y, out):
    """out += x * y."""
    for k in range(BLOCK):
        out[k] += x[k] * y[k]


@kernel
def _gradients(x, step, a, b, c, skip, kept, g, dx, dstep, da, db, dc, dskip, first, last):
    """Items first to last, each a block of channels of one sequence. What several items add to has room for each: da (batch,
    states, channels), dskip (batch, channels), db and dc (blocks, batch, time, states)."""
    time, channels = x.shape[1:]
    states, blocks, segments = len(a), -(-channels // BLOCK), kept.shape[1]
    room = np.empty((4, BLOCK), x.dtype)
    through, dthrough, dadded, dpace = room[0], room[1], room[2], room[3]
    by_step = np.empty((4, SEGMENT, BLOCK), x.dtype)
    rows, paces, added, grads = by_step[0], by_step[1], by_step[2], by_step[3]
    by_state = np.empty((4, states, BLOCK), x.dtype)
    decay, ddecay, h, dh = by_state[0], by_state[1], by_state[2], by_state[3]
    by_both = np.empty((2, SEGMENT, states, BLOCK), x.dtype)
    fading, faded = by_both[0], by_both[1]
    for item in range(first, last):
        i, block = item // blocks, item % blocks
        start = block * BLOCK
        for n in range(states):
            _fill(a[n], start, decay[n])
        _fill(skip, start, through)
        ddecay[:] = 0
        dthrough[:] = 0
        dh[:] = 0
        for segment in range(segments - 1, -1, -1):
            begin = segment * SEGMENT
            steps = min(SEGMENT, time - begin)
            h[:] = kept[item, segment]
            for s in range(steps):
                t = begin + s
                _fill(x[i, t], start, rows[s])
                _fill(step[i, t], start, paces[s])
                _fill(g[i, t], start, grads[s])
                _times(paces[s], rows[s], added[s])
                for n in range(states):
                    _decays(paces[s], decay[n], fading[s, n])
                    _times(fading[s, n], h[n], faded[s, n])
                    _plus(faded[s, n], b[i, t, n], added[s], h[n])
                    dc[block, i, t, n] = dot(grads[s], h[n])
            for s in range(steps - 1, -1, -1):
                t = begin + s
                dadded[:] = 0
                dpace[:] = 0
                for n in range(states):
                    _add_scaled(grads[s], c[i, t, n], dh[n])
                    db[block, i, t, n] = dot(dh[n], added[s])
                    _add_scaled(dh[n], b[i, t, n], dadded)
                    _multiply_by(dh[n], faded[s, n])  # now the gradient of the exponent, step * a
                    _add_products(faded[s, n], paces[s], ddecay[n])
                    _add_products(faded[s, n], decay[n], dpace)
                    _multiply_by(fading[s, n], dh[n])
                for k in range(BLOCK):
                    dpace[k] += dadded[k] * rows[s, k]
                for k in range(BLOCK):
                    dadded[k] = dadded[k] * paces[s, k] + grads[s, k] * through[k]
                for k in range(BLOCK):
                    dthrough[k] += grads[s, k] * rows[s, k]
                _put(dpace, start, dstep[i, t])
                _put(dadded, start, dx[i, t])
        for n in range(states):
            _put(ddecay[n], start, da[i, n])
        _put(dthrough, start, dskip[i])


def _cost(x: np.ndarray, a: np.ndarray) -> int:
    """The cost of an item: an exponential and some ten operations for each state, an eighth of each by vectors."""
    return 3 * x.shape[1] * BLOCK * a.shape[1]


def selective_scan(
    x: np.ndarray,
    step: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    skip: np.ndarray,
    state: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scan x and step (batch, time, channels), with a (channels, states), b and c (batch, time, states), skip (channels,), from
    a hidden state (batch, channels, states), zeros unless given.

    Returns y (batch, time, channels), the last hidden state, and those that backward needs.
    """
    batch, time, channels, states = _check("selective_scan", x, step, a, b, c, skip)
    door.fits("selective_scan", x.dtype, state=(state, (batch, channels, states)))
    x, step, b, c, skip = (np.asarray(array, order="C") for array in (x, step, b, c, skip))
    blocks = -(-channels // BLOCK)
    h = np.zeros((batch, blocks, states, BLOCK), x.dtype)
    if state is not None:
        padded = np.zeros((batch, blocks * BLOCK, states), x.dtype)
        padded[:, :channels] = state
        h[:] = padded.reshape((batch, blocks, BLOCK, states)).swapaxes(2, 3)
    h = h.reshape((batch * blocks, states, BLOCK))
    kept = np.empty((len(h), -(-time // SEGMENT), states, BLOCK), x.dtype)
    y = np.empty_like(x)
    threads.share_rows(len(h), _cost(x, a), _scan, x, step, np.asarray(a.T, order="C"), b, c, skip, h, kept, y)
    last = h.reshape((batch, blocks, states, BLOCK)).swapaxes(2, 3).reshape((batch, blocks * BLOCK, states))[:, :channels]
    return y, last, kept


def selective_scan_backward(
    x: np.ndarray,
    step: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    skip: np.ndarray,
    kept: np.ndarray,
    g: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """The gradients of x, step, a, b, c and skip from g, that of y, and the hidden states that forward kept."""
    batch, time, channels, states = _check("selective_scan_backward", x, step, a, b, c, skip)
    blocks = -(-channels // BLOCK)
    of_states = (batch * blocks, -(-time // SEGMENT), states, BLOCK)
    door.fits("selective_scan_backward", x.dtype, kept=(kept, of_states), g=(g, x.shape))
    x, step, b, c, skip, kept, g = (np.asarray(array, order="C") for array in (x, step, b, c, skip, kept, g))
    dx, dstep = np.empty_like(x), np.empty_like(x)
    da, dskip = np.empty((batch, states, channels), x.dtype), np.empty((batch, channels), x.dtype)
    db, dc = np.empty((2, blocks, batch, time, states), x.dtype)
    arrays = x, step, np.asarray(a.T, order="C"), b, c, skip, kept, g, dx, dstep, da, db, dc, dskip
    threads.share_rows(len(kept), 3 * _cost(x, a), _gradients, *arrays)
    return dx, dstep, np.asarray(da.sum(axis=0).T, order="C"), db.sum(axis=0), dc.sum(axis=0), dskip.sum(axis=0)


def _check(
    kernel: str, x: np.ndarray, step: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, skip: np.ndarray
) -> tuple[int, int, int, int]:
    """(batch, time, channels, states). Raises ValueError unless the arrays fit each other."""
    if not isinstance(x, np.ndarray) or x.ndim != 3 or not isinstance(a, np.ndarray) or a.ndim != 2:
        raise ValueError(f"{kernel}: needs x (batch, time, channels) and a (channels, states), not {door.shown(x)}")
    batch, time, channels = x.shape
    states = a.shape[1]
    entering = (batch, time, states)
    door.fits(
        kernel, x.dtype, x=(x, x.shape), step=(step, x.shape), a=(a, (channels, states)), b=(b, entering), c=(c, entering),
        skip=(skip, (channels,)),
    )  # fmt: skip
    return batch, time, channels, states
