"""python -m zoo.generate MODEL --prompt TEXT: let a trained model continue a text."""

from __future__ import annotations

import argparse
from typing import Any

from zoo.cli import Parser, add_model, load, number, result, run, whole_number
from zoo.errors import UsageError


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
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
    options = parser.parse(arguments)
    if "" in options.stop:
        raise UsageError("--stop: needs a text")
    sampling = _sampling(options)

    from zoo.inference.generation import encode_prompt, text_pieces

    model, tokenizer = load(options)
    prompt = encode_prompt(tokenizer, options.prompt)
    count = model.description.max_new_tokens if options.tokens is None else options.tokens
    pieces = text_pieces(_tokens(options, model, prompt, count, sampling), tokenizer, options.stop)
    if options.json:
        continuation = "".join(pieces)
        result(
            options,
            "",
            {"prompt": options.prompt, "text": tokenizer.decode(prompt) + continuation, "continuation": continuation},
        )
        return 0
    print(tokenizer.decode(prompt), end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print(flush=True)
    return 0


def _sampling(options: argparse.Namespace) -> Any:
    """Read how tokens are drawn. Raises UsageError where that doesn't go with beams."""
    from zoo.inference.sampling import Sampling

    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.beams is not None and given:
        name = next(iter(given)).replace("_", "-")
        raise UsageError(f"--beams draws nothing, so --{name} has nothing to decide; give one of the two")
    given.pop("seed", None)
    return Sampling(**given)


def _tokens(options: argparse.Namespace, model: Any, prompt: list[int], count: int, sampling: Any) -> Any:
    """The continuation's tokens, as they come."""
    import numpy as np

    from zoo.inference.beam_search import beam_search
    from zoo.inference.decoder import Decoder
    from zoo.inference.generation import generate

    if options.beams is not None:
        return beam_search(Decoder(model), prompt, count, options.beams)
    return generate(Decoder(model), prompt, count, sampling, np.random.default_rng(options.seed or 0))


if __name__ == "__main__":
    run("generate", main)
