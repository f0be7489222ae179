"""python -m zoo.plot losses RUN ...: draw how training went, as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zoo.command import Parser, result, run
from zoo.errors import DataError, UsageError

#: Colours that colour-blind readers can tell apart (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser("plot", "Draw the losses of one or several runs, while learning and on held-out text.")
    parser.add_argument("what", metavar="losses", choices=("losses",), help="what to draw")
    parser.add_argument("runs", metavar="RUN", nargs="+", help="a run folder, or the name of a model trained in runs/")
    parser.add_argument("--out", metavar="FILE", default="losses.png", help="a .png or .svg file (default: losses.png)")
    options = parser.parse(arguments)
    out = Path(options.out)
    if out.suffix not in (".png", ".svg"):
        raise UsageError(f"--out: needs a name that ends in .png or .svg, not {options.out!r}")
    if not out.parent.is_dir():
        raise UsageError(f"--out: there is no folder {out.parent}")
    metrics = [(name, _metrics(name)) for name in options.runs]
    try:
        import matplotlib
    except ImportError:
        raise UsageError("drawing needs matplotlib, which isn't installed: pip install 'microtensor[plot]'") from None
    matplotlib.use("agg")
    _draw(metrics, out)
    result(options, f"Drawn: {out}", {"file": str(out)})
    return 0


def _metrics(run: str) -> list[dict[str, Any]]:
    """The losses that a run kept. Raises DataError."""
    from zoo.training.checkpoint import find

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


def _draw(runs: list[tuple[str, list[dict[str, Any]]]], out: Path) -> None:
    """The picture: steps to the right, losses upwards; the lowest held-out loss is marked."""
    from matplotlib import pyplot

    # (Text as text, and no date: the same run gives the same file.)
    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": "zoo", "font.size": 11}):
        figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
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
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        if len(runs) == 1:
            axes.set_title(f"{Path(runs[0][0]).name}: loss while learning")
        figure.savefig(out, dpi=150, metadata={"Date": None} if out.suffix == ".svg" else None)
        pyplot.close(figure)


if __name__ == "__main__":
    run("plot", main)
