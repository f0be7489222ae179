"""The one decorator that compiles a kernel, and refuses what it can't be compiled for. (`cache` keeps code between runs.)"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.ma  # numba would import it at the first call, under a lock that a fork can't take
from llvmlite.binding import ffi
from numba import extending
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaError
from numba.core.registry import CPUDispatcher

from microtensor.kernels.runtime import fork
from microtensor.kernels.runtime.cache import cache_of, numba_config
from microtensor.kernels.runtime.config import SettingError
from microtensor.kernels.runtime.door import FLOATS, shown


def intrinsic(function: Callable[..., Any]) -> Any:
    """Make an operation of LLVM's usable in kernels. With NUMBA_DISABLE_JIT there is none: a call raises SettingError."""
    if not numba_config.DISABLE_JIT:
        return extending.intrinsic(function)

    def refuse(*args: Any) -> Any:
        raise SettingError("NUMBA_DISABLE_JIT is set, but some kernels can't run without being compiled; unset it")

    return refuse


fork.watch()
#: Held while numba compiles or loads a kernel, and while LLVM does anything.
fork.locks += [global_compiler_lock, *filter(None, [getattr(ffi.lib, "_lock", None)])]


class _Inner(CPUDispatcher):
    """A kernel that other kernels call, and that Python can't: what it takes for granted, they have seen to."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{self.py_func.__name__} is for other kernels to call")


def kernel(function: Callable[..., Any] | None = None, *, sums: bool = False, inner: bool = False, mixed: bool = False) -> Any:
    """Compile a function of arrays when it is first called with each combination of dtypes.

    Division follows NumPy (x / 0 is inf), and multiplications and additions may be fused; nothing else about floating
    point is relaxed, so NaN and infinity behave. The interpreter lock is released while a kernel runs.

    Args:
        function: the kernel. It is called with plain arrays and numbers.
        sums: the terms of a sum may also be added in another order, several at a time.
        inner: other kernels call it, and Python can't.
        mixed: its arrays of floats may be of several types.

    A call from Python raises ValueError for an array that isn't contiguous (numba would compile all again for it, to be slower)
    or that isn't of the type of the others, and TypeError for what the kernel can't be compiled for. That costs nothing later:
    other arrays are another type to numba.
    """
    if function is None:
        return functools.partial(kernel, sums=sums, inner=inner, mixed=mixed)
    relaxed = {"contract", "reassoc"} if sums else {"contract"}
    compiled: Any = numba.njit(error_model="numpy", fastmath=relaxed, nogil=True)(function)
    if numba_config.DISABLE_JIT:
        return compiled
    cache = cache_of(function)
    if cache is not None:
        compiled._cache = cache
    if inner:
        compiled.__class__ = _Inner
        return compiled
    compile_for = compiled._compile_for_args
    name, parameters = function.__name__, list(inspect.signature(function).parameters)

    def compile_checked(*args: Any) -> Any:
        """Compile for the arguments of a call from Python, the first of their types."""
        _check(name, {p: x for p, x in zip(parameters, args, strict=False) if isinstance(x, np.ndarray)}, mixed)
        try:
            return compile_for(*args)
        except NumbaError as error:
            raise TypeError(f"{name}: can't take {', '.join(shown(x) for x in args)}") from error

    compiled._compile_for_args = compile_checked  # numba asks for it by this name
    return compiled


def _check(kernel: str, arrays: dict[str, np.ndarray], mixed: bool) -> None:
    """Raises ValueError for arrays with gaps, of floats that kernels don't compute with, or of different ones."""
    first = next((x.dtype for x in arrays.values() if x.dtype.kind == "f"), None)
    for name, x in arrays.items():
        if not x.flags.c_contiguous:
            raise ValueError(f"{kernel}: {name}, of shape {x.shape}, isn't contiguous; give np.asarray({name}, order='C')")
        if not x.dtype.isnative or not x.flags.aligned or x.dtype.kind not in "fiub":
            raise ValueError(f"{kernel}: {name} must be plain numbers in this machine's order, not {shown(x)}")
        if x.dtype.kind == "f" and (x.dtype not in FLOATS or (x.dtype != first and not mixed)):
            raise ValueError(f"{kernel}: {name} must be {first if first in FLOATS else FLOATS[0]}, not {shown(x)}")
