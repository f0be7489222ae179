"""The attention weights of every layer and head, for one text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import DataError, UsageError
from zoo.explain.trace import Trace
from zoo.model import Model
from zoo.plots.style import SHADES, below, drawing, label
from zoo.tokenizers.tokenizer import Tokenizer

#: Of a longer text, the picture couldn't be read.
MOST = 40
LOOK_FOR = (
    "Each row adds up to 1: how the position at its left (the query) spreads its attention over the positions below (the "
    "keys). Grey is hidden by the causal mask. Look for a dark diagonal (a head that reads the same distance back everywhere, "
    "such as the token just before), a dark column (one position that all later ones read), and single dark cells (a position "
    "that finds the one it needs)."
)
GROUPED = (
    "Tokens are grouped into words: weights are summed over the tokens of the key's word, and averaged over those of the "
    "query's. "
)


def group_words(tokenizer: Tokenizer, tokens: list[int]) -> list[list[int]]:
    """The indices of the tokens of each word of a text. Words are what blanks separate; blanks belong to the word before."""
    groups: list[list[int]] = []
    blank = True
    for i, token in enumerate(tokens):
        text = tokenizer.token_bytes(token).decode(errors="replace")
        if not groups or (blank and text.strip()) or (text[:1].isspace() and text.strip()):
            groups.append([])
        groups[-1].append(i)
        blank = text[-1:].isspace()
    return groups


def sum_words(weights: np.ndarray, groups: list[list[int]]) -> np.ndarray:
    """Attention weights (..., tokens, tokens) between words (..., words, words): summed over the tokens of the word at the key
    position, and averaged over those of the word at the query position. So each row still adds up to 1."""
    starts = [group[0] for group in groups]
    summed = np.add.reduceat(np.add.reduceat(weights, starts, axis=-1), starts, axis=-2)
    return np.asarray(summed / np.array([len(group) for group in groups])[:, None])


def draw_attention(
    name: str, model: Model, tokenizer: Tokenizer, tokens: list[int], out: Path, words: bool | None = None
) -> None:
    """A row of panels for each use of attention, a panel for each head; in a panel a row for each query position, and a column
    for each key position. With `words` (where it is None: if the text is too long to show each token), tokens are grouped into
    words.

    Raises UsageError for a model without attention, and DataError for a text that is too short or too long.
    """
    fits = 2 <= len(tokens) <= min(MOST, model.recipe.context)
    groups = [[i] for i in range(len(tokens))]
    if words or (words is None and not fits):
        groups = group_words(tokenizer, tokens)
    grouped = len(groups) < len(tokens)
    if not 2 <= len(groups) <= MOST or len(tokens) > model.recipe.context:
        most = min(MOST, model.recipe.context)
        limit = "" if most == model.recipe.context else f" (or of words, in up to {model.recipe.context} tokens)"
        raise DataError(f"the text has {len(tokens)} tokens; the picture shows from 2 to {most}{limit}")
    layers = Trace(model, tokens).attention
    if not layers:
        raise UsageError(f"{name} has no attention; char_gpt and chat_gpt have")
    names = [_group_name(tokenizer, [tokens[i] for i in group]) for group in groups]
    heads = max(len(weights) for _, weights in layers)
    # (Room for letters that can be read, in a picture that isn't larger than a wall.)
    sideways = max(map(len, names)) > 2
    each = min(max(1.9, 5 / heads, (0.13 if sideways else 0.105) * len(names)), 21 / heads)
    size = max(4.0, min(9.0, 52 * each / len(names)))
    longest = 0.008 * size * max(map(len, names))
    wide, high = each * heads + 1.7 + longest, each * len(layers) + 1.7 + (longest if sideways else 0)
    with drawing(out, len(layers), heads, (wide, high)) as (figure, axes):
        grid: Any = np.reshape(axes, (len(layers), heads))
        for layer, head in np.ndindex(grid.shape):
            axis, (path, weights) = grid[layer, head], layers[layer]
            if head >= len(weights):
                axis.set_axis_off()
                continue
            # (What the causal mask hides has no colour; without a mask, nothing is hidden.)
            shown = sum_words(weights[head], groups)
            seen = np.tri(len(names), dtype=bool) | (shown > 0)
            image = axis.imshow(np.where(seen, shown, np.nan), cmap=SHADES, vmin=0, vmax=1)
            axis.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=9)
            if head == 0:
                axis.set_ylabel(f"{path}\nquery position", fontsize=9)
            axis.set_facecolor("0.92")
            below_all = layer == len(layers) - 1
            if below_all:
                axis.set_xlabel("key position", fontsize=9)
            axis.set_xticks(range(len(names)), names if below_all else [], fontsize=size, rotation=90 if sideways else 0)
            axis.set_yticks(range(len(names)), names if head == 0 else [], fontsize=size)
            axis.tick_params(length=0)
        figure.colorbar(image, ax=axes, shrink=min(0.9, 5 / high), aspect=25, label="attention weight")
        figure.suptitle(f"{name}: attention weights{' between words' if grouped else ''}")
        below(figure, (GROUPED if grouped else "") + LOOK_FOR)


def _group_name(tokenizer: Tokenizer, tokens: list[int]) -> str:
    """The name of a token, or of the tokens of a word, without the blanks around it."""
    if len(tokens) == 1:
        return label(tokenizer.vocabulary[tokens[0]])
    text = tokenizer.decode(tokens)
    return label(" ".join(text.split()) or text[0])
