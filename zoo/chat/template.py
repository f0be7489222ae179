"""The chat template: how a conversation is written as text. A line is a turn and begins with a role marker, `>` for the user
and `<` for the bot; an empty line ends the conversation.

    >Hello!
    <Hi there! How can I help you today?
    >what is a penguin
    <Penguins can't fly, but they swim very well.

The context is short, so a role marker takes a single character of it. (Large chat models have markers too, each a token of its
own.) A prompt ends with the bot's marker: what the model generates from there to the end of the line is its answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set
from dataclasses import dataclass

#: The role markers, and the end of a turn.
USER, BOT, END = ">", "<", "\n"

#: All characters of the synthetic conversations: 59, sorted. (X and Z, as capitals, had to go.)
ALPHABET = "\n !',.<>?ABCDEFGHIJKLMNOPQRSTUVWYabcdefghijklmnopqrstuvwxyz"

#: The characters that a turn can hold: all but the role markers and the end.
TURN_ALPHABET = frozenset(ALPHABET) - {USER, BOT, END}
#: Plain punctuation for what typographers and telephones put in its place.
PLAIN = {
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
    """A question of a test set: a conversation as a prompt, up to the bot's marker, and the answer that is right."""

    prompt: str
    answer: str


def normalize(text: str, known: Set[str] = TURN_ALPHABET) -> tuple[str, list[str]]:
    """Write a text in known characters: any other becomes the nearest known one (in lower case, without its accent, or plain
    punctuation), or is left out; and any white space becomes one space.

    Returns the text, and the distinct characters that were left out.
    """
    normal: list[str] = []
    unknown: dict[str, None] = {}
    for c in text:
        if unicodedata.category(c) == "Cf" and c not in known:  # a soft hyphen, say, which nobody sees
            continue
        candidates = (
            c,
            c.lower(),
            PLAIN.get(c, ""),
            unicodedata.normalize("NFKD", c)[:1],
            unicodedata.normalize("NFKD", c)[:1].lower(),
        )
        near = " " if c.isspace() else next((near for near in candidates if near and set(near) <= known), "")
        normal.append(near)
        if not near:
            unknown[c] = None
    return " ".join("".join(normal).split()), list(unknown)


def words_of(text: str) -> str:
    """The words of a text, in lower case and without apostrophes, parted by single spaces: for comparing wordings."""
    return " ".join(re.sub(r"[\W_]+", " ", text.lower().replace("'", "")).split())


def apply_chat_template(text: str, known: Set[str] = TURN_ALPHABET) -> str:
    """The prompt for a chat model to answer a text: normalized, as the user's turn, with the bot's marker after it.

    A text that begins with the user's marker is a prompt already: only its blanks are put in order. An empty one stays empty.
    """
    if not text or text.startswith(USER):
        return in_order(text)
    return f"{USER}{normalize(text, known)[0]}{END}{BOT}"


def is_conversation(text: str) -> bool:
    """Tell if a text follows the chat template: every line that isn't empty begins with a role marker, and both occur."""
    return _markers(text) == {USER, BOT}


def in_order(text: str) -> str:
    """A text whose lines all begin with role markers, without blanks but single ones within turns: as a turn is read while one
    talks. Its last line may be one that goes on, so that a blank at its end stays. Any other text stays as it is."""
    if not _markers(text) <= {USER, BOT}:
        return text
    *lines, last = text.split(END)
    kept = " " if last[1:].strip() and last[-1].isspace() else ""
    return END.join([*map(_one_turn, lines), _one_turn(last) + kept])


def _markers(text: str) -> set[str]:
    """The beginnings of a text's lines, but for those that are blank."""
    return {line[0] for line in text.split(END) if line and not line.isspace()}


def _one_turn(line: str) -> str:
    """A turn without blanks but single ones within."""
    return line[:1].strip() + " ".join(line[1:].split())


def questions_in(text: str, count: int) -> list[Question]:
    """Up to `count` questions of a text that follows the chat template, evenly spread over all of its bot's turns. The prompt
    holds all earlier turns of the same conversation."""
    found = []
    for conversation in text.split(END + END):
        prompt = ""
        for line in conversation.strip(END).split(END):
            if line.startswith(BOT):
                found.append(Question(prompt + BOT, line[1:]))
            prompt += line + END
    step = max(len(found) / count, 1)
    return [found[int(i * step)] for i in range(min(count, len(found)))]
