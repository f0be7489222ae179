"""Attention: for each query, the mean of the values, weighted by the softmax of its scores with the keys.

The matrix of all scores has context x context numbers for each head: for a context of 1,024, six heads and a batch of 16,
400 megabytes, written and read several times. Here it never exists. A *strip* of it, the scores of a few queries with all
keys, is computed, turned into probabilities and multiplied with the values while it is in the core's cache, and then its
memory serves the next strip (the idea of Rabe and Staats 2021, arXiv:2112.05682, and of Dao et al. 2022, arXiv:2205.14135).
Backward computes the strips again from the queries and keys; of the softmax only one number for each query was kept, the
logarithm of its denominator.

With a causal mask a query sees only the keys up to its own position. A strip then ends there, which skips half of the work.

Queries, keys and values are read where they lie, so that they may be columns of one wide matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.kernels.math import exp
from microtensor.kernels.matmul import batch_offsets, readable
from microtensor.kernels.runtime import door, threads
from microtensor.kernels.runtime.jit import kernel
from microtensor.kernels.runtime.simd import ROWS, VECTOR_BYTES, at_address, prefetch_range, tile
from microtensor.kernels.softmax import STRIDE, dot, largest, total

#: The number of queries that make a strip: whole tiles, of 12 rows or of 6.
STRIP = 48


#: Memory is asked for so many rows ahead.
AHEAD = 16


@kernel
def _panels(x, row, column, rows, columns, transposed, size, out):
    """Copy a matrix (rows, columns), at address x with strides in numbers, to panels for `tile`, and zeros around it.

    A panel is two vectors wide; it holds so many columns of the matrix (or of its transpose), row after row.
    """
    width = 2 * VECTOR_BYTES // size
    if transposed:
        for i in range(0, rows, width):
            out[i * columns : (i + width) * columns] = 0
            for r in range(min(width, rows - i)):
                prefetch_range(x + (i + r + AHEAD) * row * size, columns * size)
                given = at_address(x + (i + r) * row * size, (columns - 1) * column + 1, out)
                panel = out[i * columns + r :]
                for c in range(columns):
                    panel[c * width] = given[c * column]
    else:
        for j in range(0, columns, width):
            here = min(width, columns - j)
            for r in range(rows):
                prefetch_range(x + ((r + AHEAD) * row + j * column) * size, here * size)
                given = at_address(x + (r * row + j * column) * size, (here - 1) * column + 1, out)
                panel = out[(j * rows + r * width) : (j * rows + r * width) + width]
                if here < width:
                    panel[:] = 0
                if column == 1:
                    for c in range(here):
                        panel[c] = given[c]
                else:
                    for c in range(here):
                        panel[c] = given[c * column]


@kernel
def _rows_of(x, row, column, rows, columns, size, factor, out):
    """out[:rows * columns] = factor * rows of a matrix at address x, and zeros up to whole tiles."""
    out[rows * columns : (rows + ROWS - 1) // ROWS * ROWS * columns] = 0
    for r in range(rows):
        prefetch_range(x + (r + AHEAD) * row * size, columns * size)
        given = at_address(x + r * row * size, (columns - 1) * column + 1, out)
        here = out[r * columns : (r + 1) * columns]
        if column == 1:
            for c in range(columns):
                here[c] = factor * given[c]
        else:
            for c in range(columns):
                here[c] = factor * given[c * column]


@kernel
def _tiles(left, left_row, left_step, depth, panels, panel_at, panel_depth, columns, out, out_at, out_row, add):
    """A row of tiles: out[out_at:] (+)= left @ panels, for ROWS rows at the address left.

    The panels are `panel_depth` rows deep, of which `depth` are used, from offset panel_at of the first panel on.
    """
    width = 2 * VECTOR_BYTES // out.itemsize
    for j in range(0, columns, width):
        at = out_at + j
        tile(left, left_row, left_step, panels, panel_at + j * panel_depth, out, at, out_row, out, at, out_row, depth, add)


@kernel
def _hide(scores, at, mine, wide):
    """-inf for the keys that a query doesn't see: scores[at + mine : at + wide]."""
    here = scores[at + max(mine, 0) : at + wide]
    for j in range(here.size):
        here[j] = -np.inf


@kernel
def _powers(x, shift):
    """x = e^(x - shift), in place. (A function of x and out, both given x, would not be vectorised.)"""
    for j in range(x.size):
        x[j] = exp(x[j] - shift)


@kernel
def _row_length(wide, tall):
    """The distance between the rows of a strip: whole panels fit, and whole tiles of the transpose. And 16 more, as rows that
    are a power of two apart would push each other out of the cache."""
    return max(wide, tall) + 16


