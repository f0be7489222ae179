"""The explanation of one prediction: a screen for each thing that the model did, in order, drawn when it is asked for."""

from __future__ import annotations

from functools import cache, partial

from zoo.explain import backward, forward, layers
from zoo.explain.parts import model_parts
from zoo.explain.screen import Screen, View
from zoo.tokenizers.bpe import BytePairTokenizer


def explain(view: View, factor: float = 1.0) -> list[Screen]:
    """Explain a prediction, forward and backward.

    Args:
        view: the prediction, and how it is shown.
        factor: the factor of the learning rate for the step of the optimizer.

    Returns the screens. Nothing more is computed before one of them is drawn.
    """
    trace = view.trace
    embeds = bool(trace.token_tables)
    parts, head = model_parts(trace)
    screens = [Screen("From text to numbers", partial(forward.text, view))]
    if isinstance(view.tokenizer, BytePairTokenizer):
        screens.append(Screen("From a word to tokens", partial(forward.merges, view, view.tokenizer)))
    if embeds:
        screens.append(Screen("Embeddings", partial(forward.embeddings, view)))
    screens += [Screen(layers.title(view, part, parts), partial(layers.draw, view, part, parts)) for part in parts]
    screens.append(Screen("Logits", partial(forward.logits, view, head)))
    screens.append(Screen("Probabilities", partial(forward.probabilities, view)))
    screens.append(Screen("The loss", partial(forward.loss, view)))
    if not trace.steps:  # (what has no parameters can't learn)
        return screens
    learned = cache(lambda: trace.learned(factor))
    screens.append(Screen("Backward: p minus one-hot", partial(backward.at_the_logits, view)))
    if embeds:
        screens.append(Screen("Backward: to an embedding", partial(backward.at_an_embedding, view)))
    screens.append(Screen("One step of learning", lambda: backward.one_step(view, factor, learned())))
    screens.append(Screen("The prediction again", lambda: backward.again(view, learned())))
    return screens
