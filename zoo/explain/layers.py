"""The screens of a model's parts, between its embeddings and its logits: each says what kind of layer it is, and shows it."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.columns import columns, paragraph, table, width
from zoo.explain.forward import embedded
from zoo.explain.parts import Part, inner_parts
from zoo.explain.screen import SHOWN, Drawn, View
from zoo.explain.terminal import number

#: What an activation does to what it is applied to.
CURVES = {
    "tanh": "bent by tanh, an S-shaped curve, to lie between -1 and 1",
    "sigmoid": "bent by the sigmoid, an S-shaped curve, to lie between 0 and 1",
    "ReLU": "set to 0 by ReLU where it is below 0",
    "GELU": "bent by GELU, a curve like max(0, x), but smooth",
    "SiLU": "bent by SiLU, x times its sigmoid, a curve like max(0, x), but smooth",
}
NUMBERS_IN_A_ROW = 8


def title(view: View, part: Part, parts: list[Part]) -> str:
    """Name a part, one of the model's `parts`, by its kind, and by its module where it has one."""
    path = f": {part.path}" if part.path else ""
    if part.kind == "attention":
        inner = inner_parts(view.trace, part) if part.path else []
        feeds = any(p.kind == "feed-forward" or (p.kind == "linear" and p.activation) for p in inner)
        what = "self-attention and feed-forward" if feeds else "self-attention"
        blocks, _, index = part.path.rpartition(".")
        alike = [p.path for p in parts if p.kind == "attention" and p.path.rpartition(".")[0] == blocks]
        if index.isdecimal():
            return f"Block {alike.index(part.path) + 1} of {len(alike)}: {what}"
        return f"{what.capitalize()}{path}"
    if part.kind == "mean":
        return "Mean of the embeddings" if _averages_embeddings(view, part) else "Mean of all positions"
    if part.kind == "linear":
        return f"{f'Hidden layer, {part.activation}' if part.activation else 'Linear layer'}{path}"
    if part.kind == "activation":
        return f"Activation, {part.activation}{path}"
    if part.kind == "module":
        return f"{_class(view, part)}{path}"
    if part.kind == "ops":
        return f"In between: {_operations(part)}"
    return f"{'Embeddings side by side' if part.kind == 'side by side' else part.kind.capitalize()}{path}"


def draw(view: View, part: Part, parts: list[Part]) -> Drawn:
    """Draw a part, one of the model's `parts`."""
    if part.kind == "linear":
        lines, figures = _linear(view, part)
    elif part.kind in ("mean", "side by side"):
        lines, figures = _pooling(view, part)
    elif part.kind == "recurrent cell":
        lines, figures = _recurrent_cell(view, part)
    elif part.kind == "attention":
        lines, figures = _attention(view, part, first=part is next(p for p in parts if p.kind == "attention"))
    elif part.kind in ("feed-forward", "module"):
        lines, figures = _module(view, part)
    else:
        lines, figures = _before_and_after(view, part)
    return lines, {"path": part.path, "kind": part.kind, **figures}


def _pooling(view: View, part: Part) -> Drawn:
    """The mean of the positions, or their embeddings side by side."""
    context, rows = view.at_last(part.output), embedded(view)
    if part.kind == "mean":
        averages = _averages_embeddings(view, part)
        if not averages:
            assert part.input is not None
            rows = list(zip(view.names, part.input.data.reshape((view.trace.time, -1)), strict=True))
        lines = paragraph(
            f"{'The embeddings' if averages else 'The numbers of all positions'} are averaged, number by number. The mean is "
            "all that the model goes on with, and the order is lost: the same "
            f"{view.tokenizer.unit} in another order have the same mean."
        )
        shown = [*rows[-SHOWN:], ("mean", context)]
    else:
        lines = paragraph(
            f"The embeddings are laid side by side: {len(context)} numbers in a row. What stood first and what stood last are "
            "now in different places, so the order is kept."
        )
        if len(context) > sum(len(row) for _, row in rows):
            lines += paragraph("Where the text doesn't reach back so far, they are 0.")
        shown = rows[-SHOWN:]
    return [*lines, "", *view.earlier(), *view.strips(shown)], {"context": context.tolist()}


def _averages_embeddings(view: View, part: Part) -> bool:
    made = {id(step.output) for step in view.trace.embeddings}
    return part.steps[-1].op == "embedding_bag" or id(part.input) in made


def _linear(view: View, part: Part) -> Drawn:
    """A layer of weighted sums, with or without an activation."""
    hidden, curve = view.at_last(part.output), part.activation
    weight = next(x for x in reversed(part.steps[0].inputs) if view.trace.fixed(x) and x.ndim > 1)
    lines = paragraph(
        f"{'A hidden layer' if curve else 'A linear layer'}: each of its {len(hidden)} numbers"
        f"{', the activations,' if curve else ''} is a weighted sum of all {weight.shape[0]} inputs"
        f"{', plus a number of its own, its bias' if part.biased else ''}{f', {CURVES[curve]}' if curve else ''}."
    )
    if curve:
        lines += paragraph("Without the bend, two layers would be no more than one.")
    name = "hidden" if curve else "output"
    return [*lines, "", *view.strips([(name, hidden)], 1.0 if curve in ("tanh", "sigmoid") else None)], {
        "activation": curve, "hidden": hidden.tolist(),
    }  # fmt: skip


