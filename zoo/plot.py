"""python -m zoo.plot WHAT ...: pictures of models, as PNG or SVG."""

from __future__ import annotations

import argparse
from pathlib import Path

from zoo.cli import Parser, add_last, result, run
from zoo.errors import UsageError, did_you_mean

#: What can be drawn, and what that needs.
KINDS = {
    "losses": "RUN ...",
    "embeddings": "MODEL",
    "attention": "MODEL TEXT",
    "probabilities": "MODEL TEXT",
}
HELP = """\
losses RUN ...            the losses of runs, while learning and on held-out text
embeddings MODEL          a map of what a model's tokens mean to it
attention MODEL TEXT      the attention weights of all layers and heads
probabilities MODEL TEXT  how likely it found each token of a text

A RUN or a MODEL is a model's name (its run in runs/, or what comes with the
zoo) or a run folder."""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser("plot", "Draw a picture of a model.", epilog=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", metavar="WHAT", help=", ".join(KINDS))
    parser.add_argument("names", metavar="NAME", nargs="*", help="what that needs; see below")
    parser.add_argument("--out", metavar="FILE", help="a .png or .svg file (default: WHAT.png)")
    parser.add_argument("--method", choices=("pca", "tsne"), default="pca", help="how embeddings are flattened (default: pca)")
    parser.add_argument(
        "--axis",
        choices=("steps", "share", "seconds"),
        default="steps",
        help="what losses are drawn over: training steps (the default), the share of a run's steps, or seconds",
    )
    parser.add_argument("--log", choices=("x", "y", "xy"), default="", help="the axes of losses that are logarithmic")
    parser.add_argument(
        "--words", action="store_true", help="attention between words, also for a short text: a word's tokens are grouped"
    )
    add_last(parser)
    options = parser.parse(arguments)
    if options.what not in KINDS:
        raise UsageError(f"can't draw {options.what!r}{did_you_mean(options.what, list(KINDS))}; there are {', '.join(KINDS)}")
    wanted = KINDS[options.what]
    if not options.names or (not wanted.endswith("...") and len(options.names) != len(wanted.split())):
        raise UsageError(f"{options.what} needs {wanted}; see python -m zoo.plot --help")
    out = Path(options.out or f"{options.what}.png")
    if out.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"--out: needs a name that ends in .png or .svg, not {str(out)!r}")
    if not out.parent.is_dir():
        raise UsageError(f"--out: there is no folder {out.parent}")

    if options.what == "losses":
        from zoo.plots.losses import draw_losses, read_metrics

        draw_losses([(name, read_metrics(name)) for name in options.names], out, options.axis, options.log)
    else:
        _draw_model(options, out)
    result(options, f"Drawn: {out}", {"file": str(out)})
    return 0


def _draw_model(options: argparse.Namespace, out: Path) -> None:
    """A picture of one trained model."""
    from zoo.explain.trace import encode_text
    from zoo.plots.attention import draw_attention
    from zoo.plots.embeddings import draw_embeddings
    from zoo.plots.probabilities import draw_probabilities
    from zoo.training.checkpoint import find

    name, *text = options.names
    model, tokenizer = find(name).load(options.last)
    name = Path(name).name
    if options.what == "embeddings":
        draw_embeddings(name, model, tokenizer, options.method, out)
        return
    tokens = encode_text(model, tokenizer, text[0])
    if options.what == "attention":
        draw_attention(name, model, tokenizer, tokens, out, options.words or None)
    else:
        draw_probabilities(name, model, tokenizer, tokens, out)


if __name__ == "__main__":
    run("plot", main)
