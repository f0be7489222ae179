"""python -m tests.reliability [--loads N] [--write]: the attacks, how many were tried, survived and lost; --write puts the table into
docs/reliability.md."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DOCUMENT = ROOT / "docs" / "reliability.md"
#: So many loads come in one process: one that ends early loses no more than the load it died of.
AT_A_TIME = 1000
sys.path.insert(0, str(HERE))


def mutated_loads(work, count):
    """Mutated runs, loaded in processes of their own: the row, and the largest memory of one."""
    lost, memory, first = [], 0, 0
    while first < count:
        last = min(first + AT_A_TIME, count)
        command = [sys.executable, str(HERE / "mutations.py"), str(work), str(first), str(last)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        lost += [line for line in lines if "seed" in line]
        memory = max([memory, *(line["memory"] for line in lines if "memory" in line)])
        first = last
        if done.returncode:  # it died
            seed = int((work / "now").read_text())
            lost.append({"seed": seed, "wrong": f"it ended with {done.returncode}"})
            first = seed + 1
        print(f"{first:,} mutated loads, {len(lost)} lost", file=sys.stderr)
    for line in lost:
        print(json.dumps(line), file=sys.stderr)
    return ("a run folder damaged at random, loaded, resumed, drawn and listed", count, len(lost)), memory


def faulty_saves(work):
    """A row for each kind of fault at each file operation of a save."""
    from faults import BEFORE, FAULTS, Faults

    faults, rows = Faults(work), []
    words = {
        "killed": "SIGKILL before a file operation of a save",
        "EIO": "a file operation of a save that fails with EIO",
        "ENOSPC": "a file operation of a save that finds the disk full",
    }
    for fault in FAULTS:
        lost = {(before, i): faults.lost(before, fault, i) for before in BEFORE for i in range(1, faults.count(before) + 1)}
        for where, why in lost.items():
            if why:
                print(f"{fault} {where}: {why}", file=sys.stderr)
        rows.append((words[fault], len(lost), sum(map(bool, lost.values()))))
    return rows


def tested():
    """A row for each file of tests: attacks one by one."""
    words = {
        "test_runs.py": "runs moved, removed, spoilt, stopped, replaced under a reader, or enormous (`test_runs.py`)",
        "test_outside.py": "escapes in texts, names and paths; JSON, archives, servers, pipes, closed streams (`test_outside.py`)",
    }
    rows = []
    for name, what in words.items():
        with tempfile.NamedTemporaryFile(suffix=".xml") as report:
            command = [sys.executable, "-m", "pytest", "-q", str(HERE / name), f"--junitxml={report.name}"]
            subprocess.run(command, cwd=ROOT, stdout=sys.stderr)
            found = ElementTree.parse(report.name).getroot()[0].attrib
        rows.append((what, int(found["tests"]), int(found["failures"]) + int(found["errors"])))
    return rows


def main():
    """Attack, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability")
    parser.add_argument("--loads", type=int, default=2000, help="how many mutated runs are loaded (default: 2000)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        loads, memory = mutated_loads(work, options.loads)
        rows = [loads, *faulty_saves(work / "faults"), *tested()]
    lines = ["| attack | tried | survived | lost |", "|---|---:|---:|---:|"]
    lines += [f"| {what} | {tried:,} | {tried - lost:,} | {lost:,} |" for what, tried, lost in rows]
    table = "\n".join([*lines, "", f"The loads took {memory / 2**20:,.0f} MB of memory at most, Python and NumPy included."])
    print(table)
    if options.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        changed = re.sub(r"(?s)(?<=<!-- table -->\n).*?(?=\n<!-- end -->)", lambda _: table, text)
        DOCUMENT.write_text(changed, encoding="utf-8")
    sys.exit(any(lost for _, _, lost in rows))


if __name__ == "__main__":
    main()
