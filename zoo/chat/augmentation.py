"""Data augmentation: one wording of a question in the many ways that people type it."""

from __future__ import annotations

import re

from zoo.chat.exchanges import Sampler
from zoo.chat.template import normalize

#: The words that a question begins with.
QUESTION = re.compile(
    r"(what|whats|who|whos|where|when|why|which|how|is|are|am|do|does|did|can|could|will|would|should|shall|have you|may)\b"
)
#: Words that may come before any sentence.
PREFIXES = ("hey", "please", "so", "well", "ok", "and", "oh", "hmm", "hey bot", "hello", "hi", "but", "now")
#: Words that change little, wherever they stand.
FILLERS = (
    "really", "really", "really", "just", "just", "also", "very", "so", "actually", "maybe", "also", "still", "now", "today",
    "quite", "always", "again", "here", "so", "a bit", "a lot", "perhaps", "right now", "too", "you know", "well", "much",
    "even", "only", "ever", "then", "kind of",
)  # fmt: skip
#: Words that may come after any sentence.
SUFFIXES = ("please", "bot", "my friend", "now", "then")
#: Words that may come before and after a statement.
STATEMENT_PREFIXES = (
    "you know", "to be honest", "i think", "today", "these days", "i must say", "sometimes", "yes", "sorry", "guess what",
)  # fmt: skip
STATEMENT_SUFFIXES = (
    "today", "right now", "these days", "at the moment", "with my friends", "in my free time", "tonight", "this week",
    "you know", "so much", "with my family", "in the evening", "for years", "every day", "as always", "at home", "with you",
    "again",
)  # fmt: skip
#: Words that may come before a question, and before a request, which begins with a verb.
QUESTION_PREFIXES = (
    "tell me", "say", "do you know", "can you tell me", "i wonder", "one question", "quick question", "i want to know",
    "just asking", "next question", "maybe you know", "i was wondering",
)  # fmt: skip
REQUEST_PREFIXES = (
    "can you", "could you", "will you", "would you", "i want you to", "i would like you to", "please", "you should", "try to",
)  # fmt: skip
REQUEST = re.compile(r"(tell|say|explain|describe|define|give|show|teach|write|repeat|echo|name|talk|speak|calculate|spell) ")
#: Words that can stand for each other, in any sentence here.
SYNONYMS = (
    ("i am", "i'm"), ("what is", "what's"), ("it is", "it's"), ("you are", "you're"), ("that is", "that's"),
    ("do not", "don't"), ("can not", "can't"), ("i want to", "i would like to"), ("big", "large"), ("small", "little"),
    ("awful", "terrible", "horrible"), ("begin", "start"), ("made", "built", "created"),
    ("people", "humans"), ("colour", "color"), ("favourite", "favorite"), ("afraid", "scared"), ("sick", "ill"),
    ("film", "movie"), ("maths", "math"), ("clever", "smart"), ("great", "fantastic"), ("wonderful", "lovely"),
    ("talk", "chat", "speak"), ("town", "city"), ("why is there", "why do we have"), ("how do i", "how can i"),
)  # fmt: skip
OTHERS = {word: [other for other in group if other != word] for group in SYNONYMS for word in group}
HAS_SYNONYM = re.compile(rf"\b({'|'.join(sorted(OTHERS, key=len, reverse=True))})\b")


def augment(text: str, sampler: Sampler, typos: bool = True) -> str:
    """Write a wording as somebody might type it: with synonyms, with words that change nothing, with or without capitals,
    punctuation and apostrophes, and sometimes with a typo.

    Args:
        text: the wording, in lower case, without a mark at its end.
        sampler: draws what is random.
        typos: False where each word matters, as a name does: no typos, no more words around it, and less often no capitals.
    """
    text = HAS_SYNONYM.sub(lambda match: sampler.draw(*OTHERS[match[1]]) if sampler.chance(0.25) else match[1], text)
    if REQUEST.match(text) and sampler.chance(0.2):
        text = f"{sampler.draw(*REQUEST_PREFIXES)} {text}"
    question = QUESTION.match(text) is not None
    if question and text.count(" ") > 1 and sampler.chance(0.08):
        text = f"{sampler.draw(*QUESTION_PREFIXES)}{',' if sampler.chance(0.6) else ''} {text}"
    while " " in text and sampler.chance(0.1):
        words = text.split(" ")
        at = 1 + sampler.randbelow(len(words))
        text = " ".join([*words[:at], sampler.draw(*FILLERS), *words[at:]])
    if " " in text and sampler.chance(0.1):
        text = f"{sampler.draw(*PREFIXES)}{',' if sampler.chance(0.4) else ''} {text}"
    if typos and not question and " " in text and sampler.chance(0.08):
        text = f"{sampler.draw(*STATEMENT_PREFIXES)} {text}"
    if typos and not question and " " in text and sampler.chance(0.1):
        text = f"{text} {sampler.draw(*STATEMENT_SUFFIXES)}"
    if " " in text and sampler.chance(0.06):
        text = f"{text}{',' if sampler.chance(0.3) else ''} {sampler.draw(*SUFFIXES)}"
    if sampler.chance(0.25):
        text = text.replace("'", "")
    if typos and sampler.chance(0.05):
        text = _typo(text, sampler)
    case = sampler.random()
    if case < 0.55:
        text = capitalize(text)
    elif case < (0.8 if typos else 0.65):
        text = text.lower()
    elif case > 0.9 and text.count(" ") < 3:
        text = text.upper()
    chance = sampler.random()
    if question:
        text += "?" if chance < 0.6 else "" if chance < 0.95 else "??" if chance < 0.98 else "."
    else:
        text += "" if chance < 0.45 else "." if chance < 0.75 else "!"
    return normalize(text)[0]


def _typo(text: str, sampler: Sampler) -> str:
    """Make a typo: leave a letter out, double it, or swap it with the next, within a word of four letters or more."""
    positions = [m.start() + i for m in re.finditer(r"[a-z]{4,}", text) for i in range(1, len(m[0]) - 1)]
    if not positions:
        return text
    at, kind = positions[sampler.randbelow(len(positions))], sampler.randbelow(3)
    replacement = ("", text[at] * 2, text[at + 1] + text[at])[kind]
    return text[:at] + replacement + text[at + (2 if kind == 2 else 1) :]


def capitalize(text: str) -> str:
    """Write a text with a capital at its start, and I for i."""
    return text[:1].upper() + re.sub(r"\bi\b", "I", text[1:])


def punctuate(text: str) -> str:
    """Write a wording as a correct sentence: with a capital, and with a question mark or a full stop at its end."""
    return normalize(capitalize(text))[0] + ("?" if QUESTION.match(text) else ".")
