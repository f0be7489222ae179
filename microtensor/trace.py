"""The recorded graph, to look at: what was computed from what, by which module, in the order in which it was.

`backward` walks the same list from its end to its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from microtensor.recording import LEAF
from microtensor.tensor import Tensor


@dataclass(frozen=True, eq=False)
class Step:
    """One recorded use of an op."""

    op: str
    #: Its arguments: Tensors, and arrays or numbers.
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    output: Tensor
    #: The `nn.Module` in whose `forward` it was used, or None.
    module: Any


def trace(output: Tensor) -> list[Step]:
    """List every recorded op that led to `output`, from the first to the last: none where nothing needs gradients.

    Raises RuntimeError when a backward has freed the graph.
    """
    steps: dict[int, Step] = {}
    waiting = [output]
    while waiting:
        tensor = waiting.pop()
        node = tensor._node
        if node is None or node is LEAF or node.time in steps:
            continue
        if node.pullback is None:
            raise RuntimeError("trace: the graph was freed by an earlier backward; look before, or pass retain_graph=True")
        # (An input that was left out has no value.)
        inputs = tuple(
            node.arrays[i] if type(x) is not Tensor and i < len(node.arrays) else x for i, x in enumerate(node.inputs)
        )
        steps[node.time] = Step(node.op.__name__, inputs, dict(node.options), tensor, node.module)
        waiting.extend(x for x in inputs if type(x) is Tensor)
    return [steps[time] for time in sorted(steps)]


@dataclass(frozen=True)
class Line:
    """One line of the graph: a step, or a Tensor that no step made."""

    #: The op; "leaf" or "constant".
    what: str
    shape: str
    #: What it was computed from: the numbers of their lines, counted from 1, or in a few letters what isn't a Tensor.
    sources: tuple[int | str, ...]
    name: str

    def source(self) -> str:
        """The sources in words."""
        return ", ".join(f"#{x}" if isinstance(x, int) else x for x in self.sources)


def lines(output: Tensor, names: dict[str, Tensor]) -> list[Line]:
    """The graph that led to `output`, line by line."""
    called = {id(tensor): name for name, tensor in names.items()}
    found: list[Line] = []
    numbers: dict[int, int] = {}

    def add(what: str, tensor: Tensor, sources: tuple[int | str, ...] = ()) -> None:
        shape = "x".join(map(str, tensor.shape)) or "number"
        found.append(Line(what, shape, sources, called.get(id(tensor), "")))
        numbers[id(tensor)] = len(found)

    for step in trace(output):
        for x in step.inputs:
            if type(x) is Tensor and id(x) not in numbers:
                add("leaf" if x.requires_grad else "constant", x)
        sources = [numbers[id(x)] if type(x) is Tensor else _constant(x) for x in step.inputs if x is not None]
        options = [
            f"{name}={_constant(value)}" for name, value in step.options.items() if value is not None and value is not False
        ]
        add(step.op, step.output, (*sources, *options))
    if not found:
        add("leaf" if output.requires_grad else "constant", output)
    return found


def _constant(value: Any) -> str:
    """Write what isn't a Tensor in a few letters."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"array {'x'.join(map(str, value.shape))}"
    return f"{float(value):.4g}" if isinstance(value, float | np.floating) else str(value)
