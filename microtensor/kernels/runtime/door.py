"""The door of every kernel: what machine code would trust is compared with what it needs, before it runs.

A kernel reads and writes memory as it was told to. An array that is shorter than another, of another type or with gaps
would have it read its neighbours, or write over them. There are two kinds of doors. What numba knows of an array (its type, its
axes, that it is contiguous) is checked by `jit.kernel`, once for each combination that is compiled; lengths and indices by
the kernels' first lines, in machine code, for next to nothing. And functions of Python that make arrays for a kernel, or take
their addresses, ask here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: The types of numbers that kernels compute with.
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def fits(kernel: str, dtype: np.dtype, **arrays: tuple[Any, tuple[int, ...]]) -> None:
    """Refuse arrays, given by name with the shapes that they must have, unless all are of one type that kernels compute with.

    One that is None was left out. Raises ValueError.
    """
    if dtype not in FLOATS:
        raise ValueError(f"{kernel}: computes with float32 or float64, not {dtype}")
    for name, (x, shape) in arrays.items():
        if x is not None and (not isinstance(x, np.ndarray) or x.shape != shape or x.dtype != dtype):
            raise ValueError(f"{kernel}: {name} must be {dtype} {shape}, not {shown(x)}")


def rows(kernel: str, x: np.ndarray) -> tuple[int, int]:
    """(rows, width) of an array (..., width) of floats. Raises ValueError for another one."""
    if not isinstance(x, np.ndarray) or x.dtype not in FLOATS or x.ndim == 0:
        raise ValueError(f"{kernel}: needs float32 or float64 (..., width), not {shown(x)}")
    width = x.shape[-1]
    return x.size // width if width else 0, width


def address(kernel: str, name: str, x: Any, dtype: np.dtype, shape: tuple[int, ...], written: bool = False) -> int:
    """The place of an array's numbers in memory, for a kernel that is told nothing else of it.

    All that the kernel will take for granted comes from one question to the array, and costs no more than the address alone.

    Raises ValueError unless the array is contiguous, of this type and shape, and, where it will be written, writable.
    """
    if isinstance(x, np.ndarray):
        seen = x.__array_interface__
        place, read_only = seen["data"]
        if (
            seen["typestr"] == dtype.str
            and seen["shape"] == shape
            and seen["strides"] is None
            and place % dtype.itemsize == 0
            and not (written and read_only)
        ):
            return place
    raise ValueError(f"{kernel}: {name} must be {dtype} {shape}, contiguous{' and writable' * written}, not {shown(x)}")


def shown(x: Any) -> str:
    """An array in a few words, for an error."""
    if not isinstance(x, np.ndarray):
        return type(x).__name__
    gaps = "" if x.flags.c_contiguous else ", with gaps"
    return f"{x.dtype} {x.shape}{gaps}{'' if x.flags.writeable else ', read-only'}"
