"""Optimizers, which use gradients to change parameters; clipping; and schedules for the learning rate.

optimizer = AdamW(model.parameters(), lr=1e-3)
schedule = warmup_cosine(warmup=100, steps=5000)
for step in range(5000):
    loss = ...
    loss.backward()
    clip_grad_norm(model.parameters(), 1.0)
    optimizer.step(schedule(step))
    optimizer.zero_grad()
"""

from typing import Any as _Any

from microtensor import hints as _hints
from microtensor.optim.muon import Muon
from microtensor.optim.optimizer import (
    SGD,
    Adam,
    AdamW,
    Optimizer,
    Schedule,
    clip_grad_norm,
    constant,
    linear_decay,
    piecewise,
    warmup_cosine,
)

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Muon",
    "Optimizer",
    "Schedule",
    "clip_grad_norm",
    "constant",
    "linear_decay",
    "piecewise",
    "warmup_cosine",
]


def __getattr__(name: str) -> _Any:
    raise _hints.missing(__name__, name)
