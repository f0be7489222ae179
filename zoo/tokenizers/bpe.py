"""Byte-pair encoding: tokens that are pieces of words, learned from a text (Sennrich et al. 2016, arXiv:1508.07909).

**The idea.** Characters make long texts of few kinds of tokens, and a model spends its strength on spelling. Words make short
texts, but there are ever more of them, and a word that wasn't in the text can't be written at all. Byte pairs lie between: what
is frequent becomes one token, and what is rare is spelt from pieces. Large language models read such tokens.

**Learning them.** The text is cut into words, each with the blank before it (by GPT-2's rule: letters, digits, or signs;
Radford et al. 2019), and it is counted once how often each occurs. A word is its bytes in UTF-8, of which there are 256: the
first tokens. Then, again and again: the pair of neighbours that is most frequent in all words becomes a new token, and stands
for the pair from now on.

    " the"    4 bytes      " ", "t", "h", "e"
    merge 1   " " + "t"    " t", "h", "e"
    merge 2   "h" + "e"    " t", "he"
    merge 12  " t" + "he"  " the"

(These are what tiny Shakespeare teaches.) The merges, in their order, are all that the tokenizer has learned.

**Encoding.** A text is cut into words in the same way, and in each word the same merges are made, the earliest learned first.
So " the" is one token, and a word that nobody has seen is spelt from pieces, at worst from its bytes. There is nothing that
can't be written: 猫 is three bytes, even if the text was in English. Joined, the bytes are the text again.

**What it is good for.** With 512 tokens, tiny Shakespeare is half as long as in characters; with 1,280 it is two fifths. So
a model sees twice as far back with the same context, and writes twice as fast. A token is harder to foretell than a character,
as there are more of them and each says more: the loss in nats a token is higher. What compares is *bits per byte*, which shares
the loss out among the bytes of the text, the same for all tokenizers. (The merges are learned from all of the text, also from
the tenth that is held out, as the characters of a vocabulary are.)

**A blank belongs to the word after it.** So a prompt shouldn't end with one: "To be " ends with the token " ", after which the
model has seldom seen a letter.

**Try.** `python -m zoo.train char_gpt --preset nano --tokenizer bpe --vocab-size 512`, and then
`python -m zoo.explain char_gpt "To be or not to be"` shows how the last word is merged.
"""

from __future__ import annotations

import re
import reprlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from heapq import heapify, heappop, heappush
from itertools import chain, islice, pairwise
from typing import Any, ClassVar, Self

import numpy as np

from zoo.errors import UsageError
from zoo.progress import Progress
from zoo.tokenizers.tokenizer import stream_utf8

#: How many tokens there are unless told, and at most.
SIZE, MOST = 1024, 2**16
#: The longest token, in bytes.
LONGEST = 128


def split_words(text: str) -> Iterator[str]:
    """Split a text as GPT-2 does: letters, digits, or signs, each with a blank that may be before them; and white space.

    Nothing is lost: joined, the words are the text.
    """
    # What GPT-2 calls \p{L}, \p{N} and \s: Python's \w and \d leave numbers like ½ to be told apart, and its \s takes four
    # control characters for white space.
    odd = "" if text.isascii() else "".join(c for c in set(text) if c.isalnum() and not (c.isalpha() or c.isdecimal()))
    letter, digit, sign = rf"[^\W\d_{odd}]", rf"[\d{odd}]", r"(?:[^\s\w]|[_\x1c-\x1f])"
    space, other = r"[^\S\x1c-\x1f]", r"[\S\x1c-\x1f]"
    pattern = rf"'(?:[stmd]|re|ve|ll)| ?{letter}+| ?{digit}+| ?{sign}+|{space}+(?!{other})|{space}+"
    return map(re.Match.group, re.finditer(pattern, text))


