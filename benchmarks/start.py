"""The time that a user waits: from pressing Enter to the first training line, and to an imported library."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import Row

ROOT = Path(__file__).parent.parent


def run(quick: bool) -> list[Row]:
    """The rows of the table."""
    repeats = 1 if quick else 5
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cold = [_until_line(1, folder, cache=tempfile.mkdtemp(dir=folder)) for _ in range(repeats)]
        cache = tempfile.mkdtemp(dir=folder)
        _until_line(1, folder, cache)
        warm = [_until_line(1, folder, cache) for _ in range(repeats)]
        later = [_until_line(2, folder, cache) for _ in range(repeats)]
        imported = [_seconds([sys.executable, "-c", "import microtensor"], None, folder, cache) for _ in range(repeats)]
    for case, seconds in (
        ("first training line, nothing compiled yet", cold),
        ("first training line, compiled before", warm),
        ("the line of step 10,000, compiled before", later),
        ("import microtensor, the whole process", imported),
    ):
        rows.append(Row(case, "s", statistics.median(seconds), details={"all": seconds}))
    return rows


def _until_line(number: int, folder: str, cache: str) -> float:
    """Seconds from starting a training to its first, second, ... line."""
    command = [sys.executable, "-m", "zoo.train", "word_meanpool", "--out", tempfile.mkdtemp(dir=folder)]
    return _seconds(command, number, folder, cache)


def _seconds(command: list[str], lines: int | None, folder: str, cache: str) -> float:
    """Seconds from starting a command to so many lines on its stdout, or to its end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": cache}
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        if not all(process.stdout.readline() for _ in range(lines or 0)):
            raise RuntimeError(f"{' '.join(command)} printed fewer than {lines} lines")
        if lines is None:
            process.wait()
        seconds = time.perf_counter() - start
        process.kill()
    return seconds
