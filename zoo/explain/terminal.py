"""Text in 80 columns, and numbers as strips of coloured cells: for terminals with colour and without."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from typing import Any, TextIO

import numpy as np

WIDTH = 80
#: From far below zero to far above: blue to orange, which colour-blind readers can tell apart (of the terminal's 256 colours).
SHADES = (27, 75, 153, 252, 223, 215, 208)
#: The same without colour.
SIGNS = ("=", "=", "-", ".", "+", "#", "#")


def wants_colour(stream: TextIO) -> bool:
    """Tell if a stream is a terminal that shows colours; NO_COLOR and FORCE_COLOR overrule."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


class Terminal:
    """A terminal, with colours or without.

    Args:
        colour: whether it shows colours.
    """

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def strong(self, text: str) -> str:
        """Text that stands out."""
        return f"\033[1m{text}\033[0m" if self.colour else text

    def strip(self, values: Any, biggest: float | None = None) -> str:
        """A cell for each number: blue (- =) below zero, orange (+ #) above, the stronger the further from it, up to `biggest`
        (the largest of them, unless given)."""
        values = np.asarray(values, float)
        biggest = biggest or float(np.abs(values).max(initial=0)) or 1.0
        levels = [int(np.rint(np.clip(value / biggest, -1, 1) * 3)) + 3 for value in values]
        if not self.colour:
            return "".join(SIGNS[level] for level in levels)
        return "".join(f"\033[38;5;{SHADES[level]}m█" for level in levels) + "\033[0m"

    @property
    def legend(self) -> str:
        """The meaning of a strip's cells."""
        cells = [("far below 0", 0), ("below", 2), ("near 0", 3), ("above", 4), ("far above", 6)]
        if self.colour:
            return "  ".join(f"\033[38;5;{SHADES[level]}m█\033[0m {name}" for name, level in cells)
        return "  ".join(f"{SIGNS[level]} {name}" for name, level in cells)


def paragraph(text: str, indent: str = "") -> list[str]:
    """A text in lines of at most 80 columns."""
    return textwrap.wrap(" ".join(text.split()), WIDTH, initial_indent=indent, subsequent_indent=indent)


def table(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows of cells in columns; the first `left` begin at their left edge, the others end at their right one."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [f"{cell:<{w}}" if i < left else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def number(value: float) -> str:
    """A number in seven columns or so."""
    return f"{value:.4f}" if 0.001 <= abs(value) < 10_000 or value == 0 else f"{value:.2e}"