def _recurrent_cell(view: View, part: Part) -> Drawn:
    """The hidden state of a recurrent cell after each position, and in numbers after the last."""
    states = part.states
    last = states[-1].tolist()
    lines = paragraph(
        f"A recurrent cell{f', {part.path},' if part.path else ''} is used once for each position, {len(states)} times here, "
        f"always with the same weights. Each time it reads a {view.unit} and its own hidden state, {len(last)} numbers that it "
        "wrote at the position before, and writes the next: so it can remember what it read earlier. The hidden state "
        "after each of the last positions:"
    )
    lines += ["", *view.earlier(), *view.strips(list(zip(view.names, states, strict=True))[-SHOWN:]), ""]
    lines += [*paragraph(f"After the last, {view.names[-1]}, in numbers:"), ""]
    in_a_row = min(NUMBERS_IN_A_ROW, (columns() - 1) // 9)
    for i in range(0, len(last), in_a_row):
        lines.append("  " + " ".join(f"{number(v):>8}" for v in last[i : i + in_a_row]))
    return lines, {"hidden_states": [state.tolist() for state in states]}


def _attention(view: View, part: Part, first: bool) -> Drawn:
    """A block: the attention weights of the last position, and what each of its parts gave there."""
    trace, names = view.trace, view.names
    lines = []
    if first:
        lines += paragraph(
            "Self-attention: each position compares its query with the keys of the positions before it and with its own. The "
            "better they match, the larger the attention weight, and the more it takes from the value there. Each head does so "
            "in its own way."
        )
    weights = np.concatenate([trace.attention_weights(step, -1)[:, -1] for step in part.steps if trace.attends(step)])
    rows = []
    for head, row in enumerate(weights, 1):
        best = np.argsort(-row, kind="stable")[:3].tolist()
        cells = [f"{names[i]} {_back(len(names) - 1 - i)} {row[i]:4.0%}" for i in best]
        rows.append([f"head {head}", *cells, *[""] * (3 - len(cells))])
    while len(rows[0]) > 2 and max(map(width, table(rows, left=4))) > columns():
        rows = [row[:-1] for row in rows]  # (the smallest of the three)
    lines += [*paragraph(f"The largest attention weights of the last position, {names[-1]} (how many positions back):"), ""]
    lines += table(rows, left=4)
    figures: dict[str, Any] = {"heads": [{"head": i, "weights": row.tolist()} for i, row in enumerate(weights, 1)]}
    if part.path:
        more, parts = _what_parts_gave(view, part)
        lines += ["", *more]
        figures |= parts
    return lines, figures


def _module(view: View, part: Part) -> Drawn:
    """A feed-forward network, or any other module: what its class says it is, and what each of its parts gave."""
    about = (type(view.trace.modules[part.path]).__doc__ or "").strip().partition("\n\n")[0]
    lines = paragraph(f"{part.path}, {_a_class(view, part)}{f': {about}' if about else '.'}")
    more, figures = _what_parts_gave(view, part)
    return [*lines, *more], figures


def _what_parts_gave(view: View, part: Part) -> Drawn:
    """The outputs of a module's parts at the last position."""
    parts = inner_parts(view.trace, part)
    lines = paragraph("What each of its parts gives at the last position, in order:")
    if any(p.kind == "residual sum" for p in parts):
        lines = paragraph(
            "What each part of the block gives at that position, in order; a residual sum adds to the residual stream:"
        )
    rows = [(_label(view, part, p), view.at_last(p.output)) for p in parts]
    figures = [
        {"path": p.path, "kind": p.kind, "output": row.tolist()} for p, (_, row) in zip(parts, rows, strict=True)
    ]  # fmt: skip
    return [*lines, "", *view.strips(rows, alike=False)], {"parts": figures}


def _label(view: View, whole: Part, part: Part) -> str:
    """A part of a module in a few words."""
    if not part.path:
        return part.activation or _operations(part) if part.kind in ("ops", "activation") else part.kind
    name = part.path.removeprefix(f"{whole.path}.")
    about = {"linear": part.activation or "linear", "norm": _class(view, part)}.get(part.kind)
    return f"{name}, {about}" if about else name


def _before_and_after(view: View, part: Part) -> Drawn:
    """A norm, an activation, a residual sum, or ops of a forward of its own: what goes in, and what comes out."""
    if part.kind == "norm":
        how = (
            "shifted to a mean of 0 and scaled to a variance of 1"
            if part.steps[-1].options["centre"]
            else "divided by their root mean square"
        )
        says = (
            f"{f'{part.path}, {_a_class(view, part)}' if part.path else 'A norm'}: the numbers of each position are {how}, "
            "then multiplied by what was learned, so that their size can't run away."
        )
    elif part.kind == "activation":
        says = f"Each number is {CURVES[part.activation]}."
    elif part.kind == "residual sum":
        says = "What was computed is added to what it was computed from: the sum is the residual stream."
    else:
        says = f"Here the forward itself computes: {_operations(part, 20)}."
    rows = [("after", view.at_last(part.output))]
    if part.input is not None and not view.trace.fixed(part.input):
        rows.insert(0, ("before", view.at_last(part.input)))
    lines = paragraph(f"{says} At the last position:")
    return [*lines, "", *view.strips(rows, alike=False)], {name: row.tolist() for name, row in rows}


def _class(view: View, part: Part) -> str:
    """The name of the class of a part's module."""
    return type(view.trace.modules[part.path]).__name__


def _a_class(view: View, part: Part) -> str:
    """The name of the class of a part's module, with its article: a LayerNorm, an RMSNorm."""
    name = _class(view, part)
    # (Capitals one after another are read letter by letter, and "R" begins with a vowel.)
    vowels = "AEFHILMNORSX" if name[:2].isupper() else "AEIOU"
    return f"{'an' if name[0].upper() in vowels else 'a'} {name}"


def _operations(part: Part, most: int = 3) -> str:
    """The names of a part's ops, each once."""
    names = list(dict.fromkeys(step.op for step in part.steps))
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _back(positions: int) -> str:
    return f"({positions} back)" if positions else "(itself)"
