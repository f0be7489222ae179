"""The course's notebook is made from the course, and its cells run in a real kernel.

The chapters up to the backward pass are run; with NOTEBOOK=all, all of them.
"""

import json
import os
import re
from pathlib import Path

import make_notebook
import pytest
from test_course import plain

ROOT = Path(__file__).parent.parent
COURSE = make_notebook.COURSE.read_text(encoding="utf-8")


def test_the_notebook_is_made_from_the_course_as_it_is():
    pytest.importorskip("nbformat")
    committed = json.loads(make_notebook.NOTEBOOK.read_text(encoding="utf-8"))
    for cell in committed["cells"]:
        cell["source"] = "".join(cell["source"])
    made = json.loads(json.dumps(make_notebook.make()))
    assert committed == made, "python docs/make_notebook.py makes it anew"


def test_every_part_of_the_course_is_in_a_cell():
    found = make_notebook.cells(COURSE)
    source = "\n".join(text for _, text in found)
    for title in re.findall(r"^## .*", COURSE, re.M):
        assert source.count(title) == 1
    for block in make_notebook.BLOCK.findall(COURSE):
        for command, _ in make_notebook.commands(block):
            assert ("code", make_notebook.code(command)) in found
    prose = "\n".join(text for kind, text in found if kind == "markdown")
    assert "```" not in prose and "![" not in prose and "$ " not in prose
    assert "Linux and macOS" not in prose  # the way to a terminal


def test_a_picture_is_shown_once():
    text = "# T\n## Before you start\nx\n## 1\n```console\n$ python -m zoo.plot a --out b.svg\nDrawn\n```\n\n![B](images/b.svg)\n\ny\n"
    code = [text for kind, text in make_notebook.cells(text)[2:] if kind == "code"]
    assert code[1:] == ['!python -m zoo.plot a --out b.svg\nSVG("b.svg")']
    code = [text for kind, text in make_notebook.cells(text.replace("zoo.plot", "zoo.train"))[2:] if kind == "code"]
    assert code[1:] == ["!python -m zoo.train a --out b.svg", 'SVG("docs/images/b.svg")']


def test_a_notebook_with_an_address_works_alone():
    found = make_notebook.cells(COURSE, "https://example.org/course")
    assert "git clone -q --depth 1 https://example.org/course microtensor" in found[2][1]
    prose = "\n".join(text for kind, text in found if kind == "markdown")
    assert "](https://example.org/course/blob/HEAD/zoo/models/char_gpt.py)" in prose
    assert "](https://example.org/course/blob/HEAD/docs/own_text.md)" in prose
    assert "](../" not in prose and "git clone" not in make_notebook.cells(COURSE)[2][1]


@pytest.mark.parametrize("command", ["python -m zoo.predict {x}", "echo $HOME", 'echo "1\n2"'])
def test_a_command_that_ipython_would_change_is_refused(command):
    with pytest.raises(ValueError, match="not to be run"):
        make_notebook.code(command)


def test_the_cells_run(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    for name in ("ipykernel", "nbformat", "matplotlib", "sklearn"):
        pytest.importorskip(name)
    (tmp_path / "docs").mkdir()
    for name in ("data", "zoo", "docs/images"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("NO_COLOR", "1")

    notebook = make_notebook.make()
    if os.environ.get("NOTEBOOK") != "all":
        last = next(i for i, cell in enumerate(notebook.cells) if "## 7. " in cell.source)
        del notebook.cells[last:]
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path / "docs")}}
    ).execute()

    shown = {}
    for block in make_notebook.BLOCK.findall(COURSE):
        shown |= {make_notebook.code(command): output for command, output in make_notebook.commands(block)}
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not cells[0].outputs  # nothing had to be installed
    for cell in cells[1:]:
        printed = "".join(output.get("text", "") for output in cell.outputs)
        assert "Traceback" not in printed, printed
        # What only a terminal shows, as a progress bar, stands between the words of the result.
        words = iter(plain(re.sub(r"\x1b\[[\d;?]*[A-Za-z]", " ", printed))[0])
        for word in plain(shown.get(cell.source, ""))[0]:
            assert word in words, f"{cell.source}\n{word!r} is missing in:\n{printed}"
        drawn = any("image/svg+xml" in output.get("data", {}) for output in cell.outputs)
        assert drawn == ("SVG(" in cell.source), cell.source
