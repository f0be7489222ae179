"""The ladder: how far each of several models comes in its time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.errors import DataError
from zoo.plots.style import COLOURS, QUIET, drawing


def draw_ladder(runs: Sequence[tuple[str, list[dict[str, Any]]]], out: Path, bits: bool) -> None:
    """The loss of each run over the time that it trained, with the lowest beside its name.

    Args:
        runs: the name of each, and its metrics.
        out: the picture's file.
        bits: the losses are drawn in bits per byte, and not in nats a token.

    Raises DataError where no loss was kept.
    """
    held_out = any("validation_loss" in m for _, metrics in runs for m in metrics)
    kind = "validation_loss" if held_out else "loss"
    curves = []
    for name, metrics in runs:
        scale = next((m["bits_per_byte"] / m[kind] for m in metrics if "bits_per_byte" in m), None) if bits else 1.0
        points = [(max(m["seconds"], 0.01), m[kind] * (scale or 1.0)) for m in metrics if kind in m and "seconds" in m]
        if points:
            curves.append((name, points))
    if not curves:
        raise DataError("no losses with their times were kept")
    with drawing(out, size=(8, 4.5)) as (figure, axes):
        lowest = sorted((min(loss for _, loss in points), name) for name, points in curves)
        for i, (name, points) in enumerate(curves):
            style = "-" if i < len(COLOURS) else "--"
            axes.plot(*zip(*points, strict=True), style, color=COLOURS[i % len(COLOURS)], marker=".", label=name)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("training time (seconds, logarithmic scale)")
        unit = "bits per byte" if bits else "nats a token"
        axes.set_ylabel(f"{'held-out' if held_out else 'training'} loss ({unit})")
        axes.grid(alpha=0.3)
        axes.set_title("How far each model comes", loc="left")
        entries = {line.get_label(): line for line in axes.get_lines()}
        legend = figure.legend(
            handles=[entries[name] for _, name in reversed(lowest)],
            labels=[f"{loss:.3f}  {name}" for loss, name in reversed(lowest)],
            title="lowest loss", loc="outside right upper", frameon=False, fontsize=10,
        )  # fmt: skip
        legend.get_title().set_color(QUIET)
