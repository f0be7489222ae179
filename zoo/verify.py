"""python -m zoo.verify RUN: is a run as it was saved, and all in it what it can be?"""

from __future__ import annotations

from zoo.cli import Parser, result, run
from zoo.errors import DataError


def make_parser() -> Parser:
    """The command's options."""
    parser = Parser("verify", "Check a run: each file against its SHA-256 in the manifest, and then what it holds.")
    parser.add_argument(
        "model", metavar="MODEL", help="a model's name (its run in runs/, or what comes with the zoo) or a run folder"
    )
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code. Raises DataError, naming the first file that is wrong."""
    options = make_parser().parse(arguments)

    from zoo.training.checkpoint import find

    checkpoint = find(options.model)
    digests = checkpoint.verify()
    for file, digest in digests.items():
        what = digest or "read; no SHA-256 tells if it is as it was saved"
        result(options, f"{file}: {what}", {"file": file, "sha256": digest})
    if None in digests.values():
        raise DataError(f"no manifest: {checkpoint.note()}")
    return 0


if __name__ == "__main__":
    run("verify", main)
