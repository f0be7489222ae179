"""The command `zoo`: `zoo train ...` is `python -m zoo.train ...`, and `zoo` alone `python -m zoo`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import NoReturn

from zoo import reporter
from zoo.cli import run
from zoo.errors import UsageError, did_you_mean, quoted

#: The commands, each in its file, or in the `__main__.py` of its folder.
COMMANDS = ("train", "generate", "predict", "chat", "evaluate", "explain", "compare", "plot", "verify", "dialogue")
FOLDERS = ("chat", "explain")
SHELLS = ("bash", "zsh", "tcsh")


def main() -> NoReturn:
    """Run the command that the first argument names."""
    reporter.called_by_name = True
    name, *rest = sys.argv[1:] or [""]
    if name in COMMANDS:
        run(name, _main(name), rest)
    if name == "--print-completion" or name.startswith("--print-completion="):
        run("", _print_completion)
    if name and not name.startswith("-"):
        run("", _refuse)
    run("", _main(""))


def module(command: str) -> str:
    """The module of a command; of "", that of `python -m zoo`."""
    if not command:
        return "zoo.__main__"
    return f"zoo.{command}.__main__" if command in FOLDERS else f"zoo.{command}"


def _main(command: str) -> Callable[[list[str]], int | None]:
    """A command's main function, imported when it is called, within `run`, which takes care of Ctrl-C first."""

    def main(arguments: list[str]) -> int | None:
        code: int | None = importlib.import_module(module(command)).main(arguments)
        return code

    return main


def _refuse(arguments: list[str]) -> int:
    name = arguments[0]
    advice = did_you_mean(name, COMMANDS) or f"; the commands are {', '.join(COMMANDS)}"
    raise UsageError(f"unknown command {quoted(name)}{advice}")


def _print_completion(arguments: list[str]) -> int:
    """What makes a shell complete `zoo`'s commands, options and models."""
    words = [word for argument in arguments for word in argument.split("=", 1)][1:]
    if len(words) != 1 or words[0] not in SHELLS:
        raise UsageError(f"--print-completion: name a shell, one of {', '.join(SHELLS)}")
    from zoo.completion import completion

    print(completion(words[0], {command: module(command) for command in COMMANDS}))
    return 0
