"""Where the project lies, and how a command refuses: for tests that run commands as their users do."""

import json
import os
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def one_line_error(done, command, *words, code):
    """That a command refused: its exit code, one line on stderr that holds these words, and nothing on stdout."""
    lines = done.stderr.strip().splitlines()
    assert done.returncode == code, done.stderr
    assert len(lines) == 1 and lines[0].startswith(f"{command}: error: "), done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    for word in words:
        assert str(word) in lines[0], (word, lines[0])


def copy_run(run, to):
    """Copy a run folder, so that it can be changed, without its text: that stays where it is."""
    shutil.copytree(run, to)
    config = json.loads((to / "config.json").read_text())
    config["recipe"]["data"] = os.path.abspath(run / config["recipe"]["data"])
    (to / "config.json").write_text(json.dumps(config))
