"""Synthetic conversations: the hand-written exchanges, the text that is made of them, and what is held out of it."""

import hashlib
import re

import pytest
from commands import one_line_error

from zoo.chat.augmentation import _typo, augment, punctuate
from zoo.chat.exchanges import Sampler, fill_slots, load_material, read_material
from zoo.chat.loss_mask import find_names
from zoo.chat.synthetic import CONTEXT, held_out_questions, held_out_wordings, strangers_questions, synthetic_conversations
from zoo.chat.template import ALPHABET, BOT, END, TURN_ALPHABET, USER, is_conversation, normalize, words_of
from zoo.errors import DataError


@pytest.fixture(scope="module")
def text():
    return synthetic_conversations()


@pytest.fixture(scope="module")
def asked(text):
    """What was asked and answered, turn by turn."""
    return re.findall(f"{USER}(.*){END}{BOT}(.*){END}", text)


# The text


def test_the_same_text_for_the_same_seed(text):
    assert synthetic_conversations() == text != synthetic_conversations(1)
    assert 1_200_000 <= len(text) < 1_201_000


def test_the_texts_stay_what_they_were():
    """The shipped weights were trained on those of several seeds."""
    assert hashlib.sha256(synthetic_conversations(3, 5000).encode()).hexdigest()[:16] == "e4499caee173f8d1"


def test_fifty_nine_characters(text):
    assert "".join(sorted(set(text))) == ALPHABET and len(ALPHABET) == 59


def test_every_line_is_a_turn(text):
    assert is_conversation(text)
    conversations = text.removesuffix(END + END).split(END + END)
    for conversation in conversations:
        lines = conversation.split(END)
        assert len(lines) % 2 == 0
        for said, answered in zip(lines[::2], lines[1::2], strict=True):
            assert said[0] == USER and answered[0] == BOT and set(said[1:] + answered[1:]) <= TURN_ALPHABET
    assert {len(c.split(END)) for c in conversations} >= {2, 4, 6, 8}


def test_three_hundred_exchanges_in_several_wordings(asked):
    wordings: dict[str, set[str]] = {}
    for said, answered in asked:
        wordings.setdefault(answered, set()).add(words_of(said))
    known = {turn.answer for e in load_material().exchanges for turn in e.turns if "{" not in turn.answer}
    assert len(known) > 300 and known <= wordings.keys()
    assert min(len(wordings[answer]) for answer in known) >= 4


def test_spellings_and_cases(asked):
    said = [s for s, answered in asked if answered.startswith("Hi there! How can I help")]
    assert {"hello", "Hello", "Hello!"} <= set(said) and any(s.isupper() for s in said)
    assert any("'" in s for s, _ in asked) and any(s.startswith("whats ") for s, _ in asked)
    assert any(s.endswith("?") for s, _ in asked) and any(s.isupper() for s, _ in asked)


@pytest.mark.parametrize(
    "said, answered",
    [
        ("Hello!", "Hi there! How can I help you today?"),
        (
            "What is AI?",
            "AI stands for Artificial Intelligence. It refers to computer systems designed to perform tasks that typically "
            "require human intelligence.",
        ),
        ("Tell me a joke", "Why did the computer go to the doctor? It had caught a virus!"),
    ],
)
def test_what_must_be_said(asked, said, answered):
    assert {a for s, a in asked if words_of(s) == words_of(said)} == {answered}


def test_what_the_user_said_comes_back(text):
    for name, later in re.findall(r"\n<Nice to meet you, (\w+)!\n(?:>.*\n<.*\n)?>.*\n<Your name is (\w+)\.", text):
        assert name == later
    assert len(re.findall(r"<Your name is ", text)) > 100


def test_one_wording_has_one_meaning(asked):
    """What is said first is answered in one way, wherever it isn't about the user."""
    meanings: dict[str, set[str]] = {}
    for said, answered in asked:
        meanings.setdefault(words_of(said), set()).add(answered)
    several = {said for said, answers in meanings.items() if len(answers) > 1}
    depends = {words_of(w) for e in load_material().exchanges for t in e.turns[1:] + e.more for w in t.wordings if "[" not in w}
    unclear = {s for s in several if len(s.split()) > 2} - depends
    assert len(unclear) < 0.02 * len(meanings), sorted(unclear)[:50]


def test_a_name_is_asked_for_while_it_is_in_the_context(text):
    names, needed_from = find_names(text)
    said = [m.start() for m in re.finditer(f"(?<={END}){BOT}", text)]
    ends = [text.index(END, place) for place in said if names[place : text.index(END, place)].any()]
    assert len(ends) > 1000 and all(end - needed_from[end] <= CONTEXT for end in ends)


# What is held out


def test_held_out_wordings_are_never_said(asked):
    questions = held_out_questions()
    said = {words_of(s) for s, _ in asked}
    held_out = {words_of(q.prompt.rpartition(USER)[2]) for q in questions}
    assert len(questions) > 500 and not said & held_out
    assert not any(held_out_wordings().fullmatch(s) for s in said)  # (whatever word is in them)
    for wording in ("could you explain cats", "please tell me who nobody was", "this morning i ate a hat"):
        assert held_out_wordings().fullmatch(wording)
    answers = {a for _, a in asked}
    assert sum(q.answer in answers for q in questions) > 0.9 * len(questions)  # (some have a name that is held out)
    for question in questions:
        assert (
            question.prompt.startswith(USER) and question.prompt.endswith(END + BOT) and set(question.prompt) <= set(ALPHABET)
        )


