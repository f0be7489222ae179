"""python -m zoo.compare MODEL ...: what happens if? A model with several values of a setting, or several models, compared."""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zoo.cli import Parser, add_data_folder, number, run, whole_number
from zoo.compare.experiments import EXPERIMENTS
from zoo.datasets.corpus import use_data_folder
from zoo.errors import UsageError, did_you_mean, quoted

if TYPE_CHECKING:
    from zoo.compare.budget import Budget
    from zoo.compare.contestants import Contestant

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

Several models are compared on one text, for the same time, for as many tokens,
or as their recipes say. A colon changes the recipe of one: presets, settings.
  python -m zoo.compare bigram char_mlp --corpus names --minutes 1
  python -m zoo.compare char_gpt:nano modern_gpt:nano,dropout=0.1 --minutes 2

Each run is kept in a folder of its own, in runs/compare-MODEL/ or, of several
models, runs/compare-models/. The same command goes on where it was stopped."""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    if not arguments or arguments[0].startswith("-"):
        make_parser().parse(arguments)
        raise UsageError("the model comes first: python -m zoo.compare MODEL ...; python -m zoo lists the models")

    from zoo.compare.contestants import Contestant, common_settings
    from zoo.compare.plan import plan_models, plan_values
    from zoo.compare.table import compare
    from zoo.options import parse_field

    words = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))  # they decide which options there are
    experiment = words.pop() if len(words) == 2 and _is_experiment(words[1]) else None
    contestants = [Contestant.parse(word) for word in words]
    options = make_parser(contestants).parse(arguments)
    use_data_folder(options.data_dir)
    if options.init_from is not None:
        contestants = [contestant.with_source(options.init_from) for contestant in contestants]
    if options.preset is not None:
        contestants = [contestant.with_preset(options.preset) for contestant in contestants]
    given: dict[str, list[Any]] = {}
    for field in common_settings(contestants):
        if getattr(options, field) is not None:
            given[field] = [parse_field(contestants[0].kind, field, text) for text in getattr(options, field)]
    if "data" in given:
        given["data"] = [os.path.abspath(os.path.expanduser(path)) for path in given["data"]]
    budget = _budget(options, given)
    if len(contestants) > 1:
        runs = plan_models(contestants, given, budget, options.out)
    else:
        runs = plan_values(contestants[0], given, experiment, budget, options.out)
    compare(runs, budget, options)
    return 0


def make_parser(contestants: Sequence[Contestant] = ()) -> Parser:
    """The command's options; the settings that the models have in common, each with one value or several."""
    parser = Parser(
        "compare",
        "Train a model once for each value of a setting, or several models, and compare what comes of it.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = " ".join(contestant.word for contestant in contestants)
    parser.usage = f"python -m zoo.compare {names or 'MODEL [EXPERIMENT | MODEL ...]'} [--SETTING VALUE ...]"
    parser.add_argument("model", metavar="MODEL", help="which model; python -m zoo lists them")
    parser.add_argument(
        "experiment", metavar="EXPERIMENT | MODEL", nargs="*", help="an experiment that comes ready (see below), or more models"
    )
    parser.add_argument("--minutes", metavar="M", type=number(0.01), help="train each for so long")
    parser.add_argument("--tokens", metavar="N", type=whole_number(1), help="train each on so many tokens")
    parser.add_argument("--out", metavar="DIR", help="where the runs are kept (default: runs/compare-MODEL)")
    parser.add_argument("--preset", metavar="NAME", help="a recipe by name to begin with")
    parser.add_argument("--init-from", metavar="RUN", help="begin each run with a trained model's parameters")
    add_data_folder(parser)
    if contestants:
        from zoo.compare.contestants import common_settings
        from zoo.options import dashed, help_of

        settings = parser.add_argument_group(
            f"the settings of {names}" if len(contestants) == 1 else "the settings that all have"
        )
        for field in common_settings(contestants):
            text = help_of(contestants[0].kind, field).replace("%", "%%")
            settings.add_argument(f"--{dashed(field)}", metavar="VALUE", nargs="+", action="extend", help=text)
    return parser


def _is_experiment(word: str) -> bool:
    """Tell if a second word is an experiment's, or a misspelt one, which is refused."""
    from zoo.registry import list_models

    if word in EXPERIMENTS:
        return True
    name = word.partition(":")[0]
    if name not in list_models() and (did_you_mean(name, list(EXPERIMENTS)) or not did_you_mean(name, list_models())):
        advice = f"{did_you_mean(name, list(EXPERIMENTS))}; there are {', '.join(EXPERIMENTS)}"
        raise UsageError(f"unknown experiment {quoted(name)}{advice}")
    return False


def _budget(options: argparse.Namespace, given: dict[str, list[Any]]) -> Budget | None:
    """The budget of each training, if one is given. Raises UsageError where it is given twice."""
    said = [f"--{name}" for name in ("minutes", "tokens") if getattr(options, name) is not None]
    if not said:
        return None
    said += [f"--{name}" for name in ("steps", "epochs") if name in given]
    if len(said) > 1:
        raise UsageError(f"{said[0]} and {said[1]}: give one of the two")

    from zoo.compare.budget import Budget

    return Budget(options.minutes, options.tokens)


if __name__ == "__main__":
    run("compare", main)
