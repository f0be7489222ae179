"""The chat template: text to a prompt, conversations to questions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.chat.template import TURN_ALPHABET, apply_chat_template, is_conversation, normalize, questions_in, words_of


def test_a_text_becomes_a_prompt():
    assert apply_chat_template("Hi, Zoe!") == ">Hi, zoe!\n<" and apply_chat_template("2+2 <b>") == ">b\n<"
    for prompt in (">Hi!\n<He", ">a\n<b\n>c\n<", ""):
        assert apply_chat_template(prompt) == prompt


def test_the_blanks_of_a_conversation():
    assert apply_chat_template(">  a  b \n<\tc ") == ">a b\n<c " and apply_chat_template("> a\n<") == ">a\n<"
    assert apply_chat_template(">a\n  b ") == ">a\n  b "  # (no conversation)
    assert apply_chat_template("so\u00adft") == ">soft\n<" and normalize("so\u00adft \u2603") == ("soft", ["\u2603"])
    assert apply_chat_template("2+2 é", set("2+é ")) == ">2+2 é\n<"


@given(st.text(min_size=1))
def test_any_text_becomes_a_prompt(text):
    prompt = apply_chat_template(text)
    assert prompt.startswith(">") and apply_chat_template(prompt) == prompt
    if not text.startswith(">"):
        assert prompt.count("\n") == 1 and is_conversation(prompt)


@pytest.mark.parametrize("text", [">a\n<b\n", ">a\n<b", ">\n<", ">a\n<b\n\n>c\n<d\n\n", "<b\n>a"])
def test_what_is_a_conversation(text):
    assert is_conversation(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "hello",
        ">asks\n>asks\n",
        "<answers\n",
        "a < b > c\n",
        ">a\n<b\nc\n",
        " >a\n<b\n",
        "if a > b:\n<html>\n",
        "a>\nb<\n",
    ],
)
def test_what_is_no_conversation(text):
    assert not is_conversation(text)


@given(st.text())
def test_any_text_is_normalized(text):
    normal, unknown = normalize(text)
    assert set(normal) <= TURN_ALPHABET and normal == normal.strip() and len(set(unknown)) == len(unknown)
    assert normalize(normal) == (normal, [])


def test_near_characters_become_known_ones():
    assert normalize("It’s “naïve”…\tZEBRA — ok") == ("It's naive... zEBRA , ok", ["“", "”"])
    assert normalize("2+2 🙂 >hi<") == ("hi", ["2", "+", "🙂", ">", "<"])
    assert normalize("Été", set("éte")) == ("été", [])


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


def test_questions_in_a_text():
    text = ">a\n<b\n>c\n<d\n\n>e\n<f\n\n"
    assert [(q.prompt, q.answer) for q in questions_in(text, 10)] == [(">a\n<", "b"), (">a\n<b\n>c\n<", "d"), (">e\n<", "f")]
    assert len(questions_in(text, 2)) == 2
