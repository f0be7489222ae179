"""Documents that a model wrote, such as names: where each ends, and whether it is new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

#: A document's mark stands in this column, or two blanks after it.
COLUMN = 18


@dataclass(frozen=True)
class Known:
    """The documents of a corpus: those that a model learned from, and those that were held out."""

    training: Set[str]
    held_out: Set[str]

    def mark(self, document: str) -> str:
        """Tell where a document is from: "in training", "held out" or "new"."""
        return "in training" if document in self.training else "held out" if document in self.held_out else "new"

    def marks(self, text: str) -> list[dict[str, str]]:
        """Mark the documents of a text, each of which ends with a newline: [{"document": "emma", "mark": "in training"}, ...].

        What comes after the last newline isn't finished, and isn't marked.
        """
        return [{"document": line, "mark": self.mark(line)} for line in text.split("\n")[:-1] if line]

    def marked(self, pieces: Iterable[str]) -> Iterator[str]:
        """Give a text's pieces as they come, with each document's mark before the newline that ends it."""
        line = ""
        for piece in pieces:
            while "\n" in piece:
                rest, _, piece = piece.partition("\n")
                line += rest
                yield rest + (f"{' ' * max(COLUMN - len(line), 2)}{self.mark(line)}\n" if line else "\n")
                line = ""
            line += piece
            yield piece
