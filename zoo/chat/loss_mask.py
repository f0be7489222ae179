"""The loss mask of conversations: which tokens are targets, those of the bot's answers; and what else a chat model's batches
need to know of each token, such as where the context that it needs begins, and whether it belongs to a name."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from zoo.chat.template import BOT, END, USER
from zoo.errors import DataError, UsageError
from zoo.tokenizers.tokenizer import Tokenizer

WORD = re.compile(r"[A-Za-z']+")
#: A sentence of the bot's is about names if it occurs with this many different words in the place of one.
MIN_NAMES = 5


class MaskedConversations:
    """The tokens of conversations in the chat template, with masks: arrays of bool, (tokens,).

    Args:
        documents: token ids, an array (tokens,) for each document; they are joined.
        context: the number of tokens in a sequence.
        tokenizer: one whose tokens are characters.

    Raises DataError when the documents are no conversation, and UsageError for a tokenizer with other tokens.
    """

    def __init__(self, documents: Sequence[np.ndarray], context: int, tokenizer: Tokenizer) -> None:
        joined = np.concatenate([*documents, np.zeros(0, np.int64)])
        if len(tokenizer.decode(joined)) != len(joined):
            raise UsageError(
                f"conversations need a tokenizer whose tokens are characters, not {tokenizer.unit}; use CharTokenizer"
            )
        #: How many tokens the documents have. Where a sequence needs more, ends of turns come after them.
        self.length = len(joined)
        missing = np.full(max(context + 1 - self.length, 0), _role_id(tokenizer, END))
        self.tokens = np.concatenate([joined, missing])
        ends = self.tokens == _role_id(tokenizer, END)
        first = np.concatenate([[True], ends[:-1]])  # of a line
        line = _latest(first)
        role = self.tokens[line]
        asks = role == _role_id(tokenizer, USER)
        in_question = asks & ~first & ~ends
        #: The tokens of all questions, one after the other: what typos are drawn from.
        self.user_characters = self.tokens[in_question]
        self.name_mask, self.needed_from = find_names(tokenizer.decode(self.tokens))
        #: True where a typo may be: in a question, but not in a name, which the bot should repeat as it was typed.
        self.typo_mask = in_question & ~self.name_mask
        #: True for a target: a token of an answer, or its end, but not the role marker before it.
        self.loss_mask = (role == _role_id(tokenizer, BOT)) & ~first
        if not (self.loss_mask.any() and asks.any()):
            raise _not_a_conversation()
        #: The position of each answer's end, and that of its role marker: (answers,).
        self.answer_ends = np.flatnonzero(self.loss_mask & ~np.append(self.loss_mask[1:], False))
        self.answer_starts = line[self.answer_ends]
        questions = np.flatnonzero(first & asks)
        opens = first & np.concatenate([[True], (first & ends)[:-1]])
        opening = _latest(opens)[self.answer_ends]
        near = questions[np.searchsorted(questions, self.answer_ends - context).clip(max=len(questions) - 1)]
        own = questions[(np.searchsorted(questions, self.answer_ends) - 1).clip(min=0)]
        fits = (self.answer_ends - opening <= context) | (own <= opening)
        #: The position where each answer's context starts, (answers,): with the conversation; if that doesn't fit, with the
        #: first question from which on it does; or else with the answer's own question.
        self.context_starts = np.where(fits, opening, np.minimum(near, own))
        #: The distinct positions where those contexts start, as far as a whole sequence follows, in ascending order.
        starts = np.unique(np.append(self.context_starts, 0))
        self.sequence_starts = starts[starts < len(self.tokens) - context]
        #: True for a position where a sequence lacks nothing that could have been in its context: where a conversation begins,
        #: and where the question begins of an answer that fits with no more than that.
        self.complete = opens
        self.complete[self.context_starts[self.context_starts == own]] = True


def find_names(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Find the names in conversations: words that the bot uses only where the user does too, in a sentence that it also says
    with other such words, MIN_NAMES of them at least.

    Returns, for each character of the text, True where it belongs to a name, (characters,), bool; and the position where the
    context must begin for the names in its line to be known, (characters,), int64: the character's own in a line without names.
    """
    conversations = [conversation.split(END) for conversation in text.split(END + END)]
    asked, answered = ([_words(c, role) for c in conversations] for role in (USER, BOT))
    own = set().union(*(answers - questions for questions, answers in zip(asked, answered, strict=True)))
    candidates = [(questions & answers) - own for questions, answers in zip(asked, answered, strict=True)]

    sentences: dict[str, set[str]] = {}  # with gaps, and what filled them
    filled = []
    for lines, words in zip(conversations, candidates, strict=True):
        gap = lambda word, words=words: "" if word[0].lower() in words else word[0]  # noqa: E731
        answers = [line for line in lines if words and line[:1] == BOT]
        filled.append([(WORD.sub(gap, line), words.intersection(WORD.findall(line.lower()))) for line in answers])
        for sentence, names in filled[-1]:
            sentences.setdefault(sentence, set()).update(names)

    mask, needed_from, start = np.zeros(len(text), bool), np.arange(len(text)), 0
    for lines, pairs in zip(conversations, filled, strict=True):
        names = set().union(*(names for sentence, names in pairs if len(sentences[sentence]) >= MIN_NAMES))
        last: dict[str, int] = {}  # the position where each name occurred last
        for line in lines:
            found = [(word, word[0].lower()) for word in WORD.finditer(line) if word[0].lower() in names]
            if found:
                needed_from[start : start + len(line) + 1] = min(last.get(name, start) for _, name in found)
            for word, name in found:
                mask[start + word.start() : start + word.end()] = True
                last[name] = start + word.start()
            start += len(line) + len(END)
        start += len(END)
    return mask, needed_from


def _latest(mask: np.ndarray) -> np.ndarray:
    """For each position the last one up to there that the mask (positions,) has; 0 if there is none."""
    return np.maximum.accumulate(np.where(mask, np.arange(len(mask)), 0))


def _words(lines: list[str], role: str) -> set[str]:
    """The words in all turns of one role, in lower case."""
    return set(WORD.findall(" ".join(line for line in lines if line[:1] == role).lower()))


def _role_id(tokenizer: Tokenizer, marker: str) -> int:
    """The token id of a role marker, or of a turn's end. Raises DataError when the vocabulary has none."""
    if marker not in tokenizer.vocabulary:
        raise _not_a_conversation()
    return tokenizer.vocabulary.index(marker)


def _not_a_conversation() -> DataError:
    return DataError(
        f"not a conversation: the text has no lines that begin with {USER} (the user) and {BOT} (the bot); "
        "python -m zoo.dialogue shows how it should look"
    )
