"""Corpora: reading a text file, and the texts that come with the zoo."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from zoo.errors import DataError, UsageError


class Corpus:
    """A named text that comes with the zoo.

    Args:
        name: its file in `data/`.
        alphabet: every character that its tokenizer should know, sorted; None to leave that to the text. With it, a tokenizer
            can be made without reading the text.
    """

    def __init__(self, name: str, alphabet: str | None = None) -> None:
        self.name = name
        self.alphabet = alphabet

    def read(self) -> str:
        """Read the text. Raises DataError when it can't be read."""
        return read_text(data_folder() / self.name)


def data_folder() -> Path:
    """The folder of the embedded texts and pretrained weights: in the package when it is installed, beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "data"
    return installed if installed.is_dir() else package.parent / "data"


def use_data_folder(path: str | os.PathLike[str] | None) -> None:
    """Set where tiny Shakespeare is looked for first, in place of what the environment says. Raises UsageError for no name."""
    if path is not None:
        if not os.fspath(path):
            raise UsageError("--data-dir: needs the name of a folder")
        os.environ["ZOO_DATA_DIR"] = os.fspath(path)


def shown(path: str) -> str:
    """A file's path as a person would write it: from the folder that one is in, for a file in there."""
    with contextlib.suppress(ValueError):  # (on Windows, another drive)
        relative = os.path.relpath(path)
        return path if relative.startswith(os.pardir) else relative
    return path


def read_text(path: str | Path) -> str:
    """Read a text file: UTF-8 whatever the locale, without a byte order mark, and with every line end as one newline.

    Raises DataError, saying what is wrong and where, for a file that is missing, unreadable, empty, or not plain UTF-8.
    """
    path = os.path.expanduser(path)
    try:
        if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
            raise DataError(f"not a file: {path} is a device or a pipe; give a plain UTF-8 text file")
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"no such file: {path}; check the path") from None
    except IsADirectoryError:
        raise DataError(f"not a file: {path} is a folder; name a text file in it") from None
    except OSError as error:
        raise DataError(f"can't be read: {path}: {error.strerror}; check the path and its permissions") from None
    except ValueError as error:
        raise DataError(f"not a path: {path!r}: {error}; check the path") from None
    if b"\0" in raw:
        raise DataError(f"not a text: {path} has a zero byte at {raw.index(0)}; give a plain UTF-8 text file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"not UTF-8: {path} has the byte 0x{raw[error.start]:02x} at {error.start}; save the text as UTF-8"
        ) from None
    if not text.strip():
        raise DataError(f"empty: {path} has no text; give a file with some")
    return text.replace("\r\n", "\n").replace("\r", "\n")
