"""python -m zoo: the models and the commands."""

from __future__ import annotations

from pathlib import Path

from zoo import console
from zoo.cli import Parser, explained, result, run
from zoo.columns import clip, columns, paragraph, table_or_records, width
from zoo.errors import UsageError, UserError
from zoo.reporter import as_called, note
from zoo.untrusted import shown

COMMANDS = [
    ("python -m zoo.train MODEL", "train it and keep it in runs/MODEL"),
    ('python -m zoo.generate MODEL --prompt "TEXT"', "let it continue a text"),
    ('python -m zoo.predict MODEL "TEXT"', "what it expects to come next"),
    ("python -m zoo.chat", "talk with chat_gpt"),
    ("python -m zoo.evaluate MODEL", "its loss on text it hasn't learned"),
    ('python -m zoo.explain MODEL "TEXT"', "one prediction in all its numbers"),
    ("python -m zoo.compare MODEL --width 16 32", "what happens if: a table of runs"),
    ("python -m zoo.plot losses MODEL", "learning curves and more, drawn"),
    ("python -m zoo.verify MODEL", "is a run whole, as it was saved"),
]
HEAD = ("model", "parameters", "learns from", "loss", "trains in", "what it does")
#: The columns of the table before the last.
BEFORE_TITLE = 60


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    epilog = 'eval "$(zoo --print-completion bash)" (or zsh) makes the shell complete commands, options and models.'
    description = "The models of the zoo and the commands that work with them."
    if arguments and arguments[0] in console.COMMANDS:
        raise UsageError(f"write python -m zoo.{arguments[0]}, with a dot")
    options = Parser("", description, epilog=epilog).parse(arguments)

    from zoo.registry import create_model, list_models, model_class

    any_own = False
    rows: list[tuple[str, ...]] = []
    for name in list_models():
        try:
            kind, own = model_class(name), _own_run(name)
            about = kind.description
            made = (create_model(name).num_parameters(), kind.recipe_class().text.name, *(about.reference or (None, None)))
        except Exception as error:  # one that can't be used doesn't hide the others
            said = explained(error)
            note(f"zoo: {said if name in said else f'{name}: {said}'}")
            continue
        any_own = any_own or own is not None
        title = about.title or (kind.__doc__ or "").strip().partition("\n")[0]
        size, corpus, loss, seconds = own or made
        figures = {
            "model": name, "parameters": size, "corpus": corpus, "loss": loss, "seconds": seconds,
            "trained_here": own is not None, "about": title,
        }  # fmt: skip
        measured = ("-", "- ") if loss is None or seconds is None else (f"{loss:.3f}", _duration(seconds) + "* "[own is None])
        rows.append((name, f"{size:,}", shown(corpus)[:16], *measured, title))
        if options.json:
            result(options, "", figures)
    if not options.json:
        lines = _lines(rows)
        lines += ["", *paragraph("Losses: nats a token, on held-out text if it is long enough. Times: two cores.")]
        lines += ["* your own run in runs/"] if any_own else []
        print(shown("\n".join([*lines, "", *_commands()])))
    return 0


def _lines(rows: list[tuple[str, ...]]) -> list[str]:
    """The table of models."""
    room = max(columns() - BEFORE_TITLE, len(HEAD[-1]))
    lines = [
        f"{name:<14}{size:>10}  {corpus:<16}{loss:>6}{seconds:>10}  {clip(title, room)}"
        for name, size, corpus, loss, seconds, title in [HEAD, *rows]
    ]
    return table_or_records(HEAD, rows, lines)


def _commands() -> list[str]:
    """What one can do with a model: the commands, and beside each or below it what it is for."""
    commands = [(as_called(command), what) for command, what in COMMANDS]
    longest = max(len(command) for command, _ in commands)
    lines = [f"{command:<{longest}}  {what}" for command, what in commands]
    if max(map(width, lines)) > columns():
        lines = [line for command, what in commands for line in (*paragraph(command), f"  {what}")]
    return [*lines, "Add --help to a command for its options."]


def _own_run(name: str) -> tuple[int, str, float, float] | None:
    """Of a user's own run: its parameters, its text, the loss, and how long it took; None where there is none to be read."""
    from zoo.training.checkpoint import default_folder, in_run_folder

    checkpoint = in_run_folder(default_folder(name), name)
    try:
        metrics, (model, _) = checkpoint.read_metrics(), checkpoint.load()
    except UserError:
        return None
    if not metrics or "seconds" not in metrics[-1]:
        return None
    held_out = [m["validation_loss"] for m in metrics if "validation_loss" in m]
    loss, seconds = min(held_out) if held_out else metrics[-1]["loss"], metrics[-1]["seconds"]
    corpus = Path(model.recipe.text.name).name
    return model.num_parameters(), corpus, loss, seconds


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    run("", main)
