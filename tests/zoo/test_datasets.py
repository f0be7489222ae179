"""Datasets: the embedded texts, the held-out split, and batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.datasets.batches import Sequences, Windows, hold_out
from zoo.datasets.corpus import Corpus
from zoo.errors import DataError
from zoo.registry import list_models, model_class
from zoo.tokenizers.words import split_words


def test_windows():
    windows = Windows([np.arange(5), np.arange(10, 13), np.arange(20, 24)], 3, "words")
    assert windows.inputs.tolist() == [[0, 1, 2], [1, 2, 3], [20, 21, 22]] and windows.targets.tolist() == [3, 4, 23]
    with pytest.raises(DataError, match="3 words, and one example takes 4"):
        Windows([np.arange(3)], 3, "words")
    with pytest.raises(DataError, match="every line .* the longest has 3 words"):
        Windows([np.arange(3), np.arange(2)], 3, "words")
    with pytest.raises(DataError, match="no words"):
        Windows([], 3, "words")


@given(st.integers(1, 50), st.integers(1, 7), st.integers(0, 3))
def test_a_pass_shows_every_window_once(examples, size, seed):
    size = min(size, examples)
    windows = Windows([np.arange(examples + 1)], 1, "words")
    per_pass = examples // size
    passes = []
    for number in range(2):
        drawn = [windows.batch(number * per_pass + i, size, seed)[1] for i in range(per_pass)]
        passes.append(np.concatenate(drawn))
        assert len(set(passes[-1].tolist())) == per_pass * size
    # The same step gives the same batch, whatever came before.
    np.testing.assert_array_equal(windows.batch(0, size, seed)[1], passes[0][:size])
    everything = np.concatenate([targets for _, targets in windows.in_order()])
    np.testing.assert_array_equal(everything, np.arange(1, examples + 1))


@given(st.integers(2, 60), st.integers(1, 12), st.integers(1, 5), st.integers(0, 3))
def test_sequences_guess_after_every_token(length, context, size, step):
    tokens = np.arange(length) * 3
    if length <= context:
        with pytest.raises(DataError, match=f"it has {length} characters, and one example takes {context + 1}"):
            Sequences([tokens], context, "characters")
        return
    sequences = Sequences([tokens[:1], tokens[1:]], context, "characters")
    inputs, targets = sequences.batch(step, size, 0)
    assert inputs.shape == targets.shape == (size, context)
    np.testing.assert_array_equal(targets, inputs + 3)
    np.testing.assert_array_equal(inputs, sequences.batch(step, size, 0)[0])
    assert len(sequences) == (length - 1) // context
    seen, wanted = (np.concatenate([part[i].reshape(-1) for part in sequences.in_order()]) for i in (0, 1))
    np.testing.assert_array_equal(seen, tokens[:-1])
    np.testing.assert_array_equal(wanted, tokens[1:])


def test_every_place_can_be_drawn():
    sequences = Sequences([np.arange(12)], 4, "characters")
    starts = {int(sequences.batch(step, 8, 0)[0][i, 0]) for step in range(40) for i in range(8)}
    assert starts == set(range(8))


def test_a_tenth_is_held_out_of_a_long_text():
    whole = np.arange(10_000)
    (training,), (held_out,) = hold_out([whole])
    np.testing.assert_array_equal(np.concatenate([training, held_out]), whole)
    assert len(held_out) == 1000
    training, held_out = hold_out([whole[1:]])
    assert len(training[0]) == 9999 and held_out == []
    lines = [np.full(100, i) for i in range(200)]
    training, held_out = hold_out(lines)
    assert len(training) == 180 and len(held_out) == 20 and held_out[0][0] == 180


def test_the_embedded_texts():
    for name in list_models():
        corpus = model_class(name).corpus
        if type(corpus) is Corpus:
            assert corpus.read().strip()
            if corpus.alphabet:
                assert set(corpus.read()) - {"\n"} <= set(corpus.alphabet)
    assert len(set(split_words(Corpus("sentences.txt").read()))) == 34
    assert len(Corpus("sentences.txt").read().splitlines()) == 20
    assert "the cat sat on the mat" in Corpus("phrases.txt").read().splitlines()
