"""python -m zoo.compare MODEL: what happens if? Trains a model once for each value of a setting, and compares."""

from __future__ import annotations

import argparse
import functools
import hashlib
import itertools
import math
import os
import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli import Parser, add_data_folder, result
from zoo.cli import run as run_command
from zoo.datasets.corpus import use_data_folder
from zoo.errors import DataError, UsageError, did_you_mean, quoted
from zoo.reporter import note

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zoo.recipe import Recipe
    from zoo.training.fine_tuning import Source

    #: Makes a recipe, with some of its fields given.
    MakeRecipe = Callable[[Mapping[str, Any]], Recipe]

#: Experiments that come ready: the setting, and by what its default is multiplied, or the values.
EXPERIMENTS: dict[str, tuple[tuple[str, ...], tuple[Any, ...]]] = {
    "width": (("width",), (0.5, 1, 2)),
    "context": (("context",), (0.5, 1, 1.5)),
    "learning-rate": (("learning_rate",), (0.3, 1, 3)),
    "text": (("data_fraction",), (0.25, 0.5, 1)),
    "positions": (("pooling",), ()),
    "length": (("epochs", "steps"), (0.5, 1, 2)),
}
#: The longest name of a run's folder, in bytes; and how many folders the closing hint names.
LONGEST_NAME, MOST_NAMED = 200, 8
HELP = """\
Several values after an option are compared; two such options make a grid:
  python -m zoo.compare word_ngram --width 16 32 64
  python -m zoo.compare char_meanpool --pooling mean concat --context 3 5

Experiments that come ready: python -m zoo.compare MODEL EXPERIMENT
  width          half, all and twice of the numbers that stand for a token
  context        half of the tokens that are seen, all, and half as many again
  learning-rate  steps of 0.3, 1 and 3 times the length
  text           a quarter, half and all of the text
  positions      with the order of the tokens and without
  length         half, all and twice of the training

Each run is kept in a folder of its own in runs/compare-MODEL/. The same command
goes on where it was stopped."""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    if not arguments or arguments[0].startswith("-"):
        make_parser().parse(arguments)
        raise UsageError("the model comes first: python -m zoo.compare MODEL ...; python -m zoo lists the models")

    from zoo.options import parse_field, preset
    from zoo.recipe import make_recipe
    from zoo.registry import model_class

    name = arguments[0]
    kind = model_class(name).recipe_class
    options = make_parser(kind, name).parse(arguments)
    use_data_folder(options.data_dir)
    begin = dict(preset(kind, options.preset)) if options.preset is not None else {}
    source = None
    if options.init_from is not None:
        from zoo.training.fine_tuning import Source

        source = Source(options.init_from, name)
    make = functools.partial(make_recipe, kind) if source is None else source.make_recipe
    given: dict[str, list[Any]] = {}
    for field in (f.name for f in fields(kind)):
        if getattr(options, field) is not None:
            given[field] = [parse_field(kind, field, text) for text in getattr(options, field)]
    if {"steps", "epochs"} & {*given}:
        begin = {field: value for field, value in begin.items() if field not in ("steps", "epochs")}
    if options.experiment is not None:
        field, values = _experiment(kind, options.experiment, begin, given, make)
        given[field] = values
        begin = {field: value for field, value in begin.items() if field not in given}
    if "data" in given:
        given["data"] = [os.path.abspath(os.path.expanduser(path)) for path in given["data"]]
    _compare(name, _plan(name, make, begin, given, options), source, options)
    return 0


@dataclass
class _Run:
    """One of the runs to compare: what is special about it, its recipe, and its folder."""

    values: dict[str, Any]
    recipe: Recipe
    folder: Path


