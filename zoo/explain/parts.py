"""The parts of a model that made a prediction, in their order: its modules, and what its own forward did between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from microtensor import Step, Tensor, nn
from zoo.explain.recurrence import SHAPES, Cell, find_cells
from zoo.explain.trace import Trace

ACTIVATIONS = {
    "gelu": "GELU",
    "gelu_tanh": "GELU",
    "silu": "SiLU",
    "tanh": "tanh",
    "relu": "ReLU",
    "squared_relu": "squared ReLU",
    "softplus": "softplus",
    "sigmoid": "sigmoid",
}
LAYERS: dict[type, str] = {nn.Linear: "linear", nn.TiedLinear: "linear", nn.LayerNorm: "norm", nn.RMSNorm: "norm"}


@dataclass(eq=False)
class Part:
    """Steps that belong together.

    Attributes:
        path: their module; "" for a piece of a forward that is the work of no module within.
        kind: "mean", "side by side", "linear", "activation", "norm", "attention", "feed-forward", "residual sum" or "recurrent
            cell"; "module" for another module, and "ops" for a piece of a forward that is none of these.
        steps: what was recorded.
        cell: the recurrent cell, where it is one whose loop was recorded step by step.
    """

    path: str
    kind: str
    steps: list[Step]
    cell: Cell | None = None

    @property
    def output(self) -> Tensor:
        """The Tensor that was computed last."""
        return self.steps[-1].output

    @cached_property
    def input(self) -> Tensor | None:
        """The first Tensor that is read and wasn't computed here; None where only numbers and arrays are read."""
        made = {id(step.output) for step in self.steps}
        return next((x for step in self.steps for x in step.inputs if isinstance(x, Tensor) and id(x) not in made), None)

    @property
    def states(self) -> list[np.ndarray]:
        """A recurrent cell's hidden states after each position, each one row of numbers."""
        if self.cell is not None:
            return [state.data.reshape(-1) for state in self.cell.states]
        step = next(step for step in self.steps if step.op == "recurrent")
        rows = step.output.data.reshape((-1, step.output.shape[-1]))
        return list(rows[:-1] if step.options["kind"] == "lstm" else rows)  # (an LSTM's memory comes last)

    @property
    def activation(self) -> str:
        """The name of the activation applied last; "" for none."""
        return next((name for step in reversed(self.steps) if (name := activation(step))), "")

    @property
    def biased(self) -> bool:
        """Tell if a linear part adds a bias."""
        return any(step.op == "add" or (step.op == "linear" and step.inputs[2] is not None) for step in self.steps)


def model_parts(trace: Trace) -> tuple[list[Part], Part | None]:
    """The parts between a model's embeddings and its logits, and the part that makes the logits (None where no linear one
    does)."""
    embeddings = set(trace.embeddings)
    steps = [s for s in trace.steps if s.module is not None and s not in embeddings and not trace.fixed(s.output)]
    parts: list[Part] = []
    for cells in _loops(trace, find_cells(trace, steps)):
        # All that led from the first use of the cells' weights to their last states, or did so at an earlier position, is
        # theirs. What is made of the states (by an output head, say) is looked at where it is made of the last ones.
        first, last = cells[0].first, max(trace.position(cell.states[-1]) for cell in cells)
        loop = set[int]().union(*(trace.behind(cell.states[-1], first) for cell in cells))
        modules = {trace.path(trace.steps[i]) for i in loop} - {""}
        before = [s for s in steps if trace.position(s.output) < first and trace.path(s) not in modules]
        parts += _taken_apart(trace, before, "")
        parts += [Part(cell.path, "recurrent cell", [trace.steps[trace.position(cell.states[-1])]], cell) for cell in cells]
        steps = [s for s in steps if trace.position(s.output) > last]
    return _without_head(trace, parts + _taken_apart(trace, steps, ""))


def inner_parts(trace: Trace, part: Part) -> list[Part]:
    """The parts of a module, in their order."""
    return _parts(trace, part.steps, part.path)


def activation(step: Step) -> str:
    """The name of the activation that a step applied; "" for none."""
    name = step.options.get("name" if step.op == "activation" else "activation", step.op)
    return ACTIVATIONS.get(str(name), "")


def _loops(trace: Trace, cells: list[Cell]) -> Iterator[list[Cell]]:
    """Cells that take turns, together."""
    group: list[Cell] = []
    for cell in cells:
        if group and cell.first > max(trace.position(c.states[-1]) for c in group):
            yield group
            group = []
        group.append(cell)
    if group:
        yield group