@kernel
def _whole(n, unit):
    """The next multiple of a unit."""
    return (n + unit - 1) // unit * unit


@kernel
def _forward(q, k, v, starts, strides, sizes, scale, causal, out, logs, first_head, last_head):
    """Attention of heads first_head to last_head.

    Args:
        q, k, v: addresses; head h begins at starts[0, h], starts[1, h], starts[2, h] numbers from there, and strides (4, 2) are
            those of rows and columns, of q, k, v and out.
        sizes: queries, keys, width, width of the values.
        out: flat; head h begins at starts[3, h].
        logs: (heads * queries,), filled with the logarithm of each query's denominator.
    """
    queries, keys, width, values_width = sizes
    size = out.itemsize
    lanes = 2 * VECTOR_BYTES // size
    values_wide = _whole(values_width, lanes)
    unit = max(lanes, STRIDE)
    key_panels = np.zeros(_whole(keys, unit) * width, out.dtype)
    value_panels = np.empty(keys * values_wide, out.dtype)
    scaled = np.empty(_whole(queries, ROWS) * width, out.dtype)
    row = _row_length(_whole(keys, unit), keys)
    strip = np.zeros(ROWS * row, out.dtype)
    result = np.empty(ROWS * values_wide, out.dtype)
    offset = keys - queries
    one = out.dtype.type(1)
    for h in range(first_head, last_head):
        _panels(k + starts[1, h] * size, strides[1, 0], strides[1, 1], keys, width, True, size, key_panels)
        _panels(v + starts[2, h] * size, strides[2, 0], strides[2, 1], keys, values_width, False, size, value_panels)
        _rows_of(q + starts[0, h] * size, strides[0, 0], strides[0, 1], queries, width, size, scale, scaled)
        for i in range(0, queries, ROWS):
            rows = min(ROWS, queries - i)
            seen = max(min(keys, i + rows + offset), 0) if causal else keys
            wide = _whole(seen, unit)
            _tiles(scaled.ctypes.data + i * width * size, width, 1, width, key_panels, 0, width, wide, strip, 0, row, False)
            for r in range(rows):
                _hide(strip, r * row, min(i + r + 1 + offset, keys) if causal else keys, wide)
            for r in range(rows):
                shift = largest(strip, r * row, wide)
                if wide == 0 or shift == -np.inf:
                    shift = out.dtype.type(0)  # it sees nothing
                logs[h * queries + i + r] = shift
            for r in range(rows):
                _powers(strip[r * row : r * row + wide], logs[h * queries + i + r])
            _tiles(strip.ctypes.data, row, 1, seen, value_panels, 0, keys, values_wide, result, 0, values_wide, False)
            for r in range(rows):
                denominator = total(strip[r * row : r * row + wide])
                if denominator == 0:
                    denominator = one
                logs[h * queries + i + r] += np.log(denominator)
                at = starts[3, h] + (i + r) * strides[3, 0]
                there = out[at : at + (values_width - 1) * strides[3, 1] + 1]
                _scale_to(result[r * values_wide : r * values_wide + values_width], one / denominator, there, strides[3, 1])


@kernel
def _scale_to(x, factor, out, step):
    if step == 1:
        for c in range(x.size):
            out[c] = x[c] * factor
    else:
        for c in range(x.size):
            out[c * step] = x[c] * factor


