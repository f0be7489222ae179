"""The learning curves of one or several runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zoo.errors import DataError
from zoo.plots.style import COLOURS, drawing
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
    labels = [f"{name}, " for name in short_names([name for name, _ in runs])] if len(runs) > 1 else [""]
    with drawing(out, size=(8, 4.5 + 0.12 * len(runs))) as (figure, axes):
        for colour, label, (_, metrics) in zip(COLOURS * len(runs), labels, runs, strict=False):
            steps, losses = [m["step"] for m in metrics], [m["loss"] for m in metrics]
            axes.plot(steps, losses, "--", color=colour, label=f"{label}learning", marker="." if len(steps) < 20 else "")
            held_out = [(m["validation_loss"], m["step"]) for m in metrics if "validation_loss" in m]
            if held_out:
                axes.plot([s for _, s in held_out], [v for v, _ in held_out], "-", color=colour, label=f"{label}held-out text")
                loss, step = min(held_out)
                axes.plot(step, loss, "o", color=colour)
                axes.annotate(f"{loss:.3f}", (step, loss), (0, 8), textcoords="offset points", ha="center")
        axes.set_xlabel("training step")
        axes.set_ylabel("mean loss (nats a token)")
        axes.grid(alpha=0.3)
        figure.legend(frameon=False, loc="outside lower center", ncols=2)
        if len(runs) == 1:
            axes.set_title(f"{Path(runs[0][0]).name}: loss while learning")


def short_names(runs: list[str]) -> list[str]:
    """Name runs by their differences: the names of their folders, without the parts that all share (width-16_steps-5:
    width-16)."""
    names = [Path(run).name.split("_") for run in runs]
    shared = set(names[0]).intersection(*names[1:])
    short = ["_".join(part for part in name if part not in shared) for name in names]
    return short if all(short) and len(set(short)) == len(short) else [Path(run).name for run in runs]
