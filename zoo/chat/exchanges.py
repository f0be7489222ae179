"""The material of the conversations, written by hand in `data/conversations/`: what may be said, in which wordings, and the
answer.

    > hello | hi [there|] | ~ well hello        ways to say the same; [a|b] is one or the other; ~ holds out
    < Hi there! How can I help you today?       the answer
    > how are you                               and so on: a turn that follows
    + why                                       one of several turns that may follow what is above

Exchanges are parted by empty lines. `@often 5` before one makes it come five times as often; `@follow 5` makes it one that may
follow any other. `{name}` stands for a word of the list of that name in `lists.txt`, the same one throughout an exchange.
There, a `*` is a word that is made up, and what follows dots comes at the end of what is said.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from zoo.datasets.corpus import read_text
from zoo.errors import DataError

T = TypeVar("T")

#: What made-up words are made of.
CONSONANTS = (*"bcdfghjklmnprstvw", *["br", "ch", "cl", "cr", "dr", "fl", "gl", "gr", "kr", "pl", "pr", "sl", "st", "th", "tr"])
VOWELS = (*"aeiouaeiou", "y", "ai", "ea", "ie", "oo", "ou")
ENDINGS = (*[""] * 6, *["l", "m", "n", "r", "s", "t", "k", "d", "ll", "mp", "nd", "ng", "rn", "rt", "x"])
#: What they had better not contain.
RUDE = re.compile("shit|slut|nigg|cunt|dick|cock|cum|sex|rape|puss|tits|fuck|piss|nazi|wank|arse")


@dataclass
class Turn:
    """Something that may be said, and what is answered."""

    #: The wordings to learn from, and those that are held out to see what was understood.
    wordings: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)
    answer: str = ""


@dataclass
class Exchange:
    """Turns that follow each other, then perhaps some of the `more`."""

    #: Where it is written, for errors.
    where: str
    turns: list[Turn] = field(default_factory=list)
    more: list[Turn] = field(default_factory=list)
    often: int = 1
    #: Whether it can follow any other exchange.
    follows: bool = False
    #: Whether its answers depend on what the user said about themselves.
    personal: bool = False


@dataclass
class Material:
    """All exchanges, and the lists of words."""

    exchanges: list[Exchange]
    #: For each list its words, and those that are held out.
    lists: Mapping[str, tuple[list[str], list[str]]]

    @cached_property
    def words(self) -> frozenset[str]:
        """All words of four letters or more that the user may say."""
        texts = [w for e in self.exchanges for turn in e.turns + e.more for w in turn.wordings]
        texts += [word for seen, _ in self.lists.values() for word in seen]
        return frozenset(re.findall(r"[a-z]{4,}", " ".join(texts).lower()))

    @cached_property
    def beginnings(self) -> tuple[str, ...]:
        """The beginnings of those words, of two to four letters."""
        return tuple(sorted({word[:count] for word in self.words if word[0] not in "xz" for count in (2, 3, 4)}))


def read_material(folder: Path) -> Material:
    """All files of the folder. Raises DataError, naming file and line, for what doesn't follow the rules above."""
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
    often, follows, current, turn = 1, False, None, None
    for number, line in enumerate(read_text(file).split("\n"), 1):
        where = f"{file.name}, line {number}"
        mark, said = line[:1], line[1:].strip()
        if not line.strip():
            current = turn = None
        elif mark == "@":
            command, _, count = said.partition(" ")
            if command not in ("often", "follow") or not count.isdigit():
                raise DataError(f"{where}: unknown instruction {line!r}; there are @often N and @follow N")
            often, follows = int(count), command == "follow"
        elif mark in ">+":
            if current is None:
                current = Exchange(where, often=often, follows=follows, personal=file.stem == "turns")
                exchanges.append(current)
                often, follows = 1, False
            if turn is None or turn.answer:
                turn = Turn()
                (current.turns if mark == ">" else current.more).append(turn)
            wordings, held_out = _alternatives(said)
            turn.wordings += wordings
            turn.held_out += held_out
        elif mark == "<" and turn is not None and not turn.answer:
            turn.answer = said
        elif mark != "#":
            raise DataError(f"{where}: can't be read: {line!r}; a line begins with > + < @ or #")
    for exchange in exchanges:
        if not all(turn.answer and turn.wordings for turn in exchange.turns + exchange.more):
            raise DataError(f"{exchange.where}: a turn without a wording or an answer")
    return exchanges


def _alternatives(text: str) -> tuple[list[str], list[str]]:
    """Split a text at the bars outside of brackets: to learn from, and held out."""
    parts = [part.strip() for part in re.split(r"\|(?![^\[]*\])", text)]
    return [p for p in parts if p[:1] != "~"], [p[1:].strip() for p in parts if p[:1] == "~"]


class Deck:
    """Draws from sequences like from a shuffled deck of cards: everything comes once before anything comes again."""

    def __init__(self, seed: int) -> None:
        # (Of `random`, only the numbers of random() are promised to stay the same in later versions of Python.)
        self.random = random.Random(seed).random
        self._left: dict[tuple[object, ...], list[object]] = {}

    def chance(self, p: float) -> bool:
        """True with this probability."""
        return self.random() < p

    def below(self, n: int) -> int:
        """A number from 0 to n - 1."""
        return int(self.random() * n)

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a random order."""
        keys = [self.random() for _ in items]
        return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]

    def draw(self, *items: T) -> T:
        """The next of these from their deck."""
        left = self._left.setdefault(items, [])
        if not left:
            left.extend(self.shuffled(items))
        return left.pop()  # type: ignore[return-value]


def fill_in(template: str, slots: dict[str, str], material: Material, deck: Deck, held_out: bool = False) -> str:
    """A template with each [a|b] and {list} decided; what a list gave is noted in `slots` and used from there.

    With `held_out` the lists give the words that are held out, where they have some.
    """

    end: list[str] = []

    def choose(match: re.Match[str]) -> str:
        return deck.draw(*match[1].split("|"))

    def look_up(match: re.Match[str]) -> str:
        name = match[1]
        if name == "babble":
            return _babble(deck)
        if name not in slots:
            if name not in material.lists:
                raise DataError(f"there is no list {name!r} in lists.txt, which {template!r} names")
            seen, unseen = material.lists[name]
            word = deck.draw(*(unseen if held_out and unseen else seen))
            slots[name] = re.sub(r"\*", lambda _: _made_up(material, deck), word)
        word, dots, last = slots[name].partition("...")
        end.append(last if dots else "")
        return word

    filled = re.sub(r"\{([^}]*)\}", look_up, re.sub(r"\[([^\]]*)\]", choose, template))
    return " ".join([*filled.split(), *"".join(end).split()]).replace(" ,", ",")


def _made_up(material: Material, deck: Deck) -> str:
    """A word that nobody knows, capitalised. Half of them begin like a known one, so that a beginning doesn't tell the rest."""
    while True:
        word = material.beginnings[deck.below(len(material.beginnings))] if deck.chance(0.5) else _syllable(deck)
        for _ in range(1 + deck.below(2)):
            word += _syllable(deck)
        if 3 < len(word) < 10 and word not in material.words and not RUDE.search(word):
            return word.capitalize()


def _syllable(deck: Deck) -> str:
    return "".join(sounds[deck.below(len(sounds))] for sounds in (CONSONANTS, VOWELS, ENDINGS))


def _babble(deck: Deck) -> str:
    """Letters at random."""
    return "".join(chr(ord("a") + deck.below(26)) for _ in range(3 + deck.below(6)))
