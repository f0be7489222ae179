"""python -m zoo: the models and the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zoo.cli import Parser, in_one_line, result, run
from zoo.errors import UserError
from zoo.reporter import as_called, note

COMMANDS = """\
python -m zoo.train MODEL                     train it and keep it in runs/MODEL
python -m zoo.generate MODEL --prompt "TEXT"  let it continue a text
python -m zoo.predict MODEL "TEXT"            what it expects to come next
python -m zoo.chat                            talk with chat_gpt
python -m zoo.evaluate MODEL                  its loss on text it hasn't learned
python -m zoo.explain MODEL "TEXT"            one prediction in all its numbers
python -m zoo.compare MODEL --width 16 32     what happens if: a table of runs
python -m zoo.plot losses MODEL               learning curves and more, drawn
Add --help to a command for its options."""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    epilog = "zoo --print-completion bash (or zsh, tcsh) writes what makes the shell complete commands, options and models."
    description = "The models of the zoo and the commands that work with them."
    options = Parser("", description, epilog=epilog).parse(arguments)

    from zoo.registry import create_model, list_models, model_class

    if not options.json:
        print(f"{'model':<14}{'parameters':>10}  {'learns from':<16}{'loss':>6}{'trains in':>10}  what it does")
    any_own = False
    for name in list_models():
        try:
            kind, own = model_class(name), _own_run(name)
            about = kind.description
            made = (create_model(name).num_parameters(), kind.recipe_class.corpus.name, *(about.reference or (None, None)))
        except Exception as error:  # one that can't be used doesn't hide the others
            note(f"zoo: {in_one_line(error)}")
            continue
        any_own = any_own or own is not None
        title = about.title or (kind.__doc__ or "").strip().partition("\n")[0]
        size, corpus, loss, seconds = own or made
        figures = {
            "model": name, "parameters": size, "corpus": corpus, "loss": loss, "seconds": seconds,
            "trained_here": own is not None, "about": title,
        }  # fmt: skip
        mark = "*" if own else " "
        shown = f"{'-':>6}{'-':>9}" if loss is None or seconds is None else f"{loss:>6.3f}{_duration(seconds):>9}"
        line = f"{name:<14}{size:>10,}  {corpus[:16]:<16}{shown}{mark}  {title}"
        result(options, line, figures)
    if not options.json:
        print("\nLosses: nats a token, on held-out text if it is long enough. Times: two cores.")
        if any_own:
            print("* your own run in runs/")
        print(as_called(f"\n{COMMANDS}"))
    return 0


def _own_run(name: str) -> tuple[int, str, float, float] | None:
    """Of a user's own run: its parameters, its text, the loss, and how long it took; None where there is none to be read."""
    from zoo.training.checkpoint import default_folder, in_run_folder

    checkpoint = in_run_folder(default_folder(name), name)
    try:
        lines = (checkpoint.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        metrics: list[dict[str, Any]] = [json.loads(line) for line in lines]
        held_out = [m["validation_loss"] for m in metrics if "validation_loss" in m]
        loss, seconds = float(min(held_out) if held_out else metrics[-1]["loss"]), float(metrics[-1]["seconds"])
        model, _ = checkpoint.load()
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, UserError):
        return None
    corpus = model.recipe.corpus.name if model.recipe.data is None else Path(model.recipe.data).name
    return model.num_parameters(), corpus, loss, seconds


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    run("", main)
