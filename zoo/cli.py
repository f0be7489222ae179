"""Everything that all commands share: options, one-line errors, exit codes, output that survives a closed pipe."""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import math
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from zoo import reporter
from zoo.errors import UsageError, UserError, did_you_mean, quoted, shortened
from zoo.options import RENAMED
from zoo.reporter import Reporter, as_called, in_ipython
from zoo.untrusted import in_one_line

if TYPE_CHECKING:
    from zoo.language_model import LanguageModel


#: Stands for a text that is nothing but two dashes, which argparse would drop.
_DASHES = "\0--"
#: The packages without which no command works: where one is missing, this is another Python than the zoo was installed in.
REQUIRED = ("numpy", "numba", "llvmlite", "safetensors", "rich")


class Failed(SystemExit):
    """The end of a command that failed in IPython, which shows the error's one line and no traceback.

    Args:
        code: the exit code.
        line: what is wrong; "" where that has been said.
    """

    def __init__(self, code: int, line: str) -> None:
        super().__init__(code)
        self.line = line

    def __str__(self) -> str:
        return self.line

    def _render_traceback_(self) -> list[str]:
        return [self.line]


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with a suggestion for a misspelt option."""

    def __init__(self, command: str, description: str, **kwargs: Any) -> None:
        super().__init__(
            prog=f"python -m {_module(command)}",
            description=description,
            allow_abbrev=False,
            **kwargs,
        )
        self.add_argument("--json", action="store_true", help="print one JSON object a line")
        self.add_argument("--debug", action="store_true", help="show the whole traceback of an error")

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        option = re.fullmatch(r"argument (--[\w-]+): expected one argument", message)
        advice = f"; if an option's name is what you mean, write {option[1]}=NAME" if option else ""
        raise UsageError(f"{message}{advice}; see {self.prog} --help")

    def format_help(self) -> str:
        """The help, in which commands are named as they are called."""
        return as_called(super().format_help())

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse the command line. Raises UsageError for an unknown option, naming the nearest that exists.

        A text may begin with a dash. What comes after an option that takes a value is the value, unless it is an option, too;
        and a word that is no option is a text where the command still has room for one, as is any word after `--`.
        """
        given, words, texts = self._sorted(arguments)
        dashed = [word for word in words if word.startswith("-") and word != "-"]
        if dashed and len(words) + len(texts) > self.room([word for word in words if word not in dashed]):
            self._refuse(dashed[0])
        words = [_DASHES if word == "--" else word for word in (*words, *texts)]
        options, extra = self.parse_known_args([*given, "--", *words] if words else given)
        if extra:
            word = quoted(extra[0])
            raise UsageError(f"unexpected argument {word}; a text with blanks needs quotes; see {self.prog} --help")
        for name, value in vars(options).items():
            dashes = ["--" if v == _DASHES else v for v in (value if isinstance(value, list) else [value])]
            setattr(options, name, dashes if isinstance(value, list) else dashes[0])
        return options

    def room(self, words: Sequence[str]) -> int:
        """Count the words that the command takes beside its options, where some are given; 0 where none of them is a text."""
        positionals = [action for action in self._actions if not action.option_strings]
        return len(positionals) if any(action.metavar == "TEXT" for action in positionals) else 0

    def _sorted(self, arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
        """Options, each in one piece with its value, as argparse takes any; other words; and those after `--`."""
        known, options, words = self._option_string_actions, list[str](), list[str]()
        rest = list(arguments)
        is_option = lambda word: word.partition("=")[0] in known  # noqa: E731
        while rest:
            word = rest.pop(0)
            if word == "--":
                return options, words, rest
            if not is_option(word):
                words.append(word)
                continue
            name, given, _ = word.partition("=")
            takes = 0 if given else known[name].nargs
            values = list(itertools.takewhile(lambda w: not is_option(w), rest if takes != 0 else []))
            first, more = values[:1], values[1:] if takes is not None else []
            values = first + list(itertools.takewhile(lambda w: w != "--" and not re.match("--[a-z]", w), more))
            del rest[: len(values)]
            options += [f"{name}={_DASHES if value == '--' else value}" for value in values] or [word]
        return options, words, []

    def _refuse(self, word: str) -> NoReturn:
        """Refuse a word that looks like an option."""
        known = list(self._option_string_actions)
        name = word.partition("=")[0]
        now = f"--{RENAMED.get(name.removeprefix('--').replace('-', '_'), '').replace('_', '-')}"
        advice = f"; it is {now} now" if now in known else did_you_mean(name, known)
        raise UsageError(f"unknown option {shortened(name)}{advice}; see {self.prog} --help")


def whole_number(at_least: int) -> Callable[[str], int]:
    """An option's type: a whole number with a least value."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, not {quoted(text)}") from None
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
            raise argparse.ArgumentTypeError(f"must be a number, not {quoted(text)}") from None
        if not math.isfinite(value) or value < at_least:
            raise argparse.ArgumentTypeError(f"must be a finite number of at least {at_least:g}, not {text}")
        return value

    return parse


def add_model(parser: argparse.ArgumentParser) -> None:
    """The trained model that a command works with."""
    parser.add_argument(
        "model", metavar="MODEL", help="a model's name (its run in runs/, or what comes with the zoo) or a run folder"
    )
    add_last(parser)


def add_last(parser: argparse.ArgumentParser) -> None:
    """The choice between the parameters that a run keeps for use and its last."""
    parser.add_argument("--last", action="store_true", help="the parameters of the last step, not those that did best")


def load(options: argparse.Namespace) -> LanguageModel:
    """The trained model that is meant. Raises DataError and UsageError."""
    from zoo.language_model import load_model

    return load_model(options.model, last=options.last)


def typed(text: str, model: LanguageModel) -> str:
    r"""A text as it was meant: a line's end and a tab that were typed as `\n` and `\t`, which is how a shell passes them on.
    A model whose text has backslashes is given them."""
    if "\\" in model.tokenizer.vocabulary:
        return text
    return text.replace("\\n", "\n").replace("\\t", "\t")


def add_data_folder(parser: argparse.ArgumentParser) -> None:
    """The folder for `use_data_folder`."""
    parser.add_argument("--data-dir", metavar="DIR", help="where tiny Shakespeare is looked for first (or ZOO_DATA_DIR)")


def result(options: argparse.Namespace, text: str, figures: dict[str, Any], styled: bool = False) -> None:
    """A line of the command's result: text, or with --json an object. stdout, at once."""
    Reporter(options.json).result(text, figures, styled)


def run(command: str, main: Callable[[list[str]], int | None], arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command's main function, with what was typed after its name, and leave with its exit code: 0; 1 for bad data; 2 for
    usage; 130 after Ctrl-C; 143 after SIGTERM. A reader that closed the pipe is no error.

    In a thread, and in IPython (`%run -m zoo.train`), the signals and the streams are somebody else's, and are left alone."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug, said = "--debug" in arguments, ""
    ours = threading.current_thread() is threading.main_thread() and not in_ipython()
    try:
        if ours:
            # Until there is something to save, Ctrl-C just ends the process, without a traceback from the middle of an import.
            signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
            _prepare_streams()
        from microtensor.kernels.runtime.config import SettingError, get_num_threads  # not before Ctrl-C is taken care of

        try:
            get_num_threads()
            code = main(arguments) or 0
        except SettingError as error:
            raise UsageError(str(error)) from error
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        code = 0
    except MemoryError:
        said = _show(command, "not enough memory; try a smaller model, batch or text", debug)
        code = 1
    except OSError as error:
        path = "" if error.filename is None else f"can't use {shortened(str(error.filename), 200)}: "
        what = path or ("can't write the output: " if _output_fails() else "")
        said = _show(command, f"{what}{error.strerror or error}", debug)
        _forget_output()
        code = 1
    except Exception as error:
        said = _show(command, explained(error), debug)
        code = error.exit_code if isinstance(error, UserError) else UsageError.exit_code
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what there was to do is done, and the exit code decided
    if code and in_ipython():
        warnings.filterwarnings("ignore", "Unknown failure executing module")  # which IPython has to say of every exit code
        raise Failed(code, said)
    sys.exit(code)


def _prepare_streams() -> None:
    """UTF-8 on stdout and stderr, whatever the locale; nothing to read, and nowhere to write, where whoever started us closed
    them."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 (it stays open)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (it stays open)
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # else somebody has put something of theirs in its place
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def explained(error: Exception) -> str:
    """Say what is wrong: what a UserError says; or, of an error in a model's file, where it is. Any other is raised again: the
    fault is ours, and its traceback is wanted."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name in REQUIRED:
        return (
            f"{error.name} isn't installed in {sys.executable}; activate the zoo's environment (source .venv/bin/activate; on "
            "Windows .venv\\Scripts\\activate), or install the zoo here (pip install -e .)"
        )
    models = sys.modules.get("zoo.models")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if models and os.path.dirname(f.filename) in models.__path__]
    if not frames:
        raise error
    place = f"{os.path.basename(frames[-1].filename)}, line {frames[-1].lineno}"
    return f"{place}: {type(error).__name__}: {' '.join(str(error).split())}; --debug shows the whole traceback"


def _module(command: str) -> str:
    return f"zoo.{command}" if command else "zoo"


def _show(command: str, message: str, debug: bool) -> str:
    """Show an error on stderr: one line, which is returned, after a traceback with --debug. (IPython shows it itself.)"""
    line = as_called(f"{_called(command)}: error: {in_one_line(message)}")
    if debug:
        traceback.print_exc()
    if not in_ipython():
        with contextlib.suppress(OSError):  # that nobody reads it is no reason to stop
            print(line, file=sys.stderr, flush=True)
    return line


def _called(command: str) -> str:
    """The command as its errors begin: zoo.train, or zoo train."""
    return _module(command).replace(".", " ") if reporter.called_by_name else _module(command)


def _output_fails() -> bool:
    """Tell if what is still to be written to stdout can't be."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        return True
    return False


def _forget_output() -> None:
    """Nothing more can be said on stdout, not even at exit."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
