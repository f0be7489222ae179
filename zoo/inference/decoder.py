"""Reading a text token by token: what a model expects next, after all that it has read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from microtensor import no_grad
from zoo.inference.fused import CachedReader
from zoo.model import Model
from zoo.models.char_gpt import CharGPT


class Reader(Protocol):
    """Reads tokens, and gives the scores for the next one."""

    def read(self, tokens: Sequence[int]) -> np.ndarray:
        """The scores (vocabulary,) after these further tokens, at least one."""
        ...

    def copy(self) -> Reader:
        """Another one that has read the same."""
        ...


class WindowReader:
    """Shows the model as many of the last tokens as it can see, all of them each time."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.seen: list[int] = []
        self.count = 0

    def read(self, tokens: Sequence[int]) -> np.ndarray:
        """The scores (vocabulary,) after these further tokens, at least one."""
        self.count += len(tokens)
        self.seen = [*self.seen, *tokens][-self.model.window(self.count) :]
        with no_grad():
            logits = self.model(np.array([self.seen], dtype=np.int64)).data[0]
        return logits if logits.ndim == 1 else logits[-1]

    def copy(self) -> WindowReader:
        """Another one that has read the same."""
        other = WindowReader(self.model)
        other.seen, other.count = self.seen.copy(), self.count
        return other


def make_reader(model: Model) -> Reader:
    """The fastest reader there is for a model."""
    model.eval()
    return CachedReader(model) if isinstance(model, CharGPT) else WindowReader(model)
