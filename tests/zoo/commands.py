"""Where the project lies, and how a command refuses: for tests that run commands as their users do."""

import json
import os
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def one_line_error(done, command, *words, code, results=0):
    """That a command refused: its exit code, one line on stderr that holds these words, and on stdout nothing, or so many lines."""
    lines = done.stderr.strip().splitlines()
    assert done.returncode == code, done.stderr
    assert len(lines) == 1 and lines[0].startswith(f"{command}: error: "), done.stderr
    assert "Traceback" not in done.stderr and done.stdout.count("\n") == results
    for word in words:
        assert str(word) in lines[0], (word, lines[0])


def seal(run):
    """Make a run's manifest anew, as if it had been saved as it is now."""
    from zoo.training.checkpoint import FILES
    from zoo.training.manifest import MANIFEST, Files

    (run / MANIFEST).unlink()
    Files(run, FILES).write({})


def copy_run(run, to):
    """Copy a run folder, so that it can be changed, without its text: that stays where it is."""
    shutil.copytree(run, to)
    config = json.loads((to / "config.json").read_text())
    config["recipe"]["data"] = os.path.abspath(run / config["recipe"]["data"])
    (to / "config.json").write_text(json.dumps(config))
    seal(to)