def _plan(
    name: str, make: MakeRecipe, begin: dict[str, Any], given: dict[str, list[Any]], options: argparse.Namespace
) -> list[_Run]:
    """A run for each value, or each pair of values. Raises UsageError, before anything is trained, for what can't be."""
    from zoo.options import dashed

    compared = [field for field, values in given.items() if len(values) > 1]
    if not 1 <= len(compared) <= 2:
        advice = "give one option several values, as in --width 16 32 64, or name an experiment: " + ", ".join(EXPERIMENTS)
        raise UsageError(f"{'two options can be compared at a time' if compared else 'nothing to compare'}; {advice}")
    for field in compared:
        if len(set(given[field])) < len(given[field]):
            raise UsageError(f"--{dashed(field)}: a value is given twice")
    preset = f"-{options.preset}" if options.preset is not None else ""
    begun = "" if options.init_from is None else f"-from-{Path(options.init_from).name}"
    out = Path("runs") / f"compare-{name}{preset}{begun}" if options.out is None else Path(os.path.expanduser(options.out))
    always = {field: values[0] for field, values in given.items() if field not in compared}
    runs = []
    for chosen in itertools.product(*(given[field] for field in compared)):
        values = dict(zip(compared, chosen, strict=True))
        settings = {**values, **always}
        if values.get("tokenizer", "bpe") != "bpe" and "vocab_size" in always:
            del settings["vocab_size"]  # which is for the one that takes a size
        folder = "_".join(f"{field}-{_shown(value)}" for field, value in settings.items())
        runs.append(_Run(values, make({**begin, **settings}), out / _file_name(folder)))
    if len({run.folder for run in runs}) < len(runs):
        raise UsageError("--data: two files of the same name; rename one, so that their runs can be told apart")
    return runs


