"""The conversations: their material, and the text that is made of it."""

import re

import pytest
from conftest import one_line_error
from hypothesis import given
from hypothesis import strategies as st

from zoo.chat import synthetic as dialogue
from zoo.chat.exchanges import Deck, fill_in, read_material
from zoo.chat.loss_mask import names_in
from zoo.chat.synthetic import REMEMBERED, held_out_questions, held_out_wordings, strangers_questions, write_dialogue
from zoo.chat.template import ALPHABET, BOT, END, LETTERS, USER, as_said, questions_in, readable, words_of
from zoo.errors import DataError


@pytest.fixture(scope="module")
def text():
    return write_dialogue()


@pytest.fixture(scope="module")
def asked(text):
    """What was asked and answered, turn by turn."""
    return re.findall(f"{USER}(.*){END}{BOT}(.*){END}", text)


# The text


def test_the_same_text_for_the_same_seed(text):
    assert write_dialogue() == text != write_dialogue(1)
    assert 1_200_000 <= len(text) < 1_201_000


def test_fifty_nine_characters(text):
    assert "".join(sorted(set(text))) == ALPHABET and len(ALPHABET) == 59


def test_every_line_is_a_turn(text):
    sessions = text.removesuffix(END + END).split(END + END)
    for session in sessions:
        lines = session.split(END)
        assert len(lines) % 2 == 0
        for said, answered in zip(lines[::2], lines[1::2], strict=True):
            assert said[0] == USER and answered[0] == BOT and set(said[1:] + answered[1:]) <= LETTERS
    assert {len(s.split(END)) for s in sessions} >= {2, 4, 6, 8}


def test_three_hundred_exchanges_in_several_wordings(asked):
    wordings: dict[str, set[str]] = {}
    for said, answered in asked:
        wordings.setdefault(answered, set()).add(words_of(said))
    known = {turn.answer for e in dialogue.material().exchanges for turn in e.turns if "{" not in turn.answer}
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
    depends = {
        words_of(w) for e in dialogue.material().exchanges for t in e.turns[1:] + e.more for w in t.wordings if "[" not in w
    }
    unclear = {s for s in several if len(s.split()) > 2} - depends
    assert len(unclear) < 0.02 * len(meanings), sorted(unclear)[:50]


def test_a_name_is_asked_for_while_it_is_remembered(text):
    names, since = names_in(text)
    said = [m.start() for m in re.finditer(f"(?<={END}){BOT}", text)]
    ends = [text.index(END, place) for place in said if names[place : text.index(END, place)].any()]
    assert len(ends) > 1000 and all(end - since[end] <= REMEMBERED for end in ends)


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
    said, answers = {words_of(s) for s, _ in asked}, {t.answer for e in dialogue.material().exchanges for t in e.turns + e.more}
    assert len(questions) > 90 and not any(words_of(q.prompt) in said for q in questions)
    assert all(q.answer in answers and readable(q.prompt[1:-2]) == (q.prompt[1:-2], []) for q in questions)


@pytest.mark.parametrize("seed", [1, 35])
def test_nor_are_they_in_what_later_rounds_read(seed):
    said = {words_of(s) for s in re.findall(f"{USER}(.*){END}", write_dialogue(seed))}
    assert not any(held_out_wordings().fullmatch(s) for s in said)
    assert not said & {words_of(q.prompt.rpartition(USER)[2]) for q in held_out_questions() + strangers_questions()}


def test_held_out_words_are_never_said(text):
    written = " ".join(w for e in dialogue.material().exchanges for t in e.turns + e.more for w in [*t.wordings, t.answer])
    for _, held_out in dialogue.material().lists.values():
        for word in held_out:
            assert words_of(word) in words_of(written) or f" {words_of(word)} " not in f" {words_of(text)} ", word


@pytest.mark.parametrize(
    "said, words",
    [
        ("Hello!", "hello"),
        ("WHAT'S  up??", "whats up"),
        ("well-known, isn't it", "well known isnt it"),
        ("a_b", "a b"),
        ("?!", ""),
    ],
)
def test_the_words_of_a_wording(said, words):
    assert words_of(said) == words == words_of(words_of(said))


def test_a_text_as_something_that_was_said():
    assert as_said("Hi, Zoe!", ALPHABET) == ">Hi, zoe!\n<" and as_said(">Hi!\n<He", ALPHABET) == ">Hi!\n<He"
    assert as_said("Hi!", "Hi!") == "Hi!" and as_said("", ALPHABET) == ""


def test_questions_in_a_text():
    text = ">a\n<b\n>c\n<d\n\n>e\n<f\n\n"
    assert [(q.prompt, q.answer) for q in questions_in(text, 10)] == [(">a\n<", "b"), (">a\n<b\n>c\n<", "d"), (">e\n<", "f")]
    assert len(questions_in(text, 2)) == 2


# The material


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
def test_errors_in_the_material_are_found(tmp_path, lines, words):
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
    assert exchange.often == 3 and exchange.turns[0].held_out == ["call me {name}"] and len(exchange.more) == 1
    deck, slots = Deck(0), {}
    said = fill_in(exchange.turns[0].wordings[0], slots, material, deck)
    assert said == f"i am {slots['name']}" and fill_in("{name}.", slots, material, deck) == f"{slots['name']}."
    assert {fill_in("who [am i|is this]", {}, material, deck) for _ in range(2)} == {"who am i", "who is this"}
    assert {fill_in("{name}", {}, material, deck) for _ in range(9)} == {"Ann", "Bo"}
    assert fill_in("{name}", {}, material, deck, held_out=True) == "Cy"
    with pytest.raises(DataError, match="no list 'nme'"):
        fill_in("{nme}", {}, material, deck)


def test_made_up_words_are_new_and_often_begin_like_known_ones():
    material = dialogue.material()
    deck = Deck(3)
    words = [fill_in("{strange}", {}, material, deck) for _ in range(12_000)]
    words = [word for several in words for word in several.split()]
    assert all(3 < len(word) < 10 and word[0].isupper() and word.lower() not in material.words for word in words)
    assert len(set(words)) > 0.98 * len(words)
    words = words[:500]
    begin_alike = [w for w in words if any(w.lower().startswith(known[:4]) for known in material.words)]
    assert 0.1 * len(words) < len(begin_alike) < 0.6 * len(words)


@given(st.text())
def test_any_text_becomes_readable(text):
    read, unknown = readable(text)
    assert set(read) <= LETTERS and read == read.strip() and len(set(unknown)) == len(unknown)
    assert readable(read) == (read, [])


def test_near_characters_are_read_as_known_ones():
    assert readable("It’s “naïve”…\tZEBRA — ok") == ("It's naive... zEBRA , ok", ["“", "”"])
    assert readable("2+2 🙂 >hi<") == ("hi", ["2", "+", "🙂", ">", "<"])


# The command


def test_the_command_writes_the_text(tmp_path, python, text):
    done = python(tmp_path, "zoo.dialogue")
    assert done.returncode == 0 and done.stdout == text and done.stderr == ""
    done = python(tmp_path, "zoo.dialogue", "--seed", 5, "--length", 2000, "--out", "some.txt")
    assert done.returncode == 0 and done.stdout == "" and "some.txt" in done.stderr
    assert (tmp_path / "some.txt").read_text() == write_dialogue(5, 2000)


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