def learn_merges(words: Mapping[str, int]) -> Iterator[tuple[int, int, int]]:
    """Learn from words, and how often each occurs, which pairs to merge: two tokens and how often they are neighbours, most
    frequent first, until no pair occurs twice.

    A token is written as the character of that number, so that merging a pair is replacing two characters by one.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    texts, times = [_as_characters(word) for word in words], list(words.values())
    counts, where = Counter[tuple[str, str]](), defaultdict[tuple[str, str], set[int]](set)
    for i, text in enumerate(texts):
        for pair in pairwise(text):
            counts[pair] += times[i]
            where[pair].add(i)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapify(heap)
    while heap and heap[0][0] <= -2:
        count, pair = heappop(heap)
        one, other = map(ord, pair)
        token = tokens[one] + tokens[other]
        if -count != counts[pair] or len(token) > LONGEST:
            continue  # (an earlier count; it has changed since)
        yield one, other, -count
        changed = set()
        for i in where.pop(pair):
            before, texts[i] = texts[i], texts[i].replace("".join(pair), chr(len(tokens)))
            for gone in pairwise(before):
                counts[gone] -= times[i]
                changed.add(gone)
            for come in pairwise(texts[i]):
                counts[come] += times[i]
                where[come].add(i)
                changed.add(come)
        tokens.append(token)
        for pair in changed:
            heappush(heap, (-counts[pair], pair))


class BytePairTokenizer:
    """Pieces of words as tokens: the 256 bytes, and what was merged of two tokens that came before.

    Args:
        merges: two ids for each token after the bytes, in the order of learning.

    Raises ValueError for merges that can't have been learned.
    """

    unit: ClassVar[str] = "tokens"

    def __init__(self, merges: Iterable[tuple[int, int]]) -> None:
        self.merges = list(merges)
        self.tokens = [bytes([byte]) for byte in range(256)]
        if len(self.merges) > MOST - 256:
            raise ValueError(f"there are {len(self.merges):,} merges, and {MOST - 256:,} at most can be used")
        for one, other in self.merges:
            if not (0 <= one < len(self.tokens) and 0 <= other < len(self.tokens)):
                pair = reprlib.repr([one, other])
                raise ValueError(f"merge {len(self.tokens) - 255} is {pair}, which aren't both tokens that come before it")
            self.tokens.append(self.tokens[one] + self.tokens[other])
            if len(self.tokens[-1]) > LONGEST:
                raise ValueError(f"merge {len(self.tokens) - 256} makes a token of more than {LONGEST} bytes")
        if len(set(self.tokens)) < len(self.tokens):
            twice = next(token for token, count in Counter(self.tokens).items() if count > 1)
            raise ValueError(f"two merges make the same token, {reprlib.repr(twice)}")
        self.vocabulary = [token.decode(errors="backslashreplace") for token in self.tokens]
        self._new = {chr(one) + chr(other): 256 + i for i, (one, other) in enumerate(self.merges)}
        self._cached = lru_cache(2**18)(self._encode_word)

    @classmethod
    def train(cls, text: str, size: int | None = None) -> Self:
        """Learn merges from a text until there are `size` tokens, or no pair occurs twice. Raises UsageError for fewer than
        the 256 bytes."""
        return cls.train_on(lambda: [text], size=size)

    @classmethod
    def train_on(cls, documents: Callable[[], Iterable[str]], alphabet: str | None = None, size: int | None = None) -> Self:
        """Learn merges from documents. An alphabet doesn't tell what is frequent."""
        size = SIZE if size is None else size
        if not 256 <= size <= MOST:
            wrong = "small: the 256 bytes are tokens already" if size < 256 else f"large: there can be {MOST:,} tokens at most"
            raise UsageError(f"a vocabulary of {size} is too {wrong}")
        merges: list[tuple[int, int]] = []
        with Progress(size - 256, unit="merge", figure="times") as progress:
            words = Counter(chain.from_iterable(map(split_words, documents())))
            for one, other, count in islice(learn_merges(words), size - 256):
                merges.append((one, other))
                progress.update(len(merges), count)
        return cls(merges)

    def to_dict(self) -> dict[str, Any]:
        """The merges: {"merges": [[id, id], ...]}."""
        return {"merges": [list(pair) for pair in self.merges]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a tokenizer from what `to_dict` gave. Raises ValueError for data that can't be that."""
        merges = data.get("merges") if isinstance(data, Mapping) else None
        if not isinstance(merges, list):
            raise ValueError("the tokenizer has no merges, a list of pairs")
        for i, pair in enumerate(merges):
            if not isinstance(pair, list) or len(pair) != 2 or not all(type(id) is int for id in pair):
                raise ValueError(f"merge {i + 1} is {reprlib.repr(pair)}, and should be two ids")
        return cls([(one, other) for one, other in merges])

    def encode(self, text: str) -> np.ndarray:
        """Convert a text to token ids: int64, (tokens,)."""
        return np.fromiter(chain.from_iterable(map(self._cached, split_words(text))), np.int64)

    def _encode_word(self, word: str) -> tuple[int, ...]:
        """The tokens of a word, after all merges."""
        ((_, ids),) = deque(self.merge_word(word), maxlen=1)
        return tuple(ids)

    def merge_word(self, word: str) -> Iterator[tuple[int, list[int]]]:
        """Merge a word step by step: the number of each merge, counted from 1, and the tokens of the word after it. The first
        step, number 0, is its bytes."""
        text = _as_characters(word)
        yield 0, list(map(ord, text))
        while pairs := self._new.keys() & set(map("".join, pairwise(text))):
            pair = min(pairs, key=self._new.__getitem__)
            text = text.replace(pair, chr(self._new[pair]))
            yield self._new[pair] - 255, list(map(ord, text))

    def decode(self, ids: Iterable[int]) -> str:
        """Convert token ids to text. Bytes that aren't UTF-8 become U+FFFD, the replacement character."""
        return b"".join([self.tokens[id] for id in ids]).decode(errors="replace")

    def token_bytes(self, id: int) -> bytes:
        """The bytes of a token."""
        return self.tokens[id]

    def stream(self) -> Callable[[int], str]:
        """A streaming decoder: it gives whole characters, each with its last byte."""
        return stream_utf8(self.token_bytes)


def _as_characters(word: str) -> str:
    """A word's bytes, each as the character of that number."""
    return word.encode(errors="replace").decode("latin-1")
