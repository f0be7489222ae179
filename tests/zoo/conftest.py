"""Commands run as their users run them: in a process, in a folder of their own."""

import os
import subprocess
import sys

import numpy as np
import pytest
from commands import ROOT


@pytest.fixture(scope="session")
def python():
    """Runs `python -m MODULE ARGUMENTS` in a folder; gives exit code, stdout and stderr."""

    def run(folder, module, *arguments, **env):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **env}
        return subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory, python):
    """A folder with a finished run of word_meanpool in batches of 64, and what the command said. Not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, python(folder, "zoo.train", "word_meanpool", "--batch-size", 64)


@pytest.fixture(scope="session")
def small_gpt(tmp_path_factory, python):
    """The run folder of a small char_gpt that has learned a text of eight words. Not to be changed."""
    folder = tmp_path_factory.mktemp("gpt")
    rng = np.random.default_rng(0)
    words = ["the", "sea", "is", "wide", "and", "so", "am", "i"]
    (folder / "lines.txt").write_text("\n".join(" ".join(rng.choice(words, 9)) for _ in range(500)))
    done = python(
        folder, "zoo.train", "char_gpt", "--data", "lines.txt", "--width", 16, "--heads", 2, "--layers", 2, "--context", 16,
        "--batch-size", 4, "--dropout", 0, "--evaluate-every", 50, "--steps", 100, "--learning-rate", 0.01,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "char_gpt"
