"""The progress of long work: a bar with speed and time left, when someone is watching."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.progress import Task
    from rich.text import Text


class Bar(Protocol):
    """Something that shows how far the work is."""

    def start(self) -> None:
        """Show it, at where the work begins."""

    def show(self, step: int, value: str) -> None:
        """Show the step that is done, and the figure beside the bar."""

    def stop(self) -> None:
        """Leave it as it is now."""


class Progress:
    """A progress bar on stderr if that is a terminal, where printed lines go above it; in the cell's output in a notebook; and
    nothing otherwise.

    Args:
        total: how many there are in all of what is counted.
        done: how many were done before, in an earlier part of the run.
        tokens: how many tokens each stands for.
        unit: what is counted.
        figure: what the number beside the bar is.
    """

    def __init__(self, total: int, done: int = 0, tokens: int = 1, unit: str = "step", figure: str = "loss") -> None:
        self._bar: Bar | None = None
        self._next, self._pause = 0.0, 0.1
        if in_notebook():
            self._bar, self._pause = NotebookBar(total, done, tokens, unit, figure), 0.25
        elif sys.stderr.isatty():
            self._bar = TerminalBar(total, done, tokens, unit, figure)

    def __enter__(self) -> Progress:
        self._draw(lambda bar: bar.start())
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._draw(lambda bar: bar.stop())

    def update(self, step: int, value: float | str, force: bool = False) -> None:
        """Say which step is done, and the figure; the picture changes ten times a second at most, in a notebook four times."""
        if self._bar is None:
            return
        now = time.monotonic()
        if now >= self._next or force:
            self._next = now + self._pause
            self._draw(
                lambda bar: bar.show(
                    step, value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
                )
            )

    def _draw(self, how: Callable[[Bar], None]) -> None:
        """Do something to the bar, if there is one. That the terminal was closed is no reason to stop."""
        try:
            if self._bar is not None:
                how(self._bar)
        except OSError:
            self._bar = None


class TerminalBar:
    """A bar in the last line of a terminal, as wide as that."""

    def __init__(self, total: int, done: int, tokens: int, unit: str, figure: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars
        from rich.table import Column
        from rich.text import Text

        class Speed(ProgressColumn):
            """Tokens a second."""

            def render(self, task: Task) -> Text:
                return Text(f"{(task.speed or 0) * tokens:,.0f} tokens/s")

        # (A size of 0 in the environment means that nobody knows it. rich would believe it, and print nothing.)
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES") or _size(value)}
        self._bars = Bars(
            TextColumn(f"{unit} {{task.completed:,}} of {{task.total:,}}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(min_width=4)),
            TextColumn(figure + " {task.fields[value]}", table_column=Column(no_wrap=True)),
            Speed(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            TextColumn("left"),
            console=Console(file=sys.stderr, _environ=environment),
            auto_refresh=False,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=True,
            expand=True,
        )
        self._task = self._bars.add_task("", total=total, completed=done, value="?")

    def start(self) -> None:
        """Take over the terminal's last line."""
        self._bars.start()

    def show(self, step: int, value: str) -> None:
        """Draw the bar anew."""
        self._bars.update(self._task, completed=step, value=value, refresh=True)

    def stop(self) -> None:
        """Give the last line back."""
        self._bars.stop()


class NotebookBar:
    """A bar in the output of a notebook's cell, which the browser draws: no extension is needed."""

    def __init__(self, total: int, done: int, tokens: int, unit: str, figure: str) -> None:
        self.total, self.begun, self.tokens, self.unit, self.figure = total, done, tokens, unit, figure
        self.step, self.value, self.seconds = done, "?", 0.0

    def start(self) -> None:
        """Make its place in the output."""
        from IPython.display import display

        self._place = display(self, display_id=True)

    def show(self, step: int, value: str) -> None:
        """Draw the bar anew, in its place."""
        now = time.monotonic()
        if self.value == "?":  # until now kernels were compiled, which says nothing about the speed
            self.begun, self._started = step, now
        self.step, self.value, self.seconds = step, value, now - self._started
        self._place.update(self)

    def stop(self) -> None:
        """It stays as it is."""

    def __repr__(self) -> str:
        figures = [f"{self.unit} {self.step:,} of {self.total:,}", f"{self.figure} {self.value}"]
        done = self.step - self.begun
        if done > 0 and self.seconds > 0:
            left = round(self.seconds / done * (self.total - self.step))
            figures.append(f"{done * self.tokens / self.seconds:,.0f} tokens/s")
            figures.append(f"{left // 60}:{left % 60:02} left" if left < 3600 else f"{left / 3600:.1f} hours left")
        return " | ".join(figures)

    def _repr_html_(self) -> str:
        return f'<progress value="{self.step}" max="{self.total}" style="width: 30%"></progress> {self!r}'


def _size(text: str) -> bool:
    return text.strip().isdigit() and int(text) > 0


def in_notebook() -> bool:
    """Tell if this runs in a notebook's kernel."""
    ipython: Any = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
