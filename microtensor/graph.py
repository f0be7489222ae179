"""Looking at the recorded graph: what was computed from what, in the order in which it was.

`backward` walks the same list from its end to its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from microtensor.tensor import LEAF, Tensor, ops


@dataclass(frozen=True, eq=False)
class Recorded:
    """One recorded use of an op."""

    op: str
    #: What it was given: Tensors, and arrays or numbers.
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    output: Tensor


def history(output: Tensor) -> list[Recorded]:
    """Every recorded op that led to `output`, from the first to the last. Where nothing needs gradients nothing is recorded.

    Raises RuntimeError when a backward has freed the graph.
    """
    found: dict[int, Recorded] = {}
    waiting = [output]
    while waiting:
        tensor = waiting.pop()
        node = tensor._node
        if node is None or node is LEAF or -node[0] in found:
            continue
        time, op, inputs, values, options, pullback = node
        if pullback is None:
            raise RuntimeError("graph: it was freed by an earlier backward; look before, or pass retain_graph=True")
        # (An input that was left out has no value.)
        kept = tuple(values[i] if type(x) is not Tensor and i < len(values) else x for i, x in enumerate(inputs))
        found[-time] = Recorded(op.__name__, kept, dict(options), tensor)
        waiting.extend(x for x in inputs if type(x) is Tensor)
    return [found[time] for time in sorted(found)]


def draw(output: Tensor, names: dict[str, Tensor]) -> str:
    """What `Tensor.graph` does."""
    called = {id(tensor): name for name, tensor in names.items()}
    lines: list[tuple[str, str, str, str]] = []
    numbers: dict[int, int] = {}

    def add(what: str, tensor: Tensor, source: str = "") -> None:
        shape = "x".join(map(str, tensor.shape)) or "number"
        lines.append((what, shape, source, called.get(id(tensor), "")))
        numbers[id(tensor)] = len(lines)

    for step in history(output):
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
    """What isn't a Tensor, in a few letters."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"array {'x'.join(map(str, value.shape))}"
    return f"{float(value):.4g}" if isinstance(value, float | np.floating) else str(value)


ops.graph = draw
