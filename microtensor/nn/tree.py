"""A module as a tree to look at: a line for each module within, its number of parameters, their shapes and its options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from microtensor.tensor import Tensor

#: Modules that lie deeper than this aren't shown.
DEPTH = 12


@dataclass
class Row:
    """One module of the tree."""

    depth: int
    #: Its path from the module around it.
    name: str
    kind: str
    #: The number of the row of the module around it.
    parent: int
    #: How many numbers its parameters have.
    count: int = 0
    shapes: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    #: How many modules of a list it stands for, all alike.
    times: int = 1

    @property
    def title(self) -> str:
        """Its name and its class."""
        kind = f"{self.times} x {self.kind}" if self.times > 1 else self.kind
        return f"{self.name}: {kind}" if self.name else kind

    @property
    def details(self) -> str:
        """The shapes of its own parameters, and its options."""
        return ", ".join(self.shapes + self.options)

    @property
    def parameters(self) -> str:
        """How many numbers its parameters have, in words."""
        if not self.count:
            return ""
        return f"{self.times} x {self.count:,}" if self.times > 1 else f"{self.count:,}"


def text(walk: Iterable[tuple[str, Any]]) -> str:
    """The tree of what `Module` walks through, each module before what is in it."""
    shown = _rows(walk)
    root, *within = shown
    head = f"{root.title}: {root.count:,} parameter{'s' * (root.count != 1)}"
    if root.details:
        head += f"  ({root.details})"
    titles = ["  " * row.depth + row.title for row in within]
    width = max(map(len, titles), default=0)
    digits = max((len(row.parameters) for row in within), default=0)
    lines = [
        f"{title:<{width}}  {row.parameters:>{digits}}  {row.details}".rstrip()
        for title, row in zip(titles, within, strict=True)
    ]
    return "\n".join([head, *lines])


def as_html(walk: Iterable[tuple[str, Any]]) -> str:
    """The same as a table, for notebooks."""
    import html  # only they need it

    left, right = 'style="text-align: left; padding-left: {}em"', 'style="text-align: right"'
    body = "".join(
        f"<tr><td {left.format(0.5 + 1.5 * row.depth)}>{html.escape(row.title)}</td><td {right}>{row.parameters}</td>"
        f"<td {left.format(0.5)}>{html.escape(row.details)}</td></tr>"
        for row in _rows(walk)
    )
    return (
        f"<table><tr><th {left.format(0.5)}>module</th><th>parameters</th><th {left.format(0.5)}>shapes</th></tr>{body}</table>"
    )


def _rows(walk: Iterable[tuple[str, Any]]) -> list[Row]:
    rows: list[Row] = []
    paths: list[str] = []
    around: list[int] = []  # the rows of the modules that the one at hand lies in
    first: dict[int, str] = {}  # the path under which each came first
    for path, value in walk:
        while around and paths[around[-1]] and not path.startswith(f"{paths[around[-1]]}."):
            around.pop()
        parent = around[-1] if around else 0
        name = path.removeprefix(f"{paths[parent]}.") if around else path
        before = first.setdefault(id(value), path)
        again = f"the same as {before or 'the whole'}" if before != path else ""
        if not isinstance(value, Tensor):
            around.append(len(rows))
            paths.append(path)
            rows.append(Row(len(around) - 1, name, type(value).__name__, parent, options=[again] if again else _options(value)))
        elif value.is_parameter:
            shape = "x".join(map(str, value.shape)) or "number"
            notes = ", ".join(["frozen"] * (not value.requires_grad) + [again] * bool(again))
            rows[parent].shapes.append(f"{name} {shape}" + f" ({notes})" * bool(notes))
            rows[parent].count += 0 if again else value.size
    for row in reversed(rows[1:]):
        rows[row.parent].count += row.count
    return _without_repetition(_without_the_deepest(rows))


def _options(module: Any) -> list[str]:
    """What a module was told to be, where that is a number or a word."""
    return [
        f"{name}={value!r}"
        for name, value in vars(module).items()
        if not name.startswith("_") and type(value) in (int, float, str) and len(str(value)) <= 20
    ]


def _without_the_deepest(rows: list[Row]) -> list[Row]:
    shown: list[Row] = []
    hidden = 0
    for row in [*rows, None]:
        if row is not None and row.depth > DEPTH:
            hidden += 1
            continue
        if hidden:
            shown[-1].options.append(f"and {hidden:,} modules within")
            hidden = 0
        if row is not None:
            shown.append(row)
    return shown


def _without_repetition(rows: list[Row]) -> list[Row]:
    """The rows with one in place of those that follow each other in a list and are alike in all that is in them."""
    count = len(rows)
    ends = [count] * count  # the row after the last one within
    for i in reversed(range(count)):
        end = i + 1
        while end < count and rows[end].depth > rows[i].depth:
            end = ends[end]
        ends[i] = end

    def content(i: int) -> list[tuple[Any, ...]]:
        return [(row.depth, row.name, row.kind, row.details, row.count) for row in rows[i + 1 : ends[i]]]

    def alike(i: int, j: int) -> bool:
        one, other = rows[i], rows[j]
        alone = (one.depth, one.kind, one.details, one.count) == (other.depth, other.kind, other.details, other.count)
        return alone and content(i) == content(j)

    shown: list[Row] = []
    jumps: dict[int, int] = {}
    i = 0
    while i < count:
        row = rows[i]
        listed, _, number = row.name.rpartition(".")
        before = f"{listed}." if listed else ""
        end = ends[i]
        while number.isdecimal() and end < count and rows[end].name == f"{before}{int(number) + row.times}" and alike(i, end):
            row.times += 1
            end = ends[end]
        if row.times > 1:
            row.name = f"{before}{number}-{int(number) + row.times - 1}"
            jumps[ends[i]] = end
        shown.append(row)
        i += 1
        while i in jumps:
            i = jumps.pop(i)
    return shown
