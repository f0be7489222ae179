"""Exchanges: the templates, written by hand in `data/conversations/`, that synthetic conversations are made from. An exchange
is a few turns, each with the wordings of a question and the answer to it.

    > hello | hi [there|] | ~ well hello        ways to say the same; [a|b] is one or the other; ~ holds out
    < Hi there! How can I help you today?       the answer
    > how are you                               and so on: a turn that follows
    + why                                       one of several turns that may follow what is above

Exchanges are parted by empty lines. `@often 5` before one makes it come five times as often; `@follow 5` makes it one that may
follow any other. `{name}` is a slot: it is filled with a value of the list of that name in `lists.txt`, the same one throughout
an exchange. There, a `*` is a word that is made up, and what follows dots comes at the end of what is said.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TypeVar

from zoo.datasets.corpus import data_folder, read_text
from zoo.errors import DataError, quoted

T = TypeVar("T")

#: The sounds of made-up words: a syllable has one of each kind.
CONSONANTS = (*"bcdfghjklmnprstvw", *["br", "ch", "cl", "cr", "dr", "fl", "gl", "gr", "kr", "pl", "pr", "sl", "st", "th", "tr"])
VOWELS = (*"aeiouaeiou", "y", "ai", "ea", "ie", "oo", "ou")
ENDINGS = (*[""] * 6, *["l", "m", "n", "r", "s", "t", "k", "d", "ll", "mp", "nd", "ng", "rn", "rt", "x"])
#: Letters that made-up words had better not contain.
RUDE = re.compile("shit|slut|nigg|cunt|dick|cock|cum|sex|rape|puss|tits|fuck|piss|nazi|wank|arse")


@dataclass
class Turn:
    """A question in several wordings, and its answer."""

    #: The wordings to train on, and those that are held out to test the model on.
    wordings: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)
    answer: str = ""


@dataclass
class Exchange:
    """Turns that follow each other, and then perhaps some of its further questions."""

    #: The file and line where it begins, for errors.
    location: str
    turns: list[Turn] = field(default_factory=list)
    #: Further questions, any of which may come after the turns.
    more: list[Turn] = field(default_factory=list)
    #: Its frequency, relative to an exchange of weight 1.
    weight: int = 1
    #: True for one that may follow any other exchange.
    follows: bool = False
    #: True where the answers depend on what the user said about themselves.
    personal: bool = False


@dataclass
class Material:
    """All that is written by hand: the exchanges, and the lists of slot values."""

    exchanges: list[Exchange]
    #: For each list its values to train on, and those that are held out.
    lists: Mapping[str, tuple[list[str], list[str]]]

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of four letters or more that the user may say, in lower case."""
        texts = [w for e in self.exchanges for turn in e.turns + e.more for w in turn.wordings]
        texts += [word for seen, _ in self.lists.values() for word in seen]
        return frozenset(re.findall(r"[a-z]{4,}", " ".join(texts).lower()))

    @cached_property
    def beginnings(self) -> tuple[str, ...]:
        """The first two, three and four letters of those words, distinct and sorted."""
        return tuple(sorted({word[:count] for word in self.words if word[0] not in "xz" for count in (2, 3, 4)}))


@cache
def load_material() -> Material:
    """The material that comes with the zoo, read once."""
    return read_material(data_folder() / "conversations")


def read_material(folder: Path) -> Material:
    """Read all files of a folder. Raises DataError, naming file and line, for what doesn't follow the rules above."""
    exchanges: list[Exchange] = []
    lists: dict[str, tuple[list[str], list[str]]] = {}
    for file in sorted(folder.glob("*.txt")):
        if file.name == "lists.txt":
            lists = _read_lists(file)
        else:
            exchanges += _read_exchanges(file)
    return Material(exchanges, lists)


def _read_lists(file: Path) -> dict[str, tuple[list[str], list[str]]]:
    lists = {}
    for line in read_text(file).split("\n"):
        name, equals, words = line.partition(" = ")
        if equals and not line.startswith("#"):
            lists[name] = _alternatives(words)
    return lists


