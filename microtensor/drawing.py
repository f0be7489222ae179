"""The recorded graph as text, in graphviz's language, and as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtensor.tensor import Tensor, ops
from microtensor.trace import Line, lines

#: How many seconds graphviz may take. (Thousands of steps take it minutes, and nobody reads them.)
TIMEOUT = 30


@dataclass(frozen=True, repr=False)
class Drawing:
    """A graph as a picture, or as the text from which graphviz draws it."""

    #: "svg", or "dot" where graphviz didn't draw it.
    format: str
    text: str
    #: What it is, and why it is no picture if it isn't.
    note: str

    def __repr__(self) -> str:
        return self.note

    def __str__(self) -> str:
        return self.text

    def _repr_svg_(self) -> str | None:
        return self.text if self.format == "svg" else None

    def _repr_html_(self) -> str | None:
        if self.format == "svg":
            return None
        import html

        return f"<p>{html.escape(self.note)}</p><pre>{html.escape(self.text)}</pre>"

    def save(self, path: str | Path) -> Path:
        """Write it to a file, whose name is made to end in .svg or .dot, as it is; returns the path."""
        file = Path(path).with_suffix(f".{self.format}")
        file.write_text(self.text, encoding="utf-8")
        return file


def draw(output: Tensor, format: str, names: dict[str, Tensor]) -> Any:
    """Do what `Tensor.graph` says."""
    if format not in ("text", "dot", "svg"):
        raise ValueError(f'graph: the format is "text", "dot" or "svg", not {format!r}; Tensors are named as in graph(x=x)')
    found = lines(output, names)
    if format == "text":
        return _table(found)
    dot = _dot(found)
    return dot if format == "dot" else _picture(dot, len(found))


def _table(found: list[Line]) -> str:
    width = len(str(len(found))) + 1
    rows = [(line.what, line.shape, line.source(), line.name) for line in found]
    columns = [max(len(row[i]) for row in rows) for i in (0, 1, 2)]
    return "\n".join(
        f"{f'#{number}':>{width}}  {what:<{columns[0]}}  {shape:<{columns[1]}}  {source:<{columns[2]}}  {name}".rstrip()
        for number, (what, shape, source, name) in enumerate(rows, 1)
    )


def _dot(found: list[Line]) -> str:
    """The graph from top to bottom: leaves are filled boxes, constants boxes, steps ellipses."""
    looks = {"leaf": "shape=box, style=filled, fillcolor=lightblue", "constant": "shape=box"}
    text = ["digraph {", "  node [fontname=Helvetica, fontsize=11];"]
    for number, line in enumerate(found, 1):
        others = ", ".join(x for x in line.sources if isinstance(x, str))
        head = f"{line.name}: {line.what}" if line.name else line.what
        label = "\\n".join(_escaped(part) for part in (head, others, line.shape) if part)
        text.append(f'  n{number} [label="{label}", {looks.get(line.what, "shape=ellipse")}];')
        text.extend(f"  n{x} -> n{number};" for x in line.sources if isinstance(x, int))
    return "\n".join([*text, "}"]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _picture(dot: str, count: int) -> Drawing:
    """The graph drawn by graphviz, if it is there and can."""
    import subprocess

    size = f"a graph of {count:,} lines"
    try:
        done = subprocess.run(["dot", "-Tsvg"], input=dot, capture_output=True, encoding="utf-8", timeout=TIMEOUT, check=True)
    except OSError:
        why = "graphviz's `dot` isn't installed (https://graphviz.org)"
    except subprocess.TimeoutExpired:
        why = f"graphviz took more than {TIMEOUT} seconds"
    except subprocess.CalledProcessError as error:
        why = f"graphviz refused it: {error.stderr.strip()}"
    else:
        return Drawing("svg", done.stdout, f"{size}, as SVG")
    return Drawing("dot", dot, f"{size}, as dot text, which graphviz turns into a picture: {why}")


ops.graph = draw
