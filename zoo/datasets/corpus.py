"""The texts that models learn from: reading them, and where those that come with the zoo lie."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import DataError


class Corpus:
    """A text that comes with the zoo.

    Args:
        name: its file in `data/`.
        alphabet: the characters that its tokenizer knows, where that isn't left to the text.
    """

    def __init__(self, name: str, alphabet: str | None = None) -> None:
        self.name = name
        self.alphabet = alphabet

    def read(self) -> str:
        """The text."""
        return read_text(data_folder() / self.name)


def data_folder() -> Path:
    """Find the embedded texts and trained weights: within the package when it is installed, beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "data"
    return installed if installed.is_dir() else package.parent / "data"


def read_text(path: str | Path) -> str:
    """A file's text: UTF-8 whatever the locale, without a byte order mark, and with every line end as one newline.

    Raises DataError, saying what is wrong and where, for a file that is missing, unreadable, empty, or not plain UTF-8.
    """
    try:
        if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
            raise DataError(f"not a file: {path} is a device or a pipe; give a plain UTF-8 text file")
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"no such file: {path}; check the path") from None
    except IsADirectoryError:
        raise DataError(f"not a file: {path} is a folder; name a text file in it") from None
    except OSError as error:
        raise DataError(f"can't be read: {path}: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"not a path: {path!r}: {error}") from None
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
