"""A few new rows through pre-norm residual blocks, with the keys and values of earlier rows kept.

With one row at a time there is little to compute and much to read: every weight, once. So the weights lie packed in one array,
in the order in which they are needed, and one call does it all; the time for a row is then about that of reading the weights
from the processor's cache. Several rows share that reading.

A block is x += out(attention(qkv(norm1(x)))), then x += down(activation(up(norm2(x)))); after the last one come the logits
head(norm(x)) of the last row. Keys and values are kept as panels, so that both products of attention are tiles: for each block
and head, keys lie as [position // lanes][width][position % lanes], values as [panel][position][lanes].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from microtensor.kernels.activations import apply_in_place, kind_of
from microtensor.kernels.math import exp
from microtensor.kernels.runtime.jit import kernel
from microtensor.kernels.runtime.simd import VECTOR_BYTES, at_address, make_tile, row_tile

#: Where several rows come at once, so many share the reading of the weights.
ROWS_TOGETHER = 4
several_rows_tile = make_tile(2, rows=ROWS_TOGETHER)

#: The columns of the table `PackedBlocks.stages`: where the norm before the product lies among the numbers, whether it
#: subtracts the mean, where the bias and weight lie, how many columns the weight has in whole panels, and the activation.
NORM, CENTRED, WEIGHT, COLUMNS, ACTIVATION = range(5)


class PackedBlocks(NamedTuple):
    """The weights of blocks, a last norm and a head, as `residual_blocks` reads them."""

    #: All numbers, flat. A norm is its weight, its bias and its eps; a product its bias and its weight in panels.
    numbers: np.ndarray
    #: A row for each product, in order: qkv, out, up and down of each block, then the head. int64, (4 * blocks + 1, 5).
    stages: np.ndarray
    heads: int
    width: int
    hidden: int
    #: How many logits the head gives.
    outputs: int


def lanes_of(dtype: Any) -> int:
    """Return how many columns a panel has for numbers of this type."""
    return 2 * VECTOR_BYTES // np.dtype(dtype).itemsize


def padded(columns: int, lanes: int) -> int:
    """Round a number of columns up to whole panels."""
    return -(-columns // lanes) * lanes


def pack_blocks(products: Sequence[tuple[Any, Any, Any, Any]], heads: int) -> PackedBlocks:
    """Copy the weights of blocks into one array.

    Args:
        products: in order (norm, weight, bias, activation) of the qkv, out, up and down of each block, then of the head. norm
            is (weight, bias, eps, centred) of the norm before qkv, up and the head, and None before the others; a weight is
            (inputs, outputs); any bias may be None; the activation is that after up, a name, and None elsewhere.
        heads: the number of heads of attention.

    Raises ValueError for shapes or dtypes that don't fit together.
    """
    width, (hidden, outputs) = products[-1][1].shape[0], (products[-2][1].shape[0], products[-1][1].shape[1])
    dtype = products[-1][1].dtype
    shapes = [(width, 3 * width), (width, width), (width, hidden), (hidden, width)] * (len(products) // 4) + [(width, outputs)]
    if [w.shape for _, w, _, _ in products] != shapes or width % heads:
        raise ValueError(f"pack_blocks: the weights' shapes must be {shapes}, with a width that {heads} heads divide")
    arrays = [a for norm, *rest in products for a in (*rest[:2], *(norm or ())[:2]) if a is not None]
    if any(a.dtype != dtype for a in arrays):
        raise ValueError(f"pack_blocks: all arrays must have one dtype, {dtype}")
    for norm, *_ in products:
        if norm is not None and any(a is not None and a.shape != (width,) for a in norm[:2]):
            raise ValueError(f"pack_blocks: norms must have the width of the blocks, {width}")
    lanes = lanes_of(dtype)
    parts: list[np.ndarray] = []
    stages, used = [], 0
    for norm, weight, bias, activation in products:
        at, centred = used, False
        if norm is not None:
            scale, shift, eps, centred = norm
            parts += [scale, np.zeros(width, dtype) if shift is None else shift, np.array([eps], dtype)]
            used += 2 * width + 1
        depth, columns = weight.shape
        wide = padded(columns, lanes)
        stages.append((at, centred, used, wide, kind_of(activation)))
        row, panels = np.zeros(wide, dtype), np.zeros((depth, wide), dtype)
        panels[:, :columns] = weight
        if bias is not None:
            row[:columns] = bias
        parts += [row, panels.reshape((depth, -1, lanes)).swapaxes(0, 1).reshape(-1)]
        used += wide + depth * wide
    return PackedBlocks(np.concatenate(parts), np.array(stages, np.int64), heads, width, hidden, outputs)


def empty_cache(packed: PackedBlocks, positions: int) -> tuple[np.ndarray, np.ndarray]:
    """Make room for the keys and values of so many positions: two arrays of zeros (blocks, heads, numbers in panels)."""
    lanes = lanes_of(packed.numbers.dtype)
    head_width = packed.width // packed.heads
    shape = (len(packed.stages) // 4, packed.heads)
    keys = np.zeros((*shape, padded(positions, lanes) * head_width), packed.numbers.dtype)
    return keys, np.zeros((*shape, padded(head_width, lanes) * positions), packed.numbers.dtype)


def residual_blocks(packed: PackedBlocks, x: np.ndarray, keys: np.ndarray, values: np.ndarray, position: int) -> np.ndarray:
    """Compute the logits (outputs,) of the last of the rows x (rows, width), which stand at `position` and after it.

    The rows' own keys and values are written into the cache (see `empty_cache`), which must know all positions before.

    Raises ValueError when the arrays don't fit together, before anything is read or written.
    """
    numbers, stages, heads, width, hidden, outputs = packed
    packed_so = numbers.ndim == 1 and stages.shape == (len(stages) // 4 * 4 + 1, 5)
    if min(heads, width, hidden, outputs) < 1 or width % heads or not packed_so:
        raise ValueError("residual_blocks: these aren't blocks that pack_blocks has packed")
    lanes = lanes_of(numbers.dtype)
    blocks, head_width = len(stages) // 4, width // heads
    positions = values.shape[-1] // padded(head_width, lanes)
    shapes = ((blocks, heads, padded(positions, lanes) * head_width), (blocks, heads, padded(head_width, lanes) * positions))
    if (keys.shape, values.shape) != shapes or {keys.dtype, values.dtype, x.dtype} != {numbers.dtype}:
        raise ValueError(f"residual_blocks: keys {keys.shape} and values {values.shape} of {keys.dtype} don't fit the weights")
    if not (keys.flags.c_contiguous and values.flags.c_contiguous and numbers.flags.c_contiguous):
        raise ValueError("residual_blocks: the weights and the cache must be contiguous")
    if x.ndim != 2 or x.shape[1] != width or not len(x):
        raise ValueError(f"residual_blocks: the rows must be (rows, {width}), at least one, not {x.shape}")
    rows = len(x)
    if position < 0 or position + rows > positions:
        raise ValueError(f"the cache has {positions} positions, and {rows} rows at {position} don't fit")
    # Rows of the residual stream, of what is multiplied, and of the products; and room for one row's attention.
    row, wide = padded(width, lanes), padded(max(3 * width, hidden, outputs), lanes)
    work = np.zeros(rows * (row + 2 * wide) + 2 * padded(max(positions, head_width), lanes), x.dtype)
    work[: rows * row].reshape((rows, row))[:, :width] = x
    _run(
        numbers, stages, work, rows, row, wide, width, hidden, heads, keys.reshape(-1), values.reshape(-1),
        keys.shape[2], values.shape[2], position,
    )  # fmt: skip
    at = rows * (row + wide)
    return work[at : at + outputs].copy()


@kernel
def _run(numbers, stages, work, rows, row, wide, width, hidden, heads, keys, values, keys_size, values_size, position):
    """All blocks and the head. `work` holds the residual stream (rows of length `row`), then what is multiplied and the
    products (rows of length `wide`); at last the logits are the first of the products.

    A block is four products; they differ in what comes before each and after it.
    """
    left, right = rows * row, rows * (row + wide)
    last = stages.shape[0] - 1
    lanes = 2 * VECTOR_BYTES // work.itemsize
    for n in range(stages.shape[0]):
        norm_size, depth = 2 * width + 1 if n % 2 == 0 else 0, hidden if n % 4 == 3 else width
        if stages[n, COLUMNS] % lanes != 0 or not _within(numbers.size, stages[n], norm_size, depth, wide):
            raise ValueError("residual_blocks: these aren't blocks that pack_blocks has packed")
    for n in range(stages.shape[0]):
        stage = n % 4
        if stage == 1:
            _attend(work, left, right, wide, rows, width, heads, keys, values, n // 4, keys_size, values_size, position)
        elif stage == 3:
            apply_in_place(stages[n - 1, ACTIVATION], _at(work, right, rows * wide), _at(work, left, rows * wide))
        else:
            if n == last:  # the logits: of the last row only
                for j in range(width):
                    work[j] = work[(rows - 1) * row + j]
                rows = 1
            norm = _at(numbers, stages[n, NORM], 2 * width + 1)
            for i in range(rows):
                _norm(_at(work, i * row, width), norm, stages[n, CENTRED], _at(work, left + i * wide, width))
        depth = hidden if stage == 3 else width
        _product(work, left, right, wide, rows, depth, numbers, stages[n, WEIGHT], stages[n, COLUMNS])
        if stage == 1 or stage == 3:
            for i in range(rows):
                _add(_at(work, right + i * wide, width), _at(work, i * row, width))


@kernel
def _within(size, stage, norm, depth, wide):
    """Tell if a product's norm (of so many numbers) and weight lie within an array of that size, and its columns in a row."""
    columns = stage[COLUMNS]
    if stage[NORM] < 0 or stage[WEIGHT] < 0 or columns < 0 or columns > wide or columns > size:
        return False
    return stage[NORM] <= size - norm and stage[WEIGHT] <= size - columns - depth * columns


