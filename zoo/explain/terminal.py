"""Numbers as strips of coloured cells, for terminals with colour and without; and the key that leads to the next screen."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import numpy as np

from zoo.columns import phrases

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
    def legend(self) -> list[str]:
        """The meaning of a strip's cells."""
        cells = [("far below 0", 0), ("below", 2), ("near 0", 3), ("above", 4), ("far above", 6)]
        shown = [f"\033[38;5;{SHADES[level]}m█\033[0m" if self.colour else SIGNS[level] for _, level in cells]
        return phrases([(f"{cell} {name}", 2 + len(name)) for cell, (name, _) in zip(shown, cells, strict=True)])


def number(value: float) -> str:
    """A number in eight columns at most."""
    if value != 0 and not 0.001 <= abs(value) < 9999:
        return f"{value:.1e}"
    return f"{value:.4f}" if abs(value) < 99 else f"{value:.2f}"


#: The keys that lead on, and those that end: q, Ctrl-C, and Ctrl-D, which is 0 if it was typed before it was asked for.
ON = ("\n", "\r", " ")
END = ("q", "Q", "\x03", "\x04", "\x00")


def wants_more() -> bool:
    """Ask the person at the terminal if they want the next screen: Enter or the space bar says yes, q no, each at once."""
    with _single_keys() as read:
        print("\n(Enter: the next step; q: stop) ", end="", flush=True)
        key = ""
        while key not in (*ON, *END):
            key = read()
    print(flush=True)
    if key == "\x03":
        signal.raise_signal(signal.SIGINT)
    return key in ON


@contextlib.contextmanager
def _single_keys() -> Iterator[Callable[[], str]]:
    """What waits for a key of the terminal and gives it; "\\x04", which is Ctrl-D, where the input ends. Ctrl-C is a key like
    others meanwhile, so that the terminal is as it was before anything else happens."""
    try:
        import termios
    except ImportError:  # Windows
        import msvcrt

        yield msvcrt.getwch  # type: ignore[attr-defined, unused-ignore]
        return
    stdin = sys.stdin.fileno()
    before, now = termios.tcgetattr(stdin), termios.tcgetattr(stdin)
    now[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
    now[6][termios.VMIN], now[6][termios.VTIME] = 1, 0

    def read() -> str:
        try:
            return os.read(stdin, 1).decode(errors="replace") or "\x04"
        except OSError:  # the window was closed
            return "\x04"

    termios.tcsetattr(stdin, termios.TCSADRAIN, now)
    try:
        yield read
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(stdin, termios.TCSADRAIN, before)
