"""python -m zoo.explain MODEL TEXT: one prediction in all its numbers, a screen a step."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from zoo.cli import Parser, add_data_folder, add_model, load, result, run, use_data_folder, whole_number
from zoo.errors import DataError, UsageError


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser("explain", "Explain one prediction of a model, with all its numbers: from the text to the loss, and back.")
    add_model(parser)
    parser.add_argument("text", metavar="TEXT", help="what came before")
    parser.add_argument(
        "--next",
        metavar="TOKEN",
        help="the target, what really comes next (default: what follows TEXT in the training text, or else the likeliest)",
    )
    parser.add_argument("--step", type=whole_number(1), metavar="N", help="show one step only")
    parser.add_argument("--untrained", action="store_true", help="as it was before training, when its numbers were random")
    add_data_folder(parser)
    options = parser.parse(arguments)
    use_data_folder(options.data_dir)
    if options.untrained and options.last:
        raise UsageError("--untrained and --last: give one of the two")

    from zoo.columns import paragraph
    from zoo.explain.explanation import explain
    from zoo.explain.screen import View
    from zoo.explain.terminal import Terminal, wants_colour, wants_more
    from zoo.explain.trace import Trace, encode_text

    model, tokenizer = _untrained(options) if options.untrained else load(options)
    tokens = encode_text(model, tokenizer, options.text)
    trace = Trace(model, tokens, _target(options, model, tokenizer, tokens))
    terminal = Terminal(wants_colour(sys.stdout) and not options.json)
    # A trained model learns as it did in its last step, an untrained one as in its first.
    screens = explain(View(trace, tokenizer, terminal), model.recipe.schedule(1000)(0 if options.untrained else 999))
    if options.step is not None and options.step > len(screens):
        raise UsageError(f"--step: there are {len(screens)} steps, no step {options.step}")
    chosen = range(len(screens)) if options.step is None else [options.step - 1]
    waits = options.step is None and not options.json and sys.stdin.isatty() and sys.stdout.isatty()
    for i in chosen:
        lines, figures = screens[i].draw()
        title = paragraph(f"Step {i + 1} of {len(screens)}: {screens[i].title}")
        body = "\n".join(["", *map(terminal.strong, title), "", *lines])
        result(options, body, {"step": i + 1, "steps": len(screens), "title": screens[i].title, **figures})
        if waits and i + 1 < len(screens) and not wants_more():
            break
    return 0


def _untrained(options: argparse.Namespace) -> tuple[Any, Any]:
    """The model before its first step: by the recipe of a run, or by the model's own."""
    from zoo.recipe import make_recipe
    from zoo.registry import build_model, list_models, model_class
    from zoo.training.checkpoint import find, is_chat

    config = None
    if options.model in list_models():
        name = options.model
        recipe = make_recipe(model_class(name).recipe_class, {})
        tokenizer = recipe.make_tokenizer(recipe.read_text)
    else:
        checkpoint = find(options.model)
        config = checkpoint.read_config()
        name, recipe = checkpoint.name, checkpoint.recipe(config)
        tokenizer = checkpoint.tokenizer(config)
    model = build_model(name, recipe, len(tokenizer.vocabulary))
    if config is not None:
        model.chat = is_chat(config, tokenizer)
    return model, tokenizer


def _target(options: argparse.Namespace, model: Any, tokenizer: Any, tokens: list[int]) -> int | None:
    """The target, the token that comes next: what --next says, or what follows in the text that the model learns from; else
    None."""
    if options.next is not None:
        found = tokenizer.encode("\n" if options.next == "\\n" else options.next).tolist()
        if len(found) != 1:
            raise UsageError(f"--next: one {tokenizer.unit.removesuffix('s')}, not {options.next!r}")
        return int(found[0])
    from zoo.explain.trace import what_follows
    from zoo.training.checkpoint import find

    try:
        text = model.recipe.read_text()
        if not options.untrained:
            find(options.model).check_text(text)
        documents = [tokenizer.encode(part) for part in model.recipe.documents(text)]
    except DataError:  # a text that can't be had, or has changed, tells as little as one that doesn't hold these tokens
        if options.data_dir is not None:  # (but whoever names a folder wants to know that it isn't one)
            raise
        return None
    return what_follows(documents, tokens)


if __name__ == "__main__":
    run("explain", main)
