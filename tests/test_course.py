"""Every command of the documents that teach is run, in order, and what it prints compared with what they say.

With UPDATE_DOCUMENTS=1 what is printed is written into them instead.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from make_notebook import BLOCK, commands

ROOT = Path(__file__).parent.parent
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


def run(command, folder):
    """What a command prints, and an error's line if it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900
    )
    assert "Traceback" not in done.stderr, (command, done.stderr)
    return done.stdout + (done.stderr if done.returncode else "")


def plain(text):
    """A text's words without its numbers, times, bars and strips of cells; and its numbers."""
    text = re.sub(r"\d+(\.\d+)? (s|min)\b|[\d,]+/s\b", "TIME", text)
    text = re.sub(r"[█▏▎▍▌▋▊▉]+|(?<= )[-=.+#]{8,}", "", text)
    numbers = [float(n.replace(",", "")) for n in NUMBER.findall(text)]
    return NUMBER.sub("N", text).split(), numbers


def assert_alike(command, shown, printed):
    """The same words, and numbers within a tolerance: another processor adds in another order."""
    words, numbers = plain(shown)
    found_words, found = plain(printed)
    assert words == found_words, f"{command}\nshown:\n{shown}\nprinted:\n{printed}"
    for number, other in zip(numbers, found, strict=True):
        assert abs(number - other) <= 0.02 + 0.05 * abs(number), f"{command}: {number} is shown, {other} is printed"


@pytest.mark.parametrize("name", ["docs/course.md", "microtensor/README.md"])
def test_what_is_shown_is_what_happens(name, tmp_path):
    file = ROOT / name
    (tmp_path / "data").symlink_to(ROOT / "data")
    text = file.read_text(encoding="utf-8")
    can_draw = all(importlib.util.find_spec(name) for name in ("matplotlib", "sklearn"))

    def check(match):
        filled = ""
        for command, shown in commands(match[1]):
            if "zoo.plot" in command and not can_draw:
                continue
            printed = run(command, tmp_path)
            printed = printed.lstrip("\n") if printed.strip() else printed
            filled += f"$ {command}\n{printed}"
            if not os.environ.get("UPDATE_DOCUMENTS"):
                assert_alike(command, shown, printed)
        return f"```console\n{filled}```"

    updated = BLOCK.sub(check, text)
    if os.environ.get("UPDATE_DOCUMENTS"):
        file.write_text(updated, encoding="utf-8")
    assert len(BLOCK.findall(text)) >= 5


def test_the_comparison_sees_differences():
    assert_alike("x", "loss 0.52 after 3.1 s ███\n  a  .+-#=.+-", "loss 0.51 after 9 s ██\n  a  .+-#=.++")
    for other in ("loss 0.9 after 3 s", "lost 0.52 after 3 s", "loss 0.52", "loss 0.52 after 3 s 4"):
        with pytest.raises((AssertionError, ValueError)):
            assert_alike("x", "loss 0.52 after 3.1 s", other)


def test_the_python_in_the_readme_runs(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    assert len(blocks) == 2 and all(len(block.splitlines()) <= 10 for block in blocks)
    for block in blocks:
        (tmp_path / "block.py").write_text(block, encoding="utf-8")
        printed = run("python block.py", tmp_path)
        assert "Penguins can't fly" in printed or "Tensor([[0.79" in printed, printed
    assert len(text.split()) <= 900


def test_links_lead_somewhere():
    for document in [
        *ROOT.glob("*.md"),
        *(ROOT / "microtensor").glob("*.md"),
        *(ROOT / "exercises").glob("*.md"),
        *ROOT.glob("d*/**/*.md"),
    ]:
        for target in re.findall(r"\]\(([^)#\s]+)\)", document.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), f"{document.name} points at {target}"