def test_a_strangers_questions_are_others(asked):
    questions = strangers_questions()
    said, answers = {words_of(s) for s, _ in asked}, {t.answer for e in load_material().exchanges for t in e.turns + e.more}
    assert len(questions) > 90 and not any(words_of(q.prompt) in said for q in questions)
    assert all(q.answer in answers and normalize(q.prompt[1:-2]) == (q.prompt[1:-2], []) for q in questions)


@pytest.mark.parametrize("seed", [1, 35])
def test_nor_are_they_in_what_later_rounds_read(seed):
    said = {words_of(s) for s in re.findall(f"{USER}(.*){END}", synthetic_conversations(seed))}
    assert not any(held_out_wordings().fullmatch(s) for s in said)
    assert not said & {words_of(q.prompt.rpartition(USER)[2]) for q in held_out_questions() + strangers_questions()}


def test_held_out_words_are_never_said(text):
    written = " ".join(w for e in load_material().exchanges for t in e.turns + e.more for w in [*t.wordings, t.answer])
    for _, held_out in load_material().lists.values():
        for word in held_out:
            assert words_of(word) in words_of(written) or f" {words_of(word)} " not in f" {words_of(text)} ", word


# The exchanges


@pytest.mark.parametrize(
    "lines, words",
    [
        ("> a\n? b\n", "line 2: can't be read: '? b'"),
        ("> a\n\n> b\n< c\n", "line 1: a turn without"),
        ("< c\n", "line 1: can't be read"),
        ("@sometimes 3\n> a\n< b\n", "line 1: unknown instruction"),
        ("> a\n< b\n< c\n", "line 3"),
    ],
)
def test_errors_in_exchanges_are_found(tmp_path, lines, words):
    (tmp_path / "some.txt").write_text(lines)
    with pytest.raises(DataError, match=f"some.txt, {re.escape(words)}"):
        read_material(tmp_path)


def test_slots_and_alternatives(tmp_path):
    (tmp_path / "lists.txt").write_text("name = Ann | Bo | ~ Cy\n")
    (tmp_path / "a.txt").write_text(
        "# note\n@often 3\n> i am {name} | ~ call me {name}\n< Hi {name}!\n+ who [am i|is this]\n< {name}.\n"
    )
    material = read_material(tmp_path)
    (exchange,) = material.exchanges
    assert exchange.weight == 3 and exchange.turns[0].held_out == ["call me {name}"] and len(exchange.more) == 1
    sampler, slots = Sampler(0), {}
    said = fill_slots(exchange.turns[0].wordings[0], slots, material, sampler)
    assert said == f"i am {slots['name']}" and fill_slots("{name}.", slots, material, sampler) == f"{slots['name']}."
    assert {fill_slots("who [am i|is this]", {}, material, sampler) for _ in range(2)} == {"who am i", "who is this"}
    assert {fill_slots("{name}", {}, material, sampler) for _ in range(9)} == {"Ann", "Bo"}
    assert fill_slots("{name}", {}, material, sampler, held_out=True) == "Cy"
    with pytest.raises(DataError, match="no list 'nme'"):
        fill_slots("{nme}", {}, material, sampler)


def test_made_up_words_are_new_and_often_begin_like_known_ones():
    material = load_material()
    sampler = Sampler(3)
    words = [fill_slots("{strange}", {}, material, sampler) for _ in range(12_000)]
    words = [word for several in words for word in several.split()]
    assert all(3 < len(word) < 10 and word[0].isupper() and word.lower() not in material.words for word in words)
    assert len(set(words)) > 0.98 * len(words)
    words = words[:500]
    begin_alike = [w for w in words if any(w.lower().startswith(known[:4]) for known in material.words)]
    assert 0.1 * len(words) < len(begin_alike) < 0.6 * len(words)


# Augmentation


def test_many_wordings_of_one_question():
    sampler = Sampler(0)
    asked = {augment("why is it big", sampler) for _ in range(1000)}
    assert len(asked) > 200 and {"Why is it big?", "why is it big", "Why is it large?"} <= asked
    assert any(a.endswith("??") for a in asked) and any(augment("hello", sampler).isupper() for _ in range(100))
    assert all(set(a) <= TURN_ALPHABET and a == a.strip() for a in asked)


def test_a_typo_changes_one_place_within_a_word():
    sampler = Sampler(0)
    seen = {_typo("a planet", sampler) for _ in range(200)}
    assert len(seen) > 10 and all(s.startswith("a p") and abs(len(s) - len("a planet")) <= 1 for s in seen)
    assert {_typo("is it my cat", sampler) for _ in range(20)} == {"is it my cat"}


def test_correct_sentences():
    assert punctuate("what am i") == "What am I?" and punctuate("i am well") == "I am well."


# The command


def test_the_command_writes_the_text(tmp_path, python, text):
    done = python(tmp_path, "zoo.dialogue")
    assert done.returncode == 0 and done.stdout == text and done.stderr == ""
    done = python(tmp_path, "zoo.dialogue", "--seed", 5, "--length", 2000, "--out", "some.txt")
    assert done.returncode == 0 and done.stdout == "" and "some.txt" in done.stderr
    assert (tmp_path / "some.txt").read_text() == synthetic_conversations(5, 2000)


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        (("--length", "0"), ("--length", "at least 1"), 2),
        (("--out", "nowhere/some.txt"), ("nowhere/some.txt", "No such file"), 1),
        (("--out", ""), ("--out", "needs the name"), 2),
        (("--sed", "3"), ("--sed", "did you mean --seed"), 2),
    ],
)
def test_the_command_refuses(tmp_path, python, arguments, words, code):
    one_line_error(python(tmp_path, "zoo.dialogue", *arguments), "zoo.dialogue", *words, code=code)
    assert not list(tmp_path.iterdir())
