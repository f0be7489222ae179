"""Talking with a model: what was said so far is its context, as much of it as fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from zoo.chat.template import BOT, END, USER, Question, normalize
from zoo.errors import shortened
from zoo.inference.decoder import Decoder
from zoo.inference.generation import turn_alphabet
from zoo.inference.sampling import Sampling
from zoo.tokenizers.tokenizer import Tokenizer

#: The longest answer, in characters. The model ends its answers by itself; this is for one that doesn't.
LONGEST = 400
#: The answer to what holds no character that the model knows.
UNREADABLE = "I can't read that."


class Conversation:
    """A conversation, turn by turn.

    Args:
        decoder: one that hasn't read anything yet; copies of it do the reading.
        tokenizer: one whose tokens are characters, role markers among them.
        context: how many tokens the model sees at most.
        sampling: how the bot chooses its letters.
        rng: for what is drawn.
    """

    def __init__(
        self, decoder: Decoder, tokenizer: Tokenizer, context: int, sampling: Sampling, rng: np.random.Generator
    ) -> None:
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.context = context
        self.sampling = sampling
        self.rng = rng
        #: The tokens of each turn that is still remembered, with its role marker and its end.
        self.turns: list[list[int]] = []

    def forget(self) -> None:
        """Begin anew."""
        self.turns = []

    def longest(self) -> int:
        """Count the characters of what the user says that can be read at once: the context, less the role markers."""
        return self.context - 3

    def normalize(self, text: str) -> tuple[str, list[str]]:
        """A text in characters that the model knows, and those that had to be left out."""
        return normalize(text, turn_alphabet(self.tokenizer))

    def hear(self, line: str) -> tuple[str, list[str]]:
        """What is said, as the model can read it, and remarks for the user where that is something else."""
        line = " ".join(line.split())
        said, unknown = self.normalize(line)
        longest = self.longest()
        remarks = [unreadable(unknown)] if unknown else []
        if len(said) > longest:
            said = said[-longest:].strip()
            remarks.append(f"that is too long for me, so I read only the last {longest} characters")
        elif said != line and said:
            remarks.append(f"I read: {said}")
        return said, remarks

    def respond(self, said: str) -> Iterator[str]:
        """Answer what was heard, letter by letter."""
        return self.answer(said) if said else iter([UNREADABLE])

    def answer(self, said: str) -> Iterator[str]:
        """Answer, letter by letter. Of a text that is too long, only the end is read.

        Raises DataError for a character that isn't known. What was said before a caller stops listening is remembered.
        """
        words = self.tokenizer.encode(said).tolist()[-self.longest() :]
        marker, end = self._tokens(BOT)[0], self._tokens(END)[0]
        self.turns.append([*self._tokens(USER), *words, end])
        turn, decode = [marker], self.tokenizer.stream()
        self.turns.append(turn)
        try:
            decoder, logits, room = self._read_again()
            for _ in range(LONGEST):
                token = self.sampling.choose(logits, [], self.rng)
                text, ended, _ = decode(token).partition(END)
                turn += self._tokens(text) if ended else [token]  # (a token may hold the end and more)
                if text:
                    yield text
                if ended:
                    break
                if room:
                    logits, room = decoder.read([token]), room - 1
                else:
                    decoder, logits, room = self._read_again()
        finally:
            turn.append(end)

    def _read_again(self) -> tuple[Decoder, np.ndarray, int]:
        """Forget the oldest turns, each as a whole, until the rest fits, and read that: the decoder, the logits for what comes
        next, and for how many tokens there is still room. (A question goes before its answer, which mostly tells what both are
        about: so "where do they live" is understood longer than if they went together.)"""
        while len(self.turns) > 1 and sum(map(len, self.turns)) > self.context:
            del self.turns[0]
        tokens = [token for turn in self.turns for token in turn]
        if len(tokens) > self.context:  # one answer, longer than the context
            tokens = tokens[-(2 * self.context // 3) :]
        decoder = self.decoder.copy()
        return decoder, decoder.read(tokens), self.context - len(tokens)

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).tolist()


def unreadable(unknown: Sequence[str]) -> str:
    """A remark about characters that the model doesn't know."""
    return f"I don't know {shortened(' '.join(unknown))}"


def right_answers(
    conversation: Conversation, questions: Sequence[Question], watch: Callable[[int, float], None] = lambda done, right: None
) -> int:
    """Count the questions that are answered exactly as they should be. `watch` is told how many are done, and the fraction of
    them that were."""
    right = 0
    for done, question in enumerate(questions, 1):
        *before, asked = question.prompt.removesuffix(BOT).removesuffix(END).split(END)
        conversation.turns = [conversation.tokenizer.encode(turn + END).tolist() for turn in before]
        right += "".join(conversation.answer(asked.removeprefix(USER))) == question.answer
        watch(done, right / done)
    conversation.forget()
    return right
