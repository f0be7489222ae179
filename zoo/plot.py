"""python -m zoo.plot WHAT ...: pictures of models, as PNG or SVG."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from zoo.cli import Parser, add_last, result, run, typed
from zoo.errors import UsageError

HELP = """\
losses RUN ...            the losses of runs, while learning and on held-out text
embeddings MODEL          a map of what a model's tokens mean to it
attention MODEL TEXT      the attention weights of all layers and heads
probabilities MODEL TEXT  how likely it found each token of a text

A RUN or a MODEL is a model's name (its run in runs/, or what comes with the
zoo) or a run folder."""


class _Parser(Parser):
    """Which words it takes depends on the first."""

    def room(self, words: Sequence[str]) -> int:
        from zoo.plots.kinds import PICTURES

        wanted = PICTURES.get(words[0], "") if words else ""
        return 1 + len(wanted.split()) if "TEXT" in wanted else 0


def make_parser() -> Parser:
    """The command's options."""
    from zoo.plots.kinds import AXES, LOGS, METHODS, PICTURES

    parser = _Parser("plot", "Draw a picture of a model.", epilog=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", metavar="WHAT", help=", ".join(PICTURES))
    parser.add_argument("names", metavar="NAME", nargs="*", help="what that needs; see below")
    parser.add_argument("--out", metavar="FILE", help="a .png or .svg file (default: WHAT.png)")
    parser.add_argument("--method", choices=METHODS, default="pca", help="how embeddings are flattened (default: pca)")
    parser.add_argument(
        "--axis",
        choices=AXES,
        default="steps",
        help="what losses are drawn over: training steps (the default), the share of a run's steps, or seconds",
    )
    parser.add_argument("--log", choices=LOGS[1:], default="", help="the axes of losses that are logarithmic")
    parser.add_argument(
        "--words", action="store_true", help="attention between words, also for a short text: a word's tokens are grouped"
    )
    add_last(parser)
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = make_parser().parse(arguments)

    from zoo.plots.kinds import check_picture, picture_file

    wanted = check_picture(options.what)
    if not options.names or (not wanted.endswith("...") and len(options.names) != len(wanted.split())):
        raise UsageError(f"{options.what} needs {wanted}; see python -m zoo.plot --help")
    out = picture_file(options.out or f"{options.what}.png")
    if options.what == "losses":
        from zoo.plots.losses import draw_losses, read_metrics

        draw_losses([(name, read_metrics(name)) for name in options.names], out, options.axis, options.log)
    else:
        from zoo.language_model import load_model

        name, text = options.names[0], options.names[1] if len(options.names) > 1 else None
        model = load_model(name, options.last)
        text = None if text is None else typed(text, model)
        model.plot(options.what, text, out, options.method, words=options.words or None)
    result(options, f"Drawn: {out}", {"file": str(out)})
    return 0


if __name__ == "__main__":
    run("plot", main)