@kernel
def _at(x, at, size):
    """x[at : at + size], in less code: a compiled slice looks out for negative places, and counts references."""
    return at_address(x.ctypes.data + at * x.itemsize, size, x)


@kernel(sums=True)
def _norm(x, parameters, centred, out):
    """Normalise a row: LayerNorm if `centred`, else RMSNorm. The parameters are weight, bias and eps, one after the other."""
    width = x.dtype.type(x.size)
    mean = square = x.dtype.type(0)
    if centred:
        for j in range(x.size):
            mean += x[j]
        mean /= width
    for j in range(x.size):
        square += (x[j] - mean) * (x[j] - mean)
    factor = x.dtype.type(1) / np.sqrt(square / width + parameters[2 * out.size])
    for j in range(out.size):
        out[j] = (x[j] - mean) * factor * parameters[j] + parameters[j + out.size]


@kernel
def _add(x, out):
    """out += x."""
    for j in range(x.size):
        out[j] += x[j]


@kernel
def _product(work, left, right, wide, rows, depth, numbers, weight, columns):
    """Multiply rows at `left` by a weight, add its bias, and write rows at `right`. The bias lies before the weight's
    panels."""
    lanes = 2 * VECTOR_BYTES // work.itemsize
    for j in range(0, columns, lanes):
        i = 0
        while i < rows:
            x = work.ctypes.data + (left + i * wide) * work.itemsize
            at = weight + columns + j * depth
            y = right + i * wide + j
            if i + ROWS_TOGETHER <= rows:
                several_rows_tile(x, wide, 1, numbers, at, numbers, weight + j, 0, work, y, wide, depth, True)
                i += ROWS_TOGETHER
            else:
                row_tile(x, wide, 1, numbers, at, numbers, weight + j, 0, work, y, wide, depth, True)
                i += 1


