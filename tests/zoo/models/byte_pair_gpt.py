"""A GPT whose tokens are byte pairs (Sennrich, Haddow and Birch 2016): a tokenizer of one's own, and a model that uses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from zoo.errors import UsageError
from zoo.model import Description
from zoo.models import char_gpt
from zoo.options import option
from zoo.recipe import corpus_option
from zoo.tokenizers.tokenizer import stream_utf8


class BytePairTokenizer:
    """Byte-pair encoding: the 256 bytes, and then, merge by merge, the pair of neighbours that was most frequent."""

    unit: ClassVar[str] = "tokens"

    def __init__(self, merges: Iterable[tuple[int, int]]) -> None:
        self.merges = list(merges)
        self.tokens = [bytes([byte]) for byte in range(256)]
        for one, other in self.merges:
            self.tokens.append(self.tokens[one] + self.tokens[other])
        self.vocabulary = [token.decode(errors="backslashreplace") for token in self.tokens]

    @classmethod
    def train(cls, text: str, size: int | None = None) -> BytePairTokenizer:
        """Merge pairs until there are `size` tokens, 300 unless told."""
        return cls.train_on(lambda: [text], size=size)

    @classmethod
    def train_on(
        cls, documents: Callable[[], Iterable[str]], alphabet: str | None = None, size: int | None = None
    ) -> BytePairTokenizer:
        """The same; no pair reaches from one document into the next. An alphabet doesn't tell what is frequent."""
        if size is not None and size < 256:
            raise UsageError(f"a vocabulary of {size} is too small: there are 256 bytes")
        texts = [list(text.encode()) for text in documents()]
        merges: list[tuple[int, int]] = []
        for new in range(256, size or 300):
            counts = Counter(pair for ids in texts for pair in pairwise(ids))
            if not counts:
                break
            pair, _ = max(counts.items(), key=lambda found: (found[1], found[0]))
            texts = [_merged(ids, pair, new) for ids in texts]
            merges.append(pair)
        return cls(merges)

    def to_dict(self) -> dict[str, Any]:
        """The merges, in order."""
        return {"merges": [list(pair) for pair in self.merges]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BytePairTokenizer:
        """Trusts its data, as somebody's first tokenizer may: what is wrong with it shows as any error."""
        return cls([(one, other) for one, other in data["merges"]])

    def encode(self, text: str) -> np.ndarray:
        """Merge again what was merged, in the same order."""
        ids = list(text.encode())
        for i, pair in enumerate(self.merges):
            ids = _merged(ids, pair, 256 + i)
        return np.array(ids, np.int64)

    def decode(self, ids: Iterable[int]) -> str:
        """Join the bytes."""
        return b"".join(self.tokens[id] for id in ids).decode(errors="replace")

    def token_bytes(self, id: int) -> bytes:
        """A byte, or what was merged."""
        return self.tokens[id]

    def stream(self) -> Callable[[int], str]:
        """Bytes wait until a character is complete."""
        return stream_utf8(self.token_bytes)


def _merged(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    merged: list[int] = []
    for id in ids:
        if merged and (merged[-1], id) == pair:
            merged[-1] = new
        else:
            merged.append(id)
    return merged


@dataclass(frozen=True, kw_only=True)
class Recipe(char_gpt.Recipe):
    """As for char_gpt, in small."""

    tokenizer_class = BytePairTokenizer

    corpus: str | None = corpus_option("verses")
    vocabulary_size: int = option(280, "how many tokens the vocabulary has at most", at_least=256)
    context: int = option(16, "how many tokens the model sees at most", at_least=1)
    layers: int = option(1, "how many blocks follow each other", at_least=1)
    heads: int = option(2, "how many attention heads each block has", at_least=1)
    width: int = option(16, "how many numbers stand for a token", at_least=1)
    steps: int | None = option(30, "how many times the parameters are changed", at_least=1)


class BytePairGPT(char_gpt.CharGPT):
    """tokens (batch, time) to logits (batch, time, vocabulary)."""

    recipe_class = Recipe
    description = Description(title="byte pairs", max_new_tokens=30)
