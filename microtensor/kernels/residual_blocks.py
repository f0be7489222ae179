"""A few new rows through all blocks of a transformer, with the keys and values of earlier rows kept: how text is generated.

With one row at a time there is little to compute and much to read: every weight, once. So the weights are packed beforehand,
in the order in which they are needed, and one call does it all; the time for a row is then about that of reading the weights
from the processor's cache. Several rows (a prompt) share that reading.

The blocks are those of GPT-2: x += out(attention(qkv(norm1(x)))), then x += down(gelu(up(norm2(x)))); at the end the scores
head(norm(x)) of the last row. Keys and values are kept as panels too, so that both products of attention are tiles: for each
block and head, keys lie as [position // lanes][width][position % lanes], values as [panel][position][lanes].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from microtensor.kernels.math import exp, gelu
from microtensor.kernels.runtime.jit import kernel
from microtensor.kernels.runtime.simd import VECTOR_BYTES, at_address, make_tile, row_tile

#: Where several rows come at once, so many share the reading of the weights.
MORE = 4
more_tile = make_tile(2, rows=MORE)


class PackedTransformer(NamedTuple):
    """A transformer's weights as `cached_transformer` reads them."""

    #: All numbers, flat.
    numbers: np.ndarray
    #: For each of a block's four products: where the norm before it is, where its bias and weight are, how many columns it has,
    #: in whole panels. The last row is the end: its norm and its head.
    blocks: np.ndarray
    heads: int
    width: int
    hidden: int
    vocabulary: int


def pack_transformer(
    blocks: Sequence[Mapping[str, Any]], norm: tuple[Any, Any], head: np.ndarray, heads: int
) -> PackedTransformer:
    """Copy all weights into one array.

    Args:
        blocks: for each the arrays (weight, bias) of "norm1", "qkv", "out", "norm2", "up" and "down"; weights are (inputs,
            outputs), and a bias may be None.
        norm: weight and bias of the last norm.
        head: (width, vocabulary).
        heads: how many heads attention has.
    """
    lanes = _lanes(head.itemsize)
    layers = [block[name] for block in blocks for name in ("qkv", "out", "up", "down")] + [(head, None)]
    size = sum((len(weight) + 1) * _padded(weight.shape[1], lanes) for weight, _ in layers)
    numbers = np.zeros(size + (2 * len(blocks) + 1) * 2 * len(head), head.dtype)
    used = 0

    def place(array: np.ndarray | None, room: int) -> int:
        nonlocal used
        used += room
        if array is not None:
            numbers[used - room : used - room + array.size] = array
        return used - room

    def place_norm(weight: np.ndarray, bias: np.ndarray | None) -> int:
        start = place(weight, weight.size)
        place(bias, weight.size)
        return start

    def place_product(weight: np.ndarray, bias: np.ndarray | None = None) -> tuple[int, int]:
        nonlocal used
        depth, columns = weight.shape
        wide = _padded(columns, lanes)
        start = place(bias, wide)
        panels = numbers[used : used + depth * wide].reshape((-1, depth, lanes))
        whole = columns // lanes
        panels[:whole] = weight[:, : whole * lanes].reshape((depth, whole, lanes)).swapaxes(0, 1)
        if whole * lanes < columns:
            panels[whole, :, : columns - whole * lanes] = weight[:, whole * lanes :]
        used += depth * wide
        return start, wide

    table: list[tuple[int, ...]] = [
        (
            place_norm(*block["norm1"]), *place_product(*block["qkv"]), 0, *place_product(*block["out"]),
            place_norm(*block["norm2"]), *place_product(*block["up"]), 0, *place_product(*block["down"]),
        )
        for block in blocks
    ]  # fmt: skip
    table.append((place_norm(*norm), *place_product(head), *[0] * 9))
    width, hidden = blocks[0]["up"][0].shape
    return PackedTransformer(numbers, np.array(table), heads, width, hidden, head.shape[1])


