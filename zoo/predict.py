"""python -m zoo.predict MODEL TEXT: the likeliest next tokens, with bars."""

from __future__ import annotations

from zoo.cli import Parser, add_model, load, result, run, typed, whole_number


def make_parser() -> Parser:
    """The command's options."""
    parser = Parser("predict", "Show what a trained model expects to come next.")
    add_model(parser)
    parser.add_argument("text", metavar="TEXT", help="what came before")
    parser.add_argument("--top", type=whole_number(1), default=10, metavar="N", help="how many tokens to show (default: 10)")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = make_parser().parse(arguments)
    model = load(options)
    prediction = model.predict(typed(options.text, model), options.top)
    for line, figures in zip(prediction.lines, prediction, strict=True):
        result(options, line, figures)
    return 0


if __name__ == "__main__":
    run("predict", main)
