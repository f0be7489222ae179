"""Batches of conversations: the loss mask, typos, names, and the sequences that are cut out of them."""

import hashlib
import re

import numpy as np
import pytest

from zoo.chat import batches
from zoo.chat.batches import UNPREDICTABLE, ConversationDataset
from zoo.chat.loss_mask import MaskedConversations, find_names
from zoo.chat.synthetic import synthetic_conversations
from zoo.chat.template import ALPHABET, BOT, END, USER, words_of
from zoo.datasets.batches import IGNORE_INDEX
from zoo.errors import DataError, UsageError
from zoo.recipe import make_recipe
from zoo.registry import model_class
from zoo.tokenizers.characters import CharTokenizer
from zoo.tokenizers.words import WordTokenizer

TOKENIZER = CharTokenizer(list(ALPHABET))


@pytest.fixture(scope="module")
def text():
    return synthetic_conversations()


def show(inputs, targets):
    """Sequences as text, with _ for what is no target."""
    return [
        (
            "".join(TOKENIZER.vocabulary[i] for i in row),
            "".join("_" if t == IGNORE_INDEX else TOKENIZER.vocabulary[t] for t in goal),
        )
        for row, goal in zip(inputs, targets, strict=True)
    ]


@pytest.fixture
def verbatim(monkeypatch):
    """No typos, and names as they are."""
    monkeypatch.setattr(batches, "TYPO_RATE", 0)
    monkeypatch.setattr(batches, "RENAME_EVERY", 10**12)


