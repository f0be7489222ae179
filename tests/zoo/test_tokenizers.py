"""Tokenizers: characters, words, and a byte-pair tokenizer as somebody might add one."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import DataError, UsageError
from zoo.tokenizers import characters, words
from zoo.tokenizers.bpe import BytePairTokenizer
from zoo.tokenizers.characters import CharTokenizer
from zoo.tokenizers.tokenizer import Tokenizer, count_bytes, count_characters
from zoo.tokenizers.words import WordTokenizer, split_words

TEXT = "The cat sat. The café sat 🙂🙂👩‍👩‍👧! 猫坐在垫子上。猫 cafe\u0301 नमस्ते नमस्ते \u200b\r\n\t"
BYTE_PAIRS = BytePairTokenizer.train(TEXT, 280)

#: Each with a text that survives it unchanged.
ALL = [
    (CharTokenizer.train(TEXT), TEXT),
    (WordTokenizer.train(TEXT), "the cat sat sat café 猫坐在垫子上 猫 नमस्ते"),
    (BYTE_PAIRS, TEXT),
    (BytePairTokenizer.train("abc", 256), TEXT),
]
each = pytest.mark.parametrize("tokenizer, text", ALL, ids=[type(tokenizer).__name__ for tokenizer, _ in ALL])


# What every tokenizer does


@each
def test_the_protocol(tokenizer, text):
    assert isinstance(tokenizer, Tokenizer) and isinstance(type(tokenizer).unit, str)
    assert len(set(tokenizer.vocabulary)) == len(tokenizer.vocabulary) and all(tokenizer.vocabulary)
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int64 and ids.ndim == 1 and ids.min() >= 0 and ids.max() < len(tokenizer.vocabulary)
    assert tokenizer.decode(ids) == tokenizer.decode(ids.tolist()) == text
    assert tokenizer.encode("").shape == (0,) and tokenizer.encode("").dtype == np.int64 and tokenizer.decode([]) == ""


def test_what_is_no_tokenizer():
    assert not isinstance("text", Tokenizer) and not isinstance(object(), Tokenizer)


@each
def test_the_bytes_of_tokens_are_those_of_the_text(tokenizer, text):
    running = text if tokenizer.unit != "words" else f" {text}"
    assert b"".join(map(tokenizer.token_bytes, tokenizer.encode(text).tolist())) == running.encode()


@each
def test_a_stream_gives_the_text(tokenizer, text):
    ids = tokenizer.encode(text).tolist()
    running = text if tokenizer.unit != "words" else f" {text}"
    pieces = list(map(tokenizer.stream(), ids))
    assert "".join(pieces) == running and len(pieces) == len(ids)
    for count in range(len(ids)):  # nothing too early
        assert running.startswith("".join(pieces[:count]))
    one, other = tokenizer.stream(), tokenizer.stream()  # two streams don't disturb each other
    assert "".join(one(id) for id in ids) == "".join(other(id) for id in ids)


@each
def test_saved_as_json_and_loaded(tokenizer, text):
    data = tokenizer.to_dict()
    assert isinstance(data, dict)
    loaded = type(tokenizer).from_dict(json.loads(json.dumps(data)))
    assert type(loaded) is type(tokenizer) and loaded.vocabulary == tokenizer.vocabulary and loaded.to_dict() == data
    np.testing.assert_array_equal(loaded.encode(text), tokenizer.encode(text))


@each
def test_bytes_and_characters_are_counted(tokenizer, text):
    running = text if tokenizer.unit != "words" else f" {text}"
    ids = tokenizer.encode(text)
    assert count_bytes(tokenizer, ids) == len(running.encode()) and count_characters(tokenizer, ids) == len(running)
    both = np.stack([ids, ids[::-1]])
    assert count_bytes(tokenizer, both) == 2 * len(running.encode()) and count_characters(tokenizer, both) == 2 * len(running)
    assert count_bytes(tokenizer, ids[:0]) == count_characters(tokenizer, ids[:0]) == 0


@pytest.mark.parametrize("kind", [CharTokenizer, WordTokenizer, BytePairTokenizer])
def test_trained_on_documents(kind):
    documents = ["the cat", "sat on the mat", "so it sat"]
    tokenizer = kind.train_on(lambda: documents)
    for text in documents:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    with pytest.raises(UsageError, match="too small"):
        kind.train_on(lambda: documents, size=3)
    assert not any("\n" in token for token in tokenizer.vocabulary[256 * (kind is BytePairTokenizer) :])


def test_an_alphabet_saves_characters_the_reading():
    def documents():
        raise AssertionError("read, although the alphabet is known")

    assert CharTokenizer.train_on(documents, "ba").vocabulary == ["a", "b"]
    assert WordTokenizer.train_on(lambda: ["so be", "it"], "abc").vocabulary == ["be", "it", "so"]
    assert BytePairTokenizer.train_on(lambda: ["xyxyxyxy"], "abc").tokens[256:] == [b"xy", b"xyxy"]


def test_what_nobody_sees_parts_no_word():
    assert split_words("soft\u00adly \ufeffwell\u2011known don\u02bct right\u200fleft") == [
        "softly",
        "well-known",
        "don't",
        "rightleft",
    ]
    assert split_words("zero\u200bwidth a\u200d می\u200cخواهم") == ["zero", "width", "a", "می\u200cخواهم"]


@given(st.text("abÀé'-’ \n_1.猫\u0301\u00ad,"), st.integers(1, 5))
def test_a_long_text_is_split_and_converted_as_a_short_one(text, size):
    whole = split_words(text), CharTokenizer.train(text).encode(text).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "PIECE", size)
        patch.setattr(characters, "PIECE", size)
        assert split_words(text) == whole[0] and CharTokenizer.train(text).encode(text).tolist() == whole[1]
        assert "".join(words.pieces(text, size)) == text


def test_an_unknown_character_of_a_long_text(monkeypatch):
    monkeypatch.setattr(characters, "PIECE", 4)
    with pytest.raises(DataError, match="unknown character 'x' .*number 11 of the text"):
        CharTokenizer(["a"]).encode("a" * 10 + "xa")


# Byte pairs


@given(st.text())
def test_byte_pairs_there_and_back(text):
    ids = BYTE_PAIRS.encode(text)
    assert BYTE_PAIRS.decode(ids) == text == "".join(map(BYTE_PAIRS.stream(), ids.tolist()))
    assert count_characters(BYTE_PAIRS, ids) == len(text) and len(ids) <= count_bytes(BYTE_PAIRS, ids) == len(text.encode())


def test_pieces_of_a_character_wait_for_the_last():
    tokenizer = BytePairTokenizer.train("", 256)
    for character in "é猫🙂":
        decode = tokenizer.stream()
        *first, last = map(decode, tokenizer.encode(character).tolist())
        assert first == [""] * (len(character.encode()) - 1) and last == character
    decode = tokenizer.stream()
    assert [decode(byte) for byte in "é".encode()[:1] + b"a"] == ["", "\ufffda"]  # no character begins so
    assert count_characters(tokenizer, np.array([0xF0, 0x9F, 0x99])) == 1  # counted with its first byte


def test_byte_pairs_learn_what_is_frequent():
    assert len(BYTE_PAIRS.encode(TEXT)) < 0.8 * len(TEXT.encode())
    assert len(BytePairTokenizer.train("ab" * 50, 300).encode("ab" * 50)) < 4


# Characters


@given(st.text(min_size=1))
def test_characters_there_and_back(text):
    tokenizer = CharTokenizer.train(text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text and ids.dtype == np.int64
    assert [tokenizer.vocabulary[i] for i in ids] == list(text)


@pytest.mark.parametrize("character", ["é", "\t", "🙂", "Z", "\ud800", "\U0010ffff"])
def test_an_unknown_character_is_named(character):
    tokenizer = CharTokenizer.train("abc")
    with pytest.raises(
        DataError, match=f"U\\+{ord(character):04X}.*, number 3 of the text: the model has never seen it .*'abc'"
    ):
        tokenizer.encode("ab" + character)


def test_no_characters_at_all():
    with pytest.raises(DataError, match="unknown character 'a'.*it knows 0 characters"):
        CharTokenizer.train("").encode("a")


@pytest.mark.parametrize("vocabulary", [["b", "a"], ["a", "a"], ["ab"], [""]])
def test_a_vocabulary_that_cannot_be_one(vocabulary):
    with pytest.raises(ValueError, match="sorted list of distinct characters"):
        CharTokenizer(vocabulary)


# Words


def test_words():
    assert split_words("“Don’t stop,” it's twenty-one — A_B 3.5!") == [
        "don't", "stop", "it's", "twenty-one", "a", "b", "3", "5",
    ]  # fmt: skip
    assert split_words("नमस्ते दुनिया cafe\u0301 İstanbul") == ["नमस्ते", "दुनिया", "café", "i\u0307stanbul"]
    tokenizer = WordTokenizer.train("b a b c")
    assert tokenizer.vocabulary == ["a", "b", "c"]
    assert tokenizer.encode("C b").tolist() == [2, 1] and tokenizer.decode([0, 2]) == "a c"


def test_an_unknown_word_is_named():
    with pytest.raises(DataError, match="unknown word 'lighthose': .*did you mean lighthouse.*it knows 2 words"):
        WordTokenizer.train("lighthouse keeper").encode("keeper lighthose nobody")


# Both


@pytest.mark.parametrize("kind, unit", [(CharTokenizer, "characters"), (WordTokenizer, "words")])
def test_a_vocabulary_size(kind, unit):
    assert len(kind.train("a b c", 5).vocabulary) == len(kind.train("a b c").vocabulary)
    with pytest.raises(UsageError, match=f"a vocabulary of 2 is too small: the text has . distinct {unit}.*at least"):
        kind.train("a b c", 2)


@pytest.mark.parametrize("kind", [CharTokenizer, WordTokenizer])
@pytest.mark.parametrize(
    "data, words",
    [
        ({}, "no vocabulary"),
        ([], "no vocabulary"),
        ({"vocabulary": []}, "at least one token"),
        ({"vocabulary": "abc"}, "no vocabulary, a list"),
        ({"vocabulary": ["a", 3]}, "has 3 at 1"),
        ({"vocabulary": ["a", None]}, "has None at 1"),
        ({"vocabulary": ["a", ["b"]]}, r"has \['b'\] at 1"),
        ({"vocabulary": ["", "a"]}, "has '' at 0, where a token, a non-empty string"),
        ({"vocabulary": ["a", "b", "a"]}, "has 'a' more than once"),
    ],
)
def test_damaged_data_is_refused(kind, data, words):
    with pytest.raises(ValueError, match=words) as caught:
        kind.from_dict(data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize("vocabulary", [["b", "a"], ["a", "bc"]])
def test_damaged_characters_are_refused(vocabulary):
    with pytest.raises(ValueError, match="sorted list of distinct characters"):
        CharTokenizer.from_dict({"vocabulary": vocabulary})
