"""python -m zoo.predict MODEL TEXT: the likeliest next tokens, with bars."""

from __future__ import annotations

from zoo.cli import Parser, add_model, load, result, run, whole_number


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser("predict", "Show what a trained model expects to come next.")
    add_model(parser)
    parser.add_argument("text", metavar="TEXT", help="what came before")
    parser.add_argument("--top", type=whole_number(1), default=10, metavar="N", help="how many tokens to show (default: 10)")
    options = parser.parse(arguments)

    from zoo.inference.generation import likeliest, show_bars

    model, tokenizer = load(options)
    best = likeliest(model, tokenizer, options.text, options.top)
    for line, figures in zip(show_bars(best), best, strict=True):
        result(options, line, figures)
    return 0


if __name__ == "__main__":
    run("predict", main)
