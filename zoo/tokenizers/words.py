"""A tokenizer whose tokens are words in lower case."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from zoo.errors import DataError, did_you_mean
from zoo.tokenizers.vocabulary import check_size, vocabulary_in


def split_words(text: str) -> list[str]:
    """Split a text into words in lower case: letters, their accents, and digits, with apostrophes and hyphens inside. All else
    is dropped, and a typographic apostrophe is a plain one."""
    text = unicodedata.normalize("NFC", text).lower().replace("\u2019", "'")
    accents = "".join(c for c in set(text) if unicodedata.category(c).startswith("M"))  # what \w leaves out of many scripts
    letter = rf"(?:[^\W_]|[{re.escape(accents)}])" if accents else r"[^\W_]"
    return re.findall(rf"{letter}+(?:['-]{letter}+)*", text)


class WordTokenizer:
    """Words as tokens: a word's id is its index in the vocabulary. Running text has a space before each word.

    Args:
        vocabulary: distinct words.
    """

    unit: ClassVar[str] = "words"
    #: What of a text isn't in its tokens; a tokenizer that keeps everything has no such attribute.
    dropped: ClassVar[str] = "capitals, punctuation and symbols"

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self._ids = {word: i for i, word in enumerate(self.vocabulary)}

    @classmethod
    def train(cls, text: str, size: int | None = None) -> Self:
        """Take every word of a text, sorted. Raises UsageError when these are more than `size`."""
        vocabulary = sorted(set(split_words(text)))
        check_size(len(vocabulary), size, cls.unit)
        return cls(vocabulary)

    @classmethod
    def train_on(cls, documents: Callable[[], Iterable[str]], alphabet: str | None = None, size: int | None = None) -> Self:
        """Take every word of documents. An alphabet tells none of them."""
        return cls.train("\n".join(documents()), size)

    def to_dict(self) -> dict[str, Any]:
        """The vocabulary: {"vocabulary": [words]}."""
        return {"vocabulary": list(self.vocabulary)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a tokenizer from what `to_dict` gave. Raises ValueError for data that can't be that."""
        return cls(vocabulary_in(data))

    def encode(self, text: str) -> np.ndarray:
        """Convert a text to token ids: int64, (words,).

        Raises DataError naming the first unknown word, with the nearest known ones.
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
        """Convert token ids to text, with a space between words."""
        return " ".join(self.vocabulary[i] for i in ids)

    def token_bytes(self, id: int) -> bytes:
        """The UTF-8 bytes of a word and of the space before it."""
        return f" {self.vocabulary[id]}".encode(errors="surrogatepass")

    def stream(self) -> Callable[[int], str]:
        """A streaming decoder: a token id to its word with the space before it."""
        return lambda id: f" {self.vocabulary[id]}"
