"""That char_gpt is the model it says it is: from the same start and the same batches of Shakespeare, its losses are PyTorch's.

Both train with the zoo's recipe (AdamW, warmup, clipping; no dropout, whose chance would differ).
"""

from __future__ import annotations

import gpt
import numpy as np
from measure import Row, has_torch

from zoo.training.evaluation import split


def run(quick: bool) -> list[Row]:
    """The rows of the table."""
    steps = 10 if quick else 100
    row = Row(f"char_gpt: the first {steps} losses", "", rival_name="PyTorch")
    if not has_torch():
        row.note = "PyTorch is not installed (pip install torch)"
        return [row]
    ours, rival = gpt.Microtensor(), gpt.PyTorch()
    recipe = ours.model.recipe
    schedule = recipe.schedule(gpt.SETTINGS["char_gpt"]["steps"])
    tokenizer = recipe.make_tokenizer(recipe.read_text)
    dataset, _ = split(ours.model, [tokenizer.encode(recipe.read_text())], tokenizer)
    losses = []
    for i in range(steps):
        inputs, targets = dataset.batch(i, recipe.batch_size, 0)
        losses.append((ours.step(inputs, targets, schedule(i)), rival.step(inputs.copy(), targets.copy(), schedule(i))))
    difference = np.abs(np.diff(np.array(losses), axis=1)).max()
    row.ours, row.rival = losses[-1]
    row.note = f"{'failed: ' if difference > 1e-3 else ''}they differ by {difference:.1g} at most"
    row.details = {"losses": losses}
    return [row]
