"""Training what isn't trained yet, and what came of it: a table, and of several models a picture."""

from __future__ import annotations

import argparse
import math
import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.cli import result
from zoo.columns import paragraph, table, table_or_records
from zoo.compare.budget import Budget
from zoo.compare.plan import Run, shown
from zoo.errors import DataError, UsageError
from zoo.reporter import note
from zoo.training.prepare import make_trainer
from zoo.training.run_folder import RunFolder
from zoo.training.trainer import Diverged, Interrupted, Trainer

#: How many folders the closing hint names.
MOST_NAMED = 8


def compare(runs: Sequence[Run], budget: Budget | None, options: argparse.Namespace) -> None:
    """Train what isn't trained yet, then show the table."""
    models = "model" in runs[0].values
    figures = []
    for i, run in enumerate(runs, 1):
        what = ", ".join(f"{field.replace('_', ' ')} {shown(field, value)}" for field, value in run.values.items())
        figures.append(_train(run, budget, f"Run {i} of {len(runs)}: {what}"))
        if options.json:
            result(options, "", {**run.values, **figures[-1]})
    held_out = any(f["validation_loss"] is not None for f in figures)
    # What a loss a token says depends on what a token is.
    other_tokens = len({(run.recipe.tokenizer, run.recipe.vocab_size) for run in runs}) > 1
    rows = [
        [*(shown(*value) for value in run.values.items()), *_cells(f, models, held_out, models or other_tokens).values()]
        for run, f in zip(runs, figures, strict=True)
    ]
    if not options.json:
        names = _cells(figures[0], models, held_out, models or other_tokens)
        head = [*(field.replace("_", " ") for field in runs[0].values), *names]
        lines = table([head, *rows], left=int(models))
        result(options, "\n".join(table_or_records(head, rows, lines)), {})
    if other_tokens:
        says = "Losses are in nats a token, and the tokens are others in each run: compare the bits per byte."
        note("\n".join(paragraph(says)))
    elif not held_out:
        says = "The losses are on what each run learned from: with less text, or an easier one, they are lower."
        note("\n".join(paragraph(says)))
    if models:
        note(_picture(runs, other_tokens))
    else:
        folders = [shlex.quote(str(run.folder)) for run in runs]
        every = f"{shlex.quote(str(runs[0].folder.parent))}{os.sep}*"
        note("Draw them: python -m zoo.plot losses " + (" ".join(folders) if len(runs) <= MOST_NAMED else every))


def _train(run: Run, budget: Budget | None, what: str) -> dict[str, Any]:
    """Train a run, or go on with what is there; the figures of the finished run. Leaves after Ctrl-C, when all is saved."""
    path, folder = run.folder, RunFolder(run.folder, run.name)
    begun = folder.checkpoint.files.exist()
    recipe = run.recipe
    if begun:
        config = folder.checkpoint.read_config()
        recipe = folder.checkpoint.recipe(config)
        unlike: dict[str, Any] = (
            {"steps": None, "epochs": None} if budget else {}
        )  # (how many steps that buys was found when it began)
        if replace(recipe, **unlike) != replace(run.recipe, **unlike):
            raise DataError(f"another recipe: the run in {path} was made with other settings; choose another folder with --out")
    elif budget is not None:
        recipe = budget.spend(run.name, recipe, run.source)
    trainer = make_trainer(run.name, recipe, folder, source=run.source)
    if begun and config.get("init_from") != folder.init_from:
        raise DataError(f"another source: the run in {path} began with other parameters; choose another folder with --out")
    folder.open_for_writing(begun)
    if begun:
        trainer.resume()
    if trainer.step < trainer.steps or trainer.owes_evaluation():
        note(f"{what}{f', from step {trainer.step}' if begun else ''}{f', {trainer.steps:,} steps' if budget else ''}")
        try:
            trainer.run(lambda line, figures: None)
        except Interrupted as stop:
            note(f"\nStopped, and saved in {path}; the same command goes on")
            raise SystemExit(128 + stop.number) from None
        except Diverged as error:
            note(f"  {error}")
        except BaseException:
            folder.discard_if_empty()
            raise
    else:
        note(f"{what}, trained before")
    folder.close()
    return _figures(trainer, path)


def _figures(trainer: Trainer, path: Path) -> dict[str, Any]:
    """The figures of a finished run. A loss is None where it diverged, or nothing was held out."""
    loss = trainer.loss if trainer.step == trainer.steps else None
    validation = trainer.best if math.isfinite(trainer.best) else None
    measured = loss if validation is None else validation
    tokens = trainer.step * trainer.recipe.batch_size * trainer.dataset.targets_per_example
    seconds = round(trainer.seconds, 2)  # (as the run keeps it)
    return {
        "parameters": trainer.model.num_parameters(),
        "loss": loss,
        "validation_loss": validation,
        "bits_per_byte": None if measured is None else measured * trainer.bits_per_byte,
        "steps": trainer.step,
        "seconds": seconds,
        "tokens_per_second": round(tokens / max(seconds, 0.01)),
        "run": str(path),
    }


def _cells(figures: dict[str, Any], models: bool, held_out: bool, bits: bool) -> dict[str, str]:
    """The cells of a row under their names. Models are compared by one loss: on held-out text, where there is some."""
    cells = {"parameters": f"{figures['parameters']:,}"}
    if not (models and held_out):
        cells["loss"] = _loss(figures["loss"], "diverged")
    if held_out or not models:
        cells["held-out"] = _loss(figures["validation_loss"], "-")
    if bits:
        cells["bits per byte"] = _loss(figures["bits_per_byte"], "-")
    cells["time"] = f"{figures['seconds']:.1f} s"
    if models:
        cells["tokens"] = f"{figures['tokens_per_second']:,}/s"
    return cells


def _loss(loss: float | None, otherwise: str) -> str:
    return otherwise if loss is None else f"{loss:.4f}"


def _picture(runs: Sequence[Run], other_tokens: bool) -> str:
    """Draw the ladder beside the runs; a sentence that says where, or why not."""
    from zoo.plots.ladder import draw_ladder
    from zoo.plots.losses import read_metrics

    out = runs[0].folder.parent / "ladder.svg"
    try:
        draw_ladder([(run.values["model"], read_metrics(str(run.folder))) for run in runs], out, bits=other_tokens)
    except (DataError, UsageError) as error:  # nothing to draw with, or nothing to draw
        return f"No picture: {error}"
    return f"Drawn: {out}"
