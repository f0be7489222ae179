"""Words as tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from zoo.errors import DataError, did_you_mean


def split_words(text: str) -> list[str]:
    """The words of a text in lower case: letters, their accents, and digits, with apostrophes and hyphens inside. All else is
    dropped, and a typographic apostrophe is a plain one."""
    text = unicodedata.normalize("NFC", text).lower().replace("\u2019", "'")
    accents = "".join(c for c in set(text) if unicodedata.category(c).startswith("M"))  # what \w leaves out of many scripts
    letter = rf"(?:[^\W_]|[{re.escape(accents)}])" if accents else r"[^\W_]"
    return re.findall(rf"{letter}+(?:['-]{letter}+)*", text)


class WordTokenizer:
    """Numbers for words: a word's id is its place in the sorted vocabulary."""

    #: What a text is counted in.
    unit: ClassVar[str] = "words"
    #: What stands between two tokens.
    separator: ClassVar[str] = " "

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self._ids = {word: i for i, word in enumerate(self.vocabulary)}

    @classmethod
    def from_text(cls, text: str) -> WordTokenizer:
        """A tokenizer that knows every word of a text."""
        return cls(sorted(set(split_words(text))))

    def encode(self, text: str) -> np.ndarray:
        """The ids of a text's words: int64, (words,).

        Raises DataError naming the first word that isn't known, with the nearest ones that are.
        """
        words = split_words(text)
        for word in words:
            if word not in self._ids:
                raise DataError(
                    f"unknown word {word!r}: the model has never seen it{did_you_mean(word, self.vocabulary)}"
                    f" (it knows {len(self.vocabulary)} words, such as {', '.join(self.vocabulary[:3])})"
                )
        return np.array([self._ids[word] for word in words], dtype=np.int64)

    def decode(self, ids: Iterable[int]) -> str:
        """Ids as text, with a space between words."""
        return " ".join(self.vocabulary[i] for i in ids)