def _read_exchanges(file: Path) -> list[Exchange]:
    exchanges: list[Exchange] = []
    weight, follows, current, turn = 1, False, None, None
    for number, line in enumerate(read_text(file).split("\n"), 1):
        location = f"{file.name}, line {number}"
        marker, text = line[:1], line[1:].strip()
        if not line.strip():
            current = turn = None
        elif marker == "@":
            command, _, count = text.partition(" ")
            if command not in ("often", "follow") or not count.isdigit():
                raise DataError(f"{location}: unknown instruction {quoted(line)}; there are @often N and @follow N")
            weight, follows = int(count), command == "follow"
        elif marker in ">+":
            if current is None:
                current = Exchange(location, weight=weight, follows=follows, personal=file.stem == "turns")
                exchanges.append(current)
                weight, follows = 1, False
            if turn is None or turn.answer:
                turn = Turn()
                (current.turns if marker == ">" else current.more).append(turn)
            wordings, held_out = _alternatives(text)
            turn.wordings += wordings
            turn.held_out += held_out
        elif marker == "<" and turn is not None and not turn.answer:
            turn.answer = text
        elif marker != "#":
            raise DataError(f"{location}: can't be read: {quoted(line)}; a line begins with > + < @ or #")
    for exchange in exchanges:
        if not all(turn.answer and turn.wordings for turn in exchange.turns + exchange.more):
            raise DataError(
                f"{exchange.location}: a turn without a wording or an answer; write a line with > or + and one with <"
            )
    return exchanges


def _alternatives(text: str) -> tuple[list[str], list[str]]:
    """The parts of a text between bars, but for bars in brackets: those to train on, and those that are held out."""
    parts = [part.strip() for part in re.split(r"\|(?![^\[]*\])", text)]
    return [p for p in parts if p[:1] != "~"], [p[1:].strip() for p in parts if p[:1] == "~"]


class Sampler:
    """A random generator that draws without replacement: of the same items, each comes once before any comes again.

    Args:
        seed: the same seed gives the same draws in every version of Python.
    """

    def __init__(self, seed: int) -> None:
        # (Of `random`, only the numbers of random() are promised to stay the same in later versions of Python.)
        self.random = random.Random(seed).random
        self._left: dict[tuple[object, ...], list[object]] = {}

    def chance(self, p: float) -> bool:
        """Draw True with this probability."""
        return self.random() < p

    def randbelow(self, n: int) -> int:
        """A whole number from 0 to n - 1."""
        return int(self.random() * n)

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order."""
        keys = [self.random() for _ in items]
        return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]

    def draw(self, *items: T) -> T:
        """Draw one of these items that wasn't drawn since all of them were, in an order that is shuffled anew each time."""
        left = self._left.setdefault(items, [])
        if not left:
            left.extend(self.shuffled(items))
        return left.pop()  # type: ignore[return-value]


def fill_slots(template: str, slots: dict[str, str], material: Material, sampler: Sampler, held_out: bool = False) -> str:
    """Fill a template: choose one of each [a|b], and a value for each {list}.

    Args:
        template: a wording or an answer.
        slots: the values so far, by the names of their lists; new ones are added, so that they stay the same in later turns.
        material: where the lists are.
        sampler: draws what is random.
        held_out: take the held-out values of lists that have some.

    Raises DataError for a list that there isn't.
    """

    end: list[str] = []

    def choose(match: re.Match[str]) -> str:
        return sampler.draw(*match[1].split("|"))

    def look_up(match: re.Match[str]) -> str:
        name = match[1]
        if name == "babble":
            return _gibberish(sampler)
        if name not in slots:
            if name not in material.lists:
                raise DataError(f"there is no list {name!r} in lists.txt, which {template!r} names; add it or mend the name")
            seen, unseen = material.lists[name]
            value = sampler.draw(*(unseen if held_out and unseen else seen))
            slots[name] = re.sub(r"\*", lambda _: _made_up_word(material, sampler), value)
        value, dots, last = slots[name].partition("...")
        end.append(last if dots else "")
        return value

    filled = re.sub(r"\{([^}]*)\}", look_up, re.sub(r"\[([^\]]*)\]", choose, template))
    return " ".join([*filled.split(), *"".join(end).split()]).replace(" ,", ",")


def _made_up_word(material: Material, sampler: Sampler) -> str:
    """A new word, capitalised. Half of them begin like a known one, so that a beginning doesn't tell the rest."""
    while True:
        word = material.beginnings[sampler.randbelow(len(material.beginnings))] if sampler.chance(0.5) else _syllable(sampler)
        for _ in range(1 + sampler.randbelow(2)):
            word += _syllable(sampler)
        if 3 < len(word) < 10 and word not in material.words and not RUDE.search(word):
            return word.capitalize()


def _syllable(sampler: Sampler) -> str:
    return "".join(sounds[sampler.randbelow(len(sounds))] for sounds in (CONSONANTS, VOWELS, ENDINGS))


def _gibberish(sampler: Sampler) -> str:
    """Three to eight random letters."""
    return "".join(chr(ord("a") + sampler.randbelow(26)) for _ in range(3 + sampler.randbelow(6)))
