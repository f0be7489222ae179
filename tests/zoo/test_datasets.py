"""Datasets: the embedded texts, the held-out split, and batches."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.datasets.batches import IGNORE_INDEX, SequenceDataset, StreamDataset, WindowDataset, valid_targets
from zoo.datasets.corpus import Corpus
from zoo.datasets.split import leading_fraction, train_validation_split
from zoo.errors import DataError
from zoo.registry import list_models, model_class
from zoo.tokenizers.words import split_words


def test_windows():
    windows = WindowDataset([np.arange(5), np.arange(10, 13), np.arange(20, 24)], 3, "words")
    assert windows.inputs.tolist() == [[0, 1, 2], [1, 2, 3], [20, 21, 22]] and windows.targets.tolist() == [3, 4, 23]
    with pytest.raises(DataError, match="3 words, and one example takes 4"):
        WindowDataset([np.arange(3)], 3, "words")
    with pytest.raises(DataError, match="every line .* the longest has 3 words"):
        WindowDataset([np.arange(3), np.arange(2)], 3, "words")
    with pytest.raises(DataError, match="no words"):
        WindowDataset([], 3, "words")


@given(st.integers(1, 50), st.integers(1, 7), st.integers(0, 3))
def test_a_pass_shows_every_window_once(examples, size, seed):
    size = min(size, examples)
    windows = WindowDataset([np.arange(examples + 1)], 1, "words")
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
def test_sequences_have_a_target_at_every_position(length, context, size, step):
    tokens = np.arange(length) * 3
    if length <= context:
        with pytest.raises(DataError, match=f"it has {length} characters, and one example takes {context + 1}"):
            SequenceDataset([tokens], context, "characters")
        return
    sequences = SequenceDataset([tokens[:1], tokens[1:]], context, "characters")
    inputs, targets = sequences.batch(step, size, 0)
    assert inputs.shape == targets.shape == (size, context)
    np.testing.assert_array_equal(targets, inputs + 3)
    np.testing.assert_array_equal(inputs, sequences.batch(step, size, 0)[0])
    assert len(sequences) == (length - 1) // context
    seen, wanted = (np.concatenate([part[i].reshape(-1) for part in sequences.in_order()]) for i in (0, 1))
    np.testing.assert_array_equal(seen, tokens[:-1])
    np.testing.assert_array_equal(wanted, tokens[1:])


@given(st.integers(2, 90), st.integers(1, 9), st.integers(1, 5), st.integers(0, 40))
def test_streams_go_on_where_they_stopped(length, context, size, step):
    tokens = np.arange(length) * 3
    if length <= context:
        with pytest.raises(DataError, match=f"it has {length} characters, and one example takes {context + 1}"):
            StreamDataset([tokens], context, "characters")
        return
    streams = StreamDataset([tokens[:1], tokens[1:]], context, "characters")
    (inputs, targets), (after, _) = streams.batch(step, size, 0), streams.batch(step + 1, size, 0)
    assert inputs.shape == targets.shape == (size, context)
    np.testing.assert_array_equal(targets, inputs + 3)
    if not streams.begins(step + 1, size):
        np.testing.assert_array_equal(after[:, 0], targets[:, -1])
    # From one beginning to the next no target comes twice, where the text is long enough.
    first = next(s for s in range(step, -1, -1) if streams.begins(s, size))
    epoch = range(first, next(s for s in range(step + 1, step + 1 + length) if streams.begins(s, size)))
    seen = np.concatenate([streams.batch(s, size, 0)[1].reshape(-1) for s in epoch])
    if len(streams) >= size:
        assert len(set(seen.tolist())) == len(seen) == len(epoch) * size * context > length - 1 - size * context
    batches = list(streams.in_order())
    seen, wanted = (np.concatenate([part[i] for part in batches], axis=1).reshape(-1) for i in (0, 1))
    counts = wanted != IGNORE_INDEX
    np.testing.assert_array_equal(wanted[counts], tokens[1:])
    np.testing.assert_array_equal(seen[counts], tokens[:-1])


def test_streams_begin_elsewhere_each_time():
    streams = StreamDataset([np.arange(107)], 10, "characters")
    assert len({int(streams.batch(5 * epoch, 2, 0)[0][0, 0]) for epoch in range(30)}) == 7


def test_every_place_can_be_drawn():
    sequences = SequenceDataset([np.arange(12)], 4, "characters")
    starts = {int(sequences.batch(step, 8, 0)[0][i, 0]) for step in range(40) for i in range(8)}
    assert starts == set(range(8))


def test_a_tenth_of_a_long_text_is_for_validation():
    whole = np.arange(10_000)
    (training,), (held_out,) = train_validation_split([whole])
    np.testing.assert_array_equal(np.concatenate([training, held_out]), whole)
    assert len(held_out) == 1000
    training, held_out = train_validation_split([whole[1:]])
    assert len(training[0]) == 9999 and held_out == []
    lines = [np.full(100, i) for i in range(200)]
    training, held_out = train_validation_split(lines)
    assert len(training) == 180 and len(held_out) == 20 and held_out[0][0] == 180


def test_a_leading_fraction():
    one, lines = [np.arange(100)], [np.full(length, length) for length in (10, 20, 70)]
    assert len(leading_fraction(one, 0.25)[0]) == 25 and leading_fraction(one, 1) == one
    assert [len(part) for part in leading_fraction(lines, 0.3)] == [10, 20]
    assert len(leading_fraction(lines, 0.31)) == 3 and leading_fraction([], 0.5) == []


@pytest.mark.parametrize("kind", [WindowDataset, SequenceDataset, StreamDataset])
def test_a_batch_depends_on_seed_and_step_alone(kind):
    make = lambda: kind([np.arange(100)], 4, "words")  # noqa: E731
    used = make()
    for step, seed in ((0, 1), (7, 1), (0, 1), (0, 2), (30, 1), (0, 1)):
        for a, b in zip(used.batch(step, 8, seed), make().batch(step, 8, seed), strict=True):
            np.testing.assert_array_equal(a, b)
    assert (used.batch(0, 8, 1)[0] != used.batch(0, 8, 2)[0]).any()


def digest(dataset):
    """Of a few batches, to find out whether they ever change."""
    raw = b"".join(array.astype("<i8").tobytes() for step in (0, 1, 50) for array in dataset.batch(step, 8, 3))
    return hashlib.sha256(raw).hexdigest()[:16]


def test_batches_stay_what_they_were():
    """A run that was begun with an earlier version goes on to the same bits."""
    documents = [np.arange(50), np.arange(100, 140)]
    assert digest(WindowDataset(documents, 4, "words")) == "f3ed48d938e1acbe"
    assert digest(SequenceDataset(documents, 4, "words")) == "a0fa4582b2336fd7"


def test_valid_targets():
    assert valid_targets(np.array([[3, IGNORE_INDEX], [0, 5]])).tolist() == [3, 0, 5]


def test_the_embedded_texts():
    for name in list_models():
        corpus = model_class(name).recipe_class.corpus
        if type(corpus) is Corpus:
            assert corpus.read().strip()
            if corpus.alphabet:
                assert set(corpus.read()) - {"\n"} <= set(corpus.alphabet)
    assert len(set(split_words(Corpus("sentences.txt").read()))) == 34
    assert len(Corpus("sentences.txt").read().splitlines()) == 20
    assert "the cat sat on the mat" in Corpus("phrases.txt").read().splitlines()
