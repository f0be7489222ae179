"""The screens of a model's own middle, between embeddings and scores: told from what the engine recorded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from microtensor import Step
from zoo.explain.forward import embedded
from zoo.explain.screen import SHOWN, Screen, View
from zoo.explain.terminal import paragraph, table


def middle(view: View) -> Iterator[Screen]:
    """A screen for each thing that the model does with the embeddings, in order."""
    walk = view.walk
    if walk.attends:
        for layer in range(len(walk.attention)):
            yield _block(view, layer)
        return
    for step in walk.recorded:
        if step.op in ("embedding_bag", "mean"):
            yield _mean(view, step)
        elif step.op == "concatenate" or (step.op == "reshape" and step.inputs[0].ndim == 3):
            yield _side_by_side(view, step)
        elif step.options.get("activation") == "tanh":
            yield _tanh(view, step)


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


def _tanh(view: View, step: Step) -> Screen:
    hidden = step.output.data[0]
    lines = paragraph(
        f"A hidden layer: each of its {len(hidden)} numbers is a weighted sum of all {step.inputs[1].shape[0]} inputs, plus "
        "a number of its own, bent by tanh, an S-shaped curve, to lie between -1 and 1. Without the bend, two layers would be "
        "no more than one."
    )
    lines += ["", *view.strips([("hidden", hidden)], 1.0)]
    return Screen("The middle: the tanh layer", lines, {"hidden": hidden.tolist()})


def _block(view: View, layer: int) -> Screen:
    """A transformer's block: who looks at whom, and what the last place makes of it."""
    walk = view.walk
    names = [view.name(token) for token in walk.tokens]
    weights = walk.attention[layer][:, -1]  # from the last place: (heads, time)
    lines = []
    if layer == 0:
        lines += paragraph(
            "Each place looks back at those before it and at itself, and takes something from each; how much, is decided by "
            "how well their numbers fit together. Each head does so in its own way."
        )
    lines += [
        *paragraph(f"Where the last place, {names[-1]}, looks most (how many places back, and its share of the look):"),
        "",
    ]
    rows = []
    for head, look in enumerate(weights, 1):
        best = np.argsort(-look, kind="stable")[:3].tolist()
        cells = [f"{names[i]} {_back(len(names) - 1 - i)} {look[i]:4.0%}" for i in best]
        rows.append((f"head {head}", *cells, *[""] * (3 - len(cells))))
    lines += [*table(rows, left=4), ""]
    found = walk.reader(walk.uses("multi_head_attention")[layer].output).output.data[0, -1]
    up = [step for step in walk.recorded if step.options.get("activation") == "gelu"][layer].output
    thought = walk.reader(up).output.data[0, -1]
    lines += paragraph(
        f"What it finds is added to its own numbers. Then each place thinks for itself: {up.shape[-1]} weighted sums, bent by "
        "GELU, and back to as many numbers as before, which are added, too:"
    )
    lines += ["", *view.strips([("found", found), ("thought", thought)], alike=False)]
    heads = [{"head": head, "weights": look.tolist()} for head, look in enumerate(weights, 1)]
    figures = {"layer": layer + 1, "heads": heads, "found": found.tolist(), "thought": thought.tolist()}
    return Screen(f"The middle: layer {layer + 1} of {len(walk.attention)}", lines, figures)


def _back(places: int) -> str:
    return f"({places} back)" if places else "(itself)"
