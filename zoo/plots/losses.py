"""The learning curves of one or several runs."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

from zoo.errors import DataError
from zoo.plots.style import COLOURS, drawing
from zoo.training.checkpoint import find

#: What can lie along the horizontal axis.
AXES = {"steps": "training step", "share": "share of the run's training steps", "seconds": "training time (seconds)"}
#: Of curves whose colours come a second time.
MARKERS = (".", "s", "^", "D")
#: With more runs than this, the title counts them.
NAMED_IN_TITLE = 2
#: A longer line of the legend has a row of its own.
HALF_A_ROW = 44


def read_metrics(run: str) -> list[dict[str, Any]]:
    """The losses that a run kept, at least one. Raises DataError."""
    checkpoint = find(run)
    checkpoint.read_config()  # refuses what is no run folder
    if checkpoint.metrics is None:
        raise DataError(
            f"no losses: the weights that come with the zoo were kept without; train first: python -m zoo.train {run}"
        )
    metrics = checkpoint.read_metrics()
    if metrics:
        return metrics
    if checkpoint.metrics.exists():
        raise DataError(f"no losses yet: {checkpoint.metrics} is empty; train further")
    raise DataError(f"no losses: there is no {checkpoint.metrics}; train first: python -m zoo.train {run}")


def draw_losses(runs: list[tuple[str, list[dict[str, Any]]]], out: Path, axis: str = "steps", log: str = "") -> None:
    """The training loss of each run, and its validation loss where it has one, whose lowest value is marked.

    Args:
        runs: the name or folder of each, and its metrics.
        axis: one of AXES.
        log: which axes are logarithmic: "", "x", "y" or "xy".

    Raises DataError for a run that kept no times, where they are wanted.
    """
    names = run_names([name for name, _ in runs])
    both = any("validation_loss" in m for _, metrics in runs for m in metrics)
    with drawing(out, size=(8, 4.7 + 0.22 * len(runs))) as (figure, axes):
        training, validation = [], []
        for i, (name, (_, metrics)) in enumerate(zip(names, runs, strict=True)):
            colour, kind = COLOURS[i % len(COLOURS)], MARKERS[i // len(COLOURS) % len(MARKERS)]
            along = _along(axis, name, metrics, "x" in log)
            style: Any = {"color": colour, "marker": kind if len(metrics) < 20 or i >= len(COLOURS) else "", "markersize": 4}
            training += axes.plot(along, [m["loss"] for m in metrics], "--", **style)
            training[-1].set_label(_legend(name, "training loss", len(runs) > 1, both))
            measured = [(x, m["validation_loss"]) for x, m in zip(along, metrics, strict=True) if "validation_loss" in m]
            if measured:
                validation += axes.plot(*zip(*measured, strict=True), "-", **style)
                lowest = min((loss, x) for x, loss in measured) if any(math.isfinite(v) for _, v in measured) else None
                says = "validation loss" + (f" (lowest: {lowest[0]:.3f})" if lowest else "")
                validation[-1].set_label(_legend(name, says, len(runs) > 1, both))
                if lowest:
                    axes.plot(lowest[1], lowest[0], "o", color=colour, markersize=7)
        _scale(axes, axis, log)
        axes.set_xlabel(AXES[axis] + (", logarithmic scale" if "x" in log else ""))
        axes.set_ylabel(f"{'loss' if both else 'training loss'} (nats per token{', logarithmic scale' if 'y' in log else ''})")
        axes.grid(alpha=0.3)
        lines = [*training, *validation]
        if len(validation) not in (0, len(training)):  # (pairs couldn't stand in a row)
            lines = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
        if len(lines) > 1:
            longest = max(len(line.get_label().partition("\n")[0]) for line in lines)
            columns = 1 if longest > HALF_A_ROW or len(lines) < 2 else 2
            figure.legend(handles=lines, frameon=False, loc="outside lower center", ncols=columns, fontsize=10)
        what = " and ".join(names) if len(names) <= NAMED_IN_TITLE else f"{len(names)} runs"
        axes.set_title(textwrap.fill(f"{what}: loss during training", 75), loc="left")


def run_names(runs: list[str]) -> list[str]:
    """Name runs by their folders, by whole paths where two folders have the same name."""
    names = [Path(run).name for run in runs]
    return [run if names.count(name) > 1 else name for run, name in zip(runs, names, strict=True)]


def _along(axis: str, name: str, metrics: list[dict[str, Any]], log: bool) -> list[float]:
    """The place of each of a run's metrics along the horizontal axis."""
    if axis == "seconds":
        if any("seconds" not in m for m in metrics):
            raise DataError(f"no times: the run {name} was kept without; choose --axis steps")
        return [max(m["seconds"], 0.01 if log else 0.0) for m in metrics]  # (as they are rounded)
    whole = metrics[-1]["step"] if axis == "share" else 1
    return [m["step"] / whole for m in metrics]


def _legend(name: str, what: str, several: bool, both: bool) -> str:
    """A line of the legend: the run, where there are several, and what was measured, where there is more than one thing."""
    return textwrap.fill(f"{name}, {what}" if several and both else name if several else what, 80)


def _scale(axes: Any, axis: str, log: str) -> None:
    """Logarithmic axes where they are wanted, and numbers that can be read."""
    from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

    for name, each in (("x", axes.xaxis), ("y", axes.yaxis)):
        if name in log:
            getattr(axes, f"set_{name}scale")("log")
            low, high = sorted(each.get_view_interval())
            ratio = high / low if low > 0 else math.inf
            subs = (1, 1.5, 2, 3, 4, 6, 8) if ratio < 12 else (1, 2, 5) if ratio < 200 else (1,)
            each.set_major_locator(LogLocator(subs=subs, numticks=15))
            each.set_minor_formatter(NullFormatter())
        if name == "x":
            each.set_major_formatter(PercentFormatter(1, None) if axis == "share" else StrMethodFormatter("{x:,.6g}"))
        elif name in log:
            each.set_major_formatter(StrMethodFormatter("{x:g}"))
