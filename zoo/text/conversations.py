"""What each token of a conversation is: whose it is, whether it is to be learned, whether it belongs to a name."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from zoo.errors import DataError
from zoo.text.examples import too_short
from zoo.text.marks import BOT, END, USER
from zoo.text.tokenizer import Tokenizer

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
            raise too_short([self.tokens], context + 1, f"(a context of {context} and the next)", tokenizer.unit)
        ends = self.tokens == _id(tokenizer, END)
        #: For each token, where its line begins.
        first = np.concatenate([[True], ends[:-1]])
        self.line = np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))
        mark = self.tokens[self.line]
        self.asks = mark == _id(tokenizer, USER)
        asked = self.asks & ~first & ~ends
        #: What slips are drawn from, and where they may be: not in a name, which the bot should repeat as it was said.
        self.letters = self.tokens[asked]
        self.names, self.since = names_in(tokenizer.decode(self.tokens))
        self.slippery = asked & ~self.names
        #: Whether a token is to be guessed: what the bot says, after its mark.
        self.counts = (mark == _id(tokenizer, BOT)) & ~first
        #: Where nothing is missing: where a conversation begins, and where what was said before wouldn't fit.
        self.whole = first & np.concatenate([[True], (first & ends)[:-1]])
        #: Where stretches begin.
        self.starts = self._starts(np.flatnonzero(first & self.asks), np.flatnonzero(self.counts & ends), context)
        if not (self.counts.any() and self.asks.any()):
            raise _not_a_conversation()

    def _starts(self, questions: np.ndarray, answers: np.ndarray, context: int) -> np.ndarray:
        """A stretch begins with each conversation. Where an answer doesn't fit into it, another begins: with the first question
        from which on it fits.

        Args:
            questions: where they begin.
            answers: where they end.
        """
        opening = np.maximum.accumulate(np.where(self.whole, np.arange(len(self.whole)), 0))
        starts = [0]
        for end in answers.tolist():
            start = max(starts[-1], int(opening[end]))
            first, own = np.searchsorted(questions, [end - context, end]) - [0, 1]
            if end - start > context and own >= 0 and start < questions[own]:
                start = int(questions[min(first, own)])
                self.whole[start] |= first >= own
            if start != starts[-1]:
                starts.append(start)
        return np.array([start for start in starts if start < len(self.tokens) - context])  # (0 always is)


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
