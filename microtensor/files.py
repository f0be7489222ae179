"""Files read with mistrust and written with care: what a file is, and how large, is known before it is read; and a crash leaves
the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def read_file(path: str | Path, at_most: int) -> bytes:
    """Read a file whole. Raises OSError for one that `open_file` refuses."""
    with open_file(path, at_most) as file:
        return file.read(at_most)


@contextlib.contextmanager
def open_file(path: str | Path, at_most: int) -> Iterator[BinaryIO]:
    """Open a file to read its bytes. Raises OSError for one that can't be read, that is no plain file (a pipe or a device might
    never end), or that has more bytes than `at_most`."""
    _check_kind(path, os.stat(path), at_most)  # before it is opened, which some devices answer to
    # (Without waiting, as for a pipe that somebody has put there since, and that nobody writes to.)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        _check_kind(path, os.fstat(handle), at_most)
        yield file


def _check_kind(path: str | Path, found: os.stat_result, at_most: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is a device or a pipe, not a plain file", str(path))
    if found.st_size > at_most:
        raise OSError(errno.EFBIG, f"has {found.st_size:,} bytes, more than the {at_most:,} it may have", str(path))


def write_file(path: str | Path, content: bytes) -> None:
    """Write a new file and flush it to the disk; what was there under that name is no longer. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    # (Made by us alone, with the permissions that the system's umask leaves; not through a link that somebody put there.)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half: under a temporary name in the same folder,
    flushed to the disk, then renamed. Raises OSError."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        write_file(temporary, content)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def sync_folder(path: str | Path) -> None:
    """Flush a folder's names to the disk, so that what was renamed stays so. Raises OSError."""
    if os.name == "nt":  # where folders can't be opened
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # of a file system that knows no such thing
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)
