"""python benchmarks/run.py: measure microtensor against its rivals and print the table. See docs/performance.md."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

# What would hobble a rival is taken back.
UNSET = [name for name in os.environ if name.startswith(("OPENBLAS_", "GOTO_", "MKL_", "OMP_"))]
for name in UNSET:
    del os.environ[name]
# Two threads for everybody, in this process and in those it starts; before anything that counts the cores is imported.
os.environ.update(OPENBLAS_NUM_THREADS="2", OMP_NUM_THREADS="2", MICROTENSOR_NUM_THREADS="2")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from measure import Row  # noqa: E402 (the lines above make it importable from anywhere)

FAMILIES = [
    "matmul", "network", "gpt_step", "gpt_losses", "gpt_generation", "recurrent", "state_space_step", "word_step", "start",
]  # fmt: skip


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def versions() -> str:
    """List the versions that were measured."""
    found = [f"Python {platform.python_version()}"]
    for package in ("numpy", "numba", "torch"):
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


def measured(family: str, quick: bool) -> list[Row]:
    """A family's rows; one that says what went wrong when it fails."""
    run: Callable[[bool], list[Row]] = importlib.import_module(family).run
    try:
        return run(quick)
    except Exception as error:  # the other families still count
        return [Row(family, "", note=f"failed: {type(error).__name__}: {error}")]


def cell(number: float | None, unit: str = "") -> str:
    """A figure in three digits."""
    if number is None:
        return ""
    return f"{number:,.0f} {unit}".strip() if number >= 1000 else f"{number:.3g} {unit}".strip()


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description="Measure microtensor against its rivals.")
    parser.add_argument("--only", choices=FAMILIES, help="one family of measurements")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that everything runs, not to quote")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()

    if not options.json:
        print(f"{processor()}, 2 threads; {versions()}{' (--quick: not to be quoted)' if options.quick else ''}\n")
        if UNSET:
            print(f"Unset, since it was set in the environment: {', '.join(UNSET)}\n")
        print("| measured | microtensor | rival | its figure | ratio | of the machine | |")
        print("|---|---|---|---|---|---|---|")
    failed = False
    for family in [options.only] if options.only else FAMILIES:
        print(f"measuring {family} ...", file=sys.stderr, flush=True)
        for row in measured(family, options.quick):
            failed |= row.note.startswith("failed")
            if options.json:
                print(json.dumps(row.to_dict()), flush=True)
                continue
            ours, rival, ratio = cell(row.ours, row.unit), cell(row.rival, row.unit), cell(row.ratio, "x" if row.ratio else "")
            cells = (row.case, ours, row.rival_name, rival, ratio, row.share, row.note)
            print(f"| {' | '.join(cells)} |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
