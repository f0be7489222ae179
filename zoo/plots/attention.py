"""The attention weights of every layer and head, for one text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import DataError, UsageError
from zoo.explain.trace import Trace
from zoo.model import Model
from zoo.plots.style import SHADES, drawing, label
from zoo.tokenizers.tokenizer import Tokenizer

#: Of a longer text, the picture couldn't be read.
MOST = 40


def draw_attention(name: str, model: Model, tokenizer: Tokenizer, tokens: list[int], out: Path) -> None:
    """A row of panels for each use of attention, a panel for each head; in a panel a row for each query position, and a column
    for each key position.

    Raises UsageError for a model without attention, and DataError for a text that is too short or too long.
    """
    most = min(MOST, model.recipe.context)
    if not 2 <= len(tokens) <= most:
        raise DataError(f"the text has {len(tokens)} tokens; the picture shows from 2 to {most}")
    layers = Trace(model, tokens).attention
    if not layers:
        raise UsageError(f"{name} has no attention; char_gpt and chat_gpt have")
    names = [label(tokenizer.vocabulary[token]) for token in tokens]
    heads = max(len(weights) for _, weights in layers)
    each = min(max(1.6, 0.13 * len(tokens)), 13 / heads)
    size = max(3.0, min(9.0, 52 * each / len(tokens)))
    sideways = 90 if max(map(len, names)) > 2 else 0
    with drawing(out, len(layers), heads, (each * heads + 1.6, each * len(layers) + 1.2)) as (figure, axes):
        grid: Any = np.reshape(axes, (len(layers), heads))
        for layer, head in np.ndindex(grid.shape):
            axis, (path, weights) = grid[layer, head], layers[layer]
            if head >= len(weights):
                axis.set_axis_off()
                continue
            # (What the causal mask hides has no colour; without a mask, nothing is hidden.)
            seen = np.tri(len(tokens), dtype=bool) | (weights[head] > 0)
            image = axis.imshow(np.where(seen, weights[head], np.nan), cmap=SHADES, vmin=0, vmax=1)
            axis.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=9)
            if head == 0:
                axis.set_ylabel(path, fontsize=9)
            axis.set_facecolor("0.92")
            axis.set_xticks(range(len(tokens)), names if layer == len(layers) - 1 else [], fontsize=size, rotation=sideways)
            axis.set_yticks(range(len(tokens)), names if head == 0 else [], fontsize=size)
            axis.tick_params(length=0)
        figure.supylabel("query position")
        figure.supxlabel("key position (the causal mask hides what comes later, in grey)")
        figure.colorbar(image, ax=axes, shrink=0.6, label="attention weight (each row adds up to 1)")
        figure.suptitle(f"{name}: attention weights")
