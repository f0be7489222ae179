"""python -m zoo.train MODEL: train a model and keep it in a run folder."""

from __future__ import annotations

import argparse
import signal
from dataclasses import fields
from typing import Any

from zoo.command import Parser, note, result, run
from zoo.errors import UsageError


def _parser(kind: Any = None) -> Parser:
    """The command's options; those of a model's recipe come from its fields."""
    from zoo.recipe import dashed, default_of

    parser = Parser("train", "Train a model and keep it in a run folder.", argument_default=argparse.SUPPRESS)
    parser.add_argument("model", metavar="MODEL", help="which model; python -m zoo lists them")
    parser.add_argument("--out", metavar="DIR", help="the run folder (default: runs/MODEL)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    if kind is not None:
        recipe = parser.add_argument_group(f"the recipe of {kind.__module__.rpartition('.')[2]}")
        for f in fields(kind.recipe_class):
            default = default_of(kind.recipe_class, f.name)
            text = f.metadata["help"] + ("" if default is None else f" (default: {default})")
            recipe.add_argument(f"--{dashed(f.name)}", metavar=f.type.partition(" ")[0].upper(), help=text.replace("%", "%%"))
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    if not arguments or arguments[0].startswith("-"):
        _parser().parse(arguments)  # shows the help if it is asked for, and refuses if there is no model
        raise UsageError("the model comes first: python -m zoo.train MODEL [options]; python -m zoo lists the models")

    import numpy as np

    from zoo.recipe import make_recipe, parse_field
    from zoo.registry import model_class
    from zoo.training.run_folder import RunFolder, default_folder
    from zoo.training.trainer import RECENT, Interrupted, Trainer

    name = arguments[0]  # it decides which options there are
    kind = model_class(name)
    options = _parser(kind).parse(arguments)
    options.json = getattr(options, "json", False)
    given = {
        f.name: parse_field(kind.recipe_class, f.name, getattr(options, f.name))
        for f in fields(kind.recipe_class)
        if hasattr(options, f.name)
    }
    folder = RunFolder(getattr(options, "out", None) or default_folder(name), name)
    resuming = hasattr(options, "resume")

    saved = folder.read_config()["recipe"] if resuming else {}
    for field, value in given.items():
        if field in saved and field != "steps" and saved[field] != value:
            raise UsageError(f"--{field}: the saved run has {saved[field]}, not {value}; only --steps can change when resuming")
    recipe = make_recipe(kind.recipe_class, {**saved, **given})
    text = kind.read_corpus(recipe)
    tokenizer = kind.tokenizer_class.from_text(text)
    tokens = tokenizer.encode(text)
    model = kind(recipe, len(tokenizer.vocabulary), np.random.default_rng(recipe.seed))
    trainer = Trainer(model, tokenizer, tokens, folder)
    if resuming:
        trainer.resume()
        if trainer.step >= recipe.steps:
            raise UsageError(
                f"--resume: the run in {folder.path} has done all its {trainer.step} steps; give more with --steps"
            )
    else:
        moved = folder.prepare()
        if moved is not None:
            note(f"The earlier run is kept in {moved}")
    note(
        f"{name}: {model.num_parameters():,} parameters, {len(trainer.targets):,} examples from "
        f"{len(tokens):,} {tokenizer.unit} ({len(tokenizer.vocabulary):,} distinct)"
    )

    def report(figures: dict[str, Any]) -> None:
        line = model.progress_line(*(figures[k] for k in ("step", "input", "target", "pred", "loss")))
        result(options, line, figures)

    try:
        trainer.run(report)
    except Interrupted as stop:
        note(f"\nStopped at step {trainer.step} of {recipe.steps}, saved in {folder.path}; go on with --resume")
        return 128 + (signal.SIGINT if stop.number == signal.SIGINT else signal.SIGTERM)
    except BrokenPipeError:
        trainer.save()
        raise
    except BaseException:
        folder.discard_if_empty()
        raise

    result(
        options, f"Mean loss of the last {min(RECENT, recipe.steps)} steps: {trainer.loss:.4f}", {"final_loss": trainer.loss}
    )
    for sentence, figures in model.summary(trainer.inputs, trainer.targets):
        result(options, sentence, figures)
    _show_sample(options, model, tokenizer, trainer.inputs)
    opening = tokenizer.decode(tokens[: recipe.context])
    note(f'Saved in {folder.path}. Try: python -m zoo.generate {getattr(options, "out", name)} --prompt "{opening}"')
    return 0


def _show_sample(options: argparse.Namespace, model: Any, tokenizer: Any, inputs: Any) -> None:
    """A line that the model makes up, from a place in the text chosen by the seed."""
    import numpy as np

    from zoo.decoding.sampling import generate

    rng = np.random.default_rng(model.recipe.seed)
    start = inputs[rng.integers(len(inputs))].tolist()
    text = tokenizer.decode([*start, *generate(model, start, 12, 0.8, rng)])
    result(options, f"Generated: {text}", {"generated": text})


if __name__ == "__main__":
    run("train", main)
