"""Byte pairs: the tokenizer by itself, and a model whose tokens may be pieces of a character, from training to the last screen."""

import json
import math
import unicodedata
from itertools import islice, pairwise

import numpy as np
import pytest
from commands import one_line_error
from hypothesis import given
from hypothesis import strategies as st

import zoo
from zoo.chat.session import Conversation
from zoo.errors import UsageError
from zoo.explain import forward
from zoo.inference.generation import text_pieces
from zoo.inference.sampling import Sampling
from zoo.tokenizers import bpe
from zoo.tokenizers.bpe import LONGEST, MOST, BytePairTokenizer, learn_merges, split_words
from zoo.tokenizers.tokenizer import decode_excerpt

LINE = "猫は寝る, the café is open 🙂\n"
BYTES = BytePairTokenizer([])
SIZE = ("--tokenizer", "bpe", "--vocab-size", 280, "--layers", 1, "--heads", 2, "--width", 16, "--context", 16, "--steps", 30)  # fmt: skip


# Words


@pytest.mark.parametrize(
    "text, words",
    [
        ("To be, or not", ["To", " be", ",", " or", " not"]),
        ("I'll don't 'tis", ["I", "'ll", " don", "'t", " '", "tis"]),
        ("a  b   c\n\n d \n", ["a", " ", " b", "  ", " c", "\n\n", " d", " \n"]),
        ("x2 ½m 3_4!?", ["x", "2", " ½", "m", " 3", "_", "4", "!?"]),
        ("猫は寝る。\u00a0नमस्ते", ["猫は寝る", "。", "\u00a0", "नमस", "्", "त", "े"]),
        ("", []),
    ],
)
def test_a_text_is_cut_as_gpt_2_cuts_it(text, words):
    assert list(split_words(text)) == words


@given(st.text())
def test_words_are_the_text(text):
    words = list(split_words(text))
    assert "".join(words) == text and all(words)


def test_every_character_is_of_the_kind_that_unicode_says():
    """Between two letters, a letter is no word of its own, a digit, a sign and white space are."""
    for number in [*range(0xD800), *range(0xE000, 0x30000, 7)]:
        character, kind = chr(number), unicodedata.category(chr(number))
        words = list(split_words(f"a{character}1{character}"))
        if kind[0] == "L":
            assert words == [f"a{character}", "1", character], hex(number)
        elif kind[0] == "N":
            assert words == ["a", f"{character}1{character}"], hex(number)
        elif character == " ":
            assert words == ["a", " 1", " "]
        else:
            assert words == ["a", character, "1", character], hex(number)
    for signs in ("\x1c!", "_\x1f"):  # which Python takes for white space, and for a letter
        assert list(split_words(f"a{signs} \n")) == ["a", signs, " \n"]


# Learning


def test_merges_are_learned_most_frequent_first():
    words = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}  # (the example of the Hugging Face course)
    merges = list(learn_merges(words))
    u, g, n, h, p = map(ord, "ugnhp")
    assert merges[:5] == [(u, g, 20), (u, n, 16), (h, 256, 15), (p, 257, 12), (p, 256, 5)]
    tokenizer = BytePairTokenizer([(one, other) for one, other, _ in merges])
    assert tokenizer.vocabulary[256:261] == ["ug", "un", "hug", "pun", "pug"]


def _by_counting_again(words, size):
    """The merges, each from a new count of all pairs."""
    texts, merges, tokens = {tuple(word.encode()): count for word, count in words.items()}, [], [bytes([i]) for i in range(256)]
    while len(merges) < size:
        counts = {}
        for text, count in texts.items():
            for pair in pairwise(text):
                counts[pair] = counts.get(pair, 0) + count
        new = {
            pair: count for pair, count in counts.items()
            if count > 1 and len(tokens[pair[0]] + tokens[pair[1]]) <= LONGEST
        }  # fmt: skip
        if not new:
            break
        best = min(new, key=lambda pair: (-new[pair], pair))
        texts = {_merged(text, best, len(tokens)): count for text, count in texts.items()}
        merges.append((*best, new[best]))
        tokens.append(tokens[best[0]] + tokens[best[1]])
    return merges


def _merged(text, pair, new):
    merged = []
    for id in text:
        if merged and (merged[-1], id) == pair:
            merged[-1] = new
        else:
            merged.append(id)
    return tuple(merged)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=9), st.integers(1, 5), max_size=12))
def test_merges_are_those_of_counting_again_after_each(words):
    assert list(islice(learn_merges(words), 40)) == _by_counting_again(words, 40)


