"""python -m zoo.generate MODEL --prompt TEXT: let a trained model continue a text."""

from __future__ import annotations

from zoo.command import Parser, number, result, run, whole_number
from zoo.errors import DataError


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser("generate", "Let a trained model continue a text.")
    parser.add_argument("model", metavar="MODEL", help="a model trained in runs/, or a run folder")
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="what to continue")
    parser.add_argument("--tokens", type=whole_number(0), default=20, metavar="N", help="how many tokens to add (default: 20)")
    parser.add_argument(
        "--temperature", type=number(0), default=0.8, metavar="T", help="0 takes the likeliest; higher is bolder (default: 0.8)"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="S", help="chooses what is drawn (default: 0)")
    options = parser.parse(arguments)

    import numpy as np

    from zoo.decoding.sampling import generate
    from zoo.training.run_folder import load_model

    model, tokenizer = load_model(options.model)
    prompt = tokenizer.encode(options.prompt).tolist()
    if not prompt:
        raise DataError(f"the prompt {options.prompt!r} holds no {tokenizer.unit}; give it at least one")
    continuation = generate(model, prompt, options.tokens, options.temperature, np.random.default_rng(options.seed))
    if options.json:
        text = tokenizer.decode([*prompt, *continuation])
        result(options, "", {"prompt": options.prompt, "text": text})
        return 0
    print(tokenizer.decode(prompt), end="", flush=True)
    for token in continuation:
        print("", tokenizer.decode([token]), end="", flush=True)
    print(flush=True)
    return 0


if __name__ == "__main__":
    run("generate", main)
