"""Corpora: reading a text file, and what is to be known of a text that a model learns from."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
from pathlib import Path

from zoo.chat.template import in_order, is_conversation
from zoo.errors import DataError, UsageError, quoted, shortened

#: No larger text is read: 2 GB.
LARGEST_TEXT = 2**31


class Corpus:
    """A text that comes with the zoo.

    Args:
        name: its file in `data/`.
        alphabet: every character that its tokenizer should know, sorted; None to leave that to the text. With it, a tokenizer
            can be made without reading the text.
        document_per_line: each line is a document of its own.
        delimited: each of these documents has a newline before it and after it, which are tokens: so a model learns how a
            document begins and where it ends. A random tenth of the documents is held out, not the last tenth of the text.
    """

    def __init__(
        self, name: str, alphabet: str | None = None, document_per_line: bool = False, delimited: bool = False
    ) -> None:
        self.name = name
        self.alphabet = alphabet
        self.document_per_line = document_per_line
        self.delimited = delimited

    def read(self) -> str:
        """Read the text. Raises DataError when it can't be read."""
        return read_text(data_folder() / self.name)


class UserText(Corpus):
    """A text of the user's own; its name is its path."""

    def read(self) -> str:
        """Read the text. Raises DataError when it can't be read."""
        return read_text(self.name)


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


#: How texts begin that aren't UTF-8, as some programs of Windows write them.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def shown(path: str) -> str:
    """A file's path as a person would write it: from the folder that one is in, for a file in there."""
    with contextlib.suppress(ValueError):  # (on Windows, another drive)
        relative = os.path.relpath(path)
        return path if relative.startswith(os.pardir) else relative
    return path


def read_text(path: str | Path) -> str:
    """Read a text file: UTF-8 whatever the locale, or what a byte order mark at its beginning says; prepared for models.

    Raises DataError, saying what is wrong and where, for a file that is missing, unreadable, empty, or not plain text.
    """
    from microtensor.files import read_file  # (a command is to begin, and to say what is missing, without NumPy)

    path = os.path.expanduser(path)
    name = shortened(str(path), 200)
    try:
        raw = read_file(path, LARGEST_TEXT)
    except FileNotFoundError:
        raise DataError(f"no such file: {name}; check the path") from None
    except IsADirectoryError:
        raise DataError(f"not a file: {name} is a folder; name a text file in it") from None
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EFBIG):
            raise DataError(f"not a file: {name} {error.strerror}; give a plain UTF-8 text file") from None
        raise DataError(f"can't be read: {name}: {error.strerror}; check the path and its permissions") from None
    except ValueError as error:
        raise DataError(f"not a path: {quoted(name)}: {error}; check the path") from None
    encoding = next((encoding for mark, encoding in MARKS.items() if raw.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in raw:
        raise DataError(
            f"not a text: {name} has a zero byte at {raw.index(0)}; give a plain text, saved as UTF-8 (not as UTF-16)"
        )
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"not {encoding.upper()}: {name} has the byte 0x{raw[error.start]:02x} at {error.start}; save the text as UTF-8"
        ) from None
    if "\0" in text:
        raise DataError(f"not a text: {name} has a zero at character {text.index(chr(0))}; give a plain UTF-8 text file")
    text = prepare(text)
    if not text.strip():
        raise DataError(f"empty: {name} has no text; give a file with some")
    return text


def prepare(text: str) -> str:
    """A text as every model reads it, whether it learns from it or is given it: without a byte order mark, every line end one
    newline, and the blanks of a conversation in order."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return in_order(text) if is_conversation(text) else text
