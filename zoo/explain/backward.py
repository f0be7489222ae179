"""The last screens of a walk: backward, one step of the optimizer, and the guess made again."""

from __future__ import annotations

import numpy as np

from microtensor.optim import SGD, AdamW
from zoo.explain.screen import Screen, View
from zoo.explain.terminal import number, paragraph, table
from zoo.explain.trace import Walk
from zoo.inference.generation import show_bars


def at_the_scores(view: View) -> Screen:
    """The gradient of the loss at the logits: p minus one-hot."""
    walk = view.walk
    gradient = walk.gradient(walk.logits)
    lines = paragraph(
        "Now backward. How would the loss change if a score were a little higher? Calculus gives the probability itself, and "
        "for what really came the probability minus 1: p minus one-hot. So every wrong score should sink, the likelier the "
        "more, and the right one rise. The engine's numbers:"
    )
    rows = [
        (view.name(t), number(float(walk.probabilities[t])), "1" if t == walk.target else "0", number(float(gradient[t])))
        for t in view.likeliest()
    ]
    lines += ["", *table([(view.unit, "p", "one-hot", "gradient"), *rows])]
    return Screen("Backward: p minus one-hot", lines, {"gradient": gradient.tolist()})


def at_an_embedding(view: View) -> Screen:
    """The gradient that reaches the embedding of the last token."""
    walk, token, weights = view.walk, view.walk.tokens[-1], view.walk.tables[-1]
    name = view.name(token)
    row, gradient = weights.data[token], walk.gradient(weights)[token]
    lines = paragraph(
        "The chain rule carries the gradient on, back through each step that was recorded, the last one first, until it "
        f"reaches the table of embeddings. For the row of {name}, the last {view.unit}, it says which of its numbers should "
        "rise (gradient below 0) and which should fall:"
    )
    lines += ["", *view.strips([(name, row), ("gradient", gradient)], alike=False)]
    figures = {"token": name, "embedding": row.tolist(), "gradient": gradient.tolist()}
    return Screen("Backward: to an embedding", lines, figures)


def one_step(view: View, factor: float, again: Walk) -> list[Screen]:
    """A weight before and after one step of the optimizer, and the guess made again."""
    walk = view.walk
    before, after = walk.model.named_parameters(), dict(again.model.named_parameters())
    gradients = {name: walk.gradient(parameter) for name, parameter in walk.model.named_parameters()}
    name, parameter = max(before, key=lambda pair: float(np.abs(gradients[pair[0]]).max(initial=0)))
    place = np.unravel_index(int(np.abs(gradients[name]).argmax()), parameter.shape)
    old, new, derivative = (float(a[place]) for a in (parameter.data, after[name].data, gradients[name]))
    rate = walk.model.recipe.learning_rate * factor
    where = f"{name}[{', '.join(str(int(i)) for i in place)}]"
    lines = paragraph(
        f"The model has {walk.model.num_parameters():,} such numbers, and each has its gradient: 0 where it took no part. A "
        "step of the optimizer moves the others a little, against their gradients. The one with the largest gradient:"
    )
    rows = [(where, ""), ("before", f"{old:.6f}"), ("gradient", f"{derivative:.6f}"), ("after", f"{new:.6f}")]
    lines += ["", *table(rows), ""]
    optimizer = walk.model.recipe.optimizer(walk.model)
    if isinstance(optimizer, SGD):
        lines += paragraph(f"SGD: after = before - {rate:.3g} x gradient, where {rate:.3g} is the learning rate.")
    elif isinstance(optimizer, AdamW):
        lines += paragraph(
            f"AdamW divides each gradient by its usual size first, so that each number moves by about the learning rate, "
            f"{rate:.2g}, whether its gradient is large or small."
        )
    else:
        lines += paragraph(f"{type(optimizer).__name__} did that, with a learning rate of {rate:.2g}.")
    figures = {"weight": where, "before": old, "weight_gradient": derivative, "after": new, "learning_rate": rate}
    learned = Screen("One step of learning", lines, figures)
    return [learned, _again(view, again)]


def _again(view: View, again: Walk) -> Screen:
    walk, target = view.walk, view.name(view.walk.target)
    p, q = float(walk.probabilities[walk.target]), float(again.probabilities[walk.target])
    better = "better" if q > p else "no better this time: the step was too long for this example"
    if f"{p:.2%}" == f"{q:.2%}":
        better = "hardly a change, as it was nearly sure before" if p > 0.5 else "hardly a change"
    lines = paragraph(f"The same text once more, with the changed numbers: {better}.")
    bars = show_bars([{"token": f"{target} before", "probability": p}, {"token": f"{target} after", "probability": q}])
    lines += ["", *bars, "", f"  the loss: {number(walk.loss.item())} before, {number(again.loss.item())} after", ""]
    lines += paragraph("That was one example. Training is nothing else, again and again, with one example after the other.")
    figures = {
        "probability_before": p,
        "probability_after": q,
        "loss_before": walk.loss.item(),
        "loss_after": again.loss.item(),
    }
    return Screen("The guess again", lines, figures)
