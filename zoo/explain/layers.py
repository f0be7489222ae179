"""The screens between embeddings and scores: the model's modules in their order, as the engine recorded them.

Each recorded step knows the module in whose `forward` it was made. Steps that follow each other within one child of the model
(`hidden`, `blocks.0`) are a component, and each component has a screen; what it says depends on the module and on what it did.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np

from microtensor import Step, nn
from zoo.explain.forward import embedded
from zoo.explain.screen import SHOWN, Screen, View
from zoo.explain.terminal import paragraph, table


def middle(view: View) -> Iterator[Screen]:
    """A screen for each component that lies between the embeddings and the scores, in order."""
    walk = view.walk
    layers = len(walk.attention)
    layer = 0
    for path, steps in components(view):
        if path == "":
            for step in steps:
                if step.op in ("embedding_bag", "mean"):
                    yield _mean(view, step)
                elif step.op == "concatenate" or (step.op == "reshape" and step.inputs[0].ndim == 3):
                    yield _side_by_side(view, step)
            continue
        attends = [step for step in steps if step in walk.attention]
        if attends:
            yield _block(view, path, steps, attends, layer, layers)
            layer += len(attends)
        elif len(steps) == 1 and steps[0].op == "linear":
            yield _linear(view, steps[0])
        else:
            yield _module(view, path, steps)


def components(view: View) -> list[tuple[str, list[Step]]]:
    """The steps between embeddings and scores, by the child of the model that they were made in; "" for its own forward."""
    walk = view.walk
    head = _component(walk.path(walk.source(walk.scores)))
    inside = []
    for step in walk.recorded:
        component = _component(walk.path(step))
        embeds = step.op == "embedding" or (step.op == "add" and all(walk.is_embedding(x) for x in step.inputs))
        if embeds or (component and component == head):
            continue
        if step.output is walk.scores:
            break
        inside.append((component, step))
    return [(component, [step for _, step in group]) for component, group in groupby(inside, key=lambda pair: pair[0])]


def _component(path: str) -> str:
    """The child of the model in a path, with its number where it stands in a list: blocks.0.attention is in blocks.0."""
    parts = path.split(".")
    return ".".join(parts[:2]) if len(parts) > 1 and parts[1].isdecimal() else parts[0]


def _last(values: np.ndarray) -> np.ndarray:
    """The activations of the first sequence, at its last position: (width,)."""
    return np.atleast_1d(values[(0, *(-1,) * (values.ndim - 2))] if values.ndim > 1 else values)


def _mean(view: View, step: Step) -> Screen:
    context = step.output.data[0]
    lines = paragraph(
        f"The embeddings are averaged, number by number. The mean is all that the model goes on with, and the order is lost: "
        f"the same {view.tokenizer.unit} in another order have the same mean."
    )
    lines += ["", *view.strips([*embedded(view)[-SHOWN:], ("mean", context)])]
    return Screen("The middle: a mean", lines, {"context": context.tolist()})


def _side_by_side(view: View, step: Step) -> Screen:
    context = step.output.data[0]
    lines = paragraph(
        f"The embeddings are laid side by side: {len(context)} numbers in a row. What stood first and what stood last are now "
        "in different places, so the order is kept."
    )
    if len(context) > sum(len(row) for _, row in embedded(view)):
        lines += paragraph("Where the text doesn't reach back so far, they are 0.")
    lines += ["", *view.strips(embedded(view)[-SHOWN:])]
    return Screen("The middle: side by side", lines, {"context": context.tolist()})


def _linear(view: View, step: Step) -> Screen:
    """A linear layer, with its activation."""
    hidden, activation = _last(step.output.data), step.options.get("activation")
    bent = f", bent by {activation}" if activation else ""
    if activation == "tanh":
        bent = (
            ", bent by tanh, an S-shaped curve, to lie between -1 and 1. Without the bend, two layers would be no more than one"
        )
    own = ", plus a number of its own" if step.inputs[2] is not None else ""
    lines = paragraph(
        f"A hidden layer: each of its {len(hidden)} numbers is a weighted sum of all {step.inputs[1].shape[0]} inputs{own}"
        f"{bent}."
    )
    lines += ["", *view.strips([("hidden", hidden)], 1.0 if activation == "tanh" else None)]
    return Screen(f"The middle: the {activation or 'linear'} layer", lines, {"hidden": hidden.tolist()})


def _module(view: View, path: str, steps: list[Step]) -> Screen:
    """Any other module: its class in its own words, and its activations at the last position."""
    module = dict(view.walk.model.named_modules()).get(path)
    name = type(module).__name__ if module is not None else steps[-1].op
    says = (type(module).__doc__ or "").strip().partition("\n\n")[0] if module is not None else ""
    if isinstance(module, nn.LayerNorm):
        says = (
            "The numbers of each position are shifted to a mean of 0 and scaled to a variance of 1, then scaled and shifted as "
            "learned."
        )
    elif isinstance(module, nn.RMSNorm):
        says = "The numbers of each position are divided by their root mean square, then scaled as learned."
    output = steps[-1].output
    lines = paragraph(f"{path}, a {name}. {says} At the last position, {len(_last(output.data))} numbers come out:")
    lines += ["", *view.strips([("output", _last(output.data))], alike=False)]
    return Screen(f"The middle: {path}", lines, {"module": path, "class": name, "output": _last(output.data).tolist()})


def _block(view: View, path: str, steps: list[Step], attends: list[Step], layer: int, layers: int) -> Screen:
    """A component with attention: the attention weights from the last position, and what each of its parts gave there."""
    walk = view.walk
    names = [view.name(token) for token in walk.tokens]
    lines = []
    if layer == 0:
        lines += paragraph(
            "Each position looks back at those before it and at itself, and takes something from each; how much, is decided by "
            "how well their numbers fit together. Each head does so in its own way."
        )
    lines += [*paragraph(f"The largest attention weights of the last position, {names[-1]} (how many positions back):"), ""]
    rows, heads = [], []
    for step in attends:
        for head, weights in enumerate(walk.attention[step][:, -1], 1):
            best = np.argsort(-weights, kind="stable")[:3].tolist()
            cells = [f"{names[i]} {_back(len(names) - 1 - i)} {weights[i]:4.0%}" for i in best]
            rows.append((f"head {head}", *cells, *[""] * (3 - len(cells))))
            heads.append({"head": head, "weights": weights.tolist()})
    lines += [*table(rows, left=4), ""]
    parts: dict[str, np.ndarray] = {}  # the last output of each child of the block
    sums = 0
    for step in steps:
        below = walk.path(step).removeprefix(path).lstrip(".").partition(".")[0]
        if not below and step.op == "add":
            sums += 1
            below = f"sum {sums}"
        if below and step.output.ndim > 1 and step.output.shape[-2] == len(names):
            parts.pop(below, None)
            parts[below] = _last(step.output.data)
    lines += paragraph(
        "What each part of the block gives at that position, in order; a sum is the residual stream, to which a part was added:"
    )
    lines += ["", *view.strips(list(parts.items()), alike=False)]
    figures = {"layer": layer + 1, "heads": heads, "parts": {name: values.tolist() for name, values in parts.items()}}
    title = f"The middle: layer {layer + 1} of {layers}" if path.startswith("blocks.") else f"The middle: {path}"
    return Screen(title, lines, figures)


def _back(positions: int) -> str:
    return f"({positions} back)" if positions else "(itself)"
