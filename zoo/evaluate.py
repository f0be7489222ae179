"""python -m zoo.evaluate MODEL: how well a trained model foretells text that it hasn't learned."""

from __future__ import annotations

from zoo.cli import Parser, add_data_folder, add_model, load, run
from zoo.datasets.corpus import use_data_folder
from zoo.reporter import Reporter


def make_parser() -> Parser:
    """The command's options."""
    parser = Parser("evaluate", "Show how well a trained model foretells a text: by default what was held out of its own.")
    add_model(parser)
    parser.add_argument("--data", metavar="FILE", help="a plain text to evaluate on, all of it")
    add_data_folder(parser)
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = make_parser().parse(arguments)
    use_data_folder(options.data_dir)
    load(options).evaluate(options.data, report=Reporter(options.json).result)
    return 0


if __name__ == "__main__":
    run("evaluate", main)
