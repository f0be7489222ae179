"""The templates in CONTRIBUTING.md, put where each says in a copy of the project, and to the checks that a contribution meets."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: The first line of a template: its file; and, where it is a part of one, where in that file.
PLACE = re.compile(r"# (?P<file>\S+\.py)(?P<imports>, among the imports)?(?:, in (?P<name>\w+))?")


def templates(section):
    """The code blocks of a section of CONTRIBUTING.md, each with the match of its first line."""
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", guide, re.S | re.M)[1]
    blocks = re.findall(r"^```python\n(.*?)\n(.*?)^```$", text, re.S | re.M)
    return [(PLACE.fullmatch(first), code) for first, code in blocks]


def put(root, place, code):
    """Write a template into the project that lies at `root`: as a new file, at the end of one, or within it."""
    path = root / place["file"]
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if place["imports"]:
        at = re.search(r"^from (microtensor|zoo)", text, re.M).start()
    elif place["name"]:
        at = re.search(rf"^(class )?{place['name']}\b.*\n(    \"\"\".*\"\"\"\n\n)?", text, re.M).end()
    else:
        code, at = f"\n\n{code}" if text else code, len(text)
    path.write_text(text[:at] + code + text[at:], encoding="utf-8")


@pytest.fixture
def project(tmp_path):
    """A copy of the project."""
    for part in ("microtensor", "zoo", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    return tmp_path


def run(project, *arguments):
    """Run `python -m ARGUMENTS` in a copy; returns its exit code and what it said."""
    environment = {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=project, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def succeeds(project, *arguments):
    """Run it, expect success, and return what it said."""
    code, said = run(project, *arguments)
    assert code == 0 and "Traceback" not in said, said
    return said


def passes(project, *arguments):
    """Run tests in a copy, and expect that there are some and all pass."""
    said = succeeds(project, "pytest", "-p", "no:cacheprovider", *arguments)
    assert re.search(r"^\d+ passed", said, re.M), said


@pytest.mark.parametrize("section", ["An op", "A kernel", "An optimizer", "A tokenizer", "A model"])
def test_every_section_has_a_short_template(section):
    found = templates(section)
    assert found and all(place for place, _ in found)
    assert sum(len([line for line in code.splitlines() if line.strip()]) for _, code in found) <= 30


def test_an_op(project):
    for place, code in templates("An op"):
        put(project, place, code)
    passes(project, "tests/microtensor/test_ops.py", "-k", "elu or has_a_case")


@pytest.mark.parametrize(
    "section, forgotten, test, words",
    [
        ("An op", "microtensor/__init__.py", "test_ops.py", "module 'microtensor' has no attribute 'elu'"),
        ("An op", "tests/microtensor/cases.py", "test_ops.py", "tests/microtensor/cases.py has no Case for elu"),
        ("An optimizer", "tests/microtensor/test_optim.py", "test_optim.py", "OPTIMIZERS has no RMSProp"),
    ],
)
def test_what_is_forgotten_is_named(project, section, forgotten, test, words):
    for place, code in templates(section):
        if place["file"] not in (forgotten, "zoo/models/tiny.py"):
            put(project, place, code)
    code, said = run(project, "pytest", f"tests/microtensor/{test}", "-k", "every_op_has_a_case or every_optimizer_is_tested")
    assert code != 0 and words in said, said


def test_a_kernel(project):
    for place, code in templates("A kernel"):
        put(project, place, code)
    passes(project, "tests/microtensor/test_soft_cap.py")


def test_an_optimizer(project):
    for place, code in templates("A model") + templates("An optimizer"):
        put(project, place, code)
    passes(project, "tests/microtensor/test_optim.py", "-k", "RMSProp or every_optimizer")
    train = ("zoo.train", "tiny", "--learning-rate", 0.01)
    succeeds(project, *train, "--steps", 40, "--out", "whole")
    succeeds(project, *train, "--steps", 20, "--out", "half")
    succeeds(project, "zoo.train", "tiny", "--resume", "--steps", 40, "--out", "half")
    assert b"optimizer.0.square" in (project / "whole" / "state.safetensors").read_bytes()
    for file in ("model.safetensors", "state.safetensors"):
        assert (project / "half" / file).read_bytes() == (project / "whole" / file).read_bytes()


def test_a_tokenizer(project):
    for place, code in templates("A tokenizer"):
        put(project, place, code)
    passes(project, "tests/zoo/test_tokenizers.py", "-k", "ByteTokenizer")
    for place, code in templates("A model"):
        code = code.replace("    width: int", "    tokenizer_class = ByteTokenizer\n    width: int", 1)
        put(project, place, code.replace("from zoo.model ", "from zoo.tokenizers.byte import ByteTokenizer\nfrom zoo.model "))
    assert "bytes" in succeeds(project, "zoo.train", "tiny", "--steps", 20)
    assert succeeds(project, "zoo.generate", "tiny", "--prompt", "the ", "--tokens", 8).startswith("the ")


def test_a_model(project):
    for place, code in templates("A model"):
        put(project, place, code)
    succeeds(project, "zoo.train", "tiny", "--steps", 20)
    for module, *arguments in (
        ("zoo.generate", "tiny", "--prompt", "the "), ("zoo.predict", "tiny", "the sea"), ("zoo.evaluate", "tiny"),
        ("zoo.explain", "tiny", "the sea"),
    ):  # fmt: skip
        succeeds(project, module, *arguments)
    assert "tiny" in succeeds(project, "zoo")
