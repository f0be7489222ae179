"""The last screens: backward, one step of the optimizer, and the prediction made again."""

from __future__ import annotations

import numpy as np

from microtensor.optim import SGD, AdamW
from zoo.columns import paragraph, table
from zoo.explain.screen import Drawn, View
from zoo.explain.terminal import number
from zoo.explain.trace import Trace
from zoo.inference.generation import show_bars
from zoo.model import Model


def at_the_logits(view: View) -> Drawn:
    """The gradient of the loss at the logits: p minus one-hot."""
    trace = view.trace
    gradient = trace.gradient(trace.logits)
    lines = paragraph(
        "Now backward. How would the loss change if a logit were a little higher? Calculus gives the probability itself, and "
        "for the target the probability minus 1: p minus one-hot. So every wrong logit should sink, the likelier the more, "
        "and the target's rise. The engine's numbers:"
    )
    rows = [
        (view.name(t), number(float(trace.probabilities[t])), "1" if t == trace.target else "0", number(float(gradient[t])))
        for t in view.likeliest()
    ]
    lines += ["", *table([(view.unit, "p", "one-hot", "gradient"), *rows])]
    return lines, {"gradient": gradient.tolist()}


def at_an_embedding(view: View) -> Drawn:
    """The gradient that reaches the embedding of the last token."""
    trace, token, weights = view.trace, view.trace.tokens[-1], view.trace.token_tables[-1]
    name = view.name(token)
    row, gradient = weights.data[token], trace.gradient(weights)[token]
    lines = paragraph(
        "The chain rule carries the gradient on, back through each step that was recorded, the last one first, until it "
        f"reaches the table of embeddings. For the row of {name}, the last {view.unit}, it says which of its numbers should "
        "rise (gradient below 0) and which should fall:"
    )
    lines += ["", *view.strips([(name, row), ("gradient", gradient)], alike=False)]
    return lines, {"token": name, "embedding": row.tolist(), "gradient": gradient.tolist()}


def one_step(view: View, factor: float, learned: Model) -> Drawn:
    """A parameter before and after one step of the optimizer."""
    trace = view.trace
    before, after = dict(trace.model.named_parameters()), dict(learned.named_parameters())
    largest = {name: float(np.abs(trace.gradient(p)).max(initial=0)) for name, p in before.items()}
    name = max(largest, key=lambda name: largest[name])
    gradient = trace.gradient(before[name])
    index = np.unravel_index(int(np.abs(gradient).argmax()), gradient.shape)
    old, new, derivative = (float(a[index]) for a in (before[name].data, after[name].data, gradient))
    rate = trace.model.recipe.learning_rate * factor
    where = f"{name}[{', '.join(str(int(i)) for i in index)}]"
    lines = paragraph(
        f"The model has {trace.model.num_parameters():,} parameters, and each has its gradient: 0 where it took no part. A "
        "step of the optimizer moves the others a little, against their gradients. The one with the largest gradient:"
    )
    rows = [("before", f"{old:.6f}"), ("gradient", f"{derivative:.6f}"), ("after", f"{new:.6f}")]
    lines += ["", f"  {where}", *table(rows), ""]
    optimizer = trace.model.recipe.optimizer(trace.model)
    if isinstance(optimizer, SGD):
        lines += paragraph(f"SGD: after = before - {rate:.3g} x gradient, where {rate:.3g} is the learning rate.")
    elif isinstance(optimizer, AdamW):
        lines += paragraph(
            f"AdamW divides each gradient by its usual size first, so that each number moves by about the learning rate, "
            f"{rate:.2g}, whether its gradient is large or small."
        )
    else:
        lines += paragraph(f"{type(optimizer).__name__} did that, with a learning rate of {rate:.2g}.")
    return lines, {"weight": where, "before": old, "weight_gradient": derivative, "after": new, "learning_rate": rate}


def again(view: View, learned: Model) -> Drawn:
    """The same prediction after that step."""
    trace, target = view.trace, view.name(view.trace.target)
    second = Trace(learned, trace.tokens, trace.target)
    p, q = float(trace.probabilities[trace.target]), float(second.probabilities[trace.target])
    better = "better" if q > p else "no better this time: the step was too long for this example"
    if f"{p:.2%}" == f"{q:.2%}":
        better = "hardly a change, as it was nearly sure before" if p > 0.5 else "hardly a change"
    lines = paragraph(f"The same text once more, with the changed parameters: {better}.")
    bars = show_bars([{"token": f"{target} before", "probability": p}, {"token": f"{target} after", "probability": q}])
    losses = f"the loss: {number(trace.loss.item())} before, {number(second.loss.item())} after"
    lines += ["", *bars, "", *paragraph(losses, indent="  "), ""]
    lines += paragraph("That was one example. Training is nothing else, again and again, with one example after the other.")
    figures = {"loss_before": trace.loss.item(), "loss_after": second.loss.item()}
    return lines, {"probability_before": p, "probability_after": q, **figures}
