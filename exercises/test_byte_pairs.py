"""Checks of the exercise in byte_pairs.py, the simple ones first."""

from collections import Counter
from itertools import islice
from pathlib import Path

from exercises.byte_pairs import learn_merges
from zoo.tokenizers.bpe import split_words

MOST = 20


def merges(words, most=MOST):
    """The first merges learned from words."""
    found = learn_merges(words)
    assert found is not None, "learn_merges gave None, and should give the merges: yield each, or return a list of them"
    return [tuple(merge) for merge in islice(found, most)]


def spelt(found):
    """Merges in letters, such as t+h (5 times)."""
    tokens = [bytes([byte]) for byte in range(256)]
    lines = []
    for one, other, count in found:
        parts = [tokens[token] if token < len(tokens) else b"?" for token in (one, other)]
        tokens.append(b"".join(parts))
        lines.append(f"{'+'.join(part.decode(errors='backslashreplace') for part in parts)} ({count} times)")
    return ", ".join(lines[:10]) + (" ..." if lines[10:] else "") or "none"


def expect(words, wanted, why, most=MOST):
    found = merges(words, most)
    assert found == wanted, f"{why}. Of {words} you merge {spelt(found)}; right is {spelt(wanted)}"


def test_a_pair_becomes_a_token():
    assert merges({"ab": 3})[1:2] != [(256, 98, 3)], (
        "after the merge of a+b the b is there once more: the new token stands for both"
    )
    expect({"ab": 3}, [(97, 98, 3)], "a is token 97 and b is 98, and the word occurs three times")


def test_a_word_counts_as_often_as_it_occurs():
    expect({"ab": 2, "cd": 5}, [(99, 100, 5), (97, 98, 2)], "the most frequent pair comes first, and each word counts so often")


def test_a_pair_that_occurs_once_is_not_merged():
    expect({"ab": 1, "cd": 2}, [(99, 100, 2)], "what occurs once isn't frequent")
    expect({}, [], "without words there are no merges")


def test_the_first_of_equals():
    expect(
        {"ba": 2, "ac": 2, "ab": 2},
        [(97, 98, 2), (97, 99, 2), (98, 97, 2)],
        "of equally frequent pairs the smaller is merged first",
    )


def test_a_merge_is_merged_again():
    expect({"the": 3}, [(104, 101, 3), (116, 256, 3)], "he (104, 101) is token 256, and then t+he is token 257")


def test_counts_are_those_after_the_merges():
    words = {"abc": 3, "bc": 3, "ab": 2}
    wanted = [(98, 99, 6), (97, 256, 3), (97, 98, 2)]
    expect(words, wanted, "after b+c is merged, a+b is left in one word only: count again after every merge")


def test_no_byte_belongs_to_two_tokens():
    wanted = [(97, 97, 4), (256, 97, 2)]
    found = merges({"aaa": 2})
    assert found[1:2] != [(256, 256, 2)], (
        "in 'aaa' your merges of a+a overlap: the middle a is in both. After a merge, go on behind it"
    )
    assert found[1:2] != [(97, 256, 2)], "you merge 'aaa' from its end: from left to right it becomes aa, a"
    assert found[:1] != [(97, 97, 2)], (
        "'aaa' has the pair a+a at two places, and the word occurs twice: 4 times, and you count 2"
    )
    assert found == wanted, f"of 'aaa', which occurs twice, you merge {spelt(found)}; right is {spelt(wanted)}"
    expect({"aaaa": 2}, [(97, 97, 6), (256, 256, 2)], "aaaa becomes aa, aa")


def test_a_word_is_bytes():
    expect({"é": 2}, [(195, 169, 2)], "in UTF-8 é is the two bytes 195 and 169")


def test_the_song_of_the_course():
    text = (Path(__file__).parent.parent / "data" / "verses.txt").read_text(encoding="utf-8")
    found = spelt(merges(Counter(split_words(text)), most=10))
    wanted = (
        "h+e (78 times),  +t (67 times),  +a (49 times),  t+he (41 times),  +s (37 times), "
        "n+d (36 times), e+r (28 times),  +o (27 times),  +w (25 times), i+n (25 times)"
    )
    assert found == wanted, f"of the song in data/verses.txt you merge\n{found}\nand right is\n{wanted}"
