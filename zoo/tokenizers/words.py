"""A tokenizer whose tokens are words in lower case."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from zoo.errors import DataError, did_you_mean, quoted, shortened
from zoo.tokenizers.vocabulary import check_size, vocabulary_in

#: What typographers and telephones put in the place of an apostrophe and a hyphen.
PLAIN = {"\u2019": "'", "\u02bc": "'", "\uff07": "'", "\u2010": "-", "\u2011": "-"}
#: Characters that nobody sees part no words (a soft hyphen, say), but for a zero-width space. Joiners belong to their letters.
ZERO_WIDTH_SPACE, JOINERS = "\u200b", "\u200c\u200d"
#: A long text is split piece by piece, of about so many characters, so that Ctrl-C needn't wait for the end.
PIECE = 2**20
#: Where it may be cut: none of these is in a word.
_END = re.compile(r"[\s.,;:!?。，、；：！？]")


def split_words(text: str) -> list[str]:
    """Split a text into words in lower case: letters, their accents, and digits, with apostrophes and hyphens inside. All else
    is dropped, and a typographic apostrophe or hyphen is a plain one."""
    return [word for piece in pieces(text, PIECE) for word in _words(piece)]


def pieces(text: str, size: int) -> Iterator[str]:
    """A text in pieces of at least `size` characters, each but the last up to what is no part of a word."""
    start = 0
    while start < len(text):
        found = _END.search(text, start + size)
        end = found.end() if found else len(text)
        yield text[start:end]
        start = end


def _words(text: str) -> list[str]:
    """The words of a piece."""
    text = unicodedata.normalize("NFC", text).lower()
    letter = joined = r"[^\W_]"
    if not text.isascii():
        unseen = {c for c in set(text) if unicodedata.category(c) == "Cf"} - {ZERO_WIDTH_SPACE, *JOINERS}
        text = text.translate({ord(c): plain for c, plain in {**PLAIN, **dict.fromkeys(unseen, "")}.items()})
        accents = "".join(sorted(c for c in set(text) if unicodedata.category(c).startswith("M")))  # what \w leaves out
        letter = rf"(?:[^\W_]|[{re.escape(accents)}])" if accents else letter
        joined = rf"(?:{letter}|[{JOINERS}](?={letter}))" if set(JOINERS) & set(text) else letter
    return re.findall(rf"{letter}{joined}*(?:['-]{letter}{joined}*)*", text)


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

    def extended(self, documents: Iterable[str]) -> Self:
        """Make a tokenizer that knows the words of documents, too; they come after the others."""
        known = set(self.vocabulary)
        return type(self)([*self.vocabulary, *sorted(set(split_words("\n".join(documents))) - known)])

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
                    f"unknown word {quoted(word)}: the model has never seen it{did_you_mean(word, self.vocabulary)}"
                    f" (it knows {len(self.vocabulary)} words, such as {', '.join(map(shortened, self.vocabulary[:3]))})"
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
