"""python -m zoo.dialogue: write the conversations that chat_gpt learns from."""

from __future__ import annotations

import os
import sys

from zoo.cli import Parser, run, whole_number
from zoo.errors import DataError, UsageError
from zoo.reporter import note


def make_parser() -> Parser:
    """The command's options."""
    from zoo.chat.synthetic import LENGTH

    parser = Parser("dialogue", "Write the conversations that chat_gpt learns from: the same text for the same seed.")
    parser.add_argument("--seed", type=whole_number(0), metavar="S", default=0, help="chooses wordings and order (default: 0)")
    parser.add_argument(
        "--length", type=whole_number(1), metavar="N", default=LENGTH, help=f"at least so many characters (default: {LENGTH})"
    )
    parser.add_argument("--out", metavar="FILE", help="where to write it (default: stdout)")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = make_parser().parse(arguments)
    if options.out == "":
        raise UsageError("--out: needs the name of a file")

    from microtensor.serialize import write_atomically
    from zoo.chat.synthetic import synthetic_conversations
    from zoo.chat.template import BOT

    text = synthetic_conversations(options.seed, options.length)
    if options.out is None:
        sys.stdout.write(text)
        return 0
    try:
        write_atomically(os.path.expanduser(options.out), text.encode())
    except OSError as error:
        raise DataError(f"can't write: {options.out}: {error.strerror}") from None
    note(f"Written: {options.out}, {len(text):,} characters, {text.count(BOT):,} answers, {len(set(text))} distinct characters")
    return 0


if __name__ == "__main__":
    run("dialogue", main)