def test_no_two_merges_make_the_same_token_and_none_a_long_one():
    # (Where the same bytes stand between the same borders, they are merged in the same way.)
    merges = list(learn_merges({"ab": 50, "abc": 20, "bc": 30, "xbc": 9, "abcd": 5, "aaaa": 8, "baaa": 9, "aaaaaaa": 4}))
    tokenizer = BytePairTokenizer([(one, other) for one, other, _ in merges])
    assert len(set(tokenizer.tokens)) == len(tokenizer.tokens)
    long = BytePairTokenizer.train(("-" * 999 + "\n") * 9, 1000)
    assert max(map(len, long.tokens)) == LONGEST and long.decode(long.encode("-" * 999)) == "-" * 999


@pytest.mark.parametrize("size", [0, 255, MOST + 1])
def test_a_size_that_cannot_be(size):
    with pytest.raises(UsageError, match=f"a vocabulary of {size} is too"):
        BytePairTokenizer.train("abc", size)


# Encoding

TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("  \n\nthereséat'ing"), max_size=60)


@given(TEXTS, TEXTS)
def test_there_and_back_with_any_merges(taught, text):
    tokenizer = BytePairTokenizer.train(taught * 3, 300)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text == "".join(map(tokenizer.stream(), ids.tolist()))
    np.testing.assert_array_equal(ids, BytePairTokenizer(tokenizer.merges).encode(text))


@given(TEXTS)
def test_encoding_is_making_all_merges_in_order(text):
    tokenizer = BytePairTokenizer.train("There is the theatre, eating in the seat. " + text * 2, 330)
    expected = []
    for word in split_words(text):
        ids = tuple(word.encode())
        for i, pair in enumerate(tokenizer.merges):
            ids = _merged(ids, pair, 256 + i)
        expected += ids
        steps = list(tokenizer.merge_word(word))
        assert steps[0] == (0, list(word.encode())) and tuple(steps[-1][1]) == ids
        assert [number for number, _ in steps] == sorted({number for number, _ in steps})
    assert tokenizer.encode(text).tolist() == expected


def test_what_is_no_text_is_encoded_too():
    assert BYTES.decode(BYTES.encode("a\udce9b")) == "a?b"


@given(TEXTS, TEXTS)
def test_it_encodes_as_hugging_face_does(taught, text):
    tokenizers = pytest.importorskip("tokenizers")
    ours = BytePairTokenizer.train("There's the theatre, eating  in the seat. " * 2 + taught * 3, 330)
    # Its vocabulary is text: each byte is written as a character that can be seen.
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in seen]
    letters = {**{byte: chr(byte) for byte in seen}, **{byte: chr(256 + i) for i, byte in enumerate(hidden)}}
    names = ["".join(letters[byte] for byte in token) for token in ours.tokens]
    merges = [(names[one], names[other]) for one, other in ours.merges]
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE({name: id for id, name in enumerate(names)}, merges))
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert ours.encode(text).tolist() == theirs.encode(text).ids
    for word in (taught + text, text + "\x1c_ ½٣ \u00a0\u3000 \n x", "नमस्ते दुनिया ǅʰⅧ 猫〇一"):
        assert ours.encode(word).tolist() == theirs.encode(word).ids


# Data that nobody can be trusted with


