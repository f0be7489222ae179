"""Talking: what is remembered, with a script, and in a terminal."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import ClassVar

import numpy as np
import pytest
from commands import ROOT, one_line_error
from terminal import Terminal

import zoo
from zoo.chat.session import LONGEST, Conversation, right_answers
from zoo.chat.synthetic import held_out_questions, strangers_questions, synthetic_conversations
from zoo.chat.template import ALPHABET, Question, questions_in
from zoo.errors import DataError
from zoo.inference.decoder import Decoder
from zoo.inference.sampling import Sampling
from zoo.tokenizers.characters import CharTokenizer

HELLO = "Hi there! How can I help you today?"
TOKENIZER = CharTokenizer(list(ALPHABET))


class Parrot:
    """A reader that answers with what it was last asked, and notes all it reads."""

    log: ClassVar[list[str]] = []

    def __init__(self, wanted=None):
        self.text, self.wanted = "", wanted

    def read(self, tokens):
        self.text += TOKENIZER.decode(tokens)
        Parrot.log.append(self.text)
        line = self.text.rpartition("<")[2]
        answer = (self.wanted or self.text.rpartition(">")[2].partition("\n")[0]) + "\n"
        return np.eye(59)[TOKENIZER.vocabulary.index(answer[len(line)] if len(line) < len(answer) else "\n")]

    def copy(self):
        return Parrot(self.wanted)


def conversation(context=40, wanted=None):
    Parrot.log = []
    return Conversation(Parrot(wanted), TOKENIZER, context, Sampling(0.0), np.random.default_rng(0))


def remembered(talk):
    return "".join(TOKENIZER.decode(turn) for turn in talk.turns)


# What is remembered


def test_what_was_said_is_the_context():
    talk = conversation()
    assert "".join(talk.answer("hello")) == "hello" and "".join(talk.answer("you")) == "you"
    assert remembered(talk) == ">hello\n<hello\n>you\n<you\n"
    assert Parrot.log[-4] == ">hello\n<hello\n>you\n<"
    talk.forget()
    "".join(talk.answer("again"))
    assert Parrot.log[-6] == ">again\n<"


def test_the_oldest_turns_go_first_and_whole():
    talk = conversation(40)
    for said in ("first", "second", "third"):
        assert "".join(talk.answer(said)) == said
    for read in Parrot.log:
        assert len(read) <= 40 and read[0] in "<>"
    assert remembered(talk) == "<first\n>second\n<second\n>third\n<third\n"


def test_an_answer_may_be_longer_than_the_context():
    long = "abcdefgh " * 9
    talk = conversation(40, wanted=long)
    taken = []
    for letter in talk.answer("hi"):
        taken.append(letter)
        if len(taken) == 30:  # the question has gone, the answer goes on
            break
    assert "".join(taken) == long[:30]
    assert all(len(read) <= 40 for read in Parrot.log)


def test_an_answer_without_an_end_is_cut():
    class Endless(Parrot):
        def read(self, tokens):
            return np.eye(59)[TOKENIZER.vocabulary.index("a")]

        def copy(self):
            return Endless()

    talk = Conversation(Endless(), TOKENIZER, 40, Sampling(0.0), np.random.default_rng(0))
    assert "".join(talk.answer("hi")) == "a" * LONGEST
    assert "".join(talk.answer("hi"))[:3] == "aaa"


def test_a_stopped_answer_is_remembered_as_far_as_it_went():
    talk = conversation()
    answer = talk.answer("hello")
    assert next(answer) == "h" and next(answer) == "e"
    answer.close()
    assert remembered(talk) == ">hello\n<he\n"


def test_of_a_long_turn_the_end_is_read():
    talk = conversation(40)
    "".join(talk.answer("x" * 50 + "y"))
    assert Parrot.log[0] == ">" + "x" * 36 + "y\n<" and len(Parrot.log[0]) == 40
    with pytest.raises(DataError, match="'2'"):
        next(talk.answer("2"))


def test_right_answers_are_counted():
    asked = [Question(">a\n<", "a"), Question(">b\n<b\n>c\n<", "c"), Question(">d\n<", "no")]
    shares = []
    assert right_answers(conversation(), asked, lambda done, share: shares.append((done, share))) == 2
    assert shares == [(1, 1), (2, 1), (3, 2 / 3)]


# With a script


def chat(folder, lines, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    return subprocess.run(
        [sys.executable, "-m", "zoo.chat", *map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, input=lines.encode("utf-8", "surrogateescape"), timeout=60,
    )  # fmt: skip


def test_a_line_a_turn(tmp_path):
    done = chat(tmp_path, "Hello!\n\nwhat is a penguin\nWhere do they live?\n/reset\nTell me a joke\n")
    out = done.stdout.decode().splitlines()
    assert done.returncode == 0 and done.stderr == b"(forgotten)\n"
    assert (
        out[0] == HELLO
        and "Penguins can't fly" in out[1]
        and "Antarctica" in out[2]
        and out[3].startswith("Why did the computer")
    )
    assert len(out) == 4 and not list(tmp_path.iterdir())


def test_commands_in_a_script(tmp_path):
    done = chat(tmp_path, "/help\n/temperature 0.5\n/temperature hot\n/temperatur\n  /quit  \nHello!\n")
    err = done.stderr.decode()
    assert done.returncode == 0 and done.stdout == b""
    assert "/reset" in err and "is 0.5" in err and "not 'hot'" in err and "did you mean /temperature?" in err


def test_json(tmp_path):
    done = chat(tmp_path, "Hello!\nhé 🙂\n/reset\n2+2\n", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[0] == {"you": "Hello!", "read": "Hello!", "bot": HELLO}
    assert rows[1]["you"] == "hé 🙂" and rows[1]["read"] == "he"
    assert rows[2] == {"you": "2+2", "read": "", "bot": "I can't read that."} and len(rows) == 3


def test_unknown_characters_are_shown(tmp_path):
    done = chat(tmp_path, "Hello 🙂2 Zoë!\n🙂\n\udcff\n")
    out, err = done.stdout.decode().splitlines(), done.stderr.decode().splitlines()
    assert len(out) == 3 and out[1] == out[2] == "I can't read that."
    assert err[0] == "(I don't know 🙂 2; I read: Hello zoe!)" and "🙂" in err[1] and "Traceback" not in done.stderr.decode()


def test_a_very_long_line(tmp_path):
    done = chat(tmp_path, "word " * 20_000 + "\nHello!\n")
    assert done.returncode == 0 and len(done.stdout.decode().splitlines()) == 2
    assert "too long for me, so I read only the last 125 characters" in done.stderr.decode()


def test_the_same_seed_says_the_same(tmp_path):
    lines = "Hello!\nhow are you\nwhat is love\n"
    one, other = (chat(tmp_path, lines, "--temperature", 3, "--seed", s) for s in (1, 1))
    assert one.stdout == other.stdout and one.stdout != chat(tmp_path, lines, "--temperature", 3, "--seed", 2).stdout


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        (("char_gpt",), ("char_gpt", "hasn't learned to converse", "chat_gpt has"), 2),
        (("chatgpt",), ("unknown model 'chatgpt'", "did you mean chat_gpt"), 2),
        (("--temperature", "-1"), ("--temperature", "at least 0"), 2),
        (("--temprature", "1"), ("did you mean --temperature",), 2),
        (("runs/none",), ("no run folder: runs/none",), 1),
        (("--last",), ("--last", "train first"), 1),
    ],
)
def test_refusals(tmp_path, python, arguments, words, code):
    one_line_error(python(tmp_path, "zoo.chat", *arguments), "zoo.chat", *words, code=code)


def test_a_text_that_is_no_conversation(tmp_path, python):
    (tmp_path / "my.txt").write_text("no marks at all\n" * 100)
    one_line_error(
        python(tmp_path, "zoo.train", "chat_gpt", "--data", "my.txt"), "zoo.train", "not a conversation", "zoo.dialogue", code=1
    )


def test_ones_own_conversations(tmp_path, python):
    (tmp_path / "my.txt").write_text(">ping\n<pong\n\n>tick\n<tock\n\n" * 300)
    small = ("--width", 32, "--heads", 2, "--layers", 2, "--context", 32, "--steps", 300, "--batch-size", 8, "--pretraining", 0)
    done = python(tmp_path, "zoo.train", "chat_gpt", "--data", "my.txt", *small)
    assert done.returncode == 0, done.stderr
    assert chat(tmp_path, "ping\ntick\n").stdout.decode() == "pong\ntock\n"
    asked = python(tmp_path, "zoo.evaluate", "chat_gpt", "--json").stdout.splitlines()
    assert json.loads(asked[1]) == {"questions": "Questions of the text", "asked": 600, "right": 600}


# In a terminal


@pytest.fixture
def terminal(tmp_path):
    opened = Terminal(tmp_path, "zoo.chat")
    yield opened
    opened.close()


def test_a_conversation_in_a_terminal(terminal):
    assert "626,560 parameters" in terminal.read("You: ")
    terminal.type("Hello!\r")
    assert f"Bot: {HELLO}" in terminal.read("You: ")
    terminal.type("Helllo\x7f\x7f\x7fo!\r")  # typing, deleting
    assert f"Bot: {HELLO}" in terminal.read("You: ")
    terminal.type("ello!\x01H\r")  # to the beginning of the line
    assert f"Bot: {HELLO}" in terminal.read("You: ")
    terminal.type("\x1b[A\r")  # the line before, out of the history
    assert f"Bot: {HELLO}" in terminal.read("You: ")
    terminal.type("\x04")
    code, rest = terminal.ends()
    assert code == 0 and "Traceback" not in rest


def test_empty_lines_emoji_and_long_lines_in_a_terminal(terminal):
    terminal.read("You: ")
    terminal.type("\r")
    assert "Bot" not in terminal.read("You: ")
    terminal.type("Hello! 🙂\r")
    shown = terminal.read("Bot: ")
    assert "(I don't know 🙂; I read: Hello!)" in shown
    assert HELLO in terminal.read("You: ")
    terminal.type("\x1b[200~" + "a long line " * 400 + "\x1b[201~\r")  # pasted
    assert "too long for me" in terminal.read("Bot: ")
    terminal.read("You: ")
    terminal.type("/rset\r")
    assert "did you mean /reset?" in terminal.read("You: ")
    terminal.type("/help\r")
    assert "forget what was said" in terminal.read("You: ")
    terminal.type("/quit\r")
    code, rest = terminal.ends()
    assert code == 0 and "Traceback" not in rest


def test_ctrl_c_in_a_terminal(terminal):
    terminal.read("You: ")
    time.sleep(0.3)
    terminal.type("half a li\x03")
    assert "once more" in terminal.read("You: ")
    terminal.type("Hello!\r")  # it goes on
    assert HELLO in terminal.read("You: ")
    time.sleep(0.3)  # (input() shows its prompt a moment before it listens)
    terminal.type("\x03")
    terminal.read("You: ")
    time.sleep(0.3)
    terminal.type("\x03")
    code, rest = terminal.ends()
    assert code == 130 and "Traceback" not in rest


def test_ctrl_c_stops_an_answer(monkeypatch, capsys, tmp_path):
    """(In the process itself: a real answer is faster than any finger.)"""
    import argparse

    from zoo.chat.__main__ import _Chat

    monkeypatch.chdir(tmp_path)
    talk = _Chat(argparse.Namespace(model="chat_gpt", last=False, temperature=0.0, seed=0, json=False, debug=False))
    talk.answering = True
    answer = talk._answer("Hello!")
    assert next(answer) == "H"
    talk._interrupt(signal.SIGINT)
    assert "".join(answer) == "" and remembered(talk.conversation) == ">Hello!\n<Hi\n"
    talk.answering = False
    with pytest.raises(KeyboardInterrupt):
        talk._interrupt(signal.SIGINT)


# What the shipped weights know


@pytest.fixture(scope="module")
def shipped():
    loaded = zoo.load_model("chat_gpt")
    model, tokenizer = loaded.model, loaded.tokenizer
    return Conversation(Decoder(model), tokenizer, model.recipe.context, Sampling(0.0), np.random.default_rng(0))


@pytest.mark.parametrize(
    "said, answered",
    [
        ("Hello!", HELLO),
        (
            "What is AI?",
            "AI stands for Artificial Intelligence. It refers to computer systems designed to perform tasks that typically "
            "require human intelligence.",
        ),
        ("Tell me a joke", "Why did the computer go to the doctor? It had caught a virus!"),
        ("tell me a joke", "Why did the computer go to the doctor? It had caught a virus!"),
    ],
)
def test_what_it_must_answer(shipped, said, answered):
    shipped.forget()
    assert "".join(shipped.answer(said)) == answered


def test_it_says_what_it_does_not_know(shipped):
    known = 0
    for asked in ("What is a trombone?", "how do I fix a sink", "Who was Chopin?", "What is the capital of Peru?"):
        shipped.forget()
        known += "".join(shipped.answer(asked)) == "Sorry, I don't know that. I know only a few things."
    assert known >= 3


def test_it_knows_a_name_from_the_turn_before(shipped):
    shipped.forget()
    assert "".join(shipped.answer("My name is Anna.")) == "Nice to meet you, Anna!"
    assert "".join(shipped.answer("What is my name?")) == "Your name is Anna."


def test_nearly_all_questions_that_it_learned_from(shipped):
    questions = questions_in(synthetic_conversations()[:1_080_000], 500)
    assert right_answers(shipped, questions) >= 0.99 * len(questions)


def test_nine_of_ten_questions_in_new_wordings(shipped):
    questions = held_out_questions()
    assert right_answers(shipped, questions) >= 0.9 * len(questions)


def test_seven_of_ten_questions_of_a_stranger(shipped):
    questions = strangers_questions()
    assert right_answers(shipped, questions) >= 0.7 * len(questions)
