"""The matrix product, which is nearly all the work of a neural network.

c = a @ b is a sum for each row of a and each column of b. Computed one after the other, each sum waits for memory: every number
of a and b would be fetched again for every sum it is part of. The three ideas that make it 20 times as fast are all about
fetching less (Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication"):

*A tile.* A processor with AVX-512 has 32 vector registers, each of 16 floats. A tile of c, twelve rows by two vectors (32
columns), fills 24 of them. Along the inner axis, each step fetches two vectors of b and twelve single numbers of a, and
does 12 x 32 products with them; 24 sums are under way at once, so that none has to wait for its last addition. Why twelve
rows: the sums, two vectors of b and what is needed to spread a number of a fill the 32 registers, and a tile that doesn't
fit would be written to memory and read back at every step. Processors with 16 registers get 6 rows. (`simd.tile` is this
inner loop.)

*Packed panels.* Rows of b are far apart in memory, and a tile needs 32 columns of each. So a *panel*, 32 columns of b, is
first copied to one piece of memory in the order in which it will be read. That is worth it because every tile below reads
it again. It also settles the question of whether b is transposed: only the copying differs. a is read where it lies, at any
strides: a tile uses each of its numbers right after fetching it, for all panels in turn, while they are near.

*Blocks.* What was packed should still be in the core's own cache (L2) when it is read again, so b is taken in blocks of
at most `BLOCK` bytes.

Threads divide the rows of c, or its columns when there are more of those, or the matrices of a batch. Very long sums (the
gradient of a weight sums over all tokens) are divided too, into pieces that don't depend on the number of threads, so that
results don't either.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microtensor.kernels.activations import NOTHING, apply_in_place, kind_of
from microtensor.kernels.runtime import config, door, threads
from microtensor.kernels.runtime.jit import kernel, numba_config
from microtensor.kernels.runtime.simd import (
    ROWS,
    VECTOR_BYTES,
    at_address,
    copy_tile_row,
    half_tile,
    prefetch,
    quarter_tile,
    tile,
)

#: Memory is asked for so many rows ahead.
AHEAD = 8

#: The bytes of packed panels that are used at a time: half of a small L2 cache.
BLOCK = 2**19

#: The longest inner axis that is summed in one go.
DEPTH = 1024


@kernel
def _tile_width(columns, width):
    """The narrowest of the three tiles that has room for so many columns."""
    if columns > width // 2:
        return width
    return width // 2 if columns > width // 4 else width // 4


@kernel
def _pack(b, b_row, b_col, depth, columns, panels):
    """Copy b (depth, columns), at an address and with strides in numbers, to panels: for each 2 vectors of columns, for each
    row, that row's numbers; zeros where the last panel is wider than b."""
    size = panels.itemsize
    width = 2 * VECTOR_BYTES // size
    whole = columns // width
    if b_col == 1:
        for k in range(depth):
            row = b + k * b_row * size
            for p in range(whole):
                ahead = row + (AHEAD * b_row + p * width) * size
                prefetch(ahead)
                prefetch(ahead + VECTOR_BYTES)
                copy_tile_row(row + p * width * size, panels, (p * depth + k) * width)
    else:
        for p in range(whole):
            for j in range(width):
                column = at_address(b + (p * width + j) * b_col * size, (depth - 1) * b_row + 1, panels)
                at = p * depth * width + j
                for k in range(depth):
                    panels[at + k * width] = column[k * b_row]
    rest = columns - whole * width
    if rest:
        wide = _tile_width(rest, width)
        for k in range(depth):
            row = at_address(b + (k * b_row + whole * width * b_col) * size, (rest - 1) * b_col + 1, panels)
            at = whole * depth * width + k * wide
            for j in range(rest):
                panels[at + j] = row[j * b_col]
            for j in range(rest, wide):
                panels[at + j] = 0


