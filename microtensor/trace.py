"""The recorded graph, to look at: what was computed from what, by which module, in the order in which it was.

`backward` walks the same list from its end to its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from microtensor.recording import LEAF
from microtensor.tensor import Tensor, ops


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


def draw(output: Tensor, names: dict[str, Tensor]) -> str:
    """Do what `Tensor.graph` says."""
    called = {id(tensor): name for name, tensor in names.items()}
    lines: list[tuple[str, str, str, str]] = []
    numbers: dict[int, int] = {}

    def add(what: str, tensor: Tensor, source: str = "") -> None:
        shape = "x".join(map(str, tensor.shape)) or "number"
        lines.append((what, shape, source, called.get(id(tensor), "")))
        numbers[id(tensor)] = len(lines)

    for step in trace(output):
        for x in step.inputs:
            if type(x) is Tensor and id(x) not in numbers:
                add("leaf" if x.requires_grad else "constant", x)
        sources = [f"#{numbers[id(x)]}" if type(x) is Tensor else _constant(x) for x in step.inputs if x is not None]
        options = [
            f"{name}={_constant(value)}" for name, value in step.options.items() if value is not None and value is not False
        ]
        add(step.op, step.output, ", ".join(sources + options))
    if not lines:
        add("leaf" if output.requires_grad else "constant", output)
    width = len(str(len(lines))) + 1
    columns = [max(len(line[i]) for line in lines) for i in (0, 1, 2)]
    return "\n".join(
        f"{f'#{number}':>{width}}  {what:<{columns[0]}}  {shape:<{columns[1]}}  {source:<{columns[2]}}  {name}".rstrip()
        for number, (what, shape, source, name) in enumerate(lines, 1)
    )


def _constant(value: Any) -> str:
    """Write what isn't a Tensor in a few letters."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"array {'x'.join(map(str, value.shape))}"
    return f"{float(value):.4g}" if isinstance(value, float | np.floating) else str(value)


ops.graph = draw
