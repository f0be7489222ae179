"""The corpora by name, as `--corpus` takes them."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.chat.synthetic import SyntheticConversations
from zoo.datasets.corpus import Corpus
from zoo.datasets.shakespeare import TinyShakespeare

LETTERS = "abcdefghijklmnopqrstuvwxyz"

CORPORA: Mapping[str, Corpus] = {
    "shakespeare": TinyShakespeare(),
    "names": Corpus("names.txt", "\n" + LETTERS, document_per_line=True, delimited=True),
    "verses": Corpus("verses.txt"),
    "phrases": Corpus("phrases.txt", " " + LETTERS, document_per_line=True),
    "sentences": Corpus("sentences.txt", document_per_line=True),
    "conversations": SyntheticConversations(),
}
