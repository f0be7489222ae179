"""Arrays put side by side, repeated, and cut: what NumPy says in terms of concatenate, reshape, broadcast_to and split."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from microtensor.differentiable import composed
from microtensor.ops.arithmetic import identity
from microtensor.ops.shape import broadcast_to, concatenate, expand_dims, reshape, split
from microtensor.tensor import as_inputs


def _at_least(n: int, arrays: tuple[Any, ...]) -> Any:
    """Each array with at least n axes (one, two or three), the new ones of length 1; a single one by itself."""

    def widened(x: Any) -> Any:
        # Three axes, as NumPy has it, are those of a picture: a row becomes (1, n, 1), and a matrix (m, n, 1).
        new = {(0, 1): 0, (0, 2): (0, 1), (1, 2): 0, (0, 3): (0, 1, 2), (1, 3): (0, 2), (2, 3): 2}.get((np.ndim(x), n))
        return identity(x) if new is None else expand_dims(x, new)

    wide = tuple(map(widened, as_inputs(arrays)))
    return wide[0] if len(wide) == 1 else wide


@composed(numpy=np.atleast_1d)
def atleast_1d(*arrays: Any) -> Any:
    """The array, a number as an array of one; of several arrays a tuple."""
    return _at_least(1, arrays)


@composed(numpy=np.atleast_2d)
def atleast_2d(*arrays: Any) -> Any:
    """The array with at least two axes, new ones in front; of several arrays a tuple."""
    return _at_least(2, arrays)


@composed(numpy=np.atleast_3d)
def atleast_3d(*arrays: Any) -> Any:
    """The array with at least three axes: a row becomes (1, n, 1), a matrix (m, n, 1); of several arrays a tuple."""
    return _at_least(3, arrays)


@composed(numpy=np.vstack)
def vstack(arrays: Sequence[Any], *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays one below the other, along the first axis; a vector is a row."""
    return concatenate([atleast_2d(x) for x in as_inputs(arrays)], 0, dtype=dtype, casting=casting)


@composed(numpy=np.hstack)
def hstack(arrays: Sequence[Any], *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays side by side, along the second axis; vectors end to end."""
    arrays = [atleast_1d(x) for x in as_inputs(arrays)]
    return concatenate(arrays, int(arrays[0].ndim > 1), dtype=dtype, casting=casting)


@composed(numpy=np.dstack)
def dstack(arrays: Sequence[Any]) -> Any:
    """Arrays one behind the other, along the third axis, as by `atleast_3d`."""
    return concatenate([atleast_3d(x) for x in as_inputs(arrays)], 2)


@composed(numpy=np.column_stack)
def column_stack(arrays: Sequence[Any]) -> Any:
    """Vectors as the columns of a matrix; matrices stand between them as they are."""
    return concatenate([atleast_2d(x).T if x.ndim < 2 else x for x in as_inputs(arrays)], 1)


@composed(numpy=np.append)
def append(x: Any, values: Any, /, axis: int | None = None) -> Any:
    """x with values after it along an axis; both flattened when it is None. x itself stays as it is."""
    return concatenate([x, values], axis)


@composed(numpy=np.tile)
def tile(x: Any, /, reps: Any) -> Any:
    """x put beside itself, `reps` times along each axis (counted from the right)."""
    counts = (reps,) if isinstance(reps, int | np.integer) else tuple(reps)
    axes = max(x.ndim, len(counts))
    lengths = (1,) * (axes - x.ndim) + x.shape
    counts = (1,) * (axes - len(counts)) + counts
    apart = broadcast_to(
        reshape(x, tuple(itertools.chain.from_iterable((1, n) for n in lengths))),
        tuple(itertools.chain.from_iterable(zip(counts, lengths, strict=True))),
    )
    return reshape(apart, tuple(count * n for count, n in zip(counts, lengths, strict=True)))


@composed(numpy=np.array_split)
def array_split(x: Any, /, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """x cut along an axis: into that many pieces, the first ones longer by one where it doesn't divide, or at the given
    positions."""
    if not isinstance(indices_or_sections, int | np.integer):
        return split(x, indices_or_sections, axis)
    sections = int(indices_or_sections)
    if sections < 1:
        raise ValueError(f"array_split: an array is cut into at least 1 piece, not {sections}")
    least, longer = divmod(x.shape[axis], sections)
    return split(x, [i * least + min(i, longer) for i in range(1, sections)], axis)


@composed(numpy=np.meshgrid)
def meshgrid(*vectors: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    """The coordinates of a grid's points: for each vector an array of the grid's shape, which repeats it along all other axes.

    With "xy" indexing the first vector runs along the second axis; with "ij" each runs along its own. `sparse` leaves the other
    axes at length 1. The results are copies in any case. Raises ValueError for another indexing.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f'meshgrid: indexing is "xy" or "ij", not {indexing!r}')
    axes = list(range(len(vectors)))
    if indexing == "xy":
        axes[:2] = reversed(axes[:2])
    lines = [reshape(x, (-1,) + (1,) * (len(axes) - axis - 1)) for x, axis in zip(as_inputs(vectors), axes, strict=True)]
    whole = np.broadcast_shapes(*(x.shape for x in lines))
    shapes = [(1,) * axis + x.shape if sparse else whole for x, axis in zip(lines, axes, strict=True)]
    return tuple(broadcast_to(x, shape) for x, shape in zip(lines, shapes, strict=True))
