"""Conversations to learn from, written by chance out of material that was written by hand (see `material`): a text as long as
one likes, in which every question comes in many wordings, spellings and cases."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from zoo.chat.exchanges import Deck, Exchange, Material, Turn, fill_in, read_material
from zoo.chat.template import ALPHABET, BOT, END, USER, Question, questions_in, readable, words_of
from zoo.datasets.corpus import Corpus, data_folder, read_text

#: How long the text is that is learned from, in characters.
LENGTH = 1_200_000
#: How many characters chat_gpt sees at most: no more than fits is made one conversation, except where an answer needs it.
REMEMBERED = 128

QUESTION = re.compile(
    r"(what|whats|who|whos|where|when|why|which|how|is|are|am|do|does|did|can|could|will|would|should|shall|have you|may)\b"
)
BEFORE = ("hey", "please", "so", "well", "ok", "and", "oh", "hmm", "hey bot", "hello", "hi", "but", "now")
#: What changes little, wherever it stands.
BETWEEN = (
    "really", "really", "really", "just", "just", "also", "very", "so", "actually", "maybe", "also", "still", "now", "today",
    "quite", "always", "again", "here", "so", "a bit", "a lot", "perhaps", "right now", "too", "you know", "well", "much",
    "even", "only", "ever", "then", "kind of",
)  # fmt: skip
AFTER = ("please", "bot", "my friend", "now", "then")
#: What may stand around what is no question.
FIRST = ("you know", "to be honest", "i think", "today", "these days", "i must say", "sometimes", "yes", "sorry", "guess what")
LAST = (
    "today", "right now", "these days", "at the moment", "with my friends", "in my free time", "tonight", "this week",
    "you know", "so much", "with my family", "in the evening", "for years", "every day", "as always", "at home", "with you",
    "again",
)  # fmt: skip
#: What may come before a question, and before what begins with a verb.
ASKING = (
    "tell me", "say", "do you know", "can you tell me", "i wonder", "one question", "quick question", "i want to know",
    "just asking", "next question", "maybe you know", "i was wondering",
)  # fmt: skip
POLITE = (
    "can you", "could you", "will you", "would you", "i want you to", "i would like you to", "please", "you should", "try to",
)  # fmt: skip
VERB = re.compile(r"(tell|say|explain|describe|define|give|show|teach|write|repeat|echo|name|talk|speak|calculate|spell) ")
#: Words that can stand for each other, in any sentence here.
ALIKE = (
    ("i am", "i'm"), ("what is", "what's"), ("it is", "it's"), ("you are", "you're"), ("that is", "that's"),
    ("do not", "don't"), ("can not", "can't"), ("i want to", "i would like to"), ("big", "large"), ("small", "little"),
    ("awful", "terrible", "horrible"), ("begin", "start"), ("made", "built", "created"),
    ("people", "humans"), ("colour", "color"), ("favourite", "favorite"), ("afraid", "scared"), ("sick", "ill"),
    ("film", "movie"), ("maths", "math"), ("clever", "smart"), ("great", "fantastic"), ("wonderful", "lovely"),
    ("talk", "chat", "speak"), ("town", "city"), ("why is there", "why do we have"), ("how do i", "how can i"),
)  # fmt: skip
OTHERS = {one: [other for other in group if other != one] for group in ALIKE for one in group}
ONE_OF_THEM = re.compile(rf"\b({'|'.join(sorted(OTHERS, key=len, reverse=True))})\b")


class Dialogue(Corpus):
    """The conversations, written anew each time: the text for seed 0."""

    def __init__(self) -> None:
        super().__init__("conversations", ALPHABET)

    def read(self) -> str:
        """The text that chat_gpt learns from first and last, and of which a part is held out. In between it reads others, with
        other seeds."""
        return write_dialogue()


@cache
def material() -> Material:
    """The material that comes with the zoo."""
    return read_material(data_folder() / "conversations")


def write_dialogue(seed: int = 0, length: int = LENGTH) -> str:
    """A text of at least that many characters: the same one for the same seed."""
    deck, parts, written = Deck(seed), [], 0
    forbidden = held_out_wordings()
    while True:
        for session in _sessions(deck, forbidden):
            parts.append(_written(session) + END)
            written += len(parts[-1])
            if written >= length:
                return "".join(parts)


def _sessions(deck: Deck, forbidden: re.Pattern[str]) -> Iterator[list[tuple[str, str]]]:
    """Every exchange as often as it should come, in random order, as many in a session as the model can remember, or fewer."""
    everything = [e for e in material().exchanges if not e.follows for _ in range(e.often + 2 * bool(e.more))]
    follow_ups = [e for e in material().exchanges if e.follows]
    session: list[tuple[str, str]] = []
    personal = False
    for exchange in deck.shuffled(everything):
        turns = list(_said(exchange, deck, forbidden))
        while exchange.personal and len(_written(turns)) > REMEMBERED:
            turns.pop()  # A name that is forgotten can't be said.
        if len(exchange.turns) == 1 and not exchange.more and not exchange.personal and deck.chance(0.06):
            turns += _said(follow_ups[deck.below(len(follow_ups))], deck, forbidden)
        # Two that ask for the same thing about the user would contradict each other.
        if session and (deck.chance(0.1) or (personal and exchange.personal) or len(_written(session + turns)) > REMEMBERED):
            yield session
            session, personal = [], False
        personal |= exchange.personal
        session += turns
    yield session


def _written(session: list[tuple[str, str]]) -> str:
    return "".join(f"{USER}{said}{END}{BOT}{answer}{END}" for said, answer in session)


def _said(exchange: Exchange, deck: Deck, forbidden: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """An exchange in some wording: a turn at a time, what the user says and what is answered. It may break off."""
    slots: dict[str, str] = {}
    turns = exchange.turns
    if not exchange.personal:
        turns = turns[: 1 + deck.below(len(turns))]
    elif len(turns) > 1 and deck.chance(0.1):
        turns = turns[:1]
    more = deck.shuffled(exchange.more)[: 1 + deck.below(2)] if len(turns) == len(exchange.turns) and deck.chance(0.7) else []
    for turn in turns + more:
        kept = dict(slots)
        while True:
            said = vary(fill_in(deck.draw(*turn.wordings), slots, material(), deck), deck, slips=not exchange.personal)
            if not forbidden.fullmatch(words_of(said)):
                break
            slots = dict(kept)
        yield said, fill_in(turn.answer, slots, material(), deck)


def vary(text: str, deck: Deck, slips: bool = True) -> str:
    """A wording as somebody might type it: other words for some, words that change nothing, with or without capitals, marks and
    apostrophes, sometimes with a slip."""
    text = ONE_OF_THEM.sub(lambda match: deck.draw(*OTHERS[match[1]]) if deck.chance(0.25) else match[1], text)
    if VERB.match(text) and deck.chance(0.2):
        text = f"{deck.draw(*POLITE)} {text}"
    question = QUESTION.match(text) is not None
    if question and text.count(" ") > 1 and deck.chance(0.08):
        text = f"{deck.draw(*ASKING)}{',' if deck.chance(0.6) else ''} {text}"
    while " " in text and deck.chance(0.1):
        words = text.split(" ")
        at = 1 + deck.below(len(words))
        text = " ".join([*words[:at], deck.draw(*BETWEEN), *words[at:]])
    if " " in text and deck.chance(0.1):
        text = f"{deck.draw(*BEFORE)}{',' if deck.chance(0.4) else ''} {text}"
    if slips and not question and " " in text and deck.chance(0.08):
        text = f"{deck.draw(*FIRST)} {text}"
    if slips and not question and " " in text and deck.chance(0.1):
        text = f"{text} {deck.draw(*LAST)}"
    if " " in text and deck.chance(0.06):
        text = f"{text}{',' if deck.chance(0.3) else ''} {deck.draw(*AFTER)}"
    if deck.chance(0.25):
        text = text.replace("'", "")
    if slips and deck.chance(0.05):
        text = _slip(text, deck)
    case = deck.random()
    if case < 0.55:
        text = sentence(text)
    elif case < (0.8 if slips else 0.65):
        text = text.lower()
    elif case > 0.9 and text.count(" ") < 3:
        text = text.upper()
    chance = deck.random()
    if question:
        text += "?" if chance < 0.6 else "" if chance < 0.95 else "??" if chance < 0.98 else "."
    else:
        text += "" if chance < 0.45 else "." if chance < 0.75 else "!"
    return readable(text)[0]


def _slip(text: str, deck: Deck) -> str:
    """The text with a letter left out, doubled, or swapped with the next, within a word of four letters or more."""
    places = [m.start() + i for m in re.finditer(r"[a-z]{4,}", text) for i in range(1, len(m[0]) - 1)]
    if not places:
        return text
    at, kind = places[deck.below(len(places))], deck.below(3)
    instead = ("", text[at] * 2, text[at + 1] + text[at])[kind]
    return text[:at] + instead + text[at + (2 if kind == 2 else 1) :]


def sentence(text: str) -> str:
    """The text with a capital at its start, and I for i."""
    return text[:1].upper() + re.sub(r"\bi\b", "I", text[1:])


@cache
def held_out_questions() -> list[Question]:
    """Every held-out wording, once for each held-out word that it can take, after the turns that come before it."""
    deck, found = Deck(1), []
    for exchange in material().exchanges:
        first = (
            []
            if not exchange.follows
            else [Turn(["what is a cat"], [], "Cats are small hunters. They purr when they are content.")]
        )
        sequences = [first + exchange.turns[: i + 1] for i in range(len(exchange.turns))]
        sequences += [first + exchange.turns + [turn] for turn in exchange.more]
        for turns in sequences:
            for wording in turns[-1].held_out:
                names = [n for n in re.findall(r"\{([^}]*)\}", wording) if n in material().lists and material().lists[n][1]]
                count = len(material().lists[names[0]][1]) if names else 1
                found += [_question(turns, wording, deck) for _ in range(count)]
    return found


def strangers_questions() -> list[Question]:
    """Questions, and their answers, in the words of somebody who knew what the model can answer, but not the wordings here."""
    return questions_in(read_text(data_folder() / "strangers.txt"), 1000)


@cache
def held_out_wordings() -> re.Pattern[str]:
    """The pattern of what no question to learn from may be: a held-out wording, with whatever word in it, or a stranger's
    question."""
    turns = [turn for exchange in material().exchanges for turn in exchange.turns + exchange.more]
    wordings = ["could you explain.*"]  # (which is held out of so many exchanges)
    wordings += sorted({words_of(re.sub(r"\{[^}]*\}", "slot", wording)) for turn in turns for wording in turn.held_out})
    wordings += [words_of(question.prompt.rpartition(USER)[2]) for question in strangers_questions()]
    return re.compile("|".join(wording.replace("slot", ".*") for wording in wordings))


def _question(turns: Sequence[Turn], wording: str, deck: Deck) -> Question:
    slots: dict[str, str] = {}
    if wording in turns[-1].held_out:
        asked = fill_in(wording, slots, material(), deck, held_out=True)
    before = []
    for turn in turns[:-1]:
        said = fill_in(turn.wordings[0], slots, material(), deck, held_out=True)
        before.append(f"{USER}{_ended(said)}{END}{BOT}{fill_in(turn.answer, slots, material(), deck)}{END}")
    answer = fill_in(turns[-1].answer, slots, material(), deck)
    return Question("".join(before) + f"{USER}{_ended(asked)}{END}{BOT}", answer)


def _ended(text: str) -> str:
    """A wording as one should write it."""
    return readable(sentence(text))[0] + ("?" if QUESTION.match(text) else ".")
