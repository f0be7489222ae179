"""The parts of all screens of a walk: names for tokens, strips of numbers, and the screen itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo.explain.terminal import Painter, number
from zoo.explain.trace import Walk
from zoo.inference.generation import visible
from zoo.tokenizers.tokenizer import Tokenizer

#: Of a longer text, the screens show so many of the last tokens.
SHOWN = 8
#: Of a longer list of numbers, a strip shows so many.
CELLS = 32


@dataclass
class Screen:
    """One step of the walk."""

    title: str
    lines: list[str]
    #: The same numbers for a program.
    figures: dict[str, Any] = field(default_factory=dict)


class View:
    """A walk, and how it is shown.

    Args:
        walk: the prediction.
        tokenizer: what its tokens are.
        painter: draws the numbers.
    """

    def __init__(self, walk: Walk, tokenizer: Tokenizer, painter: Painter) -> None:
        self.walk = walk
        self.tokenizer = tokenizer
        self.painter = painter
        #: What a token is: a word, a character.
        self.unit = tokenizer.unit.removesuffix("s")

    def name(self, token: int) -> str:
        """A token as one can see it."""
        return visible(self.tokenizer.decode([token]))

    def earlier(self) -> list[str]:
        """A line for the tokens that aren't shown, where there are some."""
        count = len(self.walk.tokens) - SHOWN
        return [f"  ({count} earlier ones)"] if count > 0 else []

    def strips(self, rows: Sequence[tuple[str, np.ndarray]], biggest: float | None = None, alike: bool = True) -> list[str]:
        """For each named list of numbers a line: the first three, and a strip of the first ones. The strongest cell is the
        largest number of all rows, or of each row by itself if they aren't `alike`."""
        width = max(len(name) for name, _ in rows)
        shown = [values[:CELLS] for _, values in rows]
        largest = [biggest or float(np.abs(values).max(initial=0)) for values in shown]
        lines = []
        for (name, values), own in zip(rows, largest, strict=True):
            first = " ".join(f"{number(v):>8}" for v in values[:3].tolist())
            lines.append(f"  {name:<{width}} {first}  {self.painter.strip(values[:CELLS], max(largest) if alike else own)}")
        more = max(len(values) for _, values in rows) - CELLS
        scale = "the largest here" if alike else "the largest of its row"
        rest = f"; {more} more numbers aren't shown" if more > 0 else ""
        return [*lines, "", f"  {self.painter.legend}", f"  ({'1' if biggest == 1 else scale} is the strongest{rest})"]

    def likeliest(self, count: int = 5) -> list[int]:
        """The likeliest tokens, and the one that really came, if it isn't among them."""
        best = np.argsort(-self.walk.logits.data, kind="stable")[:count].tolist()
        return best if self.walk.target in best else [*best, self.walk.target]
