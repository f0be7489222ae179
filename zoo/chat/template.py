"""The chat template, in which a conversation is written down: `>` marks what the user says, `<` what the bot answers, and an
empty line the end.

    >Hello!
    <Hi there! How can I help you today?
    >what is a penguin
    <Penguins can't fly, but they swim very well.

Each letter of a model's context is precious, so a mark is a single character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set
from dataclasses import dataclass

USER, BOT, END = ">", "<", "\n"

#: All that is ever said: 59 characters. (X and Z, as capitals, had to go.)
ALPHABET = "\n !',.<>?ABCDEFGHIJKLMNOPQRSTUVWYabcdefghijklmnopqrstuvwxyz"

#: What a turn can hold: all but the marks.
LETTERS = frozenset(ALPHABET) - {USER, BOT, END}
#: What typographers and telephones put in the place of plain marks.
LIKE = {
    "\u2018": "'",
    "\u2019": "'",
    "`": "'",
    "\u00b4": "'",
    "\u2026": "...",
    "\u2013": ",",
    "\u2014": ",",
    ";": ",",
    ":": ",",
    "-": " ",
}


@dataclass(frozen=True)
class Question:
    """A question: what was said so far, as marked text up to the mark of the bot's next turn; and what it should say then."""

    prompt: str
    answer: str


def readable(text: str, known: Set[str] = LETTERS) -> tuple[str, list[str]]:
    """A text in known characters: others become their nearest known (a small letter, one without its accent, a plain mark), or
    are left out. The text, and what was left out, each once."""
    read, unknown = [], []
    for c in text:
        likes = (
            c,
            c.lower(),
            LIKE.get(c, ""),
            unicodedata.normalize("NFKD", c)[:1],
            unicodedata.normalize("NFKD", c)[:1].lower(),
        )
        near = " " if c.isspace() else next((like for like in likes if like and set(like) <= known), "")
        read.append(near)
        if not near and c not in unknown:
            unknown.append(c)
    return " ".join("".join(read).split()), unknown


def words_of(text: str) -> str:
    """The words of a text alone, in small letters, to compare wordings."""
    return " ".join(re.sub(r"[\W_]+", " ", text.lower().replace("'", "")).split())


def is_conversation(text: str) -> bool:
    """Tell if a text is a conversation: each of its lines begins with the marker of the user or the bot, or is empty, and both
    speak. (That the two characters merely occur somewhere doesn't make it one.)"""
    first = {line[0] for line in text.split(END) if line}
    return first == {USER, BOT}


def as_said(text: str) -> str:
    """Apply the chat template to something that the user says, up to where the bot answers; one that is applied stays so."""
    if not text or text.startswith(USER):
        return text
    return f"{USER}{readable(text)[0]}{END}{BOT}"


def questions_in(text: str, count: int) -> list[Question]:
    """That many questions of a text, evenly spread, with all that was said before in the same session."""
    found = []
    for session in text.split(END + END):
        said = ""
        for line in session.strip(END).split(END):
            if line.startswith(BOT):
                found.append(Question(said + BOT, line[1:]))
            said += line + END
    step = max(len(found) / count, 1)
    return [found[int(i * step)] for i in range(min(count, len(found)))]
