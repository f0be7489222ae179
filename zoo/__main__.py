"""python -m zoo: the models and the commands."""

from __future__ import annotations

from zoo.command import Parser, result, run

COMMANDS = """\
python -m zoo.train MODEL                       train it and keep it in runs/MODEL
python -m zoo.generate MODEL --prompt "TEXT"    let it continue a text
Add --help to a command for its options."""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = Parser("", "The models of the zoo and the commands that work with them.", add_help=True).parse(arguments)

    from zoo.registry import create_model, list_models, model_class

    rows = [(name, create_model(name).num_parameters(), model_class(name)) for name in list_models()]
    if not options.json:
        print(f"{'model':<16}{'parameters':>11}  {'learns from':<14}what it does")
    for name, size, kind in rows:
        figures = {"model": name, "parameters": size, "corpus": kind.corpus, "about": kind.about}
        result(options, f"{name:<16}{size:>11,}  {kind.corpus:<14}{kind.about}", figures)
    if not options.json:
        print(f"\n{COMMANDS}")
    return 0


if __name__ == "__main__":
    run("", main)
