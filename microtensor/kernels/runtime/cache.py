"""The cache that keeps the machine code of kernels between runs, in a folder that nobody but the user can write to.

numba's own cache looks only at the file a function stands in: edit a helper in another file, and the old machine code
runs on. Ours is a folder whose name is a digest of every source file of the kernels (wherever Python imports them from, a zip
file too), of numba's version and settings, and of the CPU. Whatever changes, the name changes, and old code is never found.

Cached code is loaded with pickle: whoever writes to the folder decides what runs. It lies in the user's cache folder
(`NUMBA_CACHE_DIR`, `XDG_CACHE_HOME` or `~/.cache`), and is used only where an absolute path leads to it by folders that are
root's or the user's own and that nobody else can write to (or where, as in /tmp, nobody can replace what another has made).
Otherwise, and when nothing can be written there, kernels are compiled afresh in every run, which is said once; when a file in
the folder is damaged, that kernel is.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import binding as llvm
from numba.core import caching

numba_config: Any = numba.config

#: The package whose code is kept.
PACKAGE = __name__.removesuffix(".runtime.cache")


class Unusable(Exception):
    """A folder can't be trusted with code, or not be written to."""


@functools.cache
def cache_folder() -> Path | None:
    """The folder in which compiled kernels are kept, made if need be; None where there is none to trust, after saying so."""
    digest = _digest()
    if digest is None:
        return None
    try:
        return own_folder(_home() / f"kernels-{digest}")
    except (Unusable, OSError) as error:
        reason = error if isinstance(error, Unusable) else f"{error.filename!r}: {error.strerror}"
        with suppress(OSError, ValueError, AttributeError):  # there may be no stderr
            sys.stderr.write(f"microtensor: compiled kernels aren't kept, and every run compiles anew: {reason}\n")
        return None


def _home() -> Path:
    """The folder in which the cache is to be. Raises Unusable for a relative one, which would be another in each place."""
    name = next((name for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME") if os.environ.get(name)), "HOME")
    given = os.path.expanduser("~/.cache") if name == "HOME" else os.environ[name]
    if given.startswith("~"):
        raise Unusable("this user has no home directory; set XDG_CACHE_HOME to a folder of yours")
    if not os.path.isabs(given):
        raise Unusable(f"{name} is {os.environ.get(name, given)!r}, which isn't an absolute path")
    return Path(given) if name == "NUMBA_CACHE_DIR" else Path(given) / "microtensor"


def own_folder(path: Path) -> Path:
    """The folder without symbolic links, made if need be, with all that is missing above it, for the user alone.

    Raises Unusable where somebody else could put something in it or in its place, and OSError where it can't be made.
    """
    path = Path(os.path.realpath(path))
    for folder in (*reversed(path.parents), path):
        try:
            found = os.lstat(folder)
        except FileNotFoundError:
            with suppress(FileExistsError):  # another process was faster, or somebody else: see below
                os.mkdir(folder, 0o700)
            found = os.lstat(folder)
        _check_owner(folder, found, ours=folder == path)
    with tempfile.TemporaryFile(dir=path):
        return path


def _check_owner(folder: Path, found: os.stat_result, ours: bool) -> None:
    """Raises Unusable for a folder in which others could write or replace; what is `ours` must be so to the last bit."""
    if not stat.S_ISDIR(found.st_mode):
        raise Unusable(f"{str(folder)!r} is no folder")
    if not hasattr(os, "geteuid"):  # Windows, where a user's folders are closed to others
        return
    user = os.geteuid()
    if found.st_uid != user and (ours or found.st_uid != 0):
        raise Unusable(f"{str(folder)!r} belongs to another user")
    if ours and found.st_mode & 0o077:
        raise Unusable(f"{str(folder)!r} is open to other users; remove it")
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        raise Unusable(f"other users can write to {str(folder)!r}; chmod go-w would make it yours")


def _digest() -> str | None:
    """All that compiled code depends on, as letters; None where the sources can't be seen, and a change wouldn't be noticed."""
    digest = hashlib.sha256()
    seen = set()
    for name, content in sorted(_sources(importlib.resources.files(PACKAGE), "")):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
        seen.add(name.rpartition(".")[0])
    for module in list(sys.modules):
        if module.startswith(f"{PACKAGE}."):
            name = module.removeprefix(f"{PACKAGE}.").replace(".", "/")
            if not seen & {name, f"{name}/__init__"}:
                return None
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
    return digest.hexdigest()[:20]


def _sources(folder: Any, prefix: str) -> Iterator[tuple[str, bytes]]:
    """Every file of code in a package, by its path there, with its content."""
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _sources(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".py", ".pyc")):
            yield f"{prefix}{entry.name}", entry.read_bytes()


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


class Cache(caching.FunctionCache):
    """numba's function cache, which must never stop a program: a file that can't be used counts as absent."""

    _impl_class = _CacheFiles

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The kernel's code for these types, or None."""
        try:
            return super().load_overload(signature, context)
        except Exception:  # a damaged file can raise anything while it is unpickled
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep the kernel's code for these types, if possible."""
        try:
            super().save_overload(signature, data)
        except Exception:
            self._discard()

    def _discard(self) -> None:
        """Drop this kernel's index, so that a damaged one is not kept for ever."""
        with suppress(OSError):
            os.unlink(self._cache_file._index_path)


def cache_of(function: Callable[..., Any]) -> Cache | None:
    """A kernel's cache; None where there is no folder for one, and for a function that stands elsewhere than the kernels, whose
    source the folder's name doesn't know."""
    if not function.__module__.startswith(f"{PACKAGE}.") or cache_folder() is None:
        return None
    return Cache(function)
