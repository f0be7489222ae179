"""The screens that every model has on the way forward: the text, its embeddings, and from the logits to the loss."""

from __future__ import annotations

import numpy as np

from zoo.columns import clip, columns, paragraph, table
from zoo.explain.parts import Part
from zoo.explain.screen import SHOWN, Drawn, View
from zoo.explain.terminal import number
from zoo.inference.generation import show_bars
from zoo.tokenizers.bpe import BytePairTokenizer, split_words
from zoo.tokenizers.tokenizer import decode_excerpt

#: Of more merges of one word, the first and the last are shown.
MERGES = 20


def text(view: View) -> Drawn:
    """The text, its tokens, and their ids."""
    trace, target = view.trace, view.name(view.trace.target)
    seen = f"the last {trace.time} {view.tokenizer.unit}" if trace.time > 1 else "this one"
    lines = paragraph(
        f"The model knows {len(view.tokenizer.vocabulary):,} {view.tokenizer.unit}, its vocabulary. Each has a number, its id: "
        f"its place in the list of all. Of the text the model sees {seen}:"
    )
    rows = [(view.name(token), str(token)) for token in trace.tokens[-SHOWN:]]
    lines += ["", *view.earlier(), *table([(view.unit, "id"), *rows]), ""]
    if trace.model.chat:
        lines += paragraph("A > marks what the user says, and a < says that the bot is next.")
    if trace.guessed:
        lines += paragraph(
            "This isn't in the text that the model learned from (or that can't be read here), so nobody says what comes next. "
            f"From here on the {view.unit} that the model finds likeliest, {target} (id {trace.target}), is taken as the "
            "target, the one that comes; --next chooses another."
        )
    else:
        lines += paragraph(
            f"What really comes next is {target} (id {trace.target}), the target. The model isn't told: it has to predict it."
        )
    return lines, {"tokens": view.names, "ids": trace.tokens, "target": target, "target_id": trace.target}


def merges(view: View, tokenizer: BytePairTokenizer) -> Drawn:
    """How the last word became tokens, merge by merge."""
    words = list(split_words(decode_excerpt(tokenizer, view.trace.given)))
    word = next((word for word in reversed(words) if word.strip()), "".join(words[-1:]))
    steps = [(number, list(map(view.name, ids))) for number, ids in tokenizer.merge_word(word)]
    size, pieces = len(steps[0][1]), len(steps[-1][1])
    lines = paragraph(
        "The text is cut into words, each with the blank before it, and a word into its bytes. Then pairs of neighbours are "
        "merged, as long as one of the learned merges fits: the earliest learned first, which was of the most frequent pair. "
        f"So the {size} byte{'s'[: size != 1]} of the last word, {word!r}, become {pieces} {view.unit}{'s'[: pieces != 1]}:"
    )
    rows = [(f"{number:,}" if number else "", clip("  ".join(names), columns() - 9)) for number, names in steps]
    if len(rows) > MERGES:
        rows[MERGES // 2 : -MERGES // 2] = [("...", "")]
    lines += ["", *table([("merge", "the word"), *rows], left=2)]
    return lines, {"word": word, "merges": [{"merge": number, "tokens": names} for number, names in steps]}


def embeddings(view: View) -> Drawn:
    """A row of a table for each token."""
    trace, tables = view.trace, view.trace.token_tables
    lines = paragraph(
        f"Each {view.unit} has a list of {tables[0].shape[1]} numbers, its embedding: a row of a table. At first the numbers "
        "are random; training moves them until they help to predict."
    )
    if any(x.of_positions for x in trace.lookups):
        lines += paragraph(
            f"Another table has a row for each position. The two rows are added up, so that the sum says both which "
            f"{view.unit} it is and where it stands. Of each sum the first numbers:"
        )
    elif len(tables) > 1:
        lines += paragraph(f"This model has {len(tables)} such tables, one for each position. The first numbers of each row:")
    else:
        lines += paragraph("The first numbers of each row:")
    rows = embedded(view)
    lines += ["", *view.earlier(), *view.strips(rows[-SHOWN:])]
    return lines, {"embeddings": [[name, row.tolist()] for name, row in rows]}


def embedded(view: View) -> list[tuple[str, np.ndarray]]:
    """For each token its name, and the numbers that the model goes on with."""
    trace, tables = view.trace, view.trace.token_tables
    sums = [step.output.data for step in trace.embeddings if step.op == "add"]
    if sums:
        return list(zip(view.names, sums[-1].reshape((trace.time, -1)), strict=True))
    if len(tables) == 1:
        return [(view.name(token), tables[0].data[token]) for token in trace.tokens]
    rows = [(x.table, token) for x in trace.lookups if not x.of_positions for token in x.indices]
    return [(view.name(token), rows.data[token]) for rows, token in rows]


def logits(view: View, head: Part | None) -> Drawn:
    """The logits, and the linear part that makes them."""
    trace = view.trace
    order = np.argsort(-trace.logits.data, kind="stable").tolist()
    made = "The model ends with"
    if head is not None:
        made = (
            f"What came out before is compared with a list of numbers for each {view.unit}: both are multiplied, number by "
            f"number, and summed up{', plus a number of its own, its bias' if head.biased else ''} (a matrix product does all "
            f"{len(order):,} at once{f': {head.path}' if head.path else ''}). The sums are"
        )
    lines = paragraph(
        f"{made} logits: the higher one is, the better its {view.unit} seems to fit. The highest, the lowest, and the target:"
    )
    chosen = sorted({*order[:5], trace.target, *order[-2:]}, key=order.index)
    rows = [(view.name(t), number(float(trace.logits.data[t])), "<- target" if t == trace.target else "") for t in chosen]
    return [*lines, "", *table(rows)], {"logits": trace.logits.tolist(), "vocabulary": list(view.tokenizer.vocabulary)}


def probabilities(view: View) -> Drawn:
    """The softmax of the logits."""
    trace, shown = view.trace, view.likeliest()
    lines = paragraph(
        "Softmax makes probabilities of the logits: e to the power of each, divided by the sum of them all. Now all are above "
        "0 and add up to 1, and the gaps between logits have become factors."
    )
    mark = "  <- target"
    likeliest = [{"token": view.tokenizer.vocabulary[t], "probability": float(trace.probabilities[t])} for t in shown]
    bars = show_bars(likeliest, beside=len(mark))
    bars = [f"{line}{mark}" if t == trace.target else line for t, line in zip(shown, bars, strict=True)]
    return [*lines, "", *bars], {"probabilities": trace.probabilities.tolist()}


def loss(view: View) -> Drawn:
    """The loss: a measure of how wrong the prediction was."""
    trace, target = view.trace, view.name(view.trace.target)
    p, value, count = float(trace.probabilities[trace.target]), trace.loss.item(), len(view.tokenizer.vocabulary)
    lines = paragraph(
        f"The target, {target}, has the probability {number(p)}. The loss is -log of it, {number(value)}: 0 if the model had "
        f"been sure of it, more the less likely it found what came. Had all {count:,} seemed equally likely, it would be "
        f"log {count} = {np.log(count):.2f}."
    )
    lines += ["", *paragraph(
        "Why the logarithm? The probability of a whole text is the product of those of its tokens. A logarithm makes a sum of "
        "it, and a mean of losses then says how likely the model finds the text. And an error costs more and more the surer "
        "the model was of something else."
    )]  # fmt: skip
    return lines, {"probability": p, "loss": value}
