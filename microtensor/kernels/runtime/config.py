"""Settings of the kernels, and the rules that say which arrays go to one. Nothing here needs the compiler."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import numpy as np

#: The cores that this process may use, where the system tells.
CORES: frozenset[int] = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()

#: The most threads that can be asked for: each takes memory of its own.
MOST_THREADS = 1024

#: Products of fewer multiplications than this are left to NumPy: they end before ours would have begun. (Not more: from
#: about here on, OpenBLAS uses threads of its own, which go on spinning when they are done and keep the cores from
#: everything else.)
SMALL_PRODUCT = 2**20

#: Sums of more numbers than this are ours, by several threads.
LARGE_SUM = 2**17

#: Functions of more numbers than this are ours, where NumPy has them too.
LARGE_MAP = 2**14

#: Where nothing is recorded, so many rows and so many numbers at most are left to NumPy. Loading the compiler and the compiled
#: code takes half a second; a model that writes a few tokens, or explains one sentence, is done by then.
FEW_ROWS, FEW_NUMBERS = 2**8, 2**19

_FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
_chosen = SimpleNamespace(threads=0, numpy_matmul=None)


class SettingError(ValueError):
    """A setting in the environment can't be meant, or what is asked for can't be done with it."""

    #: It says all there is to say: the shapes of an op's inputs have no part in it.
    explained = True


def _read_environment() -> None:
    """Take from the environment what wasn't chosen by a call."""
    threads, matmul = os.environ.get("MICROTENSOR_NUM_THREADS", ""), os.environ.get("MICROTENSOR_MATMUL", "")
    if threads and not (threads.isdecimal() and len(threads) < 10 and 0 < int(threads) <= MOST_THREADS):
        raise SettingError(f"MICROTENSOR_NUM_THREADS is {threads!r}; it must be a number of threads, 1 to {MOST_THREADS}")
    if matmul not in ("", "numpy"):
        raise SettingError(f"MICROTENSOR_MATMUL is {matmul!r}; it must be 'numpy', or unset for our own")
    _chosen.threads = _chosen.threads or (int(threads) if threads else len(CORES) or os.cpu_count() or 1)
    if _chosen.numpy_matmul is None:
        _chosen.numpy_matmul = matmul == "numpy"


def get_num_threads() -> int:
    """The number of threads that compute: as it was set, or MICROTENSOR_NUM_THREADS, or the cores that this process may use.

    Raises ValueError when that variable isn't a number of threads.
    """
    if _chosen.threads == 0:
        _read_environment()
    return _chosen.threads


def set_num_threads(n: int) -> None:
    """Compute with `n` threads from now on; with 1, in the caller's own thread alone.

    Raises ValueError below 1 and above 1,024.

    Results are the same bits with any number. NumPy's own threads, if it has some, aren't counted.
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"set_num_threads: the number of threads must be an integer of at least 1, not {n!r}")
    if n > MOST_THREADS:
        raise ValueError(f"set_num_threads: the number of threads can be {MOST_THREADS} at most")
    _chosen.threads = n


def use_numpy_matmul(chosen: bool = True) -> None:
    """Let NumPy's BLAS do all products of matrices from now on; so does the environment variable MICROTENSOR_MATMUL=numpy.

    Worth trying on processors whose BLAS uses units that ordinary code doesn't reach, as Apple's Accelerate does. Elsewhere
    it is slower here: OpenBLAS's threads go on spinning after each product, and keep the cores from everything else.
    """
    _chosen.numpy_matmul = chosen


def large_and_alike(x: np.ndarray, y: np.ndarray) -> bool:
    """Tell if the sum of two arrays is ours: large, of one shape and floating-point type, and both without gaps."""
    if x.size <= LARGE_SUM or x.shape != y.shape or x.dtype != y.dtype or x.dtype.kind != "f":
        return False
    return x.flags.c_contiguous and y.flags.c_contiguous


def is_float_array(x: Any) -> bool:
    """Tell if x is an array of floats, which a kernel can take. (A Tensor comes when gradients are recorded themselves.)"""
    return type(x) is np.ndarray and x.dtype.kind == "f"


def kernel_takes(*inputs: Any) -> bool:
    """Tell if all are arrays (or Tensors) of one floating-point type, and none is empty; those that are None don't count."""
    first = None
    for x in inputs:
        if x is not None:
            kind = getattr(x, "dtype", None)
            if first is None:
                first = kind
            if kind != first or kind not in _FLOATS or x.size == 0:
                return False
    return first is not None


def few_rows(x: Any) -> bool:
    """Tell if x (..., width) is an array of so few rows that, where nothing is recorded, NumPy alone computes."""
    return type(x) is np.ndarray and (x.ndim == 0 or (x.size <= FEW_ROWS * x.shape[-1] and x.size <= FEW_NUMBERS))


def numpy_matmul() -> bool:
    """Tell if that was chosen."""
    if _chosen.numpy_matmul is None:
        _read_environment()
    return _chosen.numpy_matmul
