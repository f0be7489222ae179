"""Synthetic conversations: a text to train on, as long as one likes, made at random from the hand-written exchanges, in which
every question comes in many wordings, spellings and cases. And the questions that are held out of it, for testing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from zoo.chat.augmentation import augment, punctuate
from zoo.chat.exchanges import Exchange, Sampler, Turn, fill_slots, load_material
from zoo.chat.template import ALPHABET, BOT, END, USER, Question, questions_in, words_of
from zoo.datasets.corpus import Corpus, data_folder, read_text

#: The length of the training text, in characters.
LENGTH = 1_200_000
#: The context of chat_gpt, in characters: a conversation is made no longer, except where one exchange needs more.
CONTEXT = 128


class SyntheticConversations(Corpus):
    """The corpus of chat_gpt, made anew each time it is read: the text for seed 0."""

    def __init__(self) -> None:
        super().__init__("conversations", ALPHABET)

    def read(self) -> str:
        """Make the text that chat_gpt trains on first and last, and of which a part is for validation. In between it trains on
        the texts for other seeds."""
        return synthetic_conversations()


def synthetic_conversations(seed: int = 0, length: int = LENGTH) -> str:
    """Make conversations, in the chat template, of at least `length` characters in all: the same text for the same seed."""
    sampler, parts, written = Sampler(seed), [], 0
    forbidden = held_out_wordings()
    while True:
        for conversation in _conversations(sampler, forbidden):
            parts.append(_written(conversation) + END)
            written += len(parts[-1])
            if written >= length:
                return "".join(parts)


def _conversations(sampler: Sampler, forbidden: re.Pattern[str]) -> Iterator[list[tuple[str, str]]]:
    """Conversations, as pairs of a question and its answer, that have every exchange as often as its weight says, in random
    order: as many in a conversation as fit into the context, or fewer."""
    exchanges = load_material().exchanges
    everything = [e for e in exchanges if not e.follows for _ in range(e.weight + 2 * bool(e.more))]
    followers = [e for e in exchanges if e.follows]
    conversation: list[tuple[str, str]] = []
    personal = False
    for exchange in sampler.shuffled(everything):
        turns = list(_turns(exchange, sampler, forbidden))
        while exchange.personal and len(_written(turns)) > CONTEXT:
            turns.pop()  # A name that is out of the context can't be repeated.
        if len(exchange.turns) == 1 and not exchange.more and not exchange.personal and sampler.chance(0.06):
            turns += _turns(followers[sampler.randbelow(len(followers))], sampler, forbidden)
        # Two that ask for the same thing about the user would contradict each other.
        if conversation and (
            sampler.chance(0.1) or (personal and exchange.personal) or len(_written(conversation + turns)) > CONTEXT
        ):
            yield conversation
            conversation, personal = [], False
        personal |= exchange.personal
        conversation += turns
    yield conversation


def _written(conversation: list[tuple[str, str]]) -> str:
    """Pairs of a question and its answer in the chat template, but for the empty line at the end."""
    return "".join(f"{USER}{question}{END}{BOT}{answer}{END}" for question, answer in conversation)


def _turns(exchange: Exchange, sampler: Sampler, forbidden: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Questions and answers of an exchange, each in one of its wordings, none in a forbidden one. It may break off."""
    slots: dict[str, str] = {}
    turns = exchange.turns
    if not exchange.personal:
        turns = turns[: 1 + sampler.randbelow(len(turns))]
    elif len(turns) > 1 and sampler.chance(0.1):
        turns = turns[:1]
    more = []
    if len(turns) == len(exchange.turns) and sampler.chance(0.7):
        more = sampler.shuffled(exchange.more)[: 1 + sampler.randbelow(2)]
    for turn in turns + more:
        before = dict(slots)
        while True:
            wording = fill_slots(sampler.draw(*turn.wordings), slots, load_material(), sampler)
            question = augment(wording, sampler, typos=not exchange.personal)
            if not forbidden.fullmatch(words_of(question)):
                break
            slots = dict(before)
        yield question, fill_slots(turn.answer, slots, load_material(), sampler)


@cache
def held_out_questions() -> list[Question]:
    """All questions in held-out wordings, once for each held-out value of their slot, after the turns that come before them."""
    sampler, found = Sampler(1), []
    material = load_material()
    for exchange in material.exchanges:
        first = (
            []
            if not exchange.follows
            else [Turn(["what is a cat"], [], "Cats are small hunters. They purr when they are content.")]
        )
        sequences = [first + exchange.turns[: i + 1] for i in range(len(exchange.turns))]
        sequences += [first + exchange.turns + [turn] for turn in exchange.more]
        for turns in sequences:
            for wording in turns[-1].held_out:
                slots = [n for n in re.findall(r"\{([^}]*)\}", wording) if n in material.lists and material.lists[n][1]]
                count = len(material.lists[slots[0]][1]) if slots else 1
                found += [_question(turns, wording, sampler) for _ in range(count)]
    return found


def strangers_questions() -> list[Question]:
    """Questions, and their answers, by somebody who knew what the model can answer, but not the wordings here."""
    return questions_in(read_text(data_folder() / "strangers.txt"), 1000)


@cache
def held_out_wordings() -> re.Pattern[str]:
    """A pattern that matches the words of every question that must not be trained on: of a held-out wording, with any value in
    its slots, and of a stranger's question."""
    turns = [turn for exchange in load_material().exchanges for turn in exchange.turns + exchange.more]
    wordings = ["could you explain.*"]  # (which is held out of so many exchanges)
    wordings += sorted({words_of(re.sub(r"\{[^}]*\}", "slot", wording)) for turn in turns for wording in turn.held_out})
    wordings += [words_of(question.prompt.rpartition(USER)[2]) for question in strangers_questions()]
    return re.compile("|".join(wording.replace("slot", ".*") for wording in wordings))


def _question(turns: Sequence[Turn], wording: str, sampler: Sampler) -> Question:
    """The last of some turns as a question in a held-out wording, after the turns before it."""
    slots: dict[str, str] = {}
    # (First, so that its slots have the held-out values, and the turns before it the same ones.)
    question = fill_slots(wording, slots, load_material(), sampler, held_out=True)
    before = []
    for turn in turns[:-1]:
        earlier = fill_slots(turn.wordings[0], slots, load_material(), sampler, held_out=True)
        before.append(f"{USER}{punctuate(earlier)}{END}{BOT}{fill_slots(turn.answer, slots, load_material(), sampler)}{END}")
    answer = fill_slots(turns[-1].answer, slots, load_material(), sampler)
    return Question("".join(before) + f"{USER}{punctuate(question)}{END}{BOT}", answer)
