"""A tokenizer whose tokens are single characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from zoo.errors import DataError, shortened
from zoo.tokenizers.vocabulary import check_size, vocabulary_in

#: A long text is converted piece by piece, of so many characters, so that Ctrl-C needn't wait for the end.
PIECE = 2**20


class CharTokenizer:
    """Characters as tokens: a character's id is its index in the sorted vocabulary.

    Args:
        vocabulary: distinct characters in the order of their Unicode numbers.

    Raises ValueError for any other vocabulary.
    """

    unit: ClassVar[str] = "characters"

    def __init__(self, vocabulary: Sequence[str]) -> None:
        if any(len(c) != 1 for c in vocabulary) or list(vocabulary) != sorted(set(vocabulary)):
            raise ValueError("the vocabulary isn't a sorted list of distinct characters")
        self.vocabulary = list(vocabulary)
        # (One more than any character, so that every search ends at an entry.)
        self._codes = np.append(_codes("".join(self.vocabulary)), np.uint32(0xFFFFFFFF))

    @classmethod
    def train(cls, text: str, size: int | None = None) -> Self:
        """Take every character of a text. Raises UsageError when these are more than `size`."""
        vocabulary = sorted(set(text))
        check_size(len(vocabulary), size, cls.unit)
        return cls(vocabulary)

    @classmethod
    def train_on(cls, documents: Callable[[], Iterable[str]], alphabet: str | None = None, size: int | None = None) -> Self:
        """Take every character of an alphabet, or else of documents. The ends of documents are no characters."""
        return cls.train("".join(documents()) if alphabet is None else alphabet, size)

    def extended(self, documents: Iterable[str]) -> Self:
        """Make a tokenizer that knows the characters of documents, too. Ids change, as the vocabulary stays sorted."""
        return type(self)(sorted({*self.vocabulary, *"".join(documents)}))

    def to_dict(self) -> dict[str, Any]:
        """The vocabulary: {"vocabulary": [characters]}."""
        return {"vocabulary": list(self.vocabulary)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a tokenizer from what `to_dict` gave. Raises ValueError for data that can't be that."""
        return cls(vocabulary_in(data))

    def encode(self, text: str) -> np.ndarray:
        """Convert a text to token ids: int64, (characters,).

        Raises DataError naming the first unknown character.
        """
        found = [self._encode(text, start) for start in range(0, len(text), PIECE)]
        return found[0] if len(found) == 1 else np.concatenate([*found, np.zeros(0, np.int64)])

    def _encode(self, text: str, start: int) -> np.ndarray:
        """The ids of a piece of a text."""
        codes = _codes(text[start : start + PIECE])
        ids = np.searchsorted(self._codes, codes)
        known = self._codes[ids] == codes
        if not known.all():
            at = start + int(known.argmin())
            raise DataError(
                f"unknown character {_description(text[at])}, number {at + 1} of the text: the model has never seen it "
                f"(it knows {len(self.vocabulary)} characters: {shortened(''.join(self.vocabulary), 120)!r})"
            )
        return ids.astype(np.int64, copy=False)

    def decode(self, ids: Iterable[int]) -> str:
        """Convert token ids to text."""
        return "".join([self.vocabulary[i] for i in ids])

    def token_bytes(self, id: int) -> bytes:
        """The UTF-8 bytes of a character: 1 to 4 of them."""
        return self.vocabulary[id].encode(errors="surrogatepass")

    def stream(self) -> Callable[[int], str]:
        """A streaming decoder: a token id to its character."""
        return self.vocabulary.__getitem__


def _codes(text: str) -> np.ndarray:
    """The Unicode numbers of a text's characters: uint32, (characters,)."""
    # (A terminal may pass bytes that aren't text, as lone surrogates.)
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), np.uint32)


def _description(character: str) -> str:
    """A character as an error shows it: 'é' (U+00E9, latin small letter e with acute)."""
    name = unicodedata.name(character, "").lower()
    return f"{character!r} (U+{ord(character):04X}{', ' + name if name else ''})"
