"""Errors that are the user's to mend: one clear line each, and an exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from zoo.untrusted import in_one_line


class UserError(Exception):
    """Something outside the program is wrong. The message says what, where, and what to do."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(in_one_line(message))  # (it may quote anything)


class DataError(UserError):
    """A text, checkpoint or file can't be used: exit code 1."""


class UsageError(UserError):
    """A command, option or setting can't be meant: exit code 2."""

    exit_code = 2


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`"; did you mean X?"` where something known is close to the word, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""
