"""Screens, and what all of them share: names for tokens, and strips of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from microtensor import Tensor
from zoo.columns import PROSE, columns, pad, paragraph, width
from zoo.explain.terminal import Terminal, number
from zoo.explain.trace import Trace
from zoo.inference.generation import visible
from zoo.tokenizers.tokenizer import Tokenizer

#: Of a longer text, the screens show so many of the last tokens.
SHOWN = 8
#: Of a longer list of numbers, a strip shows so many in 80 columns, and more in a wider terminal.
CELLS = 32
#: With fewer cells than this beside it, a name has a line of its own.
FEW_CELLS = 16

#: A screen's lines, and the same numbers for a program.
Drawn = tuple[list[str], dict[str, Any]]


@dataclass(frozen=True)
class Screen:
    """One step of the explanation. Nothing is computed for it before it is drawn."""

    title: str
    draw: Callable[[], Drawn]


class View:
    """A trace, and how it is shown.

    Args:
        trace: the prediction.
        tokenizer: names its tokens.
        terminal: draws the numbers.
    """

    def __init__(self, trace: Trace, tokenizer: Tokenizer, terminal: Terminal) -> None:
        self.trace = trace
        self.tokenizer = tokenizer
        self.terminal = terminal
        #: The unit of its tokens: a word, a character.
        self.unit = tokenizer.unit.removesuffix("s")

    def name(self, token: int) -> str:
        """A token as one can see it."""
        return visible(self.tokenizer.vocabulary[token])

    @property
    def names(self) -> list[str]:
        """The names of all tokens of the text."""
        return [self.name(token) for token in self.trace.tokens]

    def earlier(self) -> list[str]:
        """A line for the tokens that aren't shown, where there are some."""
        count = self.trace.time - SHOWN
        return [f"  ({count} earlier ones)"] if count > 0 else []

    def at_last(self, tensor: Tensor) -> np.ndarray:
        """The numbers of a Tensor at the last position: (width,)."""
        values = tensor.data
        for axis in range(values.ndim - 2, 0, -1):
            if values.shape[axis] == self.trace.time:
                return values.take(-1, axis).reshape(-1)
        return values.reshape((-1, values.shape[-1] if values.ndim else 1))[-1]

    def strips(self, rows: Sequence[tuple[str, np.ndarray]], largest: float | None = None, alike: bool = True) -> list[str]:
        """For each named list of numbers a line: the first three (or just one in a narrow terminal), and a strip of the first
        ones. The strongest cell is `largest`, or the largest number of all rows, or of each row by itself if they aren't
        `alike`."""
        longest_name, count = max(width(name) for name, _ in rows), 3 if columns() > 60 else 1
        beside = columns() - longest_name - 9 * count - 5
        stacked = beside < FEW_CELLS
        cells = min(CELLS + max(columns() - PROSE, 0), columns() - 9 * count - 6 if stacked else beside)
        strongest = [largest or float(np.abs(values[:cells]).max(initial=0)) for _, values in rows]
        lines = []
        for (name, values), own in zip(rows, strongest, strict=True):
            first = " ".join(f"{number(v):>8}" for v in values[:count].tolist())
            strip = self.terminal.strip(values[:cells], max(strongest) if alike else own)
            lines += [f"  {name}"] if stacked else []
            lines.append(f"  {pad('' if stacked else name, 2 if stacked else longest_name)} {first:<{9 * count - 1}}  {strip}")
        longest = max(len(values) for _, values in rows)
        scale = "1" if largest == 1 else "the largest here" if alike else "the largest of its row"
        up_to = "up to " if len({len(values) for _, values in rows}) > 1 else ""
        more = f"; {up_to}{longest - cells} more numbers aren't shown" if longest > cells else ""
        return [*lines, "", *self.terminal.legend, *paragraph(f"({scale} is the strongest{more})", indent="  ")]

    def likeliest(self, count: int = 5) -> list[int]:
        """The likeliest tokens, and the target, if it isn't among them."""
        best = np.argsort(-self.trace.logits.data, kind="stable")[:count].tolist()
        return best if self.trace.target in best else [*best, self.trace.target]
