"""Errors that are the user's to mend: one clear line each, and an exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from zoo.untrusted import in_one_line

#: What is quoted in a message has no more characters than this.
QUOTED = 60


class UserError(Exception):
    """Something outside the program is wrong. The message says what, where, and what to do, in a line that can be read."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(in_one_line(message))  # (it may quote anything)


class DataError(UserError):
    """A text, checkpoint or file can't be used: exit code 1."""


class UsageError(UserError):
    """A command, option or setting can't be meant: exit code 2."""

    exit_code = 2


def quoted(value: object) -> str:
    """A text, or another value, as a message quotes it: as Python writes it, and of a longer one its beginning and its end."""
    return repr(shortened(value)) if isinstance(value, str) else shortened(repr(value))


def shortened(text: str, most: int = QUOTED) -> str:
    """A text of at most `most` characters: of a longer one, the middle is left out."""
    return text if len(text) <= most else f"{text[: most - most // 3 - 3]}...{text[len(text) - most // 3 :]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`"; did you mean X?"` where something known is close to the word, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(map(shortened, close))}?" if close else ""
