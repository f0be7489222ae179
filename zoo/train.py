"""python -m zoo.train MODEL: train a model and keep it in a run folder."""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import fields
from typing import Any

from zoo.command import Parser, note, result, run
from zoo.errors import UsageError


def _parser(kind: Any = None) -> Parser:
    """The command's options; those of a model's recipe come from its fields."""
    from zoo.recipe import dashed, default_of

    more = "" if kind else " Each model has options of its own: python -m zoo.train MODEL --help lists them."
    parser = Parser("train", f"Train a model and keep it in a run folder.{more}", argument_default=argparse.SUPPRESS)
    parser.usage = "python -m zoo.train MODEL [options]"
    parser.add_argument("model", metavar="MODEL", help="which model; python -m zoo lists them")
    parser.add_argument("--out", metavar="DIR", help="the run folder (default: runs/MODEL)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    if kind is not None:
        recipe = parser.add_argument_group(f"the recipe of {kind.__module__.rpartition('.')[2]}")
        for f in fields(kind.recipe_class):
            default = default_of(kind.recipe_class, f.name)
            text = f.metadata["help"] + ("" if default is None else f" (default: {default})")
            recipe.add_argument(f"--{dashed(f.name)}", metavar=f.type.partition(" ")[0].upper(), help=text.replace("%", "%%"))
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    if not arguments or arguments[0].startswith("-"):
        _parser().parse(arguments)  # shows the help if it is asked for, and refuses if there is no model
        raise UsageError("the model comes first: python -m zoo.train MODEL [options]; python -m zoo lists the models")

    import numpy as np

    from zoo.recipe import dashed, make_recipe, parse_field
    from zoo.registry import model_class
    from zoo.training.run_folder import RunFolder, default_folder
    from zoo.training.trainer import RECENT, Interrupted, Trainer

    name = arguments[0]  # it decides which options there are
    kind = model_class(name)
    options = _parser(kind).parse(arguments)
    options.json = getattr(options, "json", False)
    given = {
        f.name: parse_field(kind.recipe_class, f.name, getattr(options, f.name))
        for f in fields(kind.recipe_class)
        if hasattr(options, f.name)
    }
    if given.get("data") == "":
        raise UsageError("--data: needs the name of a text file")
    if "data" in given:
        given["data"] = os.path.abspath(given["data"])  # so that resuming finds it from any folder
    out = getattr(options, "out", None)
    if out == "":
        raise UsageError("--out: needs the name of a folder")
    folder = RunFolder(out or default_folder(name), name)
    resuming = hasattr(options, "resume")

    saved = folder.saved_recipe(folder.read_config()).to_dict() if resuming else {}
    for field, value in given.items():
        if field in saved and field not in ("steps", "data") and saved[field] != value:
            raise UsageError(f"--{dashed(field)}: the saved run has {saved[field]}, not {value}; start a new run to change it")
    recipe = make_recipe(kind.recipe_class, {**saved, **given})
    text = kind.read_corpus(recipe)
    tokenizer = kind.tokenizer_class.from_text(text)
    model = kind(recipe, len(tokenizer.vocabulary), np.random.default_rng(recipe.seed))
    trainer = Trainer(model, tokenizer, text, folder)
    folder.open_for_writing(resuming)
    if resuming:
        trainer.resume()
        if trainer.step >= recipe.steps:
            raise UsageError(f"--resume: {folder.path} has done all its {trainer.step} steps; give more with --steps")
    note(
        f"{name}: {model.num_parameters():,} parameters, {len(trainer.targets):,} examples from "
        f"{len(trainer.tokens):,} {tokenizer.unit} ({len(tokenizer.vocabulary):,} distinct)"
    )

    def report(figures: dict[str, Any]) -> None:
        line = model.progress_line(*(figures[k] for k in ("step", "input", "target", "pred", "loss")))
        result(options, line, figures)

    try:
        trainer.run(report)
    except Interrupted as stop:
        note(f"\nStopped at step {trainer.step} of {recipe.steps}, saved in {folder.path}; go on with --resume")
        _tell_where_the_earlier_run_went(trainer)
        return 128 + stop.number
    except OSError:  # nobody reads the output any more, but the training is worth keeping
        trainer.save()
        raise
    except BaseException:
        folder.discard_if_empty()
        raise

    result(
        options, f"Mean loss of the last {min(RECENT, recipe.steps)} steps: {trainer.loss:.4f}", {"final_loss": trainer.loss}
    )
    for sentence, figures in model.summary(trainer.inputs, trainer.targets):
        result(options, sentence, figures)
    _show_sample(options, model, tokenizer, trainer.inputs)
    where = name if out is None else str(folder.path) if os.sep in out else os.path.join(".", out)
    opening = tokenizer.decode(trainer.tokens[: min(recipe.context, 4)])
    note(f"Saved in {folder.path}. Try: python -m zoo.generate {shlex.quote(where)} --prompt {_quoted(opening)}")
    _tell_where_the_earlier_run_went(trainer)
    return 0


def _quoted(text: str) -> str:
    """A text as the shell takes it, in double quotes where those are enough."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


def _tell_where_the_earlier_run_went(trainer: Any) -> None:
    if trainer.moved is not None:
        note(f"The earlier run is kept in {trainer.moved}")


def _show_sample(options: argparse.Namespace, model: Any, tokenizer: Any, inputs: Any) -> None:
    """A line that the model makes up, from a place in the text chosen by the seed."""
    import numpy as np

    from zoo.decoding.sampling import generate

    rng = np.random.default_rng(model.recipe.seed)
    start = inputs[rng.integers(len(inputs))].tolist()
    text = tokenizer.decode([*start, *generate(model, start, 12, 0.8, rng)])
    result(options, f"Generated: {text}", {"generated": text})


if __name__ == "__main__":
    run("train", main)
