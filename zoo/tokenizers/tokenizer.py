"""The tokenizer protocol: text to token ids and back, and the bytes that each token stands for.

A tokenizer is one file with one class. Its tokens may be characters, words or pieces of either: nothing outside looks into
them. Those of a byte-level tokenizer may even be pieces of a character, so that text is complete only with later tokens:

    text      "é!"
    tokens    [195, 169, 33]              token_bytes: b"\\xc3", b"\\xa9", b"!"
    stream    "" then "é" then "!"
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np


@runtime_checkable
class Tokenizer(Protocol):
    """Conversion between text and token ids. `CharTokenizer` and `WordTokenizer` are examples.

    One whose vocabulary can grow has a method `extended(documents)`, too: a new tokenizer that knows all tokens of this one and
    those of the documents. Fine-tuning asks for it where a text has tokens that the trained model hasn't.
    """

    #: The plural noun for tokens in messages, such as "characters", "words", "tokens".
    unit: ClassVar[str]
    #: Each token as text to show; a token's id is its index in the list. Distinct.
    vocabulary: list[str]

    @classmethod
    def train(cls, text: str, size: int | None = None) -> Self:
        """Learn a vocabulary from a text.

        Args:
            text: the training text.
            size: the largest vocabulary wanted, in tokens; the tokenizer chooses if None.

        Raises UsageError when the text can't be written in so few tokens.
        """
        ...

    @classmethod
    def train_on(cls, documents: Callable[[], Iterable[str]], alphabet: str | None = None, size: int | None = None) -> Self:
        """Learn the vocabulary that a model's texts need.

        Args:
            documents: gives the training texts, none of which goes on in the next. Getting them may cost a download, so it is
                called only by a tokenizer that can't do without.
            alphabet: every character that the texts have, where that is known beforehand.
            size: the largest vocabulary wanted, as for `train`.
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """All that the tokenizer has learned, as plain data that JSON can hold; `from_dict` reads it."""
        ...

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a tokenizer from what `to_dict` gave. Raises ValueError, in one sentence, for data that can't be that."""
        ...

    def encode(self, text: str) -> np.ndarray:
        """Convert a text to token ids: int64, (tokens,). Raises DataError naming the first unknown token."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Convert token ids to text. Bytes that aren't UTF-8 become U+FFFD, the replacement character."""
        ...

    def token_bytes(self, id: int) -> bytes:
        """The UTF-8 bytes that a token stands for in running text; a word's include the space that separates it."""
        ...

    def stream(self) -> Callable[[int], str]:
        """A new streaming decoder: called with each next token id after a prompt, it gives the text that is now complete."""
        ...


def stream_utf8(token_bytes: Callable[[int], bytes]) -> Callable[[int], str]:
    """A streaming decoder for any byte-level tokenizer, given its `token_bytes`.

    It holds back the bytes of a character until the last one has come, gives "" meanwhile, and U+FFFD for bytes that can't
    become a character. A character that is never completed is never given.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return lambda id: decoder.decode(token_bytes(id))


def decode_excerpt(tokenizer: Tokenizer, ids: Iterable[int]) -> str:
    """Convert token ids from within a text to text, without the pieces of characters that were cut at either end."""
    return tokenizer.decode(ids).strip("\ufffd")


def count_bytes(tokenizer: Tokenizer, ids: np.ndarray) -> int:
    """The number of UTF-8 bytes that token ids of any shape stand for in running text."""
    return _total(tokenizer, ids, len)


def count_characters(tokenizer: Tokenizer, ids: np.ndarray) -> int:
    """The number of characters that token ids of any shape stand for in running text.

    A character is counted with its first byte, as any byte but a UTF-8 continuation byte (10xxxxxx) is. So the pieces of a
    character count as one together.
    """
    return _total(tokenizer, ids, lambda token: sum(byte & 0xC0 != 0x80 for byte in token))


def _total(tokenizer: Tokenizer, ids: np.ndarray, measure: Callable[[bytes], int]) -> int:
    """The sum of a measure of each token's bytes over all ids. It is taken once for each distinct token."""
    tokens, counts = np.unique(ids, return_counts=True)
    table = np.array([measure(tokenizer.token_bytes(token)) for token in tokens.tolist()], np.int64)
    return int(table @ counts)
