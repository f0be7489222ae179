"""A training step of a GPT: forward, backward, clipping and AdamW, in microtensor, PyTorch, and PyTorch compiled; and its
memory.

All start from the same weights and see the same batches; that they learn the same is checked by their losses. Memory is
what a process of their own needs at its highest, which counts the library itself too.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import gpt
import numpy as np
from measure import Row, compared, has_torch, interleaved, share_of_peak


def run(quick: bool) -> list[Row]:
    """The rows of the table."""
    rounds = 4 if quick else 25
    rows = steps("char_gpt training step, 256 x 16 characters", "char_gpt", 0.0, rounds)
    rows += steps("the same with dropout 0.2, as the default recipe has it", "char_gpt", 0.2, max(rounds // 2, 2))
    rows += steps("chat_gpt training step, 128 x 32 characters", "chat_gpt", 0.0, 2 * rounds)
    rows += steps("modern_gpt training step, 256 x 16 characters, Muon", "modern_gpt", 0.0, max(rounds // 2, 2))
    return [*rows, memory()]


def steps(case: str, model: str, dropout: float, rounds: int) -> list[Row]:
    """Training steps, against PyTorch and PyTorch compiled."""
    contestants: dict[str, Any] = {"microtensor": gpt.Microtensor(model, dropout)}
    notes = {}
    if has_torch():
        contestants["PyTorch"] = gpt.PyTorch(model, dropout=dropout)
        contestants["PyTorch, torch.compile"] = gpt.PyTorch(model, compiled=True, dropout=dropout)
    stream = batches(model)
    first = next(stream)
    losses: dict[str, list[float]] = {name: [] for name in contestants}
    for name in list(contestants):
        try:
            losses[name].append(contestants[name].step(*first))
        except Exception as error:  # torch.compile wants a C++ compiler
            notes[name] = f"failed: {type(error).__name__}: {error}".splitlines()[0]
            del contestants[name]
    data = list(itertools.islice(stream, rounds + 1))

    def work(name: str) -> Any:
        todo = iter(data)
        return lambda: losses[name].append(contestants[name].step(*next(todo)))

    seconds = interleaved({name: work(name) for name in contestants}, rounds, rest=0.02)
    rows = []
    for rival in ("PyTorch", "PyTorch, torch.compile"):
        row = compared(case, "ms", 1e3, seconds, rival)
        row.note = notes.get(rival, row.note)
        if rival in seconds and not dropout and not np.allclose(losses["microtensor"], losses[rival], rtol=1e-3):
            row.note = "learned something else"
        row.share = share_of_peak(operations(model), statistics.median(seconds["microtensor"]))
        rows.append(row)
    return rows


def operations(model: str) -> int:
    """Count the floating-point operations of a step: 6 for each weight of a product and each character, and attention's seven
    products, half masked."""
    recipe = gpt.start(model).recipe
    weights = recipe.layers * 12 * recipe.width**2 + recipe.width * gpt.start(model).vocabulary_size
    products = recipe.layers * 7 * recipe.batch_size * recipe.context**2 * recipe.width
    return 6 * recipe.batch_size * recipe.context * weights + products


def memory() -> Row:
    """The most memory that a process needs for three steps."""
    row = Row("peak memory of a process that does char_gpt's step", "MB", rival_name="PyTorch")
    row.ours = peak("Microtensor")["all"]
    row.details = {"microtensor": peak("Microtensor")}
    if not has_torch():
        row.note = "PyTorch is not installed (pip install torch)"
        return row
    row.details["PyTorch"] = peak("PyTorch")
    row.rival = row.details["PyTorch"]["all"]
    row.ratio = row.rival / row.ours
    row.note = f"{row.ours / row.rival:.2f} of it"
    return row


def peak(contestant: str) -> dict[str, float]:
    """Megabytes at the highest, in all and before the first step."""
    code = f"""
import json, gpt, gpt_step
def used():  # (getrusage would count what the parent had when it forked)
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
model, stream = gpt.{contestant}(), gpt_step.batches()
before = used()
for _ in range(3):
    model.step(*next(stream))
print(json.dumps({{"all": used(), "before": before}}))
"""
    folder = Path(__file__).parent
    environment = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(folder.parent)!r}]"
    done = subprocess.run([sys.executable, "-c", environment + code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def batches(model: str = "char_gpt", seed: int = 0) -> Any:
    """An endless stream of (inputs, targets), the same for every contestant: characters that follow a simple rule."""
    recipe = gpt.start(model).recipe
    characters = gpt.start(model).vocabulary_size
    rng = np.random.default_rng(seed)
    follows = rng.integers(0, characters, (characters, 4))
    while True:
        text = np.empty((recipe.batch_size, recipe.context + 1), np.int64)
        text[:, 0] = rng.integers(0, characters, recipe.batch_size)
        choices = rng.integers(0, 4, (recipe.batch_size, recipe.context))
        for i in range(recipe.context):
            text[:, i + 1] = follows[text[:, i], choices[:, i]]
        yield text[:, :-1].copy(), text[:, 1:].copy()
