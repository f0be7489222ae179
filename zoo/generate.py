"""python -m zoo.generate MODEL --prompt TEXT: let a trained model continue a text."""

from __future__ import annotations

from zoo.cli import Parser, add_model, load, number, result, run, typed, whole_number
from zoo.errors import UsageError
from zoo.untrusted import shown

#: How tokens are drawn: options that have nothing to decide beside --beams.
DRAWING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")


def make_parser() -> Parser:
    """The command's options."""
    parser = Parser("generate", "Let a trained model continue a text.")
    add_model(parser)
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="what to continue")
    parser.add_argument(
        "--tokens", type=whole_number(0), metavar="N", help="how many tokens to add at most (default: 20 words, 500 characters)"
    )
    drawing = parser.add_argument_group("how tokens are drawn")
    drawing.add_argument(
        "--temperature", type=number(0), metavar="T", help="0 takes the likeliest; higher is bolder (default: 0.8)"
    )
    drawing.add_argument("--top-k", type=whole_number(1), metavar="K", help="only the K likeliest")
    drawing.add_argument("--top-p", type=number(0), metavar="P", help="only the likeliest that together have this probability")
    drawing.add_argument(
        "--min-p", type=number(0), metavar="P", help="only those with this fraction of the likeliest one's probability"
    )
    drawing.add_argument(
        "--repetition-penalty", type=number(1), metavar="R", help="above 1: what was there before gets less likely"
    )
    drawing.add_argument("--seed", type=whole_number(0), metavar="S", help="chooses what is drawn (default: 0)")
    parser.add_argument(
        "--beams",
        type=whole_number(1),
        metavar="B",
        help="draw nothing: the likeliest continuation as a whole, following B at a time",
    )
    parser.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end before this text; may be given several times"
    )
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = make_parser().parse(arguments)
    if "" in options.stop:
        raise UsageError("--stop: needs a text")
    given = {name: getattr(options, name) for name in DRAWING if getattr(options, name) is not None}

    from zoo.inference.sampling import Sampling
    from zoo.language_model import check_beams

    if options.beams is not None:
        check_beams(list(given))
    Sampling(**{name: value for name, value in given.items() if name != "seed"})  # refuses before the model is read
    model = load(options)
    prompt, stop = typed(options.prompt, model), [typed(text, model) for text in options.stop]
    settings = {"tokens": options.tokens, "beams": options.beams, "stop": stop, **given}
    if options.json:
        text = model.generate(prompt, **settings)
        documents = {} if model.model.boundary is None else {"documents": text.documents}
        result(options, "", {"prompt": options.prompt, "text": text, "continuation": text.continuation, **documents})
        return 0
    pieces = model.stream(prompt, **settings)
    for piece in pieces if model.model.boundary is None else model.known_documents.marked(pieces):
        print(shown(piece), end="", flush=True)
    print(flush=True)
    return 0


if __name__ == "__main__":
    run("generate", main)
