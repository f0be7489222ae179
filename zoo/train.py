"""python -m zoo.train MODEL: train a model and keep it in a run folder."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import fields
from typing import TYPE_CHECKING

from zoo.cli import Parser, add_data_folder, run, whole_number
from zoo.datasets.corpus import use_data_folder
from zoo.errors import UsageError
from zoo.reporter import Reporter, note

if TYPE_CHECKING:
    from zoo.model import Model
    from zoo.training_run import TrainingRun


def make_parser(kind: type[Model] | None = None) -> Parser:
    """The command's options; those of a model's recipe come from its fields."""
    from zoo.options import dashed, default_of, help_of, type_name

    more = "" if kind else " Each model has options of its own: python -m zoo.train MODEL --help lists them."
    parser = Parser("train", f"Train a model and keep it in a run folder.{more}", argument_default=argparse.SUPPRESS)
    name = kind.__module__.rpartition(".")[2] if kind else "MODEL"
    parser.usage = f"python -m zoo.train {name} [options]"
    parser.prog = f"{parser.prog} {name}" if kind else parser.prog
    parser.add_argument("model", metavar="MODEL", help="which model; python -m zoo lists them")
    parser.add_argument("--out", metavar="DIR", help="the run folder (default: runs/MODEL)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    parser.add_argument("--init-from", metavar="RUN", help="begin with a trained model's parameters: its name, or a run folder")
    parser.add_argument(
        "--checkpoint-every", metavar="N", type=whole_number(1), help="save after every N steps (default: once a minute)"
    )
    add_data_folder(parser)
    if kind is not None:
        presets = kind.recipe_class.presets
        named = f"a recipe by name: {', '.join(presets)}" if presets else argparse.SUPPRESS
        parser.add_argument("--preset", metavar="NAME", help=named)
        recipe = parser.add_argument_group(f"the recipe of {name}")
        for f in fields(kind.recipe_class):
            default = default_of(kind.recipe_class, f.name)
            text = help_of(kind.recipe_class, f.name) + ("" if default is None else f" (default: {default})")
            recipe.add_argument(
                f"--{dashed(f.name)}", metavar=type_name(f).partition(" ")[0].upper(), help=text.replace("%", "%%")
            )
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    if not arguments or arguments[0].startswith("-"):
        make_parser().parse(arguments)  # shows the help if it is asked for, and refuses if there is no model
        raise UsageError("the model comes first: python -m zoo.train MODEL [options]; python -m zoo lists the models")

    from zoo.options import parse_field
    from zoo.registry import model_class

    name = arguments[0]  # it decides which options there are
    kind = model_class(name)
    given = vars(make_parser(kind).parse(arguments))

    from zoo.training_run import Stopped, TrainingRun

    use_data_folder(given.get("data_dir"))
    training = TrainingRun(
        name,
        {f.name: parse_field(kind.recipe_class, f.name, given[f.name]) for f in fields(kind.recipe_class) if f.name in given},
        preset=given.get("preset"),
        out=given.get("out"),
        resume="resume" in given,
        checkpoint_every=given.get("checkpoint_every"),
        init_from=given.get("init_from"),
    )
    code = 0
    try:
        training.train(Reporter("json" in given))
        note(f"{training.saved()} Try: {_next_command(training)}")
    except Stopped as stop:
        note(f"\n{stop.sentence}; go on with --resume")
        code = 128 + stop.number
    moved = training.moved()
    if moved is not None:
        note(moved)
    return code


def _next_command(training: TrainingRun) -> str:
    """A command to try the trained model with."""
    template = training.trainer.model.description.next_command
    return template.format(run=shlex.quote(training.run), prompt=_quoted(training.prompt()))


def _quoted(text: str) -> str:
    """A text as the shell takes it, in double quotes where those are enough."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


if __name__ == "__main__":
    run("train", main)