def make_parser(kind: type[Recipe] | None = None, name: str = "MODEL") -> Parser:
    """The command's options; the fields of a recipe, each with one value or several."""
    from zoo.options import dashed

    parser = Parser(
        "compare",
        "Train a model once for each value of a setting, and compare what comes of it.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.usage = f"python -m zoo.compare {name} [EXPERIMENT] [--SETTING VALUE ...]"
    parser.add_argument("model", metavar="MODEL", help="which model; python -m zoo lists them")
    parser.add_argument("experiment", metavar="EXPERIMENT", nargs="?", help="one that comes ready: see below")
    parser.add_argument("--out", metavar="DIR", help="where the runs are kept (default: runs/compare-MODEL)")
    parser.add_argument("--preset", metavar="NAME", help="a recipe by name to begin with")
    parser.add_argument("--init-from", metavar="RUN", help="begin each run with a trained model's parameters")
    add_data_folder(parser)
    if kind is not None:
        settings = parser.add_argument_group(f"the settings of {name}")
        for f in fields(kind):
            settings.add_argument(
                f"--{dashed(f.name)}",
                metavar="VALUE",
                nargs="+",
                action="extend",
                help=f.metadata.get("help", f.name).replace("%", "%%"),
            )
    return parser


def _experiment(
    kind: type[Recipe], name: str, begin: dict[str, Any], given: dict[str, list[Any]], make: MakeRecipe
) -> tuple[str, list[Any]]:
    """The setting of an experiment that comes ready, and its values for this model."""
    from zoo.options import dashed

    if name not in EXPERIMENTS:
        raise UsageError(
            f"unknown experiment {quoted(name)}{did_you_mean(name, list(EXPERIMENTS))}; there are {', '.join(EXPERIMENTS)}"
        )
    settings, factors = EXPERIMENTS[name]
    default = make({**begin, **{field: values[0] for field, values in given.items()}})
    field = next((f for f in settings if getattr(default, f, None) is not None), None)
    if field is None:
        raise UsageError(f"{name}: this model has no setting for it (--{dashed(settings[0])})")
    if len(given.get(field, [])) > 1:
        raise UsageError(f"--{dashed(field)}: the experiment {name} has values of its own")
    if not factors:
        return field, list(next(f for f in fields(kind) if f.name == field).metadata["choices"])
    value = getattr(default, field)
    if name == "text":
        return field, list(factors)
    if isinstance(value, int):
        return field, [max(int(value * factor), 1) for factor in factors]
    return field, [float(f"{value * factor:.6g}") for factor in factors]


def _compare(name: str, runs: list[_Run], source: Source | None, options: argparse.Namespace) -> None:
    """Train what isn't trained yet, then show the table."""
    from zoo.columns import paragraph, table, table_or_records

    # What a loss a token says depends on what a token is.
    other_tokens = not runs[0].values.keys().isdisjoint(("tokenizer", "vocab_size"))
    bits = ("bits per byte",) if other_tokens else ()
    rows: list[tuple[str, ...]] = [
        (*(field.replace("_", " ") for field in runs[0].values), "parameters", "loss", "held-out", *bits, "time")
    ]
    for i, run in enumerate(runs, 1):
        what = ", ".join(f"{field.replace('_', ' ')} {_shown(value)}" for field, value in run.values.items())
        figures = _train(name, run, source, f"Run {i} of {len(runs)}: {what}")
        rows.append((
            *map(_shown, run.values.values()), f"{figures['parameters']:,}", _loss(figures["loss"], "diverged"),
            _loss(figures["validation_loss"], "-"), *[_loss(figures["bits_per_byte"], "-") for _ in bits],
            f"{figures['seconds']:.1f} s",
        ))  # fmt: skip
        if options.json:
            result(options, "", {**run.values, **figures})
    if not options.json:
        result(options, "\n".join(table_or_records(rows[0], rows[1:], table(rows, left=0))), {})
    if other_tokens:
        says = "Losses are in nats a token, and the tokens are others in each run: compare the bits per byte."
        note("\n".join(paragraph(says)))
    elif all(row[-2] == "-" for row in rows[1:]):
        says = "The losses are on what each run learned from: with less text, or an easier one, they are lower."
        note("\n".join(paragraph(says)))
    folders = [shlex.quote(str(run.folder)) for run in runs]
    every = f"{shlex.quote(str(runs[0].folder.parent))}{os.sep}*"
    note("Draw them: python -m zoo.plot losses " + (" ".join(folders) if len(runs) <= MOST_NAMED else every))


def _train(name: str, run: _Run, source: Source | None, what: str) -> dict[str, Any]:
    """Train a run, or go on with what is there; the figures of the finished run. Leaves after Ctrl-C, when all is saved."""
    from zoo.training.prepare import make_trainer
    from zoo.training.run_folder import RunFolder
    from zoo.training.trainer import Diverged, Interrupted

    path, folder = run.folder, RunFolder(run.folder, name)
    trainer = make_trainer(name, run.recipe, folder, source=source)
    begun = folder.checkpoint.files.exist()
    config = folder.checkpoint.read_config() if begun else {}
    if begun and (folder.checkpoint.recipe(config) != run.recipe or config.get("init_from") != folder.init_from):
        raise DataError(
            f"another recipe: the run in {path} was made with other settings or another source; choose another --out"
        )
    folder.open_for_writing(begun)
    if begun:
        trainer.resume()
    if trainer.step < trainer.steps or trainer.owes_evaluation():
        note(f"{what}{f', from step {trainer.step}' if begun else ''}")
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
    loss = trainer.loss if trainer.step == trainer.steps else None
    validation = trainer.best if math.isfinite(trainer.best) else None
    measured = loss if validation is None else validation
    return {
        "parameters": trainer.model.num_parameters(),
        "loss": loss,
        "validation_loss": validation,
        "bits_per_byte": None if measured is None else measured * trainer.bits_per_byte,
        "seconds": round(trainer.seconds, 2),
        "run": str(path),
    }


def _file_name(name: str) -> str:
    """A name for a folder: of one that the system wouldn't take, the beginning, and a digest that tells it from others."""
    raw = os.fsencode(name)
    if len(raw) <= LONGEST_NAME:
        return name
    return f"{raw[:LONGEST_NAME].decode(errors='ignore')}-{hashlib.sha256(raw).hexdigest()[:8]}"


def _loss(loss: float | None, otherwise: str) -> str:
    return otherwise if loss is None else f"{loss:.4f}"


def _shown(value: Any) -> str:
    """A value in a table, and in a folder's name: of a file its name, of a number all its digits."""
    if isinstance(value, str):
        return Path(value).stem
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


if __name__ == "__main__":
    run_command("compare", main)