@pytest.mark.parametrize("context, share", [(90, 0.6), (128, 0.85)])
def test_only_what_the_bot_can_know_is_learned(text, verbatim, context, share):
    part = text[:50_000]
    dataset = ConversationDataset([TOKENIZER.encode(part)], context, TOKENIZER)
    names, _ = find_names(part)
    learned = set()
    for step in range(len(dataset.original.sequence_starts) // 32):
        inputs, targets = dataset.batch(step, 32, seed=3)
        assert inputs.shape == targets.shape == (32, context)
        for said, goal in show(inputs, targets):
            position = part.index(said)
            begin = part.rfind(END, 0, position) + 1
            for line in re.finditer(r".*\n", part[begin : position + context + 1]):
                start, end = begin + line.start(), begin + line.end()
                before = words_of(part[max(part.rfind(END + END, 0, start), 0) : start]).split()
                known = words_of(part[position:start]).split()
                needed = words_of("".join(c if n else " " for c, n in zip(line[0], names[start:end], strict=True))).split()
                first = BOT not in part[begin:start]
                for at in range(max(start, position + 1), end):
                    counts = line[0][0] == BOT and at > start and set(needed) & set(before) <= set(known)
                    if first and not dataset.original.complete[position]:
                        counts &= position > start and at - position > UNPREDICTABLE
                    assert goal[at - position - 1] == (part[at] if counts else "_")
                    learned |= {at} if counts else set()
    assert len(learned) > share * dataset.original.loss_mask.sum()


def test_sequences_of_a_conversation_that_does_not_fit():
    lines = [f">{c * n}\n<{c * n}\n" for c, n in zip("abcdefg", (10, 10, 10, 30, 10, 5, 4), strict=True)]
    text = "".join(lines) + "\n" + lines[0] * 9
    read = MaskedConversations([TOKENIZER.encode(text)], 64, TOKENIZER)
    at = [text.index(line) for line in lines]
    # a and b; b and c; d alone, which is complete as no more would fit; e, f and g, which d doesn't fit before; the next conversation.
    assert read.sequence_starts.tolist()[:5] == [at[0], at[1], at[3], at[4], len("".join(lines)) + 1]
    assert [bool(complete) for complete in read.complete[read.sequence_starts[:5]]] == [True, False, True, True, True]


def test_an_answer_without_a_question():
    text = "<" + "a" * 30 + "\n<" + "b" * 30 + "\n>" + "c" * 30 + "\n<" + "d" * 30 + "\n" * 40
    assert MaskedConversations([TOKENIZER.encode(text)], 40, TOKENIZER).sequence_starts.tolist() == [0, text.index(">")]


def test_in_pretraining_every_token_is_a_target(text):
    dataset = ConversationDataset([TOKENIZER.encode(text[:50_000])], 60, TOKENIZER, pretraining=2)
    for step in (0, 1, 2):
        _, targets = dataset.batch(step, 32, seed=3)
        share = (targets == IGNORE_INDEX).mean()
        assert share < 0.1 if step < 2 else share > 0.3


def test_typos_are_in_questions(text, monkeypatch):
    dataset = ConversationDataset([TOKENIZER.encode(text[:50_000])], 60, TOKENIZER)
    typos = characters = 0
    for step in range(40):
        monkeypatch.setattr(batches, "TYPO_RATE", 0)
        right, targets = dataset.batch(step, 32, seed=3)
        monkeypatch.setattr(batches, "TYPO_RATE", 0.01)
        inputs, same = dataset.batch(step, 32, seed=3)
        np.testing.assert_array_equal(targets, same)
        for row in np.argwhere(inputs != right):
            line = TOKENIZER.decode(right[row[0], : row[1]]).rpartition(END)[2]
            assert not line.startswith(BOT) and right[tuple(row)] not in [
                TOKENIZER.vocabulary.index(m) for m in (USER, BOT, END)
            ]
        typos += (inputs != right).sum()
        characters += sum(len(line) for row in right for line in TOKENIZER.decode(row).split(END) if line.startswith(USER))
    assert 0.005 < typos / characters < 0.015


def test_typos_are_not_in_names(text, monkeypatch):
    monkeypatch.setattr(batches, "RENAME_EVERY", 10**12)
    monkeypatch.setattr(batches, "TYPO_RATE", 1)
    dataset = ConversationDataset([TOKENIZER.encode(text[:50_000])], 128, TOKENIZER)
    names = {word[0] for word in re.finditer(r"Your name is (\w+)", text[:50_000])}
    assert len(names) > 5
    rows = [TOKENIZER.decode(row) for row in dataset.batch(0, 2000, 3)[0]]
    heard = " ".join(line.lower() for row in rows for line in row.split(END) if line[:1] == USER)
    assert all(name.split()[-1].lower() in heard for name in names)


def test_names_become_others_throughout_a_sequence(text, verbatim, monkeypatch):
    part = text[:50_000]
    dataset = ConversationDataset([TOKENIZER.encode(part)], 60, TOKENIZER)
    marked = "".join(c if name else "_" for c, name in zip(part, find_names(part)[0], strict=True))
    vowels, changed = set("aeiouAEIOU"), 0
    for step in range(20):
        monkeypatch.setattr(batches, "RENAME_EVERY", 10**12)
        written = TOKENIZER.decode(dataset.batch(step, 32, 3)[0].ravel())
        monkeypatch.setattr(batches, "RENAME_EVERY", 1)
        read, goal = dataset.batch(step, 32, 3)
        inputs, targets = TOKENIZER.decode(read.ravel()), TOKENIZER.decode(goal.clip(0).ravel())
        for row in range(0, len(written), 60):
            position = part.index(written[row : row + 60])
            read_as = {}
            for true, new, name in zip(written[row:], inputs[row:], marked[position : position + 60], strict=False):
                assert new == true or name != "_"
                assert true.isupper() == new.isupper() and (true in vowels) == (new in vowels)
                if name != "_":
                    assert read_as.setdefault(true.lower(), new.lower()) == new.lower()
                changed += new != true
            goals = goal[row // 60, :59] != IGNORE_INDEX  # (it becomes a 0 in the text)
            assert all(targets[row + at] == inputs[row + at + 1] for at in np.flatnonzero(goals))
    assert changed > 500


def test_a_round_reads_a_text_of_its_own(verbatim):
    texts = [synthetic_conversations(seed, 6000) for seed in range(3)]
    asked = []

    def another(number):
        asked.append(number)
        return TOKENIZER.encode(texts[number])

    def make():
        dataset = ConversationDataset([TOKENIZER.encode(texts[0])], 40, TOKENIZER)
        dataset.tokens_of_round = another
        return dataset

    dataset = make()
    steps = len(dataset.original.sequence_starts) // 8
    for step in range(3 * steps):
        inputs, _ = dataset.batch(step, 8, 1)
        assert all(TOKENIZER.decode(row) in texts[step // steps] for row in inputs)
    assert asked == [1, 2]
    for step in (2 * steps, 3, steps + 1):  # as one that goes on there reads it
        for a, b in zip(dataset.batch(step, 8, 1), make().batch(step, 8, 1), strict=True):
            np.testing.assert_array_equal(a, b)
    assert len(list(dataset.in_order())) == len(list(make().in_order()))


def test_chat_gpt_reads_other_conversations_each_round(text):
    def examples(part, **settings):
        kind = model_class("chat_gpt")
        return make_recipe(kind.recipe_class, settings).dataset([TOKENIZER.encode(part)], TOKENIZER, every_token=True)

    dataset = examples(text[:100_000])
    rounds = 8 * batches.ROUNDS_PER_EPOCH
    for number in (1, rounds * 3 // 4 - 1):
        np.testing.assert_array_equal(dataset.tokens_of_round(number), TOKENIZER.encode(synthetic_conversations(number)))
    assert dataset.tokens_of_round(rounds * 3 // 4 + 1) is None and dataset.tokens_of_round(rounds) is None
    for settings in ({"data": "my.txt"}, {"data_fraction": 0.5}):
        assert examples(text[:100_000], **settings).tokens_of_round(1) is None


def test_the_same_sequences_for_the_same_step(text):
    make = lambda: ConversationDataset([TOKENIZER.encode(text[:20_000])], 40, TOKENIZER)  # noqa: E731
    one, other = make(), make()
    for step in (7, 3, 100):
        for a, b in zip(one.batch(step, 8, 1), other.batch(step, 8, 1), strict=True):
            np.testing.assert_array_equal(a, b)
    assert (one.batch(3, 8, 2)[0] != other.batch(3, 8, 1)[0]).any()


def test_a_batch_depends_on_seed_and_step_alone():
    def make():
        dataset = ConversationDataset([TOKENIZER.encode(synthetic_conversations(0, 6000))], 40, TOKENIZER)
        dataset.tokens_of_round = lambda number: TOKENIZER.encode(synthetic_conversations(number, 6000)) if number % 2 else None
        return dataset

    used = make()
    for step, seed in ((0, 1), (0, 2), (40, 2), (40, 1), (3, 1), (300, 1), (301, 2)):
        for a, b in zip(used.batch(step, 8, seed), make().batch(step, 8, seed), strict=True):
            np.testing.assert_array_equal(a, b)


def test_batches_stay_what_they_were():
    """A run that was begun with an earlier version goes on to the same bits."""
    dataset = ConversationDataset([TOKENIZER.encode(synthetic_conversations(3, 5000))], 40, TOKENIZER, pretraining=10)
    raw = b"".join(array.astype("<i8").tobytes() for step in (0, 1, 50, 200) for array in dataset.batch(step, 8, 3))
    assert hashlib.sha256(raw).hexdigest()[:16] == "7a548fbab13e4ec7"


def test_tokens_that_are_not_characters(text):
    tokenizer = WordTokenizer.train(text[:5000])
    with pytest.raises(UsageError, match="tokens are characters, not words; use CharTokenizer"):
        ConversationDataset([tokenizer.encode(text[:5000])], 16, tokenizer)


def test_in_order_has_every_answer_once(text):
    part = text[: text.index(END + END, 30_000) + 2]
    dataset = ConversationDataset([TOKENIZER.encode(part)], 128, TOKENIZER)
    shown = [pair for batch in dataset.in_order() for pair in show(*batch)]
    answers = [line[1:] for line in part.split(END) if line.startswith(BOT)]
    for answer, (said, goal) in zip(answers, shown, strict=True):
        assert said[0] == USER or len(said) == 128
        assert goal.strip("_") == (answer + END)[: len(goal.strip("_"))]
        assert len(goal.strip("_")) == len(answer) + 1 or goal[-1] != "_"


def test_an_answer_that_does_not_fit_with_its_question():
    long = ">" + "q" * 40 + "\n<" + "a" * 50 + "\n"
    text = ">x\n<y\n" + long + ">x\n<y\n\n<" + "b" * 70 + "\n>x\n<y\n" * 20
    dataset = ConversationDataset([TOKENIZER.encode(text)], 64, TOKENIZER)
    # With its own question, all the same; an answer without one, with its conversation.
    assert dataset.original.context_starts[:4].tolist() == [0, 6, 6 + len(long), text.index("<bb")]
    goals = [goal.strip("_") for _, goal in show(*next(dataset.in_order()))]
    assert goals[:3] == ["y\n", "a" * 50 + "\n", "y\n"]  # (evaluated whole, without its question)


def test_an_answer_at_the_end_of_the_text():
    text = ">a\n<b\n\n" * 20 + ">c\n<last"
    *_, (_, goal) = show(*next(ConversationDataset([TOKENIZER.encode(text)], 30, TOKENIZER).in_order()))
    assert goal.strip("_") == "last"


def test_what_is_no_conversation(tmp_path):
    for lines in (
        "hello there\n" * 20,
        ">asks\n" * 20,
        "<only answers\n" * 20,
        "<only > answers\n" * 20,
        ">only < asks\n" * 20,
    ):
        tokenizer = CharTokenizer.train(lines)
        with pytest.raises(DataError, match="not a conversation"):
            ConversationDataset([tokenizer.encode(lines)], 16, tokenizer)
    with pytest.raises(DataError, match="not a conversation"):
        ConversationDataset([tokenizer.encode("")], 16, tokenizer)


@pytest.mark.parametrize("context", [8, 9, 10, 17])
def test_a_conversation_shorter_than_the_context(verbatim, context):
    text = ">a\n<good\n"
    dataset = ConversationDataset([TOKENIZER.encode(text)], context, TOKENIZER, pretraining=1)
    for batch, goal in (
        (dataset.batch(0, 3, 0), text[1:]),
        (dataset.batch(1, 3, 0), "___good\n"),
        (next(dataset.in_order()), "___good\n"),
    ):
        for said, wanted in show(*batch):
            assert said.startswith(text[:-1]) and wanted == goal + "_" * (context - len(goal))


def test_typos_are_characters_of_questions(text):
    read = MaskedConversations([TOKENIZER.encode(text[:50_000])], 60, TOKENIZER)
    assert not {USER, BOT, END} & {TOKENIZER.vocabulary[t] for t in set(read.user_characters.tolist())}
    lines = [line[1:] for line in text[:50_000].split(END) if line.startswith(USER)]
    assert TOKENIZER.decode(read.user_characters) == "".join(lines)


def test_names_are_what_the_bot_repeats():
    names = ("Ann", "Bo", "Cleo", "Dan", "Eve")
    text = "".join(f">hi it's {name.lower()}\n<Hello {name}, it's a fine day!\n>Is it?\n<Yes.\n\n" for name in names)
    text += ">what is a week\n<It's seven days.\n\n" + ">who is ann\n<A day!\n\n" * 5
    assert "".join(c if name else "_" for c, name in zip(text, find_names(text)[0], strict=True)) == (
        "".join(f"{'_' * 9}{name.lower()}{'_' * 8}{name}{'_' * 34}" for name in names) + "_" * (len(text) - text.index(">what"))
    )
    few = text.replace("Eve", "Dan").replace("eve", "dan")
    assert (
        not find_names(few)[0].any() and not find_names("")[0].any() and not find_names(text.replace(END + END, END))[0].all()
    )
    assert not find_names(text + ">who are you\n<Ann Bo Cleo Dan Eve!\n\n")[0].any()
