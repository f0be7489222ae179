"""Damaged run folders are loaded, or refused in one line; 12,000 of them with HYPOTHESIS_PROFILE=thorough."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COUNT = 12_000 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 2_000


def test_mutated_runs(tmp_path):
    """In a process of its own, whose end would be noticed."""
    command = [sys.executable, str(HERE / "mutations.py"), str(tmp_path), "0", str(COUNT)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, (done.returncode, (tmp_path / "now").read_text(), done.stderr[-2000:])
    *wrong, sums = map(json.loads, done.stdout.splitlines())
    assert not wrong, wrong
    assert sums["loaded"] > COUNT / 50 and sums["refused"] > COUNT / 2
    assert sums["memory"] < 2**30