@kernel
def _backward(q, k, v, g, dq, dk, dv, starts, strides, sizes, scale, causal, logs, first_head, last_head):
    """The gradients of heads first_head to last_head, from g, that of the result.

    With p the probabilities and s the scores, s = scale q k^T: dv = p^T g; dp = g v^T; ds = p (dp - d), where d is the sum
    of p dp for each query; dq = scale ds k; dk = scale ds^T q.

    Args:
        q, k, v, starts, strides, sizes, scale, causal, logs: as in `_forward`.
        g, dq, dk, dv: addresses, with rows 3 to 6 of starts and strides; the last three are filled.
    """
    queries, keys, width, values_width = sizes
    size = logs.itemsize
    lanes = 2 * VECTOR_BYTES // size
    values_wide, width_wide = _whole(values_width, lanes), _whole(width, lanes)
    tall = _whole(keys, ROWS)
    unit = max(lanes, STRIDE)
    key_panels, key_rows = np.zeros(_whole(keys, unit) * width, logs.dtype), np.empty(keys * width_wide, logs.dtype)
    value_panels = np.zeros(_whole(keys, unit) * values_width, logs.dtype)
    query_panels, gradient_panels = np.empty(STRIP * width_wide, logs.dtype), np.empty(STRIP * values_wide, logs.dtype)
    scaled, gradients = np.empty(STRIP * width, logs.dtype), np.empty(STRIP * values_width, logs.dtype)
    row = _row_length(_whole(keys, unit), tall)
    p, ds = np.zeros(STRIP * row, logs.dtype), np.zeros(STRIP * row, logs.dtype)
    one_dq = np.empty(STRIP * width_wide, logs.dtype)
    all_dk, all_dv = np.empty(tall * width_wide, logs.dtype), np.empty(tall * values_wide, logs.dtype)
    offset = keys - queries
    one = logs.dtype.type(1)
    for h in range(first_head, last_head):
        _panels(k + starts[1, h] * size, strides[1, 0], strides[1, 1], keys, width, True, size, key_panels)
        _panels(k + starts[1, h] * size, strides[1, 0], strides[1, 1], keys, width, False, size, key_rows)
        _panels(v + starts[2, h] * size, strides[2, 0], strides[2, 1], keys, values_width, True, size, value_panels)
        all_dk[:] = 0
        all_dv[:] = 0
        for i in range(0, queries, STRIP):
            rows = min(STRIP, queries - i)
            here_q = q + (starts[0, h] + i * strides[0, 0]) * size
            here_g = g + (starts[3, h] + i * strides[3, 0]) * size
            _rows_of(here_q, strides[0, 0], strides[0, 1], rows, width, size, scale, scaled)
            _rows_of(here_g, strides[3, 0], strides[3, 1], rows, values_width, size, one, gradients)
            _panels(here_g, strides[3, 0], strides[3, 1], rows, values_width, False, size, gradient_panels)
            _panels(here_q, strides[0, 0], strides[0, 1], rows, width, False, size, query_panels)
            deep = _whole(max(min(keys, i + rows + offset), 0) if causal else keys, ROWS)
            for t in range(0, rows, ROWS):
                seen = max(min(keys, i + min(t + ROWS, rows) + offset), 0) if causal else keys
                wide = _whole(seen, unit)
                at = scaled.ctypes.data + t * width * size
                _tiles(at, width, 1, width, key_panels, 0, width, wide, p, t * row, row, False)
                at = gradients.ctypes.data + t * values_width * size
                _tiles(at, values_width, 1, values_width, value_panels, 0, values_width, wide, ds, t * row, row, False)
                for r in range(t, min(t + ROWS, rows)):
                    _hide(p, r * row, min(i + r + 1 + offset, keys) if causal else keys, wide)
                for r in range(t, min(t + ROWS, rows)):
                    at = r * row
                    _score_gradients(p[at : at + wide], ds[at : at + wide], logs[h * queries + i + r], scale)
                    p[at + wide : at + deep] = 0
                    ds[at + wide : at + deep] = 0
                at = ds.ctypes.data + t * row * size
                _tiles(at, row, 1, seen, key_rows, 0, keys, width_wide, one_dq, t * width_wide, width_wide, False)
            for t in range(0, deep, ROWS):
                # The keys from t on are seen from query t - offset on only.
                start = min(max(t - offset - i, 0), rows) if causal else 0
                at = (start * row + t) * size
                left = rows - start
                _tiles(
                    p.ctypes.data + at, 1, row, left, gradient_panels, start * lanes, rows, values_wide,
                    all_dv, t * values_wide, values_wide, True,
                )  # fmt: skip
                _tiles(
                    ds.ctypes.data + at, 1, row, left, query_panels, start * lanes, rows, width_wide,
                    all_dk, t * width_wide, width_wide, True,
                )  # fmt: skip
            _store(
                one_dq, width_wide, rows, width, dq + (starts[4, h] + i * strides[4, 0]) * size, strides[4, 0], strides[4, 1]
            )
        _store(all_dk, width_wide, keys, width, dk + starts[5, h] * size, strides[5, 0], strides[5, 1])
        _store(all_dv, values_wide, keys, values_width, dv + starts[6, h] * size, strides[6, 0], strides[6, 1])


@kernel
def _score_gradients(p, ds, log, scale):
    """p from scores to probabilities, ds from dp to scale p (dp - d), in place."""
    _powers(p, log)
    d = dot(p, ds)
    for j in range(p.size):
        ds[j] = scale * p[j] * (ds[j] - d)


