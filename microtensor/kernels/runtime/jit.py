"""The one decorator that compiles a kernel, and the cache that keeps the machine code between runs.

numba's own cache looks only at the file a function stands in: edit a helper in another file, and the old machine code
runs on. Ours is a folder whose name is a digest of every file in this package, of numba's version and settings, and of the
CPU. Whatever changes, the name changes, and old code is never found. The folder lies in the user's cache directory
(`NUMBA_CACHE_DIR`, `XDG_CACHE_HOME` or `~/.cache`), never in a shared one, because cached code is loaded with pickle. When
nothing can be written there, or a file in it is damaged, the kernel is compiled afresh and the program goes on.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding as llvm
from numba import extending
from numba.core import caching

from microtensor.kernels.runtime.config import SettingError

numba_config: Any = numba.config


def intrinsic(function: Callable[..., Any]) -> Any:
    """Make an operation of LLVM's usable in kernels. With NUMBA_DISABLE_JIT there is none: a call raises SettingError."""
    if not numba_config.DISABLE_JIT:
        return extending.intrinsic(function)

    def refuse(*args: Any) -> Any:
        raise SettingError("NUMBA_DISABLE_JIT is set, but some kernels can't run without being compiled; unset it")

    return refuse


def kernel(function: Callable[..., Any] | None = None, *, sums: bool = False) -> Any:
    """Compile a function of arrays when it is first called with each combination of dtypes.

    Division follows NumPy (x / 0 is inf), and multiplications and additions may be fused; nothing else about floating
    point is relaxed, so NaN and infinity behave. With `sums`, the terms of a sum may also be added in another order, several
    at a time. The interpreter lock is released while a kernel runs.

    A call from Python raises ValueError for an array that isn't contiguous: numba would compile all again for it, to be slower.
    """
    if function is None:
        return functools.partial(kernel, sums=sums)
    relaxed = {"contract", "reassoc"} if sums else {"contract"}
    compiled: Any = numba.njit(error_model="numpy", fastmath=relaxed, nogil=True)(function)
    if numba_config.DISABLE_JIT:
        return compiled
    if cache_folder() is not None:
        compiled._cache = _Cache(function)
    compile_for = compiled._compile_for_args

    def compile_contiguous(*args: Any) -> Any:
        """Compile for the arguments of a call from Python, the first of their types."""
        for name, x in zip(inspect.signature(function).parameters, args, strict=False):
            if isinstance(x, np.ndarray) and not x.flags.c_contiguous:
                raise ValueError(
                    f"{function.__name__}: {name}, of shape {x.shape}, isn't contiguous; give np.asarray({name}, order='C')"
                )
        return compile_for(*args)

    compiled._compile_for_args = compile_contiguous  # numba asks for it by this name
    return compiled


@functools.cache
def cache_folder() -> Path | None:
    """The folder in which compiled kernels are kept, made if need be; None when it can't be written."""
    digest = hashlib.sha256()
    package = Path(__file__).parent.parent
    for file in sorted(package.rglob("*.py")):
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    compiler = (
        numba.__version__,
        llvmlite.__version__,
        numba_config.CPU_NAME or llvm.get_host_cpu_name(),
        numba_config.CPU_FEATURES or llvm.get_host_cpu_features().flatten(),
        numba_config.OPT,
        numba_config.BOUNDSCHECK,
        numba_config.DEBUGINFO_DEFAULT,
    )
    digest.update(repr(compiler).encode())
    home = os.environ.get("NUMBA_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "microtensor"
    )
    folder = Path(home) / f"kernels-{digest.hexdigest()[:20]}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


class _Locator:
    """Tells numba's cache where a kernel's files are, and what they must match: the folder's name says all of that."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = function.__module__ + "." + function.__qualname__

    def ensure_cache_path(self) -> None:
        """The folder was made and tried by `cache_folder`."""

    def get_cache_path(self) -> str:
        """The folder of this version of the kernels on this machine."""
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        """The stamp that must be unchanged for cached code to be used."""
        return cache_folder().name  # type: ignore[union-attr]

    def get_disambiguator(self) -> str:
        """Letters that tell this kernel's files from another's."""
        return hashlib.sha256(self._name.encode()).hexdigest()[:8]

    @classmethod
    def from_function(cls, function: Callable[..., Any], path: str) -> _Locator:
        """numba's way to make one."""
        return cls(function)


class _CacheFiles(caching.CompileResultCacheImpl):
    """numba's cache files, in our folder."""

    _locator_classes = [_Locator]  # type: ignore[list-item]  # noqa: RUF012


class _Cache(caching.FunctionCache):
    """numba's function cache, which must never stop a program: a file that can't be used counts as absent."""

    _impl_class = _CacheFiles

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return super().load_overload(signature, context)
        except Exception:  # a damaged file can raise anything while it is unpickled
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        try:
            super().save_overload(signature, data)
        except Exception:
            self._discard()

    def _discard(self) -> None:
        """Drop this kernel's index, so that a damaged one is not kept for ever."""
        try:
            os.unlink(self._cache_file._index_path)
        except OSError:
            pass
