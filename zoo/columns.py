"""Text in the columns of a terminal: its width, paragraphs, and tables."""

from __future__ import annotations

import shutil
import textwrap
import unicodedata
from collections.abc import Sequence

#: Prose in longer lines is hard to read.
PROSE = 80
#: No terminal is taken for narrower than this.
NARROWEST = 40


def columns() -> int:
    """The number of columns to fill: the terminal's, or COLUMNS; 80 where there is none."""
    return max(shutil.get_terminal_size((PROSE, 24)).columns, NARROWEST)


def width(text: str) -> int:
    """The number of columns that a text takes: two for a wide character, none for an accent that joins the one before."""
    return sum(map(_columns_of, text))


def pad(text: str, columns: int) -> str:
    """A text with blanks after it, up to so many columns."""
    return text + " " * (columns - width(text))


def clip(text: str, columns: int) -> str:
    """A text of at most so many columns, the end of a longer one left out."""
    if width(text) <= columns:
        return text
    while text and width(text) >= columns:
        text = text[:-1]
    return f"{text}…"


def paragraph(text: str, indent: str = "") -> list[str]:
    """A text in lines that the terminal has room for, of at most 80 columns."""
    # (A mark after each wide character makes the text as long as it is wide.)
    marked = "".join(f"{c}\0" if _columns_of(c) == 2 else c for c in " ".join(text.split()))
    lines = textwrap.wrap(marked, min(columns(), PROSE), initial_indent=indent, subsequent_indent=indent)
    return [line.replace("\0", "") for line in lines]


def phrases(parts: Sequence[tuple[str, int]], indent: str = "  ", gap: str = "  ") -> list[str]:
    """Phrases side by side, each with its width, in as many lines as that takes; none is broken."""
    lines, used = [""], 0
    for text, wide in parts:
        if used and used + len(gap) + wide > columns():
            lines, used = [*lines, ""], 0
        lines[-1] += (gap if used else indent) + text
        used += (len(gap) if used else len(indent)) + wide
    return lines


def table(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows of cells in columns; the first `left` begin at their left edge, the others end at their right one."""
    widths = [max(width(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            pad(cell, w) if i < left else " " * (w - width(cell)) + cell
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def table_or_records(head: Sequence[str], rows: Sequence[Sequence[str]], lines: list[str]) -> list[str]:
    """The lines of a table where the terminal has room for them, or else each row by itself, a line for each of its cells."""
    if max(map(width, lines), default=0) <= columns():
        return lines
    found: list[str] = []
    for row in rows:
        found += [""] if found else []
        for i, (name, cell) in enumerate(zip(head, row, strict=True)):
            found += paragraph(f"{name}: {cell}", indent="  " if i else "")
    return found


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
