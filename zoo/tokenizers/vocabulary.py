"""Checks of vocabularies that tokenizers share: their size, and those that were saved."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from zoo.errors import UsageError


def check_size(distinct: int, size: int | None, unit: str) -> None:
    """Raise UsageError when a vocabulary of all `distinct` tokens of a text is larger than `size`, the largest wanted."""
    if size is not None and size < distinct:
        raise UsageError(
            f"a vocabulary of {size} is too small: the text has {distinct} distinct {unit}, and each needs a token; "
            f"choose a size of at least {distinct}"
        )


def vocabulary_in(data: Mapping[str, Any]) -> list[str]:
    """The vocabulary of a saved tokenizer, {"vocabulary": [tokens]}.

    Raises ValueError unless it is a list of at least one token, and all tokens are distinct, non-empty strings.
    """
    vocabulary = data.get("vocabulary") if isinstance(data, Mapping) else None
    if not isinstance(vocabulary, list) or not vocabulary:
        raise ValueError("the tokenizer has no vocabulary, a list of at least one token")
    for id, token in enumerate(vocabulary):
        if not isinstance(token, str) or not token:
            raise ValueError(f"the vocabulary has {reprlib.repr(token)} at {id}, where a token, a non-empty string, should be")
    if len(set(vocabulary)) < len(vocabulary):
        twice = Counter(vocabulary).most_common(1)[0][0]
        raise ValueError(f"the vocabulary has {reprlib.repr(twice)} more than once")
    return vocabulary
