"""The progress of long work: a bar with speed and time left, when someone is watching."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any


class Progress:
    """A progress bar on stderr if that is a terminal, and nothing otherwise. Printed lines go above it.

    Args:
        total: how many there are in all of what is counted.
        done: how many were done before, in an earlier part of the run.
        tokens: how many tokens each stands for.
        unit: what is counted.
        figure: what the number beside the bar is.
    """

    def __init__(self, total: int, done: int = 0, tokens: int = 1, unit: str = "step", figure: str = "loss") -> None:
        self._bar: Any = None
        self._next = 0.0
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
        from rich.table import Column
        from rich.text import Text

        class Speed(ProgressColumn):
            """Tokens a second."""

            def render(self, task: Any) -> Text:
                return Text(f"{(task.speed or 0) * tokens:,.0f} tokens/s")

        self._bar = Bar(
            TextColumn(f"{unit} {{task.completed:,}} of {{task.total:,}}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(min_width=4)),
            TextColumn(figure + " {task.fields[value]}", table_column=Column(no_wrap=True)),
            Speed(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            TextColumn("left"),
            console=Console(file=sys.stderr),
            auto_refresh=False,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=True,
            expand=True,
        )
        self._task = self._bar.add_task("", total=total, completed=done, value="?")

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, step: int, value: float, force: bool = False) -> None:
        """Say which step is done; the picture changes ten times a second at most."""
        if self._bar is None:
            return
        now = time.monotonic()
        if now >= self._next or force:
            self._next = now + 0.1
            self._bar.update(self._task, completed=step, value=f"{value:.4f}", refresh=True)
