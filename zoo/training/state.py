"""The state and the metrics of a training run: the one place that says what they may hold, when they are saved and when they
are read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo.untrusted import from_json, to_json

#: No training has more steps.
MOST_STEPS = 10**12
#: The loss that is shown is the mean of this many last steps at most.
LONGEST_WINDOW = 10_000
#: The figures of a moment of training, and whether each must be there.
METRICS = {
    "step": True, "loss": True, "learning_rate": False, "tokens_per_second": False, "seconds": False, "validation_loss": False,
    "bits_per_byte": False,
}  # fmt: skip


@dataclass(frozen=True)
class State:
    """All that resuming needs. Raises ValueError, saying what is wrong, for what no training can come to.

    Args:
        step: how many steps are done.
        best: the lowest loss on the validation split; infinity before there is one.
        best_step: when that was reached; 0 before.
        recent_losses: of the last steps.
        model, optimizer: their arrays by name.
        carried: the hidden states that the next step goes on from, by name, where there are any.
    """

    step: int
    best: float
    best_step: int
    recent_losses: list[float]
    model: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]
    carried: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.step <= MOST_STEPS:
            raise ValueError(f"the step is {self.step}, which can't be")
        if math.isnan(self.best) or self.best == -math.inf or not 0 <= self.best_step <= self.step:
            raise ValueError(f"the best loss is {self.best} after step {self.best_step} of {self.step}, which can't be")
        if len(self.recent_losses) > LONGEST_WINDOW or not np.isfinite(self.recent_losses).all():
            raise ValueError("the losses of the last steps can't be these")
        for kind, arrays in (("model", self.model), ("optimizer", self.optimizer), ("carried", self.carried)):
            for name, array in arrays.items():
                if not np.isfinite(array).all():
                    raise ValueError(f"{kind}.{name} holds NaN or infinity")
        for name, array in self.optimizer.items():
            if name.endswith(".updates") and not (array.size == 1 and 0 <= array.item() <= self.step):
                raise ValueError(f"optimizer.{name} can't be what it is after {self.step} steps")

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the file."""
        return {
            "step": np.array(self.step),
            "best": np.array(self.best),
            "best_step": np.array(self.best_step),
            "recent_losses": np.array(self.recent_losses, np.float64),
            **{f"optimizer.{name}": array for name, array in self.optimizer.items()},
            **{f"model.{name}": array for name, array in self.model.items()},
            **{f"carried.{name}": array for name, array in self.carried.items()},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> State:
        """The state in the arrays of a file. Raises ValueError."""
        kinds = {"step": ("iu", 0), "best": ("f", 0), "best_step": ("iu", 0), "recent_losses": ("f", 1)}
        for name, (kind, dimensions) in kinds.items():
            if name not in arrays:
                raise ValueError(f"it has no {name}")
            if arrays[name].dtype.kind not in kind or arrays[name].ndim != dimensions:
                raise ValueError(f"its {name} is {arrays[name].dtype} of shape {arrays[name].shape}")
        step, best, best_step, losses = (arrays[name].tolist() for name in kinds)
        model, optimizer, carried = (within(arrays, kind) for kind in ("model.", "optimizer.", "carried."))
        return cls(step, best, best_step, losses, model, optimizer, carried)


def within(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def metrics_to_lines(metrics: Iterable[Mapping[str, Any]]) -> bytes:
    """Metrics as the file has them: a JSON object a line."""
    return "".join(f"{to_json(figures)}\n" for figures in metrics).encode()


def metrics_from_lines(raw: bytes) -> list[dict[str, Any]]:
    """The metrics in a file, with the figures that are known. Raises ValueError, naming the line."""
    found = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        if line.strip():
            try:
                found.append(_figures(from_json(line)))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    return found


def _figures(line: Any) -> dict[str, Any]:
    if not isinstance(line, dict):
        raise ValueError("it is no object")
    figures = {}
    for name, needed in METRICS.items():
        value = line.get(name)
        if value is None and not needed:  # (also where an earlier run wrote NaN)
            continue
        whole = name == "step"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not abs(value) <= 1e300:
            raise ValueError(f"its {name} is no {'whole ' * whole}number")
        if name in ("step", "seconds", "tokens_per_second") and not whole <= value <= MOST_STEPS:
            raise ValueError(f"its {name} can't be {value:g}")
        figures[name] = value
    return figures
