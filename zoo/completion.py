"""Completion in a shell: the commands, their options, and the models by name. `shtab` writes it, from the commands' parsers."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from zoo.compare.contestants import Contestant
from zoo.compare.experiments import EXPERIMENTS
from zoo.errors import UsageError
from zoo.plots.kinds import PICTURES
from zoo.registry import list_models, model_class
from zoo.reporter import as_called

if TYPE_CHECKING:
    from zoo.model import Model


def completion(shell: str, modules: Mapping[str, str]) -> str:
    """Write the script that makes a shell complete `zoo`.

    Args:
        shell: bash, zsh or tcsh.
        modules: of each command the module, which has a `make_parser`.

    Raises UsageError when shtab isn't installed.
    """
    try:
        import shtab
    except ImportError:
        raise UsageError("completion needs shtab, which isn't installed: pip install shtab") from None
    complete: dict[str, Any] = {
        "out": shtab.FILE, "data": shtab.FILE, "data_dir": shtab.DIRECTORY, "names": _models_and_runs(),
        "model": _models_and_runs(), "init_from": _models_and_runs(),
    }  # fmt: skip
    choices = {"what": list(PICTURES), "experiment": [*EXPERIMENTS, *list_models()]}
    zoo = argparse.ArgumentParser("zoo")
    zoo.add_argument("--json", action="store_true", help="print one JSON object a line")
    commands = zoo.add_subparsers(parser_class=argparse.ArgumentParser)
    for command, module in modules.items():
        parser, is_run = _parser(command, module), command not in ("train", "compare")
        for action in parser._actions:
            if action.dest == "model" and not is_run:
                action.choices = list_models()
            elif action.dest in complete:
                action.complete = complete[action.dest]  # type: ignore[attr-defined]
            elif action.dest in choices:
                action.choices = choices[action.dest]
        commands.add_parser(command, parents=[parser], add_help=False, help=parser.description)
    return as_called(shtab.complete(zoo, shell))


def _models_and_runs() -> dict[str, Any]:
    """The models' names, and folders, for each shell."""
    names = " ".join(list_models())
    return {
        "bash": "_zoo_models",
        "zsh": "_zoo_models",
        "tcsh": f"({names})",
        "preamble": {
            "bash": f'_zoo_models() {{\n  compgen -W "{names}" -- "$1"\n  compgen -d -- "$1"\n}}\n',
            "zsh": f"_zoo_models() {{\n  _alternative 'models:model:({names})' 'runs:run folder:_files -/'\n}}\n",
        },
    }


def _parser(command: str, module: str) -> argparse.ArgumentParser:
    """A command's parser; where each model has options of its own, with those of all models."""
    make_parser = importlib.import_module(module).make_parser
    parser: argparse.ArgumentParser = make_parser()
    if command in ("train", "compare"):
        known = {name for action in parser._actions for name in action.option_strings}
        kinds = _usable_models()
        presets = tuple(dict.fromkeys(name for kind in kinds for name in kind.recipe_class.presets))
        for kind in kinds:
            values = {f.name: f.metadata.get("choices") for f in fields(kind.recipe_class)}
            values["preset"] = presets
            with_settings = (
                make_parser(kind) if command == "train" else make_parser([Contestant("", "", kind.recipe_class, {})])
            )
            for action in with_settings._actions:
                if action.help != argparse.SUPPRESS and not known.intersection(action.option_strings):
                    action.help = re.sub(r" \(default: .*", "", action.help or "")  # which is one model's alone
                    action.choices = values.get(action.dest)
                    known.update(action.option_strings)
                    if action.option_strings:
                        parser._add_action(action)
    return parser


def _usable_models() -> list[type[Model]]:
    found = []
    for name in list_models():
        try:
            found.append(model_class(name))
        except UsageError:  # a file of the user's own that can't be imported completes nothing
            continue
    return found
