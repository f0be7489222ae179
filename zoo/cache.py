"""The memory of a model for the tokens that it has read, so that the next ones cost no more than themselves.

`cache = model.new_cache()`, then `model(tokens, cache)` for the tokens after those that the cache has seen. `cache.copy()`
forks it, as beam search does. A transformer keeps keys and values, a recurrent network its hidden state; a model that looks at
the last few tokens keeps those, which any model can do without a line of its own.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np


class Cache:
    """Something that a model keeps between calls; the model puts what it likes into attributes.

    Args:
        capacity: how many tokens it can hold, or None where there is no limit. Where it is full, the newest tokens are read
            again into an empty one.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity
        #: How many tokens it takes at a time at most; None for any number.
        self.piece: int | None = None
        #: How many tokens it has seen; the model counts them.
        self.length = 0

    def copy(self) -> Cache:
        """Make another one that has seen the same."""
        return copy.deepcopy(self)


class TokenCache(Cache):
    """The last tokens themselves, for a model that looks at no more than `window` of them: it sees them all each time."""

    def __init__(self, batch: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.tokens = np.zeros((batch, 0), np.int64)

    def extend(self, tokens: np.ndarray) -> np.ndarray:
        """Add tokens (batch, time); returns as many of the last ones as the model looks at."""
        self.length += tokens.shape[1]
        self.tokens = np.concatenate([self.tokens, tokens], axis=1)[:, -self.window :]
        return self.tokens


class StateCache(Cache):
    """The hidden states of a recurrent network, arrays by name: as large as ever, however long the text was."""

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[str, np.ndarray] = {}


class KVCache(Cache):
    """Keys and values of all positions so far, for each layer of attention: `cache.layers[i].extend(key, value)`.

    Args:
        layers: how many layers of attention there are.
        capacity: how many positions there is room for; None for any number.
        slides: keep the last `capacity` positions when it is full, rather than begin again. That is for models whose positions
            are relative: what they have computed stays right when older positions are forgotten.
    """

    def __init__(self, layers: int, capacity: int | None = None, slides: bool = False) -> None:
        super().__init__(None if slides else capacity)
        self.piece = capacity if slides else None
        self.layers = [LayerKV(capacity if slides else None) for _ in range(layers)]


class LayerKV:
    """The keys and values of one layer: of the last `window` positions, with the one being read, or of all when it is None. The
    arrays have room for more than is known, so that adding to them is cheap."""

    def __init__(self, window: int | None = None) -> None:
        self.window = window
        #: How many positions it has seen.
        self.length = 0
        self.keys: Any = None
        self.values: Any = None
        # The positions that are held: from where to where in the arrays.
        self._first = self._end = 0

    def extend(self, key: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Add those of new positions (..., time, width); returns those of the positions that are kept, and the new ones, to be
        read only until the next call."""
        new = key.shape[-2]
        if self.window is not None:
            self._first = max(self._first, self._end - self.window + 1)
        if self.keys is None or self._end + new > self.keys.shape[-2]:
            held = self._end - self._first
            room = max(2 * (held + new), 64)
            self.keys, self.values = (self._moved(a, like, room) for a, like in ((self.keys, key), (self.values, value)))
            self._first, self._end = 0, held
        start, self._end = self._end, self._end + new
        self.keys[..., start : self._end, :], self.values[..., start : self._end, :] = key, value
        self.length += new
        return self.keys[..., self._first : self._end, :], self.values[..., self._first : self._end, :]

    def _moved(self, old: Any, like: np.ndarray, room: int) -> np.ndarray:
        """An array with room for so many positions, which begins with those that are held."""
        larger = np.zeros((*like.shape[:-2], room, like.shape[-1]), like.dtype)
        if old is not None:
            larger[..., : self._end - self._first, :] = old[..., self._first : self._end, :]
        return larger


class LastInputs:
    """The last inputs of a causal convolution: a queue, `extend(x)`, whose cost doesn't depend on how long it is.

    Args:
        count: how many are kept for the steps to come.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        #: They lie at the end of what is filled of a larger array. Only when that is full do they move, to another's start.
        self.array: Any = None
        self.end = 0

    def extend(self, x: np.ndarray) -> np.ndarray:
        """Add those of new steps (..., time, channels); returns them after the ones that were kept, to be read only."""
        time = x.shape[-2]
        start = max(self.end - self.count, 0)
        if self.array is None or self.end + time > self.array.shape[-2]:
            larger = np.zeros((*x.shape[:-2], 2 * self.count + time + 64, x.shape[-1]), x.dtype)
            if self.array is not None:
                larger[..., : self.end - start, :] = self.array[..., start : self.end, :]
            self.array, self.end, start = larger, self.end - start, 0
        self.array[..., self.end : self.end + time, :] = x
        self.end += time
        return self.array[..., start : self.end, :]
