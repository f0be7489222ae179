"""Characters as tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from zoo.errors import DataError


class CharTokenizer:
    """Numbers for characters: a character's id is its place in the sorted vocabulary."""

    #: What a text is counted in.
    unit: ClassVar[str] = "characters"
    #: What stands between two tokens.
    separator: ClassVar[str] = ""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        if any(len(c) != 1 for c in vocabulary) or list(vocabulary) != sorted(set(vocabulary)):
            raise ValueError("the vocabulary isn't a sorted list of distinct characters")
        self.vocabulary = list(vocabulary)
        self._codes = _codes("".join(self.vocabulary))

    @classmethod
    def from_text(cls, text: str) -> CharTokenizer:
        """A tokenizer that knows every character of a text."""
        return cls(sorted(set(text)))

    def encode(self, text: str) -> np.ndarray:
        """The ids of a text's characters: int64, (characters,).

        Raises DataError naming the first character that isn't known.
        """
        codes = _codes(text)
        ids = np.searchsorted(self._codes, codes)
        known = self._codes[np.minimum(ids, len(self._codes) - 1)] == codes
        if not known.all():
            at = int(known.argmin())
            raise DataError(
                f"unknown character {_described(text[at])}, number {at + 1} of the text: the model has never seen it "
                f"(it knows {len(self.vocabulary)} characters: {''.join(self.vocabulary)!r})"
            )
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Ids as text."""
        return "".join([self.vocabulary[i] for i in ids])


def _codes(text: str) -> np.ndarray:
    """The Unicode numbers of a text's characters."""
    # (A terminal may pass bytes that aren't text, as lone surrogates.)
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), np.uint32)


def _described(character: str) -> str:
    """A character as an error shows it: 'é' (U+00E9, latin small letter e with acute)."""
    name = unicodedata.name(character, "").lower()
    return f"{character!r} (U+{ord(character):04X}{', ' + name if name else ''})"
