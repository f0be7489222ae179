"""Writing text with char_gpt, one character at a time, with the keys and values of earlier ones kept.

Everybody draws characters at temperature 1 from softmax, starting from the same one; when the context is full, a third is
kept. PyTorch's weights are the same; it runs on one thread (two were no faster for one row), eagerly and compiled
for a cache of fixed size.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from typing import Any

import gpt
import numpy as np
from measure import Row, compared, has_torch, interleaved

from zoo.inference.decoder import Decoder
from zoo.inference.decoder import kept as kept_after
from zoo.inference.generation import generate
from zoo.inference.sampling import Sampling

WITHIN, LONG = 256, 1024  # characters: within the context, and four times as many


def run(quick: bool) -> list[Row]:
    """The rows of the table."""
    rounds = 1 if quick else 7
    model = gpt.start().eval()
    rows = []
    decoder = Decoder(model)
    contestants: dict[str, Callable[[int], Any]] = {
        "microtensor": lambda n: list(generate(decoder, [0], n, Sampling(1.0), np.random.default_rng(0)))
    }
    if has_torch():
        contestants["PyTorch"] = Torch().write
        contestants["PyTorch, torch.compile"] = Torch(compiled=True).write
    for length in (WITHIN, LONG):
        seconds = interleaved(
            {name: functools.partial(write, length) for name, write in contestants.items()}, rounds, rest=0.05
        )
        for rival in ("PyTorch", "PyTorch, torch.compile"):
            case = f"char_gpt writes a character, {length} long"
            row = compared(case, "us", 1e6 / length, seconds, rival)
            row.share = f"{1e6 / (row.ours or 1):,.0f} characters/s"
            rows.append(row)
    rows += [first_text(model), agreement(model)]
    return rows


def first_text(model: Any) -> Row:
    """Measure what a new decoder costs before its second text: packing the weights, and comparing the kernel with the model
    at all positions. (A compiled PyTorch model takes half a minute.)"""

    def compare() -> None:
        decoder = Decoder(model)
        assert decoder.blocks is not None and decoder.blocks.agrees(model, [0] * model.recipe.context)

    seconds = interleaved({"microtensor": compare}, 7)["microtensor"]
    return Row("a decoder for char_gpt is made and compared, once", "ms", ours=1e3 * statistics.median(seconds))


def agreement(model: Any) -> Row:
    """Compare the fused decoder's logits with those of the model itself."""
    tokens = np.random.default_rng(0).integers(0, model.vocabulary_size, 600).tolist()
    fused, plain = Decoder(model), Decoder(model, fused=False)
    worst = 0.0
    for i, token in enumerate(tokens):
        logits = fused.read([token])
        if i % 25 == 24:
            expected = plain.read(tokens[i - 24 : i + 1])
            worst = max(worst, float(np.abs(logits - expected).max()))
    note = f"{'failed: ' if worst > 1e-4 else ''}they differ by {worst:.1g} at most"
    return Row("logits with the cache and without, 600 characters", "", note=note)


class Torch:
    """PyTorch's model with a cache."""

    def __init__(self, compiled: bool = False) -> None:
        import torch

        self.torch = torch
        self.compiled = compiled
        self.model = gpt.torch_model().eval()
        recipe = gpt.start().recipe
        self.context = recipe.context
        shape = (recipe.layers, 1, recipe.heads, recipe.context, recipe.width // recipe.heads)
        self.keys, self.values = list(torch.zeros(shape)), list(torch.zeros(shape))
        self.step = torch.compile(self.model.cached) if compiled else self.model.cached
        self.masks = torch.tril(torch.ones(self.context, self.context, dtype=torch.bool))[:, None, None, None]
        self.positions = torch.arange(self.context)[:, None]

    def write(self, length: int) -> list[int]:
        """Write so many characters after the first."""
        torch = self.torch
        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(0)
        text, position = [0], 0
        with torch.inference_mode():
            logits = self.model.fill(torch.tensor([text]), self.keys, self.values)
            for _ in range(length):
                token = torch.multinomial(torch.softmax(logits, 0), 1, generator=generator)
                text.append(int(token))
                position += 1
                if position == self.context:  # it slides as the zoo's does
                    kept = text[-kept_after(len(text), self.context) :]
                    logits, position = self.model.fill(torch.tensor([kept]), self.keys, self.values), len(kept) - 1
                    continue
                seen = self.masks[position] if self.compiled else position + 1
                logits = self.step(token[None], self.positions[position], self.keys, self.values, seen)
        torch.set_num_threads(2)
        return text