@pytest.mark.parametrize(
    "data, words",
    [
        ({}, "no merges"),
        ([], "no merges"),
        ({"merges": 3}, "no merges"),
        ({"merges": {"a": "b"}}, "no merges"),
        ({"merges": [[1, 2, 3]]}, r"merge 1 is \[1, 2, 3\]"),
        ({"merges": [[1, 2], "ab"]}, "merge 2 is 'ab'"),
        ({"merges": [["a", "b"]]}, "should be two ids"),
        ({"merges": [[1.0, 2]]}, "should be two ids"),
        ({"merges": [[True, 2]]}, "should be two ids"),
        ({"merges": [[1, None]]}, "should be two ids"),
        ({"merges": [[1, -2]]}, "aren't both tokens that come before it"),
        ({"merges": [[1, 256]]}, r"merge 1 is \[1, 256\]"),  # of itself
        ({"merges": [[1, 2], [3, 258]]}, r"merge 2 is \[3, 258\]"),  # of a later one
        ({"merges": [[1, 10**4000]]}, "aren't both tokens that come before it"),
        ({"merges": [[1, 2], [1, 2]]}, "two merges make the same token"),
        ({"merges": [[97, 97], [97, 256], [256, 97]]}, "two merges make the same token, b'aaa'"),
        ({"merges": [[97, 97], *([i, i] for i in range(256, 400))]}, f"merge 8 makes a token of more than {LONGEST} bytes"),
        ({"merges": [[1, 2]] * MOST}, "at most can be used"),
    ],
)
def test_damaged_data_is_refused(data, words):
    with pytest.raises(ValueError, match=words) as caught:
        BytePairTokenizer.from_dict(data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


# A model


@pytest.fixture(scope="module")
def run(tmp_path_factory, python):
    """Runs a command in a folder where char_gpt has learned byte pairs of a text that is mostly not ASCII."""
    folder = tmp_path_factory.mktemp("byte_pairs")
    (folder / "my.txt").write_text("Q" + LINE * 60, encoding="utf-8")

    def run(module, *arguments):
        return python(folder, module, *arguments)

    run.folder = folder
    run.trained = run("zoo.train", "char_gpt", "--data", "my.txt", *SIZE)
    return run


def test_it_trains_with_a_size_that_is_saved(run):
    assert run.trained.returncode == 0 and "Generated: " in run.trained.stdout, run.trained.stderr
    assert " tokens (" in run.trained.stderr
    config = json.loads((run.folder / "runs/char_gpt/config.json").read_text(encoding="utf-8"))
    assert config["recipe"]["tokenizer"] == "bpe" and config["recipe"]["vocab_size"] == 280
    assert config["tokenizer"] == BytePairTokenizer.train("Q" + LINE * 60, 280).to_dict()
    assert len(config["tokenizer"]["merges"]) == 24
    done = run("zoo.train", "char_gpt", "--data", "my.txt", "--resume", "--steps", 33)
    assert done.returncode == 0, done.stderr
    done = run("zoo.train", "char_gpt", "--resume", "--steps", 36, "--tokenizer", "char")
    one_line_error(done, "zoo.train", "--tokenizer: the saved run has bpe, not char", code=2)


def test_it_generates_and_predicts(run):
    for extra in ((), ("--beams", 2), ("--stop", "寝")):
        done = run("zoo.generate", "char_gpt", "--prompt", "猫", "--tokens", 20, *extra)
        assert done.returncode == 0 and done.stdout.startswith("猫"), done.stderr
    done = run("zoo.predict", "char_gpt", "猫", "--top", 280, "--json")
    tokens = [json.loads(line)["token"] for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(set(tokens)) == 280 and "\\xe7" in tokens  # each can be told from the others


def test_bits_per_character_and_per_byte(run):
    done = run("zoo.evaluate", "char_gpt", "--data", "my.txt", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    total = figures["loss"] * figures["tokens"] / math.log(2)  # the first token, Q, isn't predicted
    assert figures["tokens"] < len(LINE) * 60 < len(LINE.encode()) * 60
    assert abs(figures["bits_per_byte"] - total / (len(LINE.encode()) * 60)) < 1e-9
    assert abs(figures["bits_per_character"] - total / (len(LINE) * 60)) < 1e-9
    line = run("zoo.evaluate", "char_gpt", "--data", "my.txt").stdout
    assert f"{figures['bits_per_character']:.3f} bits per character, {figures['bits_per_byte']:.3f} bits per byte" in line


def test_it_is_explained(run):
    for text in ("猫は", "so 🙂"):
        done = run("zoo.explain", "char_gpt", text)
        assert done.returncode == 0 and "Logits" in done.stdout, done.stderr
    assert run("zoo.explain", "runs/char_gpt", "猫", "--untrained").returncode == 0


def test_explained_word_by_its_merges(run):
    """The merges of the last word, one after another, up to its tokens."""
    done = run("zoo.explain", "char_gpt", "is the cafe", "--step", 2)
    says = " ".join(done.stdout.split())
    assert "Step 2 of" in says and "So the 5 bytes of the last word, ' cafe', become 2 tokens:" in says, done.stderr
    step = json.loads(run("zoo.explain", "char_gpt", "is the cafe", "--step", 2, "--json").stdout)
    tokens = json.loads(run("zoo.explain", "char_gpt", "is the cafe", "--step", 1, "--json").stdout)["tokens"]
    last = step["merges"][-1]["tokens"]
    assert step["word"] == " cafe" and step["merges"][0] == {"merge": 0, "tokens": ["' '", "c", "a", "f", "e"]}
    assert 1 < len(last) < 5 and tokens[-len(last) :] == last
    assert all(len(b["tokens"]) < len(a["tokens"]) for a, b in zip(step["merges"], step["merges"][1:], strict=False))
    # The word is shown whole where the model sees only the end of it.
    long = run("zoo.explain", "char_gpt", "thecafeisopen" * 9, "--step", 2, "--json")
    assert json.loads(long.stdout)["word"] == "thecafeisopen" * 9


def test_of_very_many_merges_the_first_and_the_last_are_shown(run, monkeypatch):
    model = zoo.load_model(run.folder / "runs/char_gpt")
    whole = str(model.explain("so is the cafeopen")[2]).split("merge  the word\n")[1].splitlines()
    monkeypatch.setattr(forward, "MERGES", 4)
    shown = str(model.explain("so is the cafeopen")[2]).split("merge  the word\n")[1].splitlines()
    assert len(whole) > 5 and shown == [*whole[:2], "  ...", *whole[-2:]]
    assert "the 1 byte of the last word, ' ', become 1 token" in " ".join(str(model.explain(" ")[2]).split())


def test_a_damaged_tokenizer_is_one_line(run):
    file = run.folder / "runs/char_gpt/config.json"
    raw, manifest = file.read_bytes(), file.with_name("manifest.json")
    sums = manifest.read_bytes()
    manifest.unlink()  # which would tell
    try:
        for data in ({}, {"merges": [[1, 999]]}, {"merges": [["a", "b"]]}, {"merges": [[97, 98]]}):
            file.write_text(json.dumps({**json.loads(raw), "tokenizer": data}))
            done = run("zoo.generate", "char_gpt", "--prompt", "a")
            one_line_error(done, "zoo.generate", "another model" if data == {"merges": [[97, 98]]} else "damaged", code=1)
    finally:
        file.write_bytes(raw)
        manifest.write_bytes(sums)


# The choice


@pytest.mark.parametrize(
    "model, settings, words",
    [
        ("char_gpt", ("--tokenizer", "bep"), "--tokenizer: must be one of char, word, bpe, not bep"),
        ("char_gpt", ("--vocab-size", 300), "--vocab-size: the vocabulary is all characters of the text"),
        ("word_ngram", ("--vocab-size", 300), "--vocab-size: the vocabulary is all words of the text"),
        ("char_gpt", ("--tokenizer", "bpe", "--vocab-size", 9), "--vocab-size: must be at least 256, not 9"),
        ("char_gpt", ("--tokenizer", "bpe", "--vocab-size", 10**6), "--vocab-size: must be at most 65536"),
        ("chat_gpt", ("--tokenizer", "bpe"), "--tokenizer: chat_gpt needs char, not bpe"),
        ("chat_gpt", ("--tokenizer", "word"), "--tokenizer: chat_gpt needs char, not word"),
    ],
)
def test_a_choice_that_cannot_be(python, tmp_path, model, settings, words):
    one_line_error(python(tmp_path, "zoo.train", model, *settings), "zoo.train", words, code=2)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("model", ["char_meanpool", "word_meanpool", "word_ngram", "char_gpt"])
@pytest.mark.parametrize("tokenizer, unit", [("char", "characters"), ("word", "words"), ("bpe", "tokens")])
def test_every_model_takes_every_tokenizer(tmp_path, monkeypatch, model, tokenizer, unit):
    """With its own text where that is here, it learns, and whatever one does with it can be done."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text("the cat sat on the mat and so it sat there\n" * 20)
    more = {"data": "my.txt", "layers": 1, "heads": 1, "width": 8, "context": 8} if model == "char_gpt" else {}
    trained = zoo.train_model(model, steps=3, tokenizer=tokenizer, **more)
    loaded = zoo.load_model(model)
    assert loaded.tokenizer.unit == unit and loaded.model.recipe.tokenizer == tokenizer
    assert trained.generate("the", tokens=5, temperature=0.0) == loaded.generate("the", tokens=5, temperature=0.0)
    assert len(loaded.predict("the").figures) >= 2 and loaded.evaluate().bits_per_byte > 0
    assert ("From a word to tokens" in str(loaded.explain("the"))) == (tokenizer == "bpe")


def test_the_models_own_is_recorded_and_earlier_runs_load(python, tmp_path):
    assert python(tmp_path, "zoo.train", "word_ngram", "--epochs", 2).returncode == 0
    file = tmp_path / "runs/word_ngram/config.json"
    config = json.loads(file.read_text())
    assert config["recipe"].pop("tokenizer") == "word" and config["recipe"].pop("vocab_size") is None
    file.write_text(json.dumps(config))  # as it was before there was a choice
    file.with_name("manifest.json").unlink()
    done = python(tmp_path, "zoo.train", "word_ngram", "--resume", "--epochs", 3, "--tokenizer", "word")
    assert done.returncode == 0, done.stderr
    assert python(tmp_path, "zoo.predict", "word_ngram", "the cat sat").returncode == 0


def test_bits_per_byte_are_shown_where_tokens_are_no_characters(python, tmp_path):
    words = np.random.default_rng(0).choice(["the", "sea", "is", "wide", "and", "open"], 12_000)
    (tmp_path / "my.txt").write_text(" ".join(words))
    size = ("--layers", 1, "--heads", 1, "--width", 8, "--context", 8, "--steps", 4, "--evaluate-every", 2, "--data", "my.txt")
    done = python(tmp_path, "zoo.compare", "char_gpt", "--tokenizer", "char", "bpe", "--vocab-size", 270, *size)
    assert done.returncode == 0, done.stderr
    head, char, pairs = (line.split() for line in done.stdout.replace("bits per byte", "bits_per_byte").splitlines())
    assert head == ["tokenizer", "parameters", "loss", "held-out", "bits_per_byte", "time"]
    assert "compare the bits per byte" in " ".join(done.stderr.split())
    assert abs(float(char[4]) - float(char[3]) / math.log(2)) < 2e-4  # a character is a byte here
    runs = sorted(path.name for path in (tmp_path / "runs/compare-char_gpt").iterdir())
    assert len(runs) == 2 and sum("vocab_size-270" in name for name in runs) == 1
    run = f"runs/compare-char_gpt/{next(name for name in runs if 'bpe' in name)}"
    found = json.loads(python(tmp_path, "zoo.evaluate", run, "--json").stdout)
    assert abs(found["bits_per_byte"] - float(pairs[4])) < 1e-3 < abs(found["loss"] / math.log(2) - found["bits_per_byte"])
    done = python(tmp_path, "zoo.train", "char_gpt", "--tokenizer", "bpe", "--vocab-size", 270, *size)
    assert f"Validation: {found['loss']:.4f} ({found['bits_per_byte']:.3f} bits per byte) | LR" in done.stdout, done.stdout
    assert f"Best validation loss: {found['loss']:.4f} ({found['bits_per_byte']:.3f} bits per byte) after" in done.stdout
    assert "bits" not in python(tmp_path, "zoo.train", "char_gpt", *size).stdout


# Pieces of characters


def test_pieces_of_a_character_are_never_shown():
    ids = BYTES.encode("a猫🙂é").tolist()
    assert list(text_pieces(ids, BYTES)) == ["a", "猫", "🙂", "é"]
    for cut in range(len(ids)):
        assert "\ufffd" not in "".join(text_pieces(ids[:cut], BYTES))
    assert "".join(text_pieces(ids, BYTES, ["🙂"])) == "a猫"


def test_an_excerpt_loses_what_was_cut_off():
    ids = BYTES.encode("猫 is é🙂").tolist()
    assert decode_excerpt(BYTES, ids) == "猫 is é🙂"
    assert decode_excerpt(BYTES, ids[1:]) == decode_excerpt(BYTES, ids[2:]) == " is é🙂"
    assert decode_excerpt(BYTES, ids[:-1]) == decode_excerpt(BYTES, ids[:-3]) == "猫 is é"


def test_a_chat_in_byte_pairs():
    """An answer comes in whole characters, up to a token that holds the end of the turn and more."""
    tokenizer = BytePairTokenizer([(ord("!"), ord("\n")), (256, ord(">"))])
    reply = [*"é🙂".encode(), 257]

    class Reader:
        def __init__(self):
            self.left = reply.copy()

        def read(self, tokens):
            return np.eye(len(tokenizer.vocabulary))[self.left.pop(0)]

        def copy(self):
            return Reader()

    talk = Conversation(Reader(), tokenizer, 60, Sampling(0.0), np.random.default_rng(0))
    assert list(talk.answer("hi")) == ["é", "🙂", "!"]
    assert [tokenizer.decode(turn) for turn in talk.turns] == [">hi\n", "<é🙂!\n"]


def test_conversations_are_learned_in_byte_pairs(python, tmp_path):
    (tmp_path / "talk.txt").write_text(">hello\n<hi there!\n\n>who are you\n<I am a bot.\n\n" * 40)
    done = python(tmp_path, "zoo.train", "char_gpt", "--data", "talk.txt", *SIZE)
    assert done.returncode == 0, done.stderr
    assert "<LanguageModel" not in zoo.load_model(tmp_path / "runs/char_gpt").chat("hello")


def test_progress_is_told(monkeypatch):
    told = []

    class Told:
        def __init__(self, total, **words):
            told.append(total)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            told.append("end")

        def update(self, step, value):
            told.append((step, value))

    monkeypatch.setattr(bpe, "Progress", Told)
    BytePairTokenizer.train("abab abab xy", 258)
    assert told == [2, (1, 4), (2, 2), "end"]
