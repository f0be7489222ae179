"""Exercise: learn the merges of byte-pair encoding (chapter 16 of the course).

A word is its bytes in UTF-8, whose numbers, 0 to 255, are the first tokens. Then, again and again: count each pair of
neighbours in all words; the most frequent pair becomes a new token (256, then 257, and so on), which replaces the pair
wherever it stands (Sennrich et al. 2016, arXiv:1508.07909, algorithm 1). So that everybody learns the same merges,

- a pair counts at every place where it begins ("aaa" has "aa" twice), times the word's number of occurrences;
- of pairs that are equally frequent, the one with the smaller first token is merged, then that with the smaller second;
- a word is merged from left to right, and no byte belongs to two tokens: "aaa" becomes "aa", "a";
- it ends when no pair occurs at least twice.

Hints. A word is a list of numbers: `list(word.encode())`. Counting all pairs anew after each merge is slow and simple, and fast
enough here. `Counter` and `pairwise` help. With `yield` a function gives its results one after the other.

Check it: python -m pytest exercises/test_byte_pairs.py
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise


def learn_merges(words: Mapping[str, int]) -> Iterator[tuple[int, int, int]]:
    """The merges, in their order, learned from words and how often each occurs: two tokens, and their count as neighbours."""
    raise NotImplementedError("count the pairs, yield the most frequent one, merge it in every word, and again")
