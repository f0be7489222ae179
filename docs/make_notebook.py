"""python docs/make_notebook.py: make docs/course.ipynb of docs/course.md.

The course's prose becomes Markdown cells. A command becomes a code cell, and what it prints is left out: it is there as soon as
the cell is run, and a notebook without it has readable differences and can't be out of date. (Those who only want to read have
the course itself.) A command runs by `!`, in a process of its own as in a terminal: the reader sees the same words, an error is
one line, and an edited lesson is read again. Python given to `python -c` is a cell's code. A picture is shown by the
cell that draws it.
"""

from __future__ import annotations

import configparser
import posixpath
import re
import shlex
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
COURSE, NOTEBOOK = FOLDER / "course.md", FOLDER / "course.ipynb"

#: A block of commands and what they print.
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
#: An image that is a paragraph.
IMAGE = re.compile(r"^!\[[^\]]*\]\(([^)]+)\)$", re.M)
#: The section about terminals, for which a notebook has a cell; with the table of contents, which a notebook shows itself.
TERMINAL = re.compile(r"^## Before you start\n.*?(?=^## )", re.M | re.S)

BEFORE = """\
## Before you start

This notebook is [`course.md`](course.md) with its commands as cells. Run them in order; each takes a few seconds. The first one
goes to the project's folder and installs the package where it is missing. Times and last digits may differ on your machine.
"""
SETUP = """\
import importlib.metadata
import os
import sys
from pathlib import Path

from IPython.display import SVG

for folder in ("..", "microtensor"):
    if not Path("zoo").is_dir() and Path(folder, "zoo").is_dir():
        os.chdir(folder)
{clone}if not Path("zoo").is_dir():
    raise FileNotFoundError("the project isn't here: open this notebook in its docs folder, or upload it as microtensor")
try:
    for package in ("microtensor", "matplotlib", "scikit-learn"):
        importlib.metadata.version(package)
except importlib.metadata.PackageNotFoundError:
    %pip install -q -e ".[plot]"

# The python of the commands below is this notebook's.
os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]
if sys.platform == "win32":
    import IPython.utils._process_win32 as process

    process.DEFAULT_ENCODING = "utf-8"  # which is what the commands print"""
CLONE = """\
if not Path("zoo").is_dir():
    !git clone -q --depth 1 {repository} microtensor
    os.chdir("microtensor")
"""


def commands(block: str) -> list[tuple[str, str]]:
    """A block's commands, each with what it prints. A command goes on for as long as a quote is open."""
    found: list[list[str]] = []
    open_quote = False
    for line in block.splitlines(keepends=True):
        if open_quote:
            found[-1][0] += line
        elif line.startswith("$ "):
            found.append([line[2:], ""])
        else:
            found[-1][1] += line
            continue
        try:
            shlex.split(found[-1][0])
            open_quote = False
        except ValueError:
            open_quote = True
    return [(command.rstrip("\n"), output) for command, output in found]


def code(command: str) -> str:
    """A command as a cell's code.

    Raises ValueError for one that IPython would change: in `!`, braces and dollars stand for variables.
    """
    words = shlex.split(command)
    if words[:2] == ["python", "-c"] and len(words) == 3:
        return words[2].strip("\n")
    if re.search(r"[{}$\n]", command):
        raise ValueError(f"not to be run by `!`: {command}")
    picture = f'\nSVG("{words[words.index("--out") + 1]}")' if "zoo.plot" in words else ""
    return f"!{command}{picture}"


def cells(text: str, repository: str | None = None) -> list[tuple[str, str]]:
    """The notebook's cells, each "markdown" or "code" and its source.

    Args:
        text: the course.
        repository: its address, which a notebook that is alone, as on Colab, clones; the links lead there, too.
    """
    found: list[tuple[str, str]] = []

    def add_prose(part: str) -> None:
        if part.strip():
            found.append(("markdown", _with_links(part.strip(), repository)))

    setup = SETUP.format(clone=CLONE.format(repository=repository) if repository else "")
    title, _, chapters = TERMINAL.sub("\0", text, count=1).partition("\0")
    add_prose(title)
    add_prose(BEFORE)
    found.append(("code", setup))
    drawn = False
    # The text between blocks, and the blocks' contents, in turn.
    for i, part in enumerate(BLOCK.split(chapters)):
        if i % 2:
            found += [("code", code(command)) for command, _ in commands(part)]
            drawn = "zoo.plot" in part
            continue
        # The text between images, and the images' files, in turn.
        pieces = IMAGE.split(part)
        for j, piece in enumerate(pieces):
            if j % 2 == 0:
                add_prose(piece)
            elif not (drawn and j == 1 and not pieces[0].strip()):  # else the cell before has drawn it
                found.append(("code", f'SVG("docs/{piece}")'))
    return found


def _with_links(text: str, repository: str | None) -> str:
    """Markdown whose links to the project's files lead to its repository, if it has one: a notebook may be alone."""

    def absolute(match: re.Match[str]) -> str:
        return f"]({repository}/blob/HEAD/{posixpath.normpath(posixpath.join('docs', match[1]))})"

    return re.sub(r"\]\((?!https?:|#)([^)\s]+)\)", absolute, text) if repository else text


def notebook(text: str, repository: str | None = None) -> Any:
    """The notebook (an nbformat NotebookNode) of the course's text; see `cells`."""
    from nbformat import v4

    made = [
        (v4.new_markdown_cell if kind == "markdown" else v4.new_code_cell)(source, id=f"cell-{i}")
        for i, (kind, source) in enumerate(cells(text, repository))
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return v4.new_notebook(cells=made, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def make() -> Any:
    """The notebook of the course as it is, with the address that setup.cfg gives."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(FOLDER.parent / "setup.cfg", encoding="utf-8")
    return notebook(COURSE.read_text(encoding="utf-8"), setup.get("metadata", "url", fallback=None))


if __name__ == "__main__":
    import nbformat

    NOTEBOOK.write_text(nbformat.writes(make()) + "\n", encoding="utf-8", newline="\n")
    print(f"Written: {NOTEBOOK}")
