"""python -m zoo: the models and the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zoo.command import Parser, result, run

COMMANDS = """\
python -m zoo.train MODEL                       train it and keep it in runs/MODEL
python -m zoo.generate MODEL --prompt "TEXT"    let it continue a text
python -m zoo.predict MODEL "TEXT"              what it expects to come next
python -m zoo.evaluate MODEL                    how well it foretells what it hasn't learned
Add --help to a command for its options."""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = Parser("", "The models of the zoo and the commands that work with them.", add_help=True).parse(arguments)

    from zoo.registry import create_model, list_models, model_class
    from zoo.training.checkpoint import default_folder

    if not options.json:
        print(f"{'model':<14}{'parameters':>11}  {'learns from':<16}{'loss':>6}{'trains in':>11}  what it does")
    any_own = False
    for name in list_models():
        kind, size = model_class(name), create_model(name).num_parameters()
        own = _last_run(default_folder(name))
        any_own = any_own or own is not None
        loss, seconds = own or kind.trains
        figures = {
            "model": name, "parameters": size, "corpus": kind.corpus.name, "loss": loss, "seconds": seconds,
            "trained_here": own is not None, "about": kind.about,
        }  # fmt: skip
        mark = "*" if own else " "
        line = f"{name:<14}{size:>11,}  {kind.corpus.name:<16}{loss:>6.3f}{_duration(seconds):>10}{mark}  {kind.about}"
        result(options, line, figures)
    if not options.json:
        print("\nLosses are in nats a token, on held-out text where the text is long enough; times are for two cores.")
        if any_own:
            print("* your own run in runs/")
        print(f"\n{COMMANDS}")
    return 0


def _last_run(folder: Path) -> tuple[float, float] | None:
    """The loss of a user's own run, and how long it took; None where there is none."""
    try:
        metrics: list[dict[str, Any]] = [
            json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        held_out = [m["validation_loss"] for m in metrics if "validation_loss" in m]
        return float(min(held_out) if held_out else metrics[-1]["loss"]), float(metrics[-1]["seconds"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    run("", main)