@kernel
def _multiply(
    a,
    a_row,
    a_col,
    b,
    b_row,
    b_col,
    c,
    c_at,
    columns,
    row,
    last_row,
    column,
    last_column,
    depth,
    add,
    bias,
    activation,
    activated,
):
    """c[row:last_row, column:last_column] = a @ b there, for c flat with `columns` numbers in a row.

    Args:
        a, b: addresses, with the strides of their rows and columns in numbers.
        add: add to what c holds.
        bias: (columns,) to be added, or empty.
        activation: f, a kind of `activations`: `activated`, flat like c, becomes f(c), and c becomes f'(c); or NOTHING.
    """
    size = c.itemsize
    width = 2 * VECTOR_BYTES // size
    blocks = max((depth + DEPTH - 1) // DEPTH, 1)
    deep = (depth + blocks - 1) // blocks
    wide = max(BLOCK // (max(deep, 1) * size) // width, 1) * width
    panels = np.empty(deep * ((min(wide, last_column - column) + width - 1) // width) * width, c.dtype)
    edge_rows = np.empty(ROWS * deep, c.dtype)
    edge = np.empty(ROWS * width, c.dtype)
    edge_rows_at = edge_rows.ctypes.data
    for j0 in range(column, last_column, wide):
        j1 = min(j0 + wide, last_column)
        for block in range(blocks):
            k0 = block * deep
            steps = min(deep, depth - k0)
            _pack(b + (k0 * b_row + j0 * b_col) * size, b_row, b_col, steps, j1 - j0, panels)
            for i in range(row, last_row, ROWS):
                rows = min(ROWS, last_row - i)
                left = a + (i * a_row + k0 * a_col) * size
                left_row, left_step = a_row, a_col
                if rows < ROWS:
                    # The tile reads ROWS rows: give it that many.
                    edge_rows[:] = 0
                    for r in range(rows):
                        given = at_address(left + r * a_row * size, (steps - 1) * a_col + 1, c)
                        for k in range(steps):
                            edge_rows[r * steps + k] = given[k * a_col]
                    left, left_row, left_step = edge_rows_at, steps, 1
                # What the sums start from: the bias, or what is there.
                biased = block == 0 and bias.size > 0
                more = add or block > 0 or biased
                for j in range(j0, j1, width):
                    panel = (j - j0) * steps
                    at = c_at + i * columns + j
                    here = min(width, j1 - j)
                    if here == width and rows == ROWS:
                        if biased:
                            tile(left, left_row, left_step, panels, panel, bias, j, 0, c, at, columns, steps, more)
                        else:
                            tile(left, left_row, left_step, panels, panel, c, at, columns, c, at, columns, steps, more)
                        continue
                    # At the edges of c the tile goes to memory of its own, and what belongs to c is copied.
                    if more:
                        for r in range(rows):
                            for q in range(here):
                                edge[r * width + q] = bias[j + q] if biased else c[at + r * columns + q]
                    wide_enough = _tile_width(here, width)
                    if wide_enough == width:
                        tile(left, left_row, left_step, panels, panel, edge, 0, width, edge, 0, width, steps, more)
                    elif wide_enough == width // 2:
                        half_tile(left, left_row, left_step, panels, panel, edge, 0, width, edge, 0, width, steps, more)
                    else:
                        quarter_tile(left, left_row, left_step, panels, panel, edge, 0, width, edge, 0, width, steps, more)
                    for r in range(rows):
                        for q in range(here):
                            c[at + r * columns + q] = edge[r * width + q]
                if block == blocks - 1 and activation != NOTHING:
                    for r in range(rows):
                        start = c_at + (i + r) * columns
                        apply_in_place(activation, c[start + j0 : start + j1], activated[start + j0 : start + j1])


@kernel
def _multiply_batch(a, a_at, a_row, a_col, b, b_at, b_row, b_col, c, rows, columns, depth, first, last, add):
    """c[n] = a[n] @ b[n] for n from first to last, where matrix n of a begins a_at[n] numbers after the address a."""
    size = c.itemsize
    for n in range(first, last):
        _multiply(
            a + a_at[n] * size, a_row, a_col, b + b_at[n] * size, b_row, b_col,
            c, n * rows * columns, columns, 0, rows, 0, columns, depth, add, c[:0], NOTHING, c[:0],
        )  # fmt: skip


#: Products of at least this many multiplications are shared by the threads.
LARGE = 2**21
#: Sums of at least this many terms are divided, into so many pieces (whatever the number of threads: the rounding depends
#: on it), where the result has at most so many numbers.
DEEP, PIECES, NARROW = 2**11, 4, 2**18


def by_numpy(rows: int, depth: int, columns: int) -> bool:
    """Tell if a product of these sizes is left to NumPy."""
    return (
        rows * depth * columns < config.SMALL_PRODUCT or rows < ROWS // 2 or config.numpy_matmul() or numba_config.DISABLE_JIT
    )


def matmul(
    a: np.ndarray,
    b: np.ndarray,
    bias: np.ndarray | None = None,
    activation: str | None = None,
    add_to: np.ndarray | None = None,
) -> Any:
    """a @ b + bias, for a (..., rows, depth) and b (..., depth, columns), whose leading axes broadcast.

    Args:
        a, b: both float32 or both float64, in any order in memory: a transposed array is read where it lies.
        bias: (columns,), or None.
        activation: f, a name that `activations` knows ("gelu"): return (f'(c), f(c)) for c = a @ b + bias, computed while c is
            near.
        add_to: a contiguous array of the result's shape; the product is added to it, in place, and it is returned.

    The result is the same bits every time, with any number of threads.
    """
    if a.ndim == 2 and b.ndim == 2 and a.size * b.shape[1] < config.SMALL_PRODUCT and bias is activation is add_to is None:
        return a.dot(b)
    if a.ndim < 2 or b.ndim < 2:
        raise ValueError(f"a product is one of matrices, (..., rows, columns), not of {a.shape} and {b.shape}")
    door.fits("matmul", a.dtype, a=(a, a.shape), b=(b, b.shape), bias=(bias, b.shape[-1:]))
    kind = kind_of(activation)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) if b.ndim > 2 else a.shape[:-2]
    shape = (*batch, a.shape[-2], b.shape[-1])
    depth = a.shape[-1]
    if depth != b.shape[-2]:
        raise ValueError(f"the rows of the first have {depth} elements and the columns of the second {b.shape[-2]}")
    if add_to is not None and (bias is not None or activation is not None):
        raise ValueError("add_to goes without bias and activation")
    if add_to is not None:
        door.address("matmul", "add_to", add_to, a.dtype, shape, written=True)
    if b.ndim == 2 and a.ndim > 2:  # one tall product instead of many small ones
        a = a.reshape((math.prod(shape[:-1]), depth))
    rows, columns = a.shape[-2], b.shape[-1]
    if a.ndim == 2 and b.ndim == 2 and not by_numpy(rows, depth, columns):
        c = np.empty(shape, a.dtype) if add_to is None else add_to
        activated = np.empty(shape, a.dtype) if activation else None
        _single(a, b, bias, kind, c, activated, add_to is not None)
        return c if activated is None else (c, activated)
    batched = bias is None and activation is None and max(a.ndim, b.ndim) > 2
    if batched and not by_numpy(rows * math.prod(batch), depth, columns):
        c = np.empty(shape, a.dtype) if add_to is None else add_to
        _batch(a, b, c, add_to is not None)
        return c
    c = np.matmul(a, b).reshape(shape)
    if bias is not None:
        c += bias
    if add_to is not None:
        add_to += c
        c = add_to
    if activation is None:
        return c
    activated = np.empty_like(c)
    apply_in_place(kind, c.reshape(-1), activated.reshape(-1))
    return c, activated


def readable(x: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """x, copied if its numbers don't lie at whole steps forward, and its strides in numbers."""
    size = x.itemsize
    if not x.flags.aligned:
        return readable(x.copy())
    for stride in x.strides:
        if stride < 0 or stride % size:
            return readable(x.copy())  # (ascontiguousarray keeps odd strides of axes of length 1)
    return x, [stride // size for stride in x.strides]


def packed(b: np.ndarray) -> np.ndarray:
    """A matrix (depth, columns) in panels for `tile`, flat, and zeros where the last of them is wider."""
    if not isinstance(b, np.ndarray) or b.ndim != 2 or not b.size:
        raise ValueError(f"packed: needs a matrix (depth, columns), not {door.shown(b)}")
    door.fits("packed", b.dtype, b=(b, b.shape))
    depth, columns = b.shape
    lanes = 2 * VECTOR_BYTES // b.itemsize
    wide = -(-columns // lanes) * lanes
    if wide > columns:
        b, narrow = np.zeros((depth, wide), b.dtype), b
        b[:, :columns] = narrow
    b, strides = readable(b)
    panels = np.empty(depth * wide, b.dtype)
    _pack(b.ctypes.data, *strides, depth, wide, panels)
    return panels


def _single(a: Any, b: Any, bias: Any, kind: int, c: Any, activated: Any, add: bool) -> None:
    """One product of two matrices, its columns or rows divided among the threads."""
    (a, (a_row, a_col)), (b, (b_row, b_col)) = readable(a), readable(b)
    rows, depth = a.shape
    columns = b.shape[1]
    flat = c.reshape(-1)
    nothing = flat[:0]
    bias = nothing if bias is None else np.ascontiguousarray(bias)
    after = nothing if activated is None else activated.reshape(-1)
    a_at, b_at = a.ctypes.data, b.ctypes.data
    shared = rows * depth * columns >= LARGE
    if depth >= DEEP and depth > rows + columns and rows * columns <= NARROW and bias.size == 0 and kind == NOTHING:
        # A small result of long sums, as the gradient of a weight is: each piece reads its own part of a and of b.
        sums = np.empty((PIECES, rows * columns), c.dtype)
        flat_sums = sums.reshape(-1)

        def inner_part(i: int) -> None:
            first, last = i * depth // PIECES, (i + 1) * depth // PIECES
            _multiply(
                a_at + first * a_col * a.itemsize, a_row, a_col, b_at + first * b_row * a.itemsize, b_row, b_col,
                flat_sums, i * rows * columns, columns, 0, rows, 0, columns, last - first, False, nothing, NOTHING, nothing,
            )  # fmt: skip

        threads.share(inner_part, PIECES)
        threads.share_rows(flat.size, 2 * PIECES, _add_pieces, sums, add, flat)
        return
    # Each piece packs its columns of b, and reads its rows of a: divide what is larger.
    by_rows = rows > columns
    unit, length = (ROWS, rows) if by_rows else (2 * VECTOR_BYTES // c.itemsize, columns)
    units = -(-length // unit)
    pieces = min(config.get_num_threads() if shared else 1, units)

    def part(i: int) -> None:
        start, stop = i * units // pieces * unit, min((i + 1) * units // pieces * unit, length)
        area = (start, stop, 0, columns) if by_rows else (0, rows, start, stop)
        _multiply(a_at, a_row, a_col, b_at, b_row, b_col, flat, 0, columns, *area, depth, add, bias, kind, after)

    threads.share(part, pieces)


@kernel
def _add_pieces(sums, add, c, first, last):
    """c[first:last] = the sum of the rows of sums (added to c, if `add`)."""
    total = c[first:last]
    if not add:
        total[:] = 0
    for piece in range(sums.shape[0]):
        more = sums[piece, first:last]
        for j in range(total.size):
            total[j] += more[j]


def _batch(a: Any, b: Any, c: Any, add: bool) -> None:
    """Many products of matrices, divided among the threads."""
    a, (*a_batch, a_row, a_col) = readable(a)
    b, (*b_batch, b_row, b_col) = readable(b)
    *batch, rows, columns = c.shape
    depth = a.shape[-1]
    flat = c.reshape(-1)
    a_starts, b_starts = batch_offsets(batch, a, a_batch), batch_offsets(batch, b, b_batch)
    a_at, b_at = a.ctypes.data, b.ctypes.data
    n = len(a_starts)
    pieces = min(n, 4 * config.get_num_threads()) if c.size * depth >= LARGE else 1

    def part(i: int) -> None:
        first, last = i * n // pieces, (i + 1) * n // pieces
        _multiply_batch(
            a_at, a_starts, a_row, a_col, b_at, b_starts, b_row, b_col, flat, rows, columns, depth, first, last, add
        )

    threads.share(part, pieces)


def batch_offsets(batch: list[int], x: np.ndarray, strides: list[int]) -> np.ndarray:
    """The offset of each matrix of a batch, in numbers from the first; axes that x lacks, or of length 1, repeat."""
    offsets = np.zeros(1, np.int64)
    missing = len(batch) - len(strides)
    for i, n in enumerate(batch):
        stride = strides[i - missing] if i >= missing and x.shape[i - missing] > 1 else 0
        offsets = (offsets[:, None] + np.arange(n) * stride).reshape(-1)
    return offsets