@kernel
def _store(x, x_row, rows, columns, out, out_row, out_column):
    """A matrix at the address out, with its strides, becomes x."""
    for r in range(rows):
        here = x[r * x_row : r * x_row + columns]
        there = at_address(out + r * out_row * x.itemsize, (columns - 1) * out_column + 1, x)
        if out_column == 1:
            for c in range(columns):
                there[c] = here[c]
        else:
            for c in range(columns):
                there[c * out_column] = here[c]


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, causal: bool, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """softmax(scale q k^T) v, and the logarithms of the softmax's denominators, for `attention_backward`.

    Args:
        q: (..., queries, width), in any order in memory; the result has the same order.
        k, v: (..., keys, width) and (..., keys, values' width), with the same leading axes.
        causal: query i sees keys up to i + keys - queries only. One that sees none gets zeros.
        scale: a factor for the scores.

    Returns (..., queries, values' width) and (..., queries).
    """
    _check("attention", q, k, v)
    q, k, v = (readable(x)[0] for x in (q, k, v))
    out = _in_order_of(q, (*q.shape[:-1], v.shape[-1]))
    logs = np.empty(q.shape[:-1], q.dtype)
    heads, strides = _layout(q, k, v, out)
    sizes = (q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1])
    addresses = [x.ctypes.data for x in (q, k, v)]
    flat, flat_logs = _flat(out), logs.reshape(-1)
    threads.share_rows(
        heads.shape[1],
        _cost(sizes, causal),
        _forward,
        *addresses,
        heads,
        strides,
        sizes,
        q.dtype.type(scale),
        causal,
        flat,
        flat_logs,
    )
    return out, logs


def attention_backward(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    g: np.ndarray,
    logs: np.ndarray,
    causal: bool,
    scale: float,
    into: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of q, k and v, from g, that of the result.

    They are written to the arrays `into`, which may be parts of a larger one; or to new ones, in the memory order of their own.
    """
    _check("attention_backward", q, k, v, (*q.shape[:-1], v.shape[-1]), g, logs, into)
    q, k, v, g = (readable(x)[0] for x in (q, k, v, g))
    dq, dk, dv = (_in_order_of(x, x.shape) for x in (q, k, v)) if into is None else into
    heads, strides = _layout(q, k, v, g, dq, dk, dv)
    sizes = (q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1])
    addresses = [x.ctypes.data for x in (q, k, v, g, dq, dk, dv)]
    threads.share_rows(
        heads.shape[1], 3 * _cost(sizes, causal), _backward,
        *addresses, heads, strides, sizes, q.dtype.type(scale), causal, logs.reshape(-1),
    )  # fmt: skip
    return dq, dk, dv


def _check(
    kernel: str, q: Any, k: Any, v: Any, shape: tuple[int, ...] = (), g: Any = None, logs: Any = None, into: Any = None
) -> None:
    """Raises ValueError for arrays that don't fit together; those of backward, whose result had that shape, too."""
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise ValueError(f"{kernel}: queries, keys and values need two axes or more, not {q.shape}, {k.shape}, {v.shape}")
    of_keys = (*q.shape[:-2], k.shape[-2])
    dq, dk, dv = into or (None, None, None)
    door.fits(
        kernel, q.dtype, q=(q, q.shape), k=(k, (*of_keys, q.shape[-1])), v=(v, (*of_keys, v.shape[-1])),
        g=(g, shape), logs=(logs, q.shape[:-1]), dq=(dq, q.shape), dk=(dk, k.shape), dv=(dv, v.shape),
    )  # fmt: skip
    for x in into or ():
        if not x.flags.writeable or not x.flags.aligned or min(x.strides) < 0 or any(s % x.itemsize for s in x.strides):
            raise ValueError(f"{kernel}: gradients are written to writable arrays at whole steps forward, not {door.shown(x)}")


def _cost(sizes: tuple[int, int, int, int], causal: bool) -> int:
    """About how many elementary operations a head costs."""
    queries, keys, width, values_width = sizes
    return queries * keys * (width + values_width) // (32 if causal else 16)


def _in_order_of(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A new array whose axes lie in memory in the same order as those of x, without gaps."""
    order = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
    return np.empty([shape[axis] for axis in order], x.dtype).transpose(np.argsort(order))


def _flat(x: np.ndarray) -> np.ndarray:
    """An array without gaps, in the order of its memory."""
    return x.transpose(sorted(range(x.ndim), key=lambda axis: -x.strides[axis])).reshape(-1)


def _layout(*arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The offset at which each head begins in each array, and the strides of its rows and columns, in numbers."""
    starts, strides = [], []
    for x in arrays:
        *batch, row, column = (s // x.itemsize for s in x.strides)
        starts.append(batch_offsets(list(x.shape[:-2]), x, batch))
        strides.append((row, column))
    return np.array(starts), np.array(strides)
