"""Saying what happens: results, and notes for the person who waits, in a terminal and in a notebook."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import Any

from zoo.progress import in_notebook
from zoo.untrusted import shown, to_json

#: The program is called `zoo`: `zoo train`, where it would else be `python -m zoo.train`.
called_by_name = False


def as_called(text: str) -> str:
    """A message in which the commands are named as the user calls them: `python -m zoo.train` is `zoo train` for whoever typed
    that."""
    if not called_by_name:
        return text
    return re.sub(r"\bpython -m zoo\b(?:\.(?=\w))?", lambda match: "zoo " if match[0].endswith(".") else "zoo", text)


def in_ipython() -> bool:
    """Tell if IPython runs this, in a notebook or in a terminal: then the process is not ours to end."""
    module = sys.modules.get("IPython")
    return module is not None and module.get_ipython() is not None


def note(text: str) -> None:
    """A line for the person who waits: stderr, or the cell's output in a notebook, where stderr would look like an error. That
    nobody reads it is no reason to stop."""
    with contextlib.suppress(OSError):
        print(shown(as_called(text)), file=sys.stdout if in_notebook() else sys.stderr, flush=True)


class Reporter:
    """Prints what a command, or a function that does the same, has to say.

    Args:
        json: print each result as one JSON object a line.
    """

    def __init__(self, json: bool = False) -> None:
        self.json = json

    def result(self, text: str, figures: dict[str, Any], styled: bool = False) -> None:
        """A line of the result, or its figures: stdout, at once. A `styled` text has colours for the terminal, and whoever put
        them in has shown the rest."""
        print(to_json(figures) if self.json else text if styled else shown(text), flush=True)

    def note(self, text: str) -> None:
        """A line for the person who waits."""
        note(text)