def empty_cache(packed: PackedTransformer, positions: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values for so many positions, none of them known yet: (blocks, heads, numbers in panels), zeros."""
    lanes = _lanes(packed.numbers.itemsize)
    each = packed.width // packed.heads
    shape = (len(packed.blocks) - 1, packed.heads)
    keys = np.zeros((*shape, _padded(positions, lanes) * each), packed.numbers.dtype)
    return keys, np.zeros((*shape, _padded(each, lanes) * positions), packed.numbers.dtype)


def cached_transformer(
    packed: PackedTransformer, x: np.ndarray, keys: np.ndarray, values: np.ndarray, position: int, eps: float = 1e-5
) -> np.ndarray:
    """The scores (vocabulary,) of the last of the rows x (rows, width), which come at `position` and after it.

    The rows' own keys and values are written into the cache, which must know all positions before.
    """
    rows, width = x.shape
    lanes = _lanes(x.itemsize)
    positions = values.shape[2] // _padded(width // packed.heads, lanes)
    if position + rows > positions:
        raise ValueError(f"the cache has {positions} positions, and {rows} rows at {position} don't fit")
    # Rows of the stream, of what is multiplied, and of the products; and room for one row's attention.
    row, wide = _padded(width, lanes), _padded(max(3 * width, packed.hidden, packed.vocabulary), lanes)
    work = np.zeros(rows * (row + 2 * wide) + 2 * _padded(max(positions, width // packed.heads), lanes), x.dtype)
    work[: rows * row].reshape((rows, row))[:, :width] = x
    _read(
        packed.numbers, packed.blocks, work, rows, row, wide, width, packed.hidden, packed.heads, keys.reshape(-1),
        values.reshape(-1), keys.shape[2], values.shape[2], position, x.dtype.type(eps),
    )  # fmt: skip
    at = rows * (row + wide)
    return work[at : at + packed.vocabulary].copy()


def _lanes(itemsize: int) -> int:
    """How many columns a panel has."""
    return 2 * VECTOR_BYTES // itemsize


def _padded(columns: int, lanes: int) -> int:
    """So many columns in whole panels."""
    return -(-columns // lanes) * lanes


@kernel
def _read(numbers, blocks, work, rows, row, wide, width, hidden, heads, keys, values, each_keys, each_values, position, eps):
    """All blocks and the end. `work` holds the stream of numbers (rows of length `row`), then what is multiplied and the
    products (rows of length `wide`); at last the scores are the first of the products.

    A block is four products; what differs is what comes before each and after it.
    """
    left, right = rows * row, rows * (row + wide)
    last = blocks.shape[0] - 1
    for n in range(blocks.shape[0]):
        for stage in range(4):
            if stage == 1:
                _attend(work, left, right, wide, rows, width, heads, keys, values, n, each_keys, each_values, position)
            elif stage == 3:
                _gelu(_at(work, right, rows * wide), _at(work, left, rows * wide))
            else:
                if n == last:  # the scores: of the last row only
                    for j in range(width):
                        work[j] = work[(rows - 1) * row + j]
                    rows = 1
                norm = _at(numbers, blocks[n, 3 * stage], 2 * width)
                for i in range(rows):
                    _norm(_at(work, i * row, width), norm, eps, _at(work, left + i * wide, width))
            depth = hidden if stage == 3 else width
            weight, columns = blocks[n, 3 * stage + 1], blocks[n, 3 * stage + 2]
            _product(work, left, right, wide, rows, depth, numbers, weight, columns)
            if n == last:
                return
            if stage == 1 or stage == 3:
                for i in range(rows):
                    _add(_at(work, right + i * wide, width), _at(work, i * row, width))


@kernel
def _at(x, at, size):
    """x[at : at + size], in less code: a compiled slice looks out for negative places, and counts references."""
    return at_address(x.ctypes.data + at * x.itemsize, size, x)


@kernel(sums=True)
def _norm(x, weight_and_bias, eps, out):
    """LayerNorm of a row."""
    width = x.dtype.type(x.size)
    mean = square = x.dtype.type(0)
    for j in range(x.size):
        mean += x[j]
    mean /= width
    for j in range(x.size):
        square += (x[j] - mean) * (x[j] - mean)
    factor = x.dtype.type(1) / np.sqrt(square / width + eps)
    for j in range(out.size):
        out[j] = (x[j] - mean) * factor * weight_and_bias[j] + weight_and_bias[j + out.size]


@kernel
def _gelu(x, out):
    for j in range(x.size):
        out[j] = gelu(x[j])[0]


@kernel
def _add(x, out):
    """out += x."""
    for j in range(x.size):
        out[j] += x[j]


@kernel
def _product(work, left, right, wide, rows, depth, numbers, weight, columns):
    """Rows at `left` times a weight, plus its bias, to rows at `right`. The bias lies before the weight's panels."""
    lanes = 2 * VECTOR_BYTES // work.itemsize
    for j in range(0, columns, lanes):
        i = 0
        while i < rows:
            x = work.ctypes.data + (left + i * wide) * work.itemsize
            at = weight + columns + j * depth
            if i + MORE <= rows:
                more_tile(x, wide, 1, numbers, at, numbers, weight + j, 0, work, right + i * wide + j, wide, depth, True)
                i += MORE
            else:
                row_tile(x, wide, 1, numbers, at, numbers, weight + j, 0, work, right + i * wide + j, wide, depth, True)
                i += 1


@kernel
def _attend(work, left, right, wide, rows, width, heads, keys, values, block, each_keys, each_values, position):
    """Queries, keys and values at `right`; each row looks at the positions before it and at itself, and what it finds goes to
    `left`. A head has `each_keys` numbers in the cache of keys, and `each_values` in that of values."""
    each = width // heads
    size = work.itemsize
    lanes = 2 * VECTOR_BYTES // size
    value_panels = -(-each // lanes)
    positions = each_values // (value_panels * lanes)
    scores = right + rows * wide
    weights = scores + -(-max(positions, each) // lanes) * lanes
    factor = work.dtype.type(1) / np.sqrt(work.dtype.type(each))
    for i in range(rows):
        p = position + i
        for h in range(heads):
            query, found = right + i * wide + h * each, left + i * wide + h * each
            key, value = (block * heads + h) * each_keys, (block * heads + h) * each_values
            for d in range(each):
                work[query + d] *= factor
                keys[key + (p // lanes * each + d) * lanes + p % lanes] = work[query + d + width]
                values[value + (d // lanes * positions + p) * lanes + d % lanes] = work[query + d + 2 * width]
            for j in range(0, p + 1, lanes):
                x = work.ctypes.data + query * size
                row_tile(x, 0, 1, keys, key + j * each, work, 0, 0, work, scores + j, 0, each, False)
            share = work.dtype.type(1) / _powers(_at(work, scores, p + 1), _at(work, weights, p + 1))
            for d in range(value_panels):
                x = work.ctypes.data + weights * size
                row_tile(x, 0, 1, values, value + d * positions * lanes, work, 0, 0, work, scores + d * lanes, 0, p + 1, False)
            for d in range(each):
                work[found + d] = work[scores + d] * share


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
