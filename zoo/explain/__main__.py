"""python -m zoo.explain MODEL TEXT: one prediction in all its numbers, a screen a step."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from zoo.cli import Parser, add_data_folder, add_model, load, result, run, use_data_folder, whole_number
from zoo.errors import DataError, UsageError


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(
        "explain", "Walk through one prediction of a model, with all its numbers: from the text to the guess, and back."
    )
    add_model(parser)
    parser.add_argument("text", metavar="TEXT", help="what came before")
    parser.add_argument(
        "--next", metavar="TOKEN", help="what really comes next (default: what follows TEXT in what it learned)"
    )
    parser.add_argument("--step", type=whole_number(1), metavar="N", help="show one step only")
    parser.add_argument("--untrained", action="store_true", help="as it was before training, when its numbers were random")
    add_data_folder(parser)
    options = parser.parse(arguments)
    use_data_folder(options.data_dir)
    if options.untrained and options.last:
        raise UsageError("--untrained and --last: give one of the two")

    from zoo.chat.template import BOT, USER, apply_chat_template
    from zoo.explain import backward, forward
    from zoo.explain.layers import middle
    from zoo.explain.screen import View
    from zoo.explain.terminal import Painter, wants_colour
    from zoo.explain.trace import Walk
    from zoo.inference.generation import encode_prompt

    model, tokenizer = _untrained(options) if options.untrained else load(options)
    converses = {USER, BOT} <= set(tokenizer.vocabulary)
    tokens = encode_prompt(tokenizer, apply_chat_template(options.text) if converses else options.text)
    walk = Walk(model, tokens, _next(options, model, tokenizer, tokens))
    view = View(walk, tokenizer, Painter(wants_colour(sys.stdout) and not options.json))
    # A trained model learns as it did in its last step, an untrained one as in its first.
    factor = model.schedule(1000)(0 if options.untrained else 999)
    screens = [forward.text(view), forward.embeddings(view), *middle(view), forward.scores(view), forward.softmax(view),
               forward.loss(view), backward.at_the_scores(view), backward.at_an_embedding(view),
               *backward.one_step(view, factor, walk.learn(factor))]  # fmt: skip
    if options.step is not None and options.step > len(screens):
        raise UsageError(f"--step: there are {len(screens)} steps, no step {options.step}")
    chosen = range(len(screens)) if options.step is None else [options.step - 1]
    waits = options.step is None and not options.json and sys.stdin.isatty() and sys.stdout.isatty()
    for i in chosen:
        title = f"Step {i + 1} of {len(screens)}: {screens[i].title}"
        body = "\n".join(["", view.painter.strong(title), "", *screens[i].lines])
        result(options, body, {"step": i + 1, "steps": len(screens), "title": screens[i].title, **screens[i].figures})
        if waits and i + 1 < len(screens) and not _go_on():
            break
    return 0


def _untrained(options: argparse.Namespace) -> tuple[Any, Any]:
    """The model before its first step: by the recipe of a run, or by the model's own."""
    import numpy as np

    from zoo.recipe import make_recipe
    from zoo.registry import list_models, model_class
    from zoo.training.checkpoint import find

    if options.model in list_models():
        kind = model_class(options.model)
        recipe = make_recipe(kind.recipe_class, {})
        tokenizer = kind.make_tokenizer(recipe, lambda: kind.read_corpus(recipe))
    else:
        checkpoint = find(options.model)
        config = checkpoint.read_config()
        kind, recipe = model_class(checkpoint.name), checkpoint.recipe(config)
        tokenizer = kind.tokenizer_class.from_dict(config)
    return kind(recipe, len(tokenizer.vocabulary), np.random.default_rng(recipe.seed)), tokenizer


def _next(options: argparse.Namespace, model: Any, tokenizer: Any, tokens: list[int]) -> int:
    """The token that really comes next: what --next says, or what follows in the text that the model learns from."""
    if options.next is not None:
        found = tokenizer.encode("\n" if options.next == "\\n" else options.next).tolist()
        if len(found) != 1:
            raise UsageError(f"--next: one {tokenizer.unit.removesuffix('s')}, not {options.next!r}")
        return int(found[0])
    from zoo.explain.trace import what_follows
    from zoo.training.checkpoint import find

    say_it = f"say what comes next: --next {tokenizer.unit.removesuffix('s').upper()}"
    try:
        text = model.read_corpus(model.recipe)
        if not options.untrained:
            find(options.model).check_text(text)
        documents = [tokenizer.encode(part) for part in model.documents(text)]
    except DataError as error:
        raise DataError(f"{error}; or {say_it}") from None
    token = what_follows(documents, tokens)
    if token is None:
        raise DataError(f"{options.text!r} isn't in the text that the model learns from; {say_it}")
    return token


def _go_on() -> bool:
    """Whether the person at the terminal wants the next screen."""
    try:
        return input("\n(Enter: the next step; q: stop) ").strip().lower() not in ("q", "quit")
    except EOFError:
        print()
        return False


if __name__ == "__main__":
    run("explain", main)
