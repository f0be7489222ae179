"""A training step of wavenet and of mamba, forward, backward, clipping and AdamW: ours, PyTorch's, and PyTorch's compiled.

All start from the same weights and see the same batches; that they learn the same is checked by their losses.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import state_space
from measure import Row, compared, has_torch, interleaved


def run(quick: bool) -> list[Row]:
    """The rows of the table."""
    rounds = 2 if quick else 10
    return [row for name in ("wavenet", "mamba") for row in steps(name, rounds)]


def steps(name: str, rounds: int) -> list[Row]:
    """Training steps, against PyTorch and PyTorch compiled."""
    recipe = state_space.start(name).recipe
    rng = np.random.default_rng(0)
    texts = rng.integers(0, 65, (rounds + 2, recipe.batch_size, recipe.context + 1))
    contestants: dict[str, Any] = {"microtensor": state_space.Microtensor(name)}
    notes = {}
    if has_torch():
        contestants["PyTorch"] = state_space.PyTorch(name)
        contestants["PyTorch, torch.compile"] = state_space.PyTorch(name, compiled=True)
    losses: dict[str, list[float]] = {contestant: [] for contestant in contestants}

    def step(contestant: str, text: np.ndarray) -> None:
        losses[contestant].append(contestants[contestant].step(text[:, :-1].copy(), text[:, 1:].copy()))

    for contestant in list(contestants):
        try:
            step(contestant, texts[0])
        except Exception as error:  # torch.compile wants a C++ compiler
            notes[contestant] = f"failed: {type(error).__name__}: {error}".splitlines()[0]
            del contestants[contestant]

    def work(contestant: str) -> Any:
        todo = itertools.cycle(texts[1:])
        return lambda: step(contestant, next(todo))

    seconds = interleaved({contestant: work(contestant) for contestant in contestants}, rounds, rest=0.02)
    rows = []
    for rival in ("PyTorch", "PyTorch, torch.compile"):
        case = f"{name} training step, {recipe.context} x {recipe.batch_size} characters"
        row = compared(case, "ms", 1e3, seconds, rival)
        row.note = notes.get(rival, row.note)
        if rival in seconds and not np.allclose(losses["microtensor"], losses[rival], rtol=1e-3):
            row.note = "learned something else"
        rows.append(row)
    return rows
