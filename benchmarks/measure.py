"""How everything here is measured: contestants in turn, A B C A B C, so that a machine that slows down slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Row:
    """One line of the table: ours against one rival.

    `ours` and `rival` are medians in `unit`; `ratio` is the median over the rounds of rival / ours within a round, so above 1
    means that ours is faster. `note` says why a figure is missing.
    """

    case: str
    unit: str
    ours: float | None = None
    rival_name: str = ""
    rival: float | None = None
    ratio: float | None = None
    goal: str = ""
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The row for --json."""
        return asdict(self)


def interleaved(contestants: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds that each contestant took in each round, after one round that doesn't count."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(rival: list[float], ours: list[float]) -> float:
    """The median over the rounds of rival / ours."""
    return statistics.median(r / o for r, o in zip(rival, ours, strict=True))
