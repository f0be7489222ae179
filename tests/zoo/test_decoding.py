"""Choosing tokens, reading with a cache, beams, and stop strings."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from zoo.errors import DataError, UsageError
from zoo.inference.beam_search import beam_search
from zoo.inference.decoder import Decoder, kept
from zoo.inference.generation import encode_prompt, generate, likeliest, show_bars, text_pieces
from zoo.inference.sampling import Sampling
from zoo.tokenizers.characters import CharTokenizer
from zoo.tokenizers.words import WordTokenizer

P = np.array([0.1, 0.2, 0.7])
LOGITS = np.log(P).astype(np.float32)


def draws(sampling, logits=LOGITS, n=4000, seen=()):
    rng = np.random.default_rng(0)
    return np.bincount([sampling.choose(logits, seen, rng) for _ in range(n)], minlength=len(logits)) / n


def test_temperature():
    assert Sampling(0.0).choose(LOGITS, (), np.random.default_rng(0)) == 2
    np.testing.assert_allclose(draws(Sampling(1.0)), P, atol=0.03)
    hot = P**0.5 / (P**0.5).sum()
    np.testing.assert_allclose(Sampling(2.0).probabilities(LOGITS), hot, rtol=1e-6)
    np.testing.assert_allclose(draws(Sampling(2.0)), hot, atol=0.03)
    assert draws(Sampling(0.01))[2] == 1 and draws(Sampling(1e-300))[2] == 1
    assert Sampling(1.0).choose(np.array([-1e30, 0.0, 1e30]), (), np.random.default_rng(0)) == 2


def test_only_likely_tokens():
    def kept(**options):
        return (Sampling(1.0, **options).probabilities(LOGITS) > 0).tolist()

    assert kept(top_k=1) == [False, False, True] and kept(top_k=2) == [False, True, True] and kept(top_k=9) == [True] * 3
    assert (
        kept(top_p=0.69) == [False, False, True] and kept(top_p=0.71) == [False, True, True] and kept(top_p=1.0) == [True] * 3
    )
    assert kept(min_p=0.28) == [False, True, True] and kept(min_p=0.29) == [False, False, True] and kept(min_p=1.0)[2]
    assert kept(top_k=2, top_p=0.5) == [False, False, True]
    np.testing.assert_allclose(Sampling(1.0, top_k=2).probabilities(LOGITS), [0, 2 / 9, 7 / 9], rtol=1e-6)
    assert Sampling(1.0, top_k=1).probabilities(np.zeros(5)).tolist() == [1, 0, 0, 0, 0]  # ties: one of them


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=20), st.floats(0, 5), st.integers(1, 25),
    st.floats(0.01, 1), st.floats(0, 1), st.floats(1, 5), st.lists(st.integers(0, 100), max_size=5),
)  # fmt: skip
def test_probabilities_are_probabilities(logits, temperature, k, p, least, penalty, seen):
    logits = np.array(logits, np.float32)
    before = logits.copy()
    seen = [s % len(logits) for s in seen]
    chances = Sampling(temperature, k, p, least, penalty).probabilities(logits, seen)
    assert chances.shape == logits.shape and (chances >= 0).all() and abs(chances.sum() - 1) < 1e-9
    assert 1 <= (chances > 0).sum() <= max(k, 1)
    np.testing.assert_array_equal(logits, before)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        chosen = Sampling(temperature, k, p, least, penalty).choose(logits, seen, rng)
        assert type(chosen) is int and chances[chosen] > 0


def test_what_was_there_gets_less_likely():
    logits = np.array([2.0, -1.0, 1.5], np.float32)
    assert Sampling(0.0, repetition_penalty=2.0).choose(logits, [0, 0], np.random.default_rng(0)) == 2
    p = Sampling(1.0, repetition_penalty=2.0).probabilities(logits, [0, 1])
    expected = np.exp([1.0, -2.0, 1.5]) / np.exp([1.0, -2.0, 1.5]).sum()
    np.testing.assert_allclose(p, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "options, words",
    [({"temperature": -1}, "temperature"), ({"temperature": math.inf}, "temperature"), ({"top_k": 0}, "top-k"),
     ({"top_p": 0}, "top-p"), ({"top_p": 1.5}, "top-p"), ({"min_p": 2}, "min-p"), ({"repetition_penalty": 0.5}, "penalty")],
)  # fmt: skip
def test_settings_that_cannot_be_meant(options, words):
    with pytest.raises(UsageError, match=words):
        Sampling(**options)


def gpt(context=16, **options):
    """A small char_gpt whose logits are far apart."""
    model = zoo.create_model("char_gpt", layers=2, width=24, heads=3, context=context, **options)
    rng = np.random.default_rng(1)
    for p in model.parameters():
        p.data = p.data + 0.3 * rng.standard_normal(p.shape, dtype=np.float32)
    return model.eval()


@given(st.lists(st.integers(1, 12), min_size=1, max_size=12), st.integers(1, 9))
def test_reading_with_a_cache_is_reading_without(pieces, context):
    model = gpt(context)
    fused, cached = Decoder(model), Decoder(model, fused=False)
    assert fused.blocks is not None and cached.blocks is None
    text: list[int] = []
    rng = np.random.default_rng(0)
    for n in pieces:
        tokens = rng.integers(0, 65, n).tolist()
        text += tokens
        expected = model(np.array([text[-kept(len(text), context) :]])).data[0, -1]
        np.testing.assert_allclose(fused.read(tokens), expected, atol=1e-4)
        np.testing.assert_allclose(cached.read(tokens), expected, atol=1e-4)
        assert fused.blocks is not None  # it agreed


def test_a_copied_decoder_goes_its_own_way():
    for model in (gpt(), zoo.create_model("word_meanpool")):
        decoder = Decoder(model)
        decoder.read([1, 2, 3])
        other = decoder.copy()
        other.read([4, 5])
        expected = Decoder(model).read([1, 2, 3, 6])
        np.testing.assert_allclose(decoder.read([6]), expected, atol=1e-4)
        np.testing.assert_allclose(other.read([7]), Decoder(model).read([1, 2, 3, 4, 5, 7]), atol=1e-4)


def test_the_seed_decides_what_is_generated():
    model = gpt()

    def text(seed):
        return list(generate(Decoder(model), [1, 2], 40, Sampling(1.0), np.random.default_rng(seed)))

    assert text(1) == text(1) != text(2)


def test_tokens_come_one_by_one():
    tokens = generate(Decoder(gpt()), [1], 10**9, Sampling(1.0), np.random.default_rng(0))
    assert len(list(itertools.islice(tokens, 40))) == 40


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_hidden_state_is_all_that_reading_on_needs(cell):
    model = zoo.create_model("char_rnn", cell=cell, width=8, context=4)
    tokens = np.random.default_rng(0).integers(0, 65, 40)
    decoder, seen = Decoder(model), []
    original = type(model).forward
    model.forward = lambda tokens, cache=None: seen.append(tokens.shape[1]) or original(model, tokens, cache)
    for at, token in enumerate(tokens):
        logits = decoder.read([token])
        if at == 9:
            other = decoder.copy()
    assert seen == [1] * 40 and {a.shape for a in decoder.cache.states.values()} == {(1, 1, 8)}
    np.testing.assert_allclose(logits, model(tokens[None]).data[0, -1], atol=1e-5)
    np.testing.assert_allclose(other.read(tokens[10:]), logits, atol=1e-5)


# Beams


@pytest.mark.parametrize(
    "model",
    [gpt(8), zoo.create_model("word_ngram"), zoo.create_model("char_rnn", width=8)],
    ids=["char_gpt", "word_ngram", "char_rnn"],
)
def test_one_beam_is_greedy(model):
    greedy = list(generate(Decoder(model), [1, 2, 3], 12, Sampling(0.0), np.random.default_rng(0)))
    assert list(beam_search(Decoder(model), [1, 2, 3], 12, 1)) == greedy
    assert list(beam_search(Decoder(model), [1, 2, 3], 0, 3)) == []


def score(model, prompt, tokens):
    decoder, total, new = Decoder(model), 0.0, prompt
    for token in tokens:
        p = Sampling(1.0).probabilities(decoder.read(new))
        total += math.log(p[token])
        new = [token]
    return total


def test_enough_beams_find_the_best_of_all():
    model = zoo.create_model("word_ngram")
    rng = np.random.default_rng(3)
    for p in model.parameters():
        p.data = rng.standard_normal(p.shape, dtype=np.float32)
    found = list(beam_search(Decoder(model), [1, 2, 3], 2, 34))
    best = max(itertools.product(range(34), repeat=2), key=lambda tokens: score(model, [1, 2, 3], tokens))
    assert found == list(best)
    few = list(beam_search(Decoder(model), [1, 2, 3], 8, 4))
    assert score(model, [1, 2, 3], few) >= score(model, [1, 2, 3], list(beam_search(Decoder(model), [1, 2, 3], 8, 1))) - 1e-6


def test_beams_give_what_they_agree_on_at_once():
    model = zoo.create_model("word_meanpool")
    model.projection.data = np.zeros_like(model.projection.data)
    projection = np.zeros_like(model.projection.data)
    projection[:, 7] = 1
    model.projection.data = projection
    model.embeddings.data = np.abs(model.embeddings.data) * 30
    reads = []
    original = type(model).forward
    type(model).forward = lambda self, tokens: (reads.append(1), original(self, tokens))[1]
    try:
        tokens = beam_search(Decoder(model), [1], 50, 1)
        assert next(tokens) == 7 and len(reads) <= 3
    finally:
        type(model).forward = original


# Text


def test_stop_strings_end_the_text_before_them():
    tokenizer = CharTokenizer.train("abcdefg \n")

    def text(content, *stop):
        pieces = list(text_pieces(tokenizer.encode(content).tolist(), tokenizer, stop))
        assert "" not in pieces
        return "".join(pieces)

    assert text("abcabd", "abd") == "abc"
    assert text("abcabc", "abd") == "abcabc"
    assert text("aaab", "aab") == "a"
    assert text("abc", "abc") == "" and text("abc", "c", "b") == "a" and text("abc") == "abc"
    assert text("abab", "abc") == "abab"


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_stop_strings_wherever_they_come(content, stop):
    tokenizer = CharTokenizer.train("ab")
    found = "".join(text_pieces(tokenizer.encode(content).tolist(), tokenizer, stop))
    # One character at a time: the stop string that is complete first ends the text, and of those the one that began first.
    ends = [(content.index(s) + len(s), content.index(s)) for s in stop if s in content]
    first = min(end for end, _ in ends) if ends else None
    assert found == (content if first is None else content[: min(at for end, at in ends if end == first)])


def test_words_have_blanks_between_them():
    tokenizer = WordTokenizer.train("the cat sat down")
    assert "".join(text_pieces([0, 1, 2], tokenizer)) == " cat down sat"
    assert "".join(text_pieces([0, 1, 2], tokenizer, ["down"])) == " cat "


def test_the_likeliest():
    model = zoo.create_model("word_ngram")
    tokenizer = WordTokenizer.train(model.recipe.read_text())
    best = likeliest(model, tokenizer, encode_prompt(model, tokenizer, "the cat sat"), 100)
    assert len(best) == 34 and abs(sum(b["probability"] for b in best) - 1) < 1e-6
    assert best == sorted(best, key=lambda b: -b["probability"])
    with pytest.raises(DataError, match="holds no words"):
        encode_prompt(model, tokenizer, "...")


def test_bars(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")  # which leaves 23 for a bar
    lines = show_bars([{"token": "\n", "probability": 0.5}, {"token": "a", "probability": 0.01}])
    assert lines == ["  '\\n'   50.00%  " + "█" * 11 + "▌", "  a       1.00%  ▎"]
    for columns in (40, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert 30 < len(show_bars([{"token": "a", "probability": 1.0}])[0]) <= columns


def test_texts_by_one_decoder_are_those_by_new_ones_and_compared_once():
    model, calls = gpt(), []
    decoder = Decoder(model)
    forward, model.forward = model.forward, lambda *args: calls.append(1) or forward(*args)
    texts = [list(generate(decoder, [seed], 40, Sampling(1.0), np.random.default_rng(seed))) for seed in range(3)]
    assert len(calls) == 1
    assert texts == [
        list(generate(Decoder(model), [seed], 40, Sampling(1.0), np.random.default_rng(seed))) for seed in range(3)
    ]
