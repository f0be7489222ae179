"""What each token of a conversation is: whose it is, whether it is to be learned, whether it belongs to a name."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from zoo.chat.template import BOT, END, USER
from zoo.datasets.batches import too_short
from zoo.errors import DataError
from zoo.tokenizers.tokenizer import Tokenizer

WORD = re.compile(r"[A-Za-z']+")
#: A name is what stands in a sentence that is said of at least so many.
SEVERAL = 5


class Conversations:
    """The tokens of texts, which are joined, and what each of them is.

    Raises DataError when they aren't more than the context, or no conversation.
    """

    def __init__(self, documents: Sequence[np.ndarray], context: int, tokenizer: Tokenizer) -> None:
        self.tokens = np.concatenate([*documents, np.zeros(0, np.int64)])
        if len(self.tokens) <= context:
            raise too_short([self.tokens], context, tokenizer.unit)
        ends = self.tokens == _id(tokenizer, END)
        first = np.concatenate([[True], ends[:-1]])  # of a line
        line = _latest(first)
        mark = self.tokens[line]
        asks = mark == _id(tokenizer, USER)
        asked = asks & ~first & ~ends
        #: What slips are drawn from, and where they may be: not in a name, which the bot should repeat as it was said.
        self.letters = self.tokens[asked]
        self.names, self.since = names_in(tokenizer.decode(self.tokens))
        self.slippery = asked & ~self.names
        #: Whether a token is to be guessed: what the bot says, after its mark.
        self.counts = (mark == _id(tokenizer, BOT)) & ~first
        if not (self.counts.any() and asks.any()):
            raise _not_a_conversation()
        #: Of each answer: where it ends, where its line begins, and where one should begin to read: with the conversation; if
        #: that doesn't fit, with the first question from which on it does; or else with its own.
        self.ends = np.flatnonzero(self.counts & ~np.append(self.counts[1:], False))
        self.lines = line[self.ends]
        questions = np.flatnonzero(first & asks)
        opens = first & np.concatenate([[True], (first & ends)[:-1]])
        opening = _latest(opens)[self.ends]
        near = questions[np.searchsorted(questions, self.ends - context).clip(max=len(questions) - 1)]
        own = questions[(np.searchsorted(questions, self.ends) - 1).clip(min=0)]
        fits = (self.ends - opening <= context) | (own <= opening)
        self.begins = np.where(fits, opening, np.minimum(near, own))
        #: Where stretches begin, as far as a whole one follows.
        self.starts = np.unique(np.append(self.begins, 0))
        self.starts = self.starts[self.starts < len(self.tokens) - context]
        #: Where nothing is missing that could have been read: where a conversation begins, or an answer only fits by itself.
        self.whole = opens
        self.whole[self.begins[self.begins == own]] = True


def names_in(text: str) -> tuple[np.ndarray, np.ndarray]:
    """For each character, whether it belongs to a name: a word that the bot says only where the user says it, too, and in a
    sentence that it says of other names as well. And, for each of a line with names, from where on one must have read to know
    them."""
    conversations = [conversation.split(END) for conversation in text.split(END + END)]
    asked, said = ([_words(c, who) for c in conversations] for who in (USER, BOT))
    own = set().union(*(answers - questions for questions, answers in zip(asked, said, strict=True)))
    candidates = [(questions & answers) - own for questions, answers in zip(asked, said, strict=True)]

    sentences: dict[str, set[str]] = {}  # with gaps, and what filled them
    filled = []
    for lines, words in zip(conversations, candidates, strict=True):
        gap = lambda word, words=words: "" if word[0].lower() in words else word[0]  # noqa: E731
        answers = [line for line in lines if words and line[:1] == BOT]
        filled.append([(WORD.sub(gap, line), words.intersection(WORD.findall(line.lower()))) for line in answers])
        for sentence, names in filled[-1]:
            sentences.setdefault(sentence, set()).update(names)

    mask, since, start = np.zeros(len(text), bool), np.arange(len(text)), 0
    for lines, pairs in zip(conversations, filled, strict=True):
        names = set().union(*(names for sentence, names in pairs if len(sentences[sentence]) >= SEVERAL))
        last: dict[str, int] = {}  # where each name was said last
        for line in lines:
            found = [(word, word[0].lower()) for word in WORD.finditer(line) if word[0].lower() in names]
            if found:
                since[start : start + len(line) + 1] = min(last.get(name, start) for _, name in found)
            for word, name in found:
                mask[start + word.start() : start + word.end()] = True
                last[name] = start + word.start()
            start += len(line) + len(END)
        start += len(END)
    return mask, since


def _latest(marked: np.ndarray) -> np.ndarray:
    """For each place the last marked one up to there; 0 if there is none."""
    return np.maximum.accumulate(np.where(marked, np.arange(len(marked)), 0))


def _words(lines: list[str], who: str) -> set[str]:
    """The words in what one of the two says."""
    return set(WORD.findall(" ".join(line for line in lines if line[:1] == who).lower()))


def _id(tokenizer: Tokenizer, mark: str) -> int:
    """The token of a mark. Raises DataError when the text has none."""
    if mark not in tokenizer.vocabulary:
        raise _not_a_conversation()
    return tokenizer.vocabulary.index(mark)


def _not_a_conversation() -> DataError:
    return DataError(
        f"not a conversation: the text has no lines that begin with {USER} (the user) and {BOT} (the bot); "
        "python -m zoo.dialogue shows how it should look"
    )