@kernel
def _attend(work, left, right, wide, rows, width, heads, keys, values, block, keys_size, values_size, position):
    """Attend: queries, keys and values lie at `right`; each row attends to the positions before it and to itself, and its
    output goes to `left`. A head has `keys_size` numbers in the cache of keys, and `values_size` in that of values."""
    head_width = width // heads
    size = work.itemsize
    lanes = 2 * VECTOR_BYTES // size
    value_panels = -(-head_width // lanes)
    positions = values_size // (value_panels * lanes)
    scores = right + rows * wide
    powers = scores + -(-max(positions, head_width) // lanes) * lanes
    factor = work.dtype.type(1) / np.sqrt(work.dtype.type(head_width))
    for i in range(rows):
        p = position + i
        for h in range(heads):
            query, output = right + i * wide + h * head_width, left + i * wide + h * head_width
            key, value = (block * heads + h) * keys_size, (block * heads + h) * values_size
            for d in range(head_width):
                work[query + d] *= factor
                keys[key + (p // lanes * head_width + d) * lanes + p % lanes] = work[query + d + width]
                values[value + (d // lanes * positions + p) * lanes + d % lanes] = work[query + d + 2 * width]
            for j in range(0, p + 1, lanes):
                x = work.ctypes.data + query * size
                row_tile(x, 0, 1, keys, key + j * head_width, work, 0, 0, work, scores + j, 0, head_width, False)
            total = _powers(_at(work, scores, p + 1), _at(work, powers, p + 1))
            for d in range(value_panels):
                x = work.ctypes.data + powers * size
                row_tile(x, 0, 1, values, value + d * positions * lanes, work, 0, 0, work, scores + d * lanes, 0, p + 1, False)
            factor_of_row = work.dtype.type(1) / total
            for d in range(head_width):
                work[output + d] = work[scores + d] * factor_of_row


@kernel(sums=True)
def _powers(x, out):
    """out = e^(x - the largest x); returns their sum."""
    most = x[0]
    for j in range(x.size):
        most = max(most, x[j])
    total = most - most
    for j in range(x.size):
        out[j] = exp(x[j] - most)
        total += out[j]
    return total
