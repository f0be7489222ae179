"""The learning curves of one or several runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zoo.errors import DataError
from zoo.pictures.style import COLOURS, drawing
from zoo.training.checkpoint import find


def read_metrics(run: str) -> list[dict[str, Any]]:
    """The losses that a run kept. Raises DataError."""
    checkpoint = find(run)
    checkpoint.read_config()  # refuses what is no run folder
    if checkpoint.state is None:
        raise DataError(
            f"no losses: the weights that come with the zoo were kept without; train first: python -m zoo.train {run}"
        )
    file = checkpoint.folder / "metrics.jsonl"
    try:
        found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        if not found:
            raise DataError(f"no losses yet: {file} is empty; train further")
        keys = ("step", "loss", "validation_loss")
        return [{key: float(m[key]) for key in keys if key in m or key != "validation_loss"} for m in found]
    except FileNotFoundError:
        raise DataError(f"no losses: there is no {file}; train first: python -m zoo.train {run}") from None
    except OSError as error:
        raise DataError(f"can't be read: {file}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise DataError(f"damaged: {file}: {error}; train again") from None


def draw_losses(runs: list[tuple[str, list[dict[str, Any]]]], out: Path) -> None:
    """Steps to the right, losses upwards; the lowest held-out loss is marked."""
    with drawing(out) as (_, axes):
        for colour, (name, metrics) in zip(COLOURS * len(runs), runs, strict=False):
            label = f"{Path(name).name}, " if len(runs) > 1 else ""
            axes.plot([m["step"] for m in metrics], [m["loss"] for m in metrics], "--", color=colour, label=f"{label}learning")
            held_out = [(m["validation_loss"], m["step"]) for m in metrics if "validation_loss" in m]
            if held_out:
                axes.plot([s for _, s in held_out], [v for v, _ in held_out], "-", color=colour, label=f"{label}held-out text")
                loss, step = min(held_out)
                axes.plot(step, loss, "o", color=colour)
                axes.annotate(f"{loss:.3f}", (step, loss), (0, 8), textcoords="offset points", ha="center")
        axes.set_xlabel("training step")
        axes.set_ylabel("mean loss (nats a token)")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        if len(runs) == 1:
            axes.set_title(f"{Path(runs[0][0]).name}: loss while learning")
