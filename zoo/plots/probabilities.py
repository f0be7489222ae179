"""The probability that a model gave each token of a text, given those before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import microtensor as mt
from zoo.errors import DataError
from zoo.model import Model
from zoo.plots.style import COLOURS, NOTHING, drawing, label
from zoo.tokenizers.tokenizer import Tokenizer

#: Of a longer text, the picture couldn't be read.
MOST = 80


def predictions(model: Model, tokens: list[int]) -> np.ndarray:
    """The probabilities (predictions, vocabulary) that a model gives for the last tokens of a text, each from those before it.

    One forward pass gives all that fit into the context of a model that predicts after every token, and one more those beyond.
    A model that sees a window of tokens has never learned from fewer, so that it begins where there are as many; only in a text
    that is shorter than its window it is asked about each length.
    """
    model.eval()
    context, before = model.recipe.context, np.array(tokens[:-1])
    with mt.no_grad():
        logits = model(before[None, :context]).data
        found = list(logits[0]) if logits.ndim == 3 else [logits[0]]
        if logits.ndim == 2 and len(before) < context:
            found = [model(before[None, :length]).data[0] for length in range(1, len(before))] + found
        if len(before) > context:
            later = model(before[np.arange(1, len(before) - context + 1)[:, None] + np.arange(context)]).data
            found += list(later[:, -1] if later.ndim == 3 else later)
    return mt.softmax(np.array(found))


def draw_probabilities(name: str, model: Model, tokenizer: Tokenizer, tokens: list[int], out: Path) -> None:
    """A bar for each token that follows enough others: the probability that the model gave it; and the likeliest token,
    where that is another. Raises DataError for a text that is too short or too long."""
    if not 2 <= len(tokens) <= MOST:
        raise DataError(f"the text has {len(tokens)} {tokenizer.unit}; the picture shows from 2 to {MOST}")
    names = [label(tokenizer.vocabulary[token]) for token in tokens]
    shares = predictions(model, tokens)
    first = len(tokens) - len(shares)
    came = [float(p[token]) for p, token in zip(shares, tokens[first:], strict=True)]
    guesses = [int(p.argmax()) for p in shares]
    other = {i + first: label(tokenizer.vocabulary[guess]) for i, guess in enumerate(guesses) if guess != tokens[i + first]}
    unit = tokenizer.unit.removesuffix("s")
    wide = max(map(len, names)) > 3
    size = max(9.0, min(20.0, (0.78 if np.mean([*map(len, names)]) > 3 else 0.26) * len(names)))
    sideways = max(map(len, other.values()), default=0) * 0.09 > (size - 1) / len(names)
    with drawing(out, size=(size, 4.8)) as (figure, axes):
        nothing = axes.axvspan(-0.6, first - 0.5, color="0.93", linewidth=0)
        nothing.set_label(f"no prediction: too few {tokenizer.unit} before it")
        places = np.arange(first, len(names))
        handles: list[Any] = [axes.bar(places, came, color=COLOURS[0], width=0.75, label=f"the {unit} of the text")]
        if other:
            heights = [float(shares[i - first].max()) for i in other]
            handles += axes.plot(
                [*other], heights, "_", color=COLOURS[1], markersize=9, markeredgewidth=2, label=f"a likelier {unit}"
            )
            for (i, guess), height in zip(other.items(), heights, strict=True):
                axes.annotate(
                    guess, (i, height), (0, 4), textcoords="offset points", ha="center", va="bottom", fontsize=10,
                    color=COLOURS[1], rotation=90 if sideways else 0,
                )  # fmt: skip
        axes.set_xticks(range(len(names)), names, rotation=90 if wide else 0)
        for tick in axes.get_xticklabels()[:first]:
            tick.set_color(NOTHING)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylim(0, 1.1 + (0.028 * max(map(len, other.values())) if sideways else 0))
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.set_xlabel(f"the text, {unit} by {unit}")
        axes.set_ylabel("predicted probability")
        loss = float(np.mean(-np.log(np.maximum(came, 1e-300))))
        axes.set_title(f"{name}: predictions of each next {unit} (mean loss {loss:.2f} nats per {unit})", loc="left")
        figure.legend(handles=[*handles, nothing], frameon=False, loc="outside lower center", ncols=3)