def _parts(trace: Trace, steps: Sequence[Step], root: str) -> list[Part]:
    """The parts of the module at `root`."""
    found: list[Part] = []
    for path, run in groupby(steps, key=lambda step: trace.child(step, root)):
        if path:
            part = Part(path, "", list(run))
            part.kind = _module_kind(trace, part)
            found += [part] if part.kind else []
        else:
            for step in run:
                _add(trace, found, step)
    return found


def _add(trace: Trace, found: list[Part], step: Step) -> None:
    """Add a step of a forward of its own to the parts found before it: to the last one where it completes that."""
    kind, last = _step_kind(trace, step), found[-1] if found else None
    follows = last is not None and last.kind == "linear" and any(x is last.output for x in step.inputs)
    if last is not None and follows and ((kind == "bias" and not last.path) or (kind == "activation" and not last.activation)):
        found[-1] = Part(last.path, last.kind, [*last.steps, step])
    elif last is not None and last.kind == "ops" and kind in ("ops", "bias"):
        last.steps.append(step)
    elif kind != "shape":
        found.append(Part("", "ops" if kind == "bias" else kind, [step]))


def _module_kind(trace: Trace, part: Part) -> str:
    """The kind of a module; "" for one that computes nothing."""
    known = next((kind for layer, kind in LAYERS.items() if isinstance(trace.modules[part.path], layer)), None)
    if known:
        return known
    inner = inner_parts(trace, part)
    kinds = [p.kind for p in inner]
    if "attention" in kinds:
        return "attention"
    if len(kinds) == 1 and kinds[0] != "ops":
        return kinds[0]
    feeds = kinds.count("linear") > 1 and {"linear", "activation", "ops"}.issuperset(kinds)
    return "feed-forward" if feeds and any(p.activation for p in inner) else "module" if kinds else ""


def _step_kind(trace: Trace, step: Step) -> str:
    """The kind of a single step: one of a part's, "bias" for the sum with a parameter, "shape" for what computes nothing."""
    tensors = [x for x in step.inputs if isinstance(x, Tensor)]
    embedded = {id(s.output) for s in trace.embeddings}
    if trace.attends(step):
        return "attention"
    if step.op == "recurrent":
        return "recurrent cell"
    if step.op == "embedding_bag" or (step.op == "mean" and step.options["axis"] in (1, -2) and tensors[0].ndim == 3):
        return "mean"
    if step.op in ("concatenate", "reshape") and step.output.ndim == 2 and embedded.issuperset(map(id, tensors)):
        return "side by side"
    if step.op in ("linear", "matmul", "einsum") and any(map(trace.fixed, tensors)):
        return "linear"
    if step.op == "norm":
        return "norm"
    if step.op == "add" and len(tensors) == 2:
        if any(map(trace.fixed, tensors)):
            return "bias"
        x, y = tensors
        return "residual sum" if x.shape == y.shape and (trace.depends(x, y) or trace.depends(y, x)) else "ops"
    return "activation" if activation(step) else "shape" if step.op in SHAPES else "ops"


def _taken_apart(trace: Trace, steps: Sequence[Step], root: str) -> list[Part]:
    """The parts of a module; one of them that is itself most of a model is taken apart: that makes the logits, or several of
    whose children attend."""
    found: list[Part] = []
    for part in _parts(trace, steps, root):
        attending = {trace.child(s, part.path) for s in part.steps if trace.attends(s)} - {""}
        whole = part.path and part.kind in ("attention", "feed-forward", "module")
        makes_logits = part.output is trace.all_logits
        found += _taken_apart(trace, part.steps, part.path) if whole and (makes_logits or len(attending) > 1) else [part]
    return found


def _without_head(trace: Trace, parts: list[Part]) -> tuple[list[Part], Part | None]:
    """The parts before the one that makes the logits, and that one: the last linear part, with what is done to its output."""
    for i in range(len(parts) - 1, -1, -1):
        if parts[i].output.shape[-1:] != trace.logits.shape or parts[i].kind not in ("linear", "activation", "ops"):
            break
        if parts[i].kind == "linear":
            return parts[:i], Part(parts[i].path, "linear", [step for part in parts[i:] for step in part.steps])
    return parts, None
