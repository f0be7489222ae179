"""The protocol of tokenizers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol

import numpy as np


class Tokenizer(Protocol):
    """Turns text into numbers and back. `WordTokenizer` and `CharTokenizer` are such."""

    #: What a text is counted in: words, characters.
    unit: ClassVar[str]
    #: What stands between two tokens.
    separator: ClassVar[str]
    vocabulary: list[str]

    def __init__(self, vocabulary: Sequence[str]) -> None: ...

    @classmethod
    def from_text(cls, text: str) -> Tokenizer:
        """A tokenizer that knows every token of a text."""
        ...

    def encode(self, text: str) -> np.ndarray:
        """The ids of a text's tokens: int64, (tokens,). Raises DataError for one that isn't known."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Ids as text."""
        ...
