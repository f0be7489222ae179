"""The conversations: their material, the text that is made of it, and the stretches that a model learns from."""

import re

import numpy as np
import pytest
from conftest import one_line_error
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import DataError
from zoo.recipe import make_recipe
from zoo.registry import model_class
from zoo.text import dialogue
from zoo.text import turns as turns_module
from zoo.text.characters import CharTokenizer
from zoo.text.conversations import Conversations, names_in
from zoo.text.dialogue import REMEMBERED, held_out_questions, held_out_wordings, strangers_questions, write_dialogue
from zoo.text.examples import IGNORED
from zoo.text.marks import ALPHABET, BOT, END, LETTERS, USER, as_said, questions_in, readable, words_of
from zoo.text.material import Deck, fill_in, read_material
from zoo.text.turns import UNSURE, Turns
from zoo.training.checkpoint import find
from zoo.training.prepare import make_trainer
from zoo.training.run_folder import RunFolder

TOKENIZER = CharTokenizer(list(ALPHABET))


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


def test_slips_are_letters_that_users_say(text):
    read = Conversations([TOKENIZER.encode(text[:50_000])], 60, TOKENIZER)
    assert not {USER, BOT, END} & {TOKENIZER.vocabulary[t] for t in set(read.letters.tolist())}
    lines = [line[1:] for line in text[:50_000].split(END) if line.startswith(USER)]
    assert TOKENIZER.decode(read.letters) == "".join(lines)


def test_names_are_what_the_bot_repeats():
    names = ("Ann", "Bo", "Cleo", "Dan", "Eve")
    text = "".join(f">hi it's {name.lower()}\n<Hello {name}, it's a fine day!\n>Is it?\n<Yes.\n\n" for name in names)
    text += ">what is a week\n<It's seven days.\n\n" + ">who is ann\n<A day!\n\n" * 5
    assert "".join(c if name else "_" for c, name in zip(text, names_in(text)[0], strict=True)) == (
        "".join(f"{'_' * 9}{name.lower()}{'_' * 8}{name}{'_' * 34}" for name in names) + "_" * (len(text) - text.index(">what"))
    )
    few = text.replace("Eve", "Dan").replace("eve", "dan")
    assert not names_in(few)[0].any() and not names_in("")[0].any() and not names_in(text.replace(END + END, END))[0].all()
    assert not names_in(text + ">who are you\n<Ann Bo Cleo Dan Eve!\n\n")[0].any()


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


# The examples


def show(turns, tokenizer, inputs, targets):
    return [
        ("".join(tokenizer.vocabulary[i] for i in row), "".join("_" if t == IGNORED else tokenizer.vocabulary[t] for t in goal))
        for row, goal in zip(inputs, targets, strict=True)
    ]


@pytest.fixture
def as_written(monkeypatch):
    """No slips, and names as they are."""
    monkeypatch.setattr(turns_module, "SLIPS", 0)
    monkeypatch.setattr(turns_module, "RENAMED", 10**12)


