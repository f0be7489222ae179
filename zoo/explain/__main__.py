"""python -m zoo.explain MODEL TEXT: one prediction in all its numbers, a screen a step."""

from __future__ import annotations

import sys

from zoo.cli import Parser, add_data_folder, add_model, load, result, run, typed, whole_number
from zoo.datasets.corpus import use_data_folder
from zoo.errors import UsageError


def make_parser() -> Parser:
    """The command's options."""
    parser = Parser("explain", "Explain one prediction of a model, with all its numbers: from the text to the loss, and back.")
    add_model(parser)
    parser.add_argument("text", metavar="TEXT", help="what came before")
    parser.add_argument(
        "--next",
        metavar="TOKEN",
        help="the target, what really comes next (default: what follows TEXT in the training text, or else the likeliest)",
    )
    parser.add_argument("--step", type=whole_number(1), metavar="N", help="show one step only")
    parser.add_argument("--untrained", action="store_true", help="as it was before training, when its numbers were random")
    add_data_folder(parser)
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = make_parser().parse(arguments)
    use_data_folder(options.data_dir)
    if options.untrained and options.last:
        raise UsageError("--untrained and --last: give one of the two")

    from zoo.explain.terminal import wants_colour, wants_more
    from zoo.language_model import untrained_model

    model = untrained_model(options.model) if options.untrained else load(options)
    text, target = typed(options.text, model), None if options.next is None else typed(options.next, model)
    explanation = model.explain(text, target, options.step, options.untrained, data_dir=options.data_dir)
    waits = options.step is None and not options.json and sys.stdin.isatty() and sys.stdout.isatty()
    for number, step in enumerate(explanation.steps(wants_colour(sys.stdout) and not options.json), 1):
        result(options, step.text, step.figures, styled=True)
        if waits and number < len(explanation) and not wants_more():
            break
    return 0


if __name__ == "__main__":
    run("explain", main)
