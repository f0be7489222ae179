"""What all commands share: options, one-line errors, exit codes, output that survives a closed pipe."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from zoo.errors import UsageError, UserError, did_you_mean


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with a suggestion for a misspelt option."""

    def __init__(self, command: str, description: str, **kwargs: Any) -> None:
        super().__init__(
            prog=f"python -m zoo.{command}",
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            **kwargs,
        )
        self.add_argument("--json", action="store_true", help="print one JSON object a line")
        self.add_argument("--debug", action="store_true", help="show the whole traceback of an error")

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse the command line. Raises UsageError for an unknown option, naming the nearest that exists."""
        options, extra = self.parse_known_args(list(arguments))
        if extra:
            word = extra[0].partition("=")[0]
            if word.startswith("-"):
                known = [o for action in self._actions for o in action.option_strings]
                raise UsageError(f"unknown option {word}{did_you_mean(word, known)}; see {self.prog} --help")
            raise UsageError(f"unexpected argument {word!r}; see {self.prog} --help")
        return options


def whole_number(at_least: int) -> Callable[[str], int]:
    """An option's type: a whole number with a least value."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None
        if number < at_least:
            raise argparse.ArgumentTypeError(f"must be at least {at_least}, not {number}")
        return number

    return parse


def number(at_least: float) -> Callable[[str], float]:
    """An option's type: a finite number with a least value."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None
        if not math.isfinite(value) or value < at_least:
            raise argparse.ArgumentTypeError(f"must be a finite number of at least {at_least:g}, not {text}")
        return value

    return parse


def note(text: str) -> None:
    """A line for the person at the terminal: stderr."""
    print(text, file=sys.stderr, flush=True)


def result(options: argparse.Namespace, text: str, figures: dict[str, Any]) -> None:
    """A line of the command's result: text, or with --json an object. stdout, at once."""
    print(json.dumps(figures, ensure_ascii=False) if options.json else text, flush=True)


def run(command: str, main: Callable[[list[str]], int | None]) -> NoReturn:
    """Run a command's main function and leave with its exit code: 0; 1 for bad data; 2 for usage; 130 after Ctrl-C; 143 after
    SIGTERM. A reader that closed the pipe is no error."""
    debug = "--debug" in sys.argv[1:]
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
        code = main(sys.argv[1:]) or 0
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more can be said, not even at exit
        code = 0
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
        note("")
    except UserError as error:
        if debug:
            raise
        note(f"zoo.{command}: error: {error}")
        code = error.exit_code
    except MemoryError:
        if debug:
            raise
        note(f"zoo.{command}: error: not enough memory; try a smaller model or batch")
        code = 1
    sys.exit(code)