@pytest.mark.parametrize("context, share", [(90, 0.6), (128, 0.85)])
def test_only_what_the_bot_can_know_is_learned(text, as_written, context, share):
    part = text[:50_000]
    turns = Turns([TOKENIZER.encode(part)], context, TOKENIZER)
    names, _ = names_in(part)
    learned = set()
    for step in range(len(turns.given.starts) // 32):
        inputs, targets = turns.batch(step, 32, seed=3)
        assert inputs.shape == targets.shape == (32, context)
        for said, goal in show(turns, TOKENIZER, inputs, targets):
            place = part.index(said)
            begin = part.rfind(END, 0, place) + 1
            for line in re.finditer(r".*\n", part[begin : place + context + 1]):
                start, end = begin + line.start(), begin + line.end()
                before = words_of(part[max(part.rfind(END + END, 0, start), 0) : start]).split()
                known = words_of(part[place:start]).split()
                needed = words_of("".join(c if n else " " for c, n in zip(line[0], names[start:end], strict=True))).split()
                first = BOT not in part[begin:start]
                for at in range(max(start, place + 1), end):
                    counts = line[0][0] == BOT and at > start and set(needed) & set(before) <= set(known)
                    if first and not turns.given.whole[place]:
                        counts &= place > start and at - place > UNSURE
                    assert goal[at - place - 1] == (part[at] if counts else "_")
                    learned |= {at} if counts else set()
    assert len(learned) > share * turns.given.counts.sum()


def test_stretches_of_a_conversation_that_does_not_fit():
    lines = [f">{c * n}\n<{c * n}\n" for c, n in zip("abcdefg", (10, 10, 10, 30, 10, 5, 4), strict=True)]
    text = "".join(lines) + "\n" + lines[0] * 9
    read = Conversations([TOKENIZER.encode(text)], 64, TOKENIZER)
    at = [text.index(line) for line in lines]
    # a and b; b and c; d alone, which is whole for no more would fit; e, f and g, which d doesn't fit before; the next conversation.
    assert read.starts.tolist()[:5] == [at[0], at[1], at[3], at[4], len("".join(lines)) + 1]
    assert [bool(whole) for whole in read.whole[read.starts[:5]]] == [True, False, True, True, True]


def test_an_answer_without_a_question():
    text = "<" + "a" * 30 + "\n<" + "b" * 30 + "\n>" + "c" * 30 + "\n<" + "d" * 30 + "\n" * 40
    assert Conversations([TOKENIZER.encode(text)], 40, TOKENIZER).starts.tolist() == [0, text.index(">")]


def test_in_pretraining_everything_is_learned(text):
    tokenizer = CharTokenizer(list(ALPHABET))
    turns = Turns([tokenizer.encode(text[:50_000])], 60, tokenizer, pretraining=2)
    for step in (0, 1, 2):
        _, targets = turns.batch(step, 32, seed=3)
        share = (targets == IGNORED).mean()
        assert share < 0.1 if step < 2 else share > 0.3


def test_slips_are_of_the_user(text, monkeypatch):
    tokenizer = CharTokenizer(list(ALPHABET))
    turns = Turns([tokenizer.encode(text[:50_000])], 60, tokenizer)
    slipped = letters = 0
    for step in range(40):
        monkeypatch.setattr(turns_module, "SLIPS", 0)
        right, targets = turns.batch(step, 32, seed=3)
        monkeypatch.setattr(turns_module, "SLIPS", 0.01)
        inputs, same = turns.batch(step, 32, seed=3)
        np.testing.assert_array_equal(targets, same)
        for row in np.argwhere(inputs != right):
            line = tokenizer.decode(right[row[0], : row[1]]).rpartition(END)[2]
            assert not line.startswith(BOT) and right[tuple(row)] not in [
                tokenizer.vocabulary.index(m) for m in (USER, BOT, END)
            ]
        slipped += (inputs != right).sum()
        letters += sum(len(line) for row in right for line in tokenizer.decode(row).split(END) if line.startswith(USER))
    assert 0.005 < slipped / letters < 0.015


def test_slips_are_not_in_names(text, monkeypatch):
    monkeypatch.setattr(turns_module, "RENAMED", 10**12)
    monkeypatch.setattr(turns_module, "SLIPS", 1)
    turns = Turns([TOKENIZER.encode(text[:50_000])], 128, TOKENIZER)
    names = {word[0] for word in re.finditer(r"Your name is (\w+)", text[:50_000])}
    assert len(names) > 5
    rows = [TOKENIZER.decode(row) for row in turns.batch(0, 2000, 3)[0]]
    heard = " ".join(line.lower() for row in rows for line in row.split(END) if line[:1] == USER)
    assert all(name.split()[-1].lower() in heard for name in names)


def test_names_become_others_throughout_a_stretch(text, as_written, monkeypatch):
    part = text[:50_000]
    turns = Turns([TOKENIZER.encode(part)], 60, TOKENIZER)
    marked = "".join(c if name else "_" for c, name in zip(part, names_in(part)[0], strict=True))
    vowels, changed = set("aeiouAEIOU"), 0
    for step in range(20):
        monkeypatch.setattr(turns_module, "RENAMED", 10**12)
        written = TOKENIZER.decode(turns.batch(step, 32, 3)[0].ravel())
        monkeypatch.setattr(turns_module, "RENAMED", 1)
        read, goal = turns.batch(step, 32, 3)
        inputs, targets = TOKENIZER.decode(read.ravel()), TOKENIZER.decode(goal.clip(0).ravel())
        for row in range(0, len(written), 60):
            place = part.index(written[row : row + 60])
            read_as = {}
            for true, new, name in zip(written[row:], inputs[row:], marked[place : place + 60], strict=False):
                assert new == true or name != "_"
                assert true.isupper() == new.isupper() and (true in vowels) == (new in vowels)
                if name != "_":
                    assert read_as.setdefault(true.lower(), new.lower()) == new.lower()
                changed += new != true
            goals = goal[row // 60, :59] != IGNORED  # (it becomes a 0 in the text)
            assert all(targets[row + at] == inputs[row + at + 1] for at in np.flatnonzero(goals))
    assert changed > 500


def test_a_round_reads_a_text_of_its_own(as_written):
    texts = [write_dialogue(seed, 6000) for seed in range(3)]
    asked = []

    def another(number):
        asked.append(number)
        return TOKENIZER.encode(texts[number])

    def make():
        turns = Turns([TOKENIZER.encode(texts[0])], 40, TOKENIZER)
        turns.another = another
        return turns

    turns = make()
    steps = len(turns.given.starts) // 8
    for step in range(3 * steps):
        inputs, _ = turns.batch(step, 8, 1)
        assert all(TOKENIZER.decode(row) in texts[step // steps] for row in inputs)
    assert asked == [1, 2]
    for step in (2 * steps, 3, steps + 1):  # as one that goes on there reads it
        for a, b in zip(turns.batch(step, 8, 1), make().batch(step, 8, 1), strict=True):
            np.testing.assert_array_equal(a, b)
    assert len(list(turns.in_order())) == len(list(make().in_order()))


def test_chat_gpt_reads_other_conversations_each_round(text):
    def examples(part, **settings):
        kind = model_class("chat_gpt")
        model = kind(make_recipe(kind.recipe_class, settings), len(ALPHABET), np.random.default_rng(0))
        return model.examples([TOKENIZER.encode(part)], TOKENIZER)

    turns = examples(text[:100_000])
    rounds = 8 * turns_module.ROUNDS
    for number in (1, rounds * 3 // 4 - 1):
        np.testing.assert_array_equal(turns.another(number), TOKENIZER.encode(write_dialogue(number)))
    assert turns.another(rounds * 3 // 4 + 1) is None and turns.another(rounds) is None
    for settings in ({"data": "my.txt"}, {"share": 0.5}):
        assert examples(text[:100_000], **settings).another(1) is None


def test_the_same_stretches_for_the_same_step(text):
    tokenizer = CharTokenizer(list(ALPHABET))
    make = lambda: Turns([tokenizer.encode(text[:20_000])], 40, tokenizer)  # noqa: E731
    one, other = make(), make()
    for step in (7, 3, 100):
        for a, b in zip(one.batch(step, 8, 1), other.batch(step, 8, 1), strict=True):
            np.testing.assert_array_equal(a, b)
    assert (one.batch(3, 8, 2)[0] != other.batch(3, 8, 1)[0]).any()


def test_in_order_has_every_answer_once(text):
    tokenizer = CharTokenizer(list(ALPHABET))
    part = text[: text.index(END + END, 30_000) + 2]
    turns = Turns([tokenizer.encode(part)], 128, tokenizer)
    shown = [pair for batch in turns.in_order() for pair in show(turns, tokenizer, *batch)]
    answers = [line[1:] for line in part.split(END) if line.startswith(BOT)]
    for answer, (said, goal) in zip(answers, shown, strict=True):
        assert said[0] == USER or len(said) == 128
        assert goal.strip("_") == (answer + END)[: len(goal.strip("_"))]
        assert len(goal.strip("_")) == len(answer) + 1 or goal[-1] != "_"


def test_what_is_no_conversation(tmp_path):
    for lines in (
        "hello there\n" * 20,
        ">asks\n" * 20,
        "<only answers\n" * 20,
        "<only > answers\n" * 20,
        ">only < asks\n" * 20,
    ):
        tokenizer = CharTokenizer.from_text(lines)
        with pytest.raises(DataError, match="not a conversation"):
            Turns([tokenizer.encode(lines)], 16, tokenizer)
    tokenizer = CharTokenizer.from_text(">a\n<b\n")
    with pytest.raises(DataError, match="too short: it has 6 characters"):
        Turns([tokenizer.encode(">a\n<b\n")], 16, tokenizer)


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


@pytest.mark.parametrize("name, kept", [("chat_gpt", "last"), ("char_gpt", "best")])
def test_which_parameters_are_kept(text, tmp_path, name, kept):
    """chat_gpt's last, even if earlier ones foretold the held-out text better."""
    (tmp_path / "talk.txt").write_text(text[:30_000])
    settings = {"data": str(tmp_path / "talk.txt"), "width": 8, "heads": 1, "layers": 1, "context": 32, "steps": 4}
    recipe = make_recipe(model_class(name).recipe_class, {**settings, "evaluate_every": 2, "batch_size": 4})
    folder = RunFolder(tmp_path / "run", name)
    trainer = make_trainer(name, recipe, folder)
    losses, seen = iter([1.0, 2.0]), {}

    def validate():
        loss = next(losses)
        seen["best" if loss == 1 else "last"] = {n: a.copy() for n, a in trainer.model.state_dict().items()}
        if loss == 1:
            trainer.best, trainer.best_step = loss, trainer.step
        return loss, loss == 1

    trainer._validate = validate
    folder.open_for_writing(False)
    trainer.run(lambda line, figures: None)
    found = find(str(tmp_path / "run")).load()[0].state_dict()
    assert all((found[n] == seen[kept][n]).all() for n in found) and trainer.best_step == 2
