"""The way everything here is measured: contestants in turn, A B C A B C, so that a machine that slows down slows all of
them."""

from __future__ import annotations

import functools
import importlib.util
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

#: How long every contestant waits before its turn. OpenBLAS's threads go on spinning for a tenth of a second after a
#: product, and who comes next would be timed against them.
REST = 0.15


@dataclass
class Row:
    """One line of the table: ours against one rival.

    `ours` and `rival` are medians in `unit`; `ratio` is the median over the rounds of rival / ours within a round, so above 1
    means that ours is faster. `share` says how much of the machine's peak ours reaches. `note` says why a figure is missing.
    """

    case: str
    unit: str
    ours: float | None = None
    rival_name: str = ""
    rival: float | None = None
    ratio: float | None = None
    share: str = ""
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The row for --json."""
        return asdict(self)


def interleaved(
    contestants: Mapping[str, Callable[[], Any]], rounds: int, repeats: int = 1, rest: float = 0.0
) -> dict[str, list[float]]:
    """Seconds that each contestant took in each round, after one round that doesn't count.

    With `repeats`, a contestant does its work so many times a round, after one that doesn't count, and the median is taken.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, work in contestants.items():
            time.sleep(rest)
            if repeats > 1:
                work()
            taken = []
            for _ in range(repeats):
                start = time.perf_counter()
                work()
                taken.append(time.perf_counter() - start)
            if number:
                seconds[name].append(statistics.median(taken))
    return seconds


def median_ratio(rival: list[float], ours: list[float]) -> float:
    """The median over the rounds of rival / ours."""
    return statistics.median(r / o for r, o in zip(rival, ours, strict=True))


def compared(case: str, unit: str, scale: float, seconds: Mapping[str, list[float]], rival: str) -> Row:
    """A row from the seconds of "microtensor" and of a rival; `scale` turns seconds into the unit."""
    row = Row(case, unit, scale * statistics.median(seconds["microtensor"]), rival)
    if rival in seconds:
        row.rival = scale * statistics.median(seconds[rival])
        row.ratio = median_ratio(seconds[rival], seconds["microtensor"])
    else:
        row.note = f"{rival.partition(',')[0]} is not installed (pip install torch)"
    return row


def has_torch() -> bool:
    """Tell if the rival is there."""
    return importlib.util.find_spec("torch") is not None


@functools.cache
def bandwidth() -> float:
    """Measure how many bytes a second all threads together read and write when they copy 64 MB."""
    from microtensor.kernels.runtime import threads
    from microtensor.kernels.runtime.config import get_num_threads

    source, target = np.ones((2, 2**24), np.float32)
    n = 4 * get_num_threads()

    def part(i: int) -> None:
        piece = slice(i * source.size // n, (i + 1) * source.size // n)
        np.copyto(target[piece], source[piece])

    seconds = interleaved({"copy": lambda: threads.share(part, n)}, rounds=5)["copy"]
    return 2 * source.nbytes / min(seconds)


@functools.cache
def multiplications() -> float:
    """Measure how many floating-point operations a second the fastest matrix product here does."""
    from microtensor.kernels.matmul import matmul

    a, b = np.ones((4096, 768), np.float32), np.ones((768, 192), np.float32)
    time.sleep(REST)
    contestants: dict[str, Callable[[], Any]] = {"ours": lambda: matmul(a, b)}
    best = min(interleaved(contestants, rounds=5, repeats=5)["ours"])
    best = min(best, *interleaved({"NumPy": lambda: np.matmul(a, b)}, rounds=3, repeats=5)["NumPy"])
    time.sleep(REST)
    return 2 * 4096 * 768 * 192 / best


def share_of_bandwidth(nbytes: float, seconds: float) -> str:
    """Say how much of the copy bandwidth a kernel uses that must read and write so many bytes at least."""
    return f"{100 * nbytes / seconds / bandwidth():.0f} % of copying"


def share_of_peak(operations: float, seconds: float) -> str:
    """Say how much of the best matrix product's rate a kernel reaches that must do so many operations."""
    return f"{100 * operations / seconds / multiplications():.0f} % of the best product"
