"""Drawing tokens from a model's probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from microtensor import no_grad
from zoo.model import Model


def sample(logits: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    """A token drawn from softmax(logits / temperature), for logits (vocabulary,).

    A low temperature keeps to likely tokens, a high one is bolder; at 0 the likeliest is taken.
    """
    if temperature == 0:
        return int(logits.argmax())
    with np.errstate(over="ignore"):  # a tiny temperature makes all but the likeliest impossible, which is what it means
        scaled = (logits - logits.max()).astype(np.float64) / temperature
    p = np.exp(scaled)
    return int(rng.choice(len(p), p=p / p.sum()))


def generate(model: Model, prompt: Sequence[int], tokens: int, temperature: float, rng: np.random.Generator) -> Iterator[int]:
    """Continue a prompt (at least one token) by `tokens` more, each given as soon as it is drawn.

    The model sees the last `context` tokens at a time.
    """
    seen = list(prompt)
    model.eval()
    for _ in range(tokens):
        window = np.array([seen[-model.recipe.context :]], dtype=np.int64)
        with no_grad():
            logits = model(window).data[0]
        seen.append(sample(logits, temperature, rng))
        yield seen[-1]
