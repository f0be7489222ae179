"""python -m zoo.evaluate MODEL: how well a trained model foretells text that it hasn't learned."""

from __future__ import annotations

import math
from typing import Any

from zoo.cli import Parser, add_data_folder, add_model, load, result, run, use_data_folder
from zoo.errors import DataError


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser("evaluate", "Show how well a trained model foretells a text: by default what was held out of its own.")
    add_model(parser)
    parser.add_argument("--data", metavar="FILE", help="a plain text to evaluate on, all of it")
    add_data_folder(parser)
    options = parser.parse(arguments)
    use_data_folder(options.data_dir)

    from zoo.datasets.batches import valid_targets
    from zoo.datasets.corpus import read_text
    from zoo.training.checkpoint import find
    from zoo.training.evaluation import bits_per_character_and_byte, evaluate, make_dataset, parts, split
    from zoo.training.progress import Progress

    found = find(options.model)
    model, tokenizer = load(options)
    text = read_text(options.data) if options.data is not None else model.recipe.read_text()
    documents = [tokenizer.encode(part) for part in model.recipe.documents(text)]
    if options.data is not None:
        what, examples = options.data, make_dataset(model, documents, tokenizer)
    else:
        found.check_text(text)
        training, held_out = split(model, documents, tokenizer)
        examples = training if held_out is None else held_out
        if held_out is not None:
            text = "".join(map(tokenizer.decode, parts(model, documents)[0]))  # what it learned from
        name = model.recipe.corpus.name if model.recipe.data is None else model.recipe.data
        what = f"{name}, the text it learned from" if held_out is None else f"the held-out end of {name}"

    count = sum(valid_targets(targets).size for _, targets in examples.in_order())
    with Progress(count, unit=tokenizer.unit.removesuffix("s")) as progress:
        loss = evaluate(model, examples, progress.update)
        progress.update(count, loss, force=True)
    per_character, per_byte = bits_per_character_and_byte(loss, examples, tokenizer)
    figures = {
        "loss": loss,
        "perplexity": _exp(loss),
        "bits_per_character": per_character,
        "bits_per_byte": per_byte,
        "tokens": count,
    }
    result(
        options,
        f"On {what}: {count:,} {tokenizer.unit}\nloss {loss:.4f} nats, perplexity {figures['perplexity']:.4g}, "
        f"{per_character:.3f} bits per character, {per_byte:.3f} bits per byte",
        {"model": found.name, "text": what, **figures},
    )
    if not math.isfinite(loss):
        raise DataError(f"the loss is {loss}; the model can't be used: train it again")
    for name, questions in model.recipe.questions(text).items():
        right = _ask(model, tokenizer, questions)
        sentence = f"{name}: {right:,} of {len(questions):,} answered rightly ({right / len(questions):.1%})"
        result(options, sentence, {"questions": name, "asked": len(questions), "right": right})
    return 0


def _ask(model: Any, tokenizer: Any, questions: list[Any]) -> int:
    """Count the questions that are answered to the letter, if the likeliest letter is taken each time."""
    import numpy as np

    from zoo.chat.session import Conversation, right_answers
    from zoo.inference.decoder import Decoder
    from zoo.inference.sampling import Sampling
    from zoo.training.progress import Progress

    conversation = Conversation(Decoder(model), tokenizer, model.recipe.context, Sampling(0.0), np.random.default_rng(0))
    with Progress(len(questions), unit="question", figure="right") as progress:
        return right_answers(conversation, questions, progress.update)


def _exp(loss: float) -> float:
    """e^loss: among how many equally likely tokens the model would be as unsure."""
    return math.exp(loss) if loss < 700 else math.inf


if __name__ == "__main__":
    run("evaluate", main)
