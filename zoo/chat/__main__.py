"""python -m zoo.chat: talk with a model."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from zoo.cli import Parser, add_last, number, result, run, whole_number
from zoo.errors import DataError, UserError, did_you_mean, quoted, shortened
from zoo.reporter import note
from zoo.untrusted import in_one_line, shown

COMMANDS = """\
/help             this list
/reset            forget what was said
/temperature T    0: always the likeliest letter; higher is bolder
/quit             leave (Ctrl-D does, too)
Ctrl-C stops an answer; a second one leaves."""


def make_parser() -> Parser:
    """The command's options."""
    parser = Parser(
        "chat",
        "Talk with a model. With no terminal, every line of stdin is a turn, and each answer a line on stdout; "
        "/reset, /temperature T and /quit work there too.",
    )
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", default="chat_gpt", help="chat_gpt, or the run folder of one that you trained"
    )
    add_last(parser)
    parser.add_argument(
        "--temperature",
        type=number(0),
        metavar="T",
        default=0.0,
        help="0 takes the likeliest letter; higher is bolder (default: 0)",
    )
    parser.add_argument("--seed", type=whole_number(0), metavar="S", default=0, help="chooses what is drawn (default: 0)")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = make_parser().parse(arguments)
    chat = _Chat(options)
    if options.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return chat.with_a_script()
    return chat.with_a_person()


def _lines_of_stdin() -> Iterator[str]:
    """The lines that are typed, or come from elsewhere. Raises DataError when it can't be read."""
    try:
        yield from sys.stdin
    except OSError as error:
        raise DataError(f"can't read what you say: stdin: {error.strerror}") from None


class _Leave(Exception):
    """The user has had enough."""


class _Chat:
    """A conversation, and the commands within it."""

    def __init__(self, options: argparse.Namespace) -> None:
        # A letter is one row through small matrices. A second thread doesn't make that faster, and where another program keeps
        # a core busy, waiting for it takes longer than all the work.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from zoo.cli import load

        self.options = options
        model = load(options)
        self.conversation = model.conversation(options.temperature, options.seed)
        self.parameters = model.num_parameters()
        self.answering = self.stopped = False

    def with_a_script(self) -> int:
        """A line is a turn, and its answer a line."""
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8", errors="replace")
        try:
            for line in _lines_of_stdin():
                said = self._heard(line.rstrip("\r\n"))
                if said is not None:
                    answer = "".join(self._answer(said))
                    result(self.options, answer, {"you": line.rstrip("\r\n"), "read": said, "bot": answer})
        except _Leave:
            pass
        return 0

    def with_a_person(self) -> int:
        """Ask and answer until they leave."""
        import contextlib

        with contextlib.suppress(ImportError):  # where there is none, the terminal's own editing has to do
            import readline  # noqa: F401 (input() uses it: line editing, and a history that isn't kept on disk)
        if threading.current_thread() is threading.main_thread():  # (no signal reaches another)
            signal.signal(signal.SIGINT, self._interrupt)
        print(f"A model of {self.parameters:,} parameters. Talk to it in simple English; /help lists the commands.\n")
        while True:
            try:
                line = input("You: ")
            except EOFError:
                print()
                return 0
            except KeyboardInterrupt:
                print()
                if self.stopped:
                    return 130
                self.stopped = True
                note("(Ctrl-C once more, or Ctrl-D, leaves)")
                continue
            try:
                said = self._heard(line)
            except _Leave:
                return 0
            self.stopped = False
            if said is None:
                continue
            print("Bot: ", end="", flush=True)
            self.answering = True
            for letter in self._answer(said):
                print(shown(letter), end="", flush=True)
            self.answering = False
            print(" ..." if self.stopped else "")

    def _interrupt(self, *_: Any) -> None:
        """Ctrl-C: it stops an answer after a whole letter, and what is being typed at once."""
        if not self.answering:
            raise KeyboardInterrupt
        self.stopped = True

    def _answer(self, said: str) -> Iterator[str]:
        """The answer, letter by letter, until it is stopped."""
        for letter in self.conversation.respond(said):
            if self.stopped:
                return
            yield letter

    def _heard(self, line: str) -> str | None:
        """A line as the model can read it; None where there is nothing to answer. Obeys commands."""
        line = " ".join(line.split())
        if not line:
            return None
        if line.startswith("/"):
            self._obey(*line.split(" ", 1))
            return None
        said, remarks = self.conversation.hear(line)
        if remarks:
            note(f"({in_one_line('; '.join(remarks))})")
        return said

    def _obey(self, command: str, argument: str = "") -> None:
        """Do what a command says. Raises _Leave for the one that does."""
        from zoo.inference.sampling import Sampling

        known = ["/help", "/reset", "/temperature", "/quit"]
        if command == "/quit":
            raise _Leave
        if command == "/reset":
            self.conversation.forget()
            note("(forgotten)")
        elif command == "/help":
            note(COMMANDS)
        elif command == "/temperature":
            try:
                self.conversation.sampling = Sampling(float(argument))
                note(f"(the temperature is {float(argument):g})")
            except (ValueError, UserError):
                note(f"(/temperature needs a number of at least 0, as in /temperature 0.5, not {quoted(argument)})")
        else:
            note(f"(there is no {shortened(command)}{did_you_mean(command, known) or '; /help lists the commands'})")


if __name__ == "__main__":
    run("chat", main)
