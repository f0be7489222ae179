"""Datasets: the embedded texts, the held-out split, and batches."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtensor import cross_entropy
from zoo.datasets.batches import IGNORE_INDEX, DocumentDataset, SequenceDataset, StreamDataset, WindowDataset, valid_targets
from zoo.datasets.corpora import CORPORA
from zoo.datasets.corpus import Corpus, prepare, read_text
from zoo.datasets.shakespeare import TinyShakespeare
from zoo.datasets.split import leading_fraction, train_validation_split
from zoo.errors import DataError
from zoo.model import predict
from zoo.recipe import make_recipe
from zoo.registry import list_models, model_class
from zoo.tokenizers.words import split_words


def test_windows():
    windows = WindowDataset([np.arange(5), np.arange(20, 24)], 3, "words")
    assert windows.inputs.tolist() == [[0, 1, 2], [1, 2, 3], [20, 21, 22]] and windows.targets.tolist() == [3, 4, 23]


def test_windows_of_short_documents():
    windows = WindowDataset([np.arange(5), np.arange(10, 13), np.arange(1), np.arange(20, 22), np.arange(0)], 3, "words")
    assert windows.inputs.tolist() == [[0, 1, 2], [1, 2, 3], [-1, -1, 10], [-1, 10, 11], [-1, -1, 20]]
    assert windows.targets.tolist() == [3, 4, 11, 12, 21] and windows.left_out == 2


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 4))
def test_documents_in_sequences(lengths, context, size):
    """Every token after a document's first is a target once in an epoch, right after the token before it."""
    documents = [np.arange(length) + 100 * i for i, length in enumerate(lengths)]
    wanted = sorted((int(a), int(b)) for tokens in documents for a, b in pairwise(tokens))
    if not wanted:
        with pytest.raises(DataError, match="too short"):
            DocumentDataset(documents, context, "words")
        return
    sequences = DocumentDataset(documents, context, "words")
    assert sequences.left_out == sum(length < 2 for length in lengths)
    per_epoch = max(len(sequences) // size, 1)
    drawn = [sequences.batch(step, size, 1) for step in range(per_epoch)]
    for parts, complete in ((sequences.in_order(), True), (drawn, len(sequences) % size == 0)):
        found = []
        for inputs, targets in parts:
            assert inputs.shape == targets.shape and inputs.shape[1] <= context and inputs.min() >= 0
            counted = targets != IGNORE_INDEX
            assert (np.diff(counted.astype(int), axis=1) <= 0).all() and counted[:, 0].all()  # what is ignored is at the end
            assert (targets[counted] == inputs[counted] + 1).all()
            found += zip(inputs[counted].tolist(), targets[counted].tolist(), strict=True)
        assert set(found) <= set(wanted) and (not complete or sorted(found) == wanted)
    assert drawn[0][0].shape[0] == size


@pytest.mark.parametrize("kind", [WindowDataset, SequenceDataset, DocumentDataset])
def test_nothing_to_learn_from(kind):
    with pytest.raises(DataError, match="the text is too short: it has 1 word, and it takes two"):
        kind([np.arange(1)], 3, "words")
    with pytest.raises(DataError, match="too short: it has no words"):
        kind([], 3, "words")


def test_windows_go_through_a_model_without_their_padding():
    """As if each were the only one: its logits, and what it adds to the gradient."""
    for name in ("char_meanpool", "word_meanpool", "word_ngram"):
        for pooling in ({"pooling": "concat"}, {"pooling": "mean"}) if name == "char_meanpool" else ({},):
            kind = model_class(name)
            model = kind(make_recipe(kind.recipe_class, {"context": 4, **pooling}), 30, np.random.default_rng(0))
            model.eval()
            windows = WindowDataset([np.arange(2), np.arange(9), np.arange(20, 24), np.arange(4, 7)], 4, "words")
            inputs, targets = windows.batch(0, len(windows), 0)
            logits = predict(model, inputs)
            cross_entropy(logits, targets).backward()
            together = [p.grad.data for p in model.parameters()]
            model.zero_grad()
            for row, target, found in zip(inputs, targets, logits.data, strict=True):
                alone = model(row[None, row >= 0])
                np.testing.assert_allclose(alone.data[0], found, rtol=1e-5, atol=1e-6)
                (cross_entropy(alone, [target]) * (1 / len(inputs))).backward()
            for p, gradient in zip(model.parameters(), together, strict=True):
                np.testing.assert_allclose(p.grad.data, gradient, rtol=1e-4, atol=1e-6)


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
    sequences = SequenceDataset([tokens[:1], tokens[1:]], context, "characters")
    inputs, targets = sequences.batch(step, size, 0)
    context = min(context, length - 1)  # of a shorter text, all of it
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
    streams = StreamDataset([tokens[:1], tokens[1:]], context, "characters")
    context = min(context, length - 1)
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


@pytest.mark.parametrize("kind", [WindowDataset, SequenceDataset, StreamDataset, DocumentDataset])
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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le-bom", "utf-16-be-bom"])
def test_a_text_is_read_by_its_byte_order_mark(tmp_path, encoding):
    text = "Über 猫🙂\r\nzwei\rdrei\n"
    raw = ("\ufeff" + text).encode(encoding.removesuffix("-bom")) if encoding.endswith("-bom") else text.encode(encoding)
    (tmp_path / "text.txt").write_bytes(raw)
    assert read_text(tmp_path / "text.txt") == "Über 猫🙂\nzwei\ndrei\n"


@pytest.mark.parametrize(
    "raw, message",
    [
        ("abc".encode("utf-16-le"), r"zero byte at 1; .*UTF-8 \(not as UTF-16\)"),
        ("abc".encode("utf-16")[:-1], "not UTF-16: .* at 6; save the text as UTF-8"),
        ("a\0b".encode("utf-16"), "has a zero at character 1"),
        ("\r\n".encode("utf-16"), "empty"),
    ],
)
def test_a_text_that_cannot_be_read(tmp_path, raw, message):
    (tmp_path / "text.txt").write_bytes(raw)
    with pytest.raises(DataError, match=message):
        read_text(tmp_path / "text.txt")


def test_one_function_prepares_every_text():
    assert prepare("\ufeffa\r\nb\rc\n") == "a\nb\nc\n" and prepare("a  b \n") == "a  b \n"
    assert prepare(">  a\tb \r\n< c\r\n \r\n> d\n< e") == ">a b\n<c\n\n>d\n<e"
    for corpus in CORPORA.values():  # the zoo's own texts are as they should be
        if type(corpus) is not TinyShakespeare:
            assert prepare(corpus.read()) == corpus.read()


def test_valid_targets():
    assert valid_targets(np.array([[3, IGNORE_INDEX], [0, 5]])).tolist() == [3, 0, 5]


def test_the_embedded_texts():
    for name in list_models():
        recipe = model_class(name).recipe_class()
        corpus = recipe.text
        if type(corpus) is Corpus:
            assert corpus.read().strip()
        if type(corpus) is Corpus and not corpus.delimited:  # whose batches are those of old: no document is short
            assert all(len(part.split()) > 1 and len(part) > recipe.context for part in recipe.documents(corpus.read()))
            if corpus.alphabet:
                assert set(corpus.read()) - {"\n"} <= set(corpus.alphabet)
    assert len(set(split_words(Corpus("sentences.txt").read()))) == 34
    assert len(Corpus("sentences.txt").read().splitlines()) == 20
    assert "the cat sat on the mat" in Corpus("phrases.txt").read().splitlines()
