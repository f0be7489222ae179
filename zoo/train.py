"""python -m zoo.train MODEL: train a model and keep it in a run folder."""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import fields
from typing import Any

from zoo.cli import Parser, add_data_folder, note, result, run, use_data_folder, whole_number
from zoo.errors import UsageError


def _parser(kind: Any = None) -> Parser:
    """The command's options; those of a model's recipe come from its fields."""
    from zoo.options import dashed, default_of, type_name

    more = "" if kind else " Each model has options of its own: python -m zoo.train MODEL --help lists them."
    parser = Parser("train", f"Train a model and keep it in a run folder.{more}", argument_default=argparse.SUPPRESS)
    name = kind.__module__.rpartition(".")[2] if kind else "MODEL"
    parser.usage = f"python -m zoo.train {name} [options]"
    parser.prog = f"{parser.prog} {name}" if kind else parser.prog
    parser.add_argument("model", metavar="MODEL", help="which model; python -m zoo lists them")
    parser.add_argument("--out", metavar="DIR", help="the run folder (default: runs/MODEL)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    parser.add_argument(
        "--checkpoint-every", metavar="N", type=whole_number(1), help="save after every N steps (default: once a minute)"
    )
    add_data_folder(parser)
    if kind is not None:
        presets = kind.recipe_class.presets
        named = f"a recipe by name: {', '.join(presets)}" if presets else argparse.SUPPRESS
        parser.add_argument("--preset", metavar="NAME", help=named)
        recipe = parser.add_argument_group(f"the recipe of {name}")
        for f in fields(kind.recipe_class):
            default = default_of(kind.recipe_class, f.name)
            choices = f": {', '.join(f.metadata['choices'])}" if f.metadata.get("choices") else ""
            text = (
                f.metadata.get("help", f.name.replace("_", " "))
                + choices
                + ("" if default is None else f" (default: {default})")
            )
            recipe.add_argument(
                f"--{dashed(f.name)}", metavar=type_name(f).partition(" ")[0].upper(), help=text.replace("%", "%%")
            )
    return parser


def _recipe(kind: Any, options: argparse.Namespace, saved: dict[str, Any]) -> Any:
    """The recipe: the model's own, or the saved run's; changed by a preset, and by the options."""
    from zoo.options import dashed, parse_field, preset
    from zoo.recipe import make_recipe

    given = dict(preset(kind.recipe_class, options.preset)) if hasattr(options, "preset") else {}
    typed = {
        f.name: parse_field(kind.recipe_class, f.name, getattr(options, f.name))
        for f in fields(kind.recipe_class)
        if hasattr(options, f.name)
    }
    for name, other in (("steps", "epochs"), ("epochs", "steps")):
        if name in typed and other not in typed:
            given.pop(other, None)
    given.update(typed)
    if given.get("data") == "":
        raise UsageError("--data: needs the name of a text file")
    if "data" in given:
        given["data"] = os.path.abspath(given["data"])  # so that resuming finds it from any folder
    for field, value in given.items():
        if field in saved and field not in ("steps", "epochs", "data") and saved[field] != value:
            raise UsageError(f"--{dashed(field)}: the saved run has {saved[field]}, not {value}; start a new run to change it")
    if "steps" in given or "epochs" in given:
        saved = {**saved, "steps": None, "epochs": None}
    return make_recipe(kind.recipe_class, {**saved, **given})


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    if not arguments or arguments[0].startswith("-"):
        _parser().parse(arguments)  # shows the help if it is asked for, and refuses if there is no model
        raise UsageError("the model comes first: python -m zoo.train MODEL [options]; python -m zoo lists the models")

    from zoo.registry import model_class
    from zoo.training.checkpoint import default_folder
    from zoo.training.prepare import make_trainer
    from zoo.training.run_folder import RunFolder
    from zoo.training.trainer import Interrupted

    name = arguments[0]  # it decides which options there are
    kind = model_class(name)
    options = _parser(kind).parse(arguments)
    options.json = getattr(options, "json", False)
    use_data_folder(getattr(options, "data_dir", None))
    out = getattr(options, "out", None)
    if out == "":
        raise UsageError("--out: needs the name of a folder")
    folder = RunFolder(out or default_folder(name), name)
    resuming = hasattr(options, "resume")

    saved = folder.checkpoint.recipe(folder.checkpoint.read_config()).to_dict() if resuming else {}
    recipe = _recipe(kind, options, saved)
    trainer = make_trainer(name, recipe, folder, getattr(options, "checkpoint_every", None))
    model, tokenizer = trainer.model, trainer.tokenizer
    folder.open_for_writing(resuming)
    if resuming:
        trainer.resume()
        if trainer.step >= trainer.steps:
            raise UsageError(f"--resume: {folder.path} has done all its {trainer.step} steps; give more with --steps")
    _introduce(name, model, tokenizer, trainer)
    _warn(trainer)

    def report(line: str, figures: dict[str, Any]) -> None:
        result(options, line, figures)

    try:
        trainer.run(report)
    except Interrupted as stop:
        note(f"\nStopped at step {trainer.step} of {trainer.steps}, saved in {folder.path}; go on with --resume")
        _tell_where_the_earlier_run_went(trainer)
        return 128 + stop.number
    except OSError:  # nobody reads the output any more, but the training is worth keeping
        trainer.save()
        raise
    except BaseException:
        folder.discard_if_empty()
        raise

    _show_results(options, model, tokenizer, trainer)
    where = name if out is None else str(folder.path) if os.sep in out else os.path.join(".", out)
    about = model.description
    own = about.prompts[:1] if recipe.data is None else ()
    prompt = own[0] if own else _first_words(tokenizer.decode(trainer.documents[0]), tokenizer)
    command = about.next_command.format(run=shlex.quote(where), prompt=_quoted(prompt))
    note(f"Saved in {folder.path} after {_duration(trainer.seconds)}. Try: {command}")
    _tell_where_the_earlier_run_went(trainer)
    return 0


