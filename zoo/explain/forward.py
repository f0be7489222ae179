"""The first screens of a walk: from text to a guess, and how wrong it is. (`middle` has what is before the scores.)"""

from __future__ import annotations

import numpy as np

from zoo.explain.screen import SHOWN, Screen, View
from zoo.explain.terminal import number, paragraph, table
from zoo.inference.generation import show_bars


def text(view: View) -> Screen:
    """The text, its tokens, and their ids."""
    walk, target = view.walk, view.name(view.walk.target)
    many = len(walk.tokens) > 1
    what = f"the last {len(walk.tokens)} {view.tokenizer.unit}" if many else "this one"
    lines = paragraph(
        f"The model knows {len(view.tokenizer.vocabulary):,} {view.tokenizer.unit}. Each has a number, its id: its place in "
        f"the list of all. Of the text it looks at {what}:"
    )
    rows = [(view.name(token), str(token)) for token in walk.tokens[-SHOWN:]]
    lines += ["", *view.earlier(), *table([(view.unit, "id"), *rows]), ""]
    if walk.model.chat:
        lines += paragraph("A > marks what the user says, and a < says that the bot is next.")
    if walk.guessed:
        lines += paragraph(
            "This isn't in the text that the model learned from (or that can't be read here), so nobody says what comes next. "
            f"From here on the token that the model finds likeliest, {target} (id {walk.target}), is taken as the one that "
            "comes; --next chooses another."
        )
    else:
        lines += paragraph(f"What really comes next is {target} (id {walk.target}). The model isn't told: it has to guess.")
    figures = {"tokens": [view.name(t) for t in walk.tokens], "ids": walk.tokens, "target": target, "target_id": walk.target}
    return Screen("From text to numbers", lines, figures)


def embeddings(view: View) -> Screen:
    """A row of a table for each token."""
    walk = view.walk
    lines = paragraph(
        f"Each {view.unit} has a list of {walk.tables[0].shape[1]} numbers, its embedding: a row of a table. At first the "
        "numbers are random; training moves them until they help to guess."
    )
    if walk.sums_embeddings:
        lines += paragraph(
            "Another table has a row for each position in the text. The two rows are added up, so that the sum says both what "
            "stands there and where. Of each sum the first numbers:"
        )
    elif len(walk.tables) > 1:
        lines += paragraph(
            f"This model has {len(walk.tables)} such tables, one for each position. The first numbers of each row:"
        )
    else:
        lines += paragraph("The first numbers of each row:")
    rows = embedded(view)
    lines += ["", *view.earlier(), *view.strips(rows[-SHOWN:])]
    return Screen("Numbers that mean something", lines, {"embeddings": [[name, row.tolist()] for name, row in rows]})


def embedded(view: View) -> list[tuple[str, np.ndarray]]:
    """For each token its name, and the numbers that the model goes on with."""
    walk = view.walk
    names = [view.name(token) for token in walk.tokens]
    if walk.sums_embeddings:  # what stands there, and where, added up
        summed = next(s for s in walk.recorded if s.op == "add" and all(map(walk.is_embedding, s.inputs)))
        return list(zip(names, summed.output.data[0], strict=True))
    # One table for all, or one for each of the last positions.
    tables = walk.tables if len(walk.tables) > 1 else walk.tables * len(names)
    rows = [table.data[token] for table, token in zip(tables, walk.tokens[-len(tables) :], strict=True)]
    return list(zip(names[-len(tables) :], rows, strict=True))


def scores(view: View) -> Screen:
    """The logits."""
    walk = view.walk
    order = np.argsort(-walk.logits.data, kind="stable").tolist()
    computed = walk.source(walk.source(walk.logits).inputs[0])
    own = ", plus a number of its own, its bias" if computed.op == "linear" and computed.inputs[2] is not None else ""
    lines = paragraph(
        f"What the middle gave is compared with a list of numbers for each {view.unit}: both are multiplied, number by number, "
        f"and summed up{own} (a matrix product does all {len(order)} at once). The sums are scores, called logits: the higher, "
        "the better it seems to fit. The highest, the lowest, and the one that really comes:"
    )
    chosen = list(dict.fromkeys([*order[:5], walk.target, *order[-2:]]))
    chosen.sort(key=order.index)
    rows = [(view.name(t), number(float(walk.logits.data[t])), "<- comes next" if t == walk.target else "") for t in chosen]
    return Screen(
        "Scores", [*lines, "", *table(rows)], {"logits": walk.logits.tolist(), "vocabulary": list(view.tokenizer.vocabulary)}
    )


def softmax(view: View) -> Screen:
    """The probabilities."""
    walk = view.walk
    lines = paragraph(
        "Softmax makes probabilities of the scores: e to the power of each score, divided by the sum of them all. Now all are "
        "above 0 and add up to 1, and the gaps between scores have become factors."
    )
    bars = show_bars(
        [{"token": view.tokenizer.decode([t]), "probability": float(walk.probabilities[t])} for t in view.likeliest()]
    )
    bars = [f"{line}  <- comes next" if t == walk.target else line for t, line in zip(view.likeliest(), bars, strict=True)]
    return Screen("Probabilities", [*lines, "", *bars], {"probabilities": walk.probabilities.tolist()})


def loss(view: View) -> Screen:
    """The loss of the guess."""
    walk, target = view.walk, view.name(view.walk.target)
    p, value, count = float(walk.probabilities[walk.target]), walk.loss.item(), len(view.tokenizer.vocabulary)
    lines = paragraph(
        f"What really came, {target}, had the probability {number(p)}. The loss is -log of it, {number(value)}: 0 if the model "
        f"had been sure, more the less likely it thought what came. Had all {count} seemed equally likely, it would be "
        f"log {count} = {np.log(count):.2f}."
    )
    lines += ["", *paragraph(
        "Why the logarithm? The probability of a whole text is the product of those of its tokens. A logarithm makes a sum of "
        "it, and a mean of losses then says how likely the model finds the text. And an error costs more and more the surer "
        "the model was of something else."
    )]  # fmt: skip
    return Screen("The loss", lines, {"probability": p, "loss": value})
