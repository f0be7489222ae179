"""How long a user waits: from pressing Enter to the first training line, and to an imported library."""

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
        cold = [_first_line(folder, cache=tempfile.mkdtemp(dir=folder)) for _ in range(repeats)]
        cache = tempfile.mkdtemp(dir=folder)
        _first_line(folder, cache)
        warm = [_first_line(folder, cache) for _ in range(repeats)]
        imported = [
            _seconds([sys.executable, "-c", "import microtensor"], folder, cache, first_line=False) for _ in range(repeats)
        ]
    for case, seconds, goal in (
        ("first training line, nothing compiled yet", cold, "at most 6 s"),
        ("first training line, compiled before", warm, "at most 1.5 s"),
        ("import microtensor, the whole process", imported, ""),
    ):
        rows.append(Row(case, "s", statistics.median(seconds), goal=goal, details={"all": seconds}))
    return rows


def _first_line(folder: str, cache: str) -> float:
    return _seconds([sys.executable, "-m", "zoo.train", "word_meanpool", "--out", tempfile.mkdtemp(dir=folder)], folder, cache)


def _seconds(command: list[str], folder: str, cache: str, first_line: bool = True) -> float:
    """From starting the command to its first line on stdout, or to its end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": cache}
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        if first_line and not process.stdout.readline():
            raise RuntimeError(f"{' '.join(command)} printed nothing")
        if not first_line:
            process.wait()
        seconds = time.perf_counter() - start
        process.kill()
    return seconds