def _introduce(name: str, model: Any, tokenizer: Any, trainer: Any) -> None:
    """Say what is trained, and on what."""
    tokens, held_out = sum(map(len, trainer.documents)), ""
    distinct = len(set().union(*(set(part.tolist()) for part in trainer.documents)))
    if trainer.validation is not None:
        held_out = "; the last tenth is held out"
    note(
        f"{name}: {model.num_parameters():,} parameters, {len(trainer.dataset):,} {trainer.dataset.name} from "
        f"{tokens:,} {tokenizer.unit} ({distinct:,} distinct{held_out})"
    )


def _warn(trainer: Any) -> None:
    """Say what no gradient reaches."""
    if trainer.unreached:
        several = len(trainer.unreached) > 3
        names = ", ".join(trainer.unreached[:3]) + (f" and {len(trainer.unreached) - 3} more" if several else "")
        note(f"Warning: no gradient reaches {names}: it won't learn. Is a .data or .numpy() on the way, or isn't it used?")


def _show_results(options: argparse.Namespace, model: Any, tokenizer: Any, trainer: Any) -> None:
    """The losses, and what the trained model can do."""
    from zoo.inference.decoder import Decoder
    from zoo.inference.generation import generate, likeliest, show_bars
    from zoo.inference.sampling import Sampling
    from zoo.tokenizers.tokenizer import decode_excerpt

    if trainer.best_step:
        figures = {"best_validation_loss": trainer.best, "best_step": trainer.best_step}
        kept = "which is kept" if model.recipe.keep_best else "but the last parameters are kept"
        result(options, f"Best validation loss: {trainer.best:.4f} after step {trainer.best_step}, {kept}", figures)
        model = trainer.folder.checkpoint.load()[0]
    steps = min(trainer.losses.maxlen or 0, trainer.steps)
    last = "epoch" if model.recipe.loss_window is None and steps == trainer.epoch_steps else f"{steps} steps"
    result(options, f"Mean loss of the last {last}: {trainer.loss:.4f}", {"final_loss": trainer.loss})
    for sentence, figures in model.recipe.summary(model, trainer.dataset):
        result(options, sentence, figures)
    about = model.description
    for prompt in about.prompts if model.recipe.data is None else ():
        best = likeliest(model, tokenizer, prompt, 3)
        result(options, "\n".join([f"After {prompt!r}:", *show_bars(best)]), {"context": prompt, "likeliest": best})

    import numpy as np

    rng = np.random.default_rng(model.recipe.seed)
    if about.sample_prompt is None or model.recipe.data is not None:
        inputs, _ = trainer.dataset.batch(0, 1, model.recipe.seed)
        tokens = (
            inputs[0][: model.recipe.context].tolist() if trainer.dataset.targets_per_example == 1 else inputs[0][:1].tolist()
        )
    else:
        tokens = tokenizer.encode(about.sample_prompt).tolist()
    sampling = Sampling(about.sample_temperature)
    generated = generate(Decoder(model), tokens, about.sample_tokens, sampling, rng)
    text = decode_excerpt(tokenizer, [*tokens, *generated])
    result(options, f"Generated: {text}", {"generated": text})


def _first_words(text: str, tokenizer: Any) -> str:
    """Quote how a text begins: up to four words of its first line."""
    line = next(line for line in text.split("\n") if line.strip())
    return tokenizer.decode(tokenizer.encode(" ".join(line.split()[:4])))


def _duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} seconds"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def _quoted(text: str) -> str:
    """A text as the shell takes it, in double quotes where those are enough."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


def _tell_where_the_earlier_run_went(trainer: Any) -> None:
    if trainer.moved is not None:
        note(f"The earlier run is kept in {trainer.moved}")


if __name__ == "__main__":
    run("train", main)
