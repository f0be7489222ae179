"""Recurrent cells, found by what makes them so: at each position a weight is used on what its last use led to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from microtensor import Step, Tensor
from zoo.explain.trace import Trace

#: Ops that arrange numbers, and compute none.
SHAPES = ("reshape", "transpose", "getitem", "broadcast_to", "concatenate", "pad")


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrent cell.

    Attributes:
        path: its module; "" where the model's own forward does it.
        states: the hidden state after each position, each one row of numbers.
        first: the index of the first step that uses its weights.
    """

    path: str
    states: list[Tensor]
    first: int


def find_cells(trace: Trace, steps: Sequence[Step]) -> list[Cell]:
    """The recurrent cells among these steps, in their order; none for a text of a single position."""
    uses: dict[tuple[int, ...], list[Step]] = defaultdict(list)
    for step in steps:
        weights = [x for x in step.inputs if isinstance(x, Tensor) and trace.fixed(x)]
        if weights and step.output.shape[-1:] == (step.output.size,):  # (a row for one position)
            uses[_parameters(trace, weights[0])].append(step)
    found: dict[str, Cell] = {}
    for each in uses.values():
        states = _states(trace, each) if len(each) == trace.time > 1 else []
        if states:
            path = trace.path(trace.steps[trace.position(states[-1])])
            cell = Cell(path, states, trace.position(each[0].output))
            # (What a gate has let through is read too, but the state is what was made last.)
            if path not in found or trace.position(states[-1]) > trace.position(found[path].states[-1]):
                found[path] = cell
    return sorted(found.values(), key=lambda cell: cell.first)


def _parameters(trace: Trace, weight: Tensor) -> tuple[int, ...]:
    """The identities of the parameters that a weight was made of: each call of a module may slice or turn them anew."""
    at = trace.position(weight)
    if at < 0:
        return (id(weight),)
    step = trace.steps[at]
    own = tuple(i for x in step.inputs if isinstance(x, Tensor) for i in _parameters(trace, x))
    return (*own, hash(repr(step.options)))


def _states(trace: Trace, uses: list[Step]) -> list[Tensor]:
    """The hidden state that each use of a weight led to: what the next use reads of it. None where it reads nothing of it."""
    states = []
    for before, use in pairwise(uses):
        read = next((x for x in _sources(trace, use) if trace.depends(x, before.output)), None)
        if read is None:
            return []
        states.append(read)
    # Nothing need read the last one in the same way: it was computed as the one before it.
    made = trace.steps[trace.position(states[-1])]
    at = trace.position(uses[-1].output) + trace.position(states[-1]) - trace.position(uses[-2].output)
    last = trace.steps[at] if at < len(trace.steps) else None
    if last is None or (last.op, last.module, last.output.shape) != (made.op, made.module, made.output.shape):
        return []
    return [*states, last.output]


def _sources(trace: Trace, use: Step) -> list[Tensor]:
    """What a step reads that was computed here, as it was before it was arranged."""
    found, waiting = [], list(use.inputs)
    while waiting:
        x = waiting.pop(0)
        if isinstance(x, Tensor) and not trace.fixed(x) and trace.position(x) >= 0:
            step = trace.steps[trace.position(x)]
            if step.op in SHAPES:
                waiting.extend(step.inputs)
            else:
                found.append(x)
    return found
