"""Choosing the next token from a model's logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zoo.errors import UsageError


@dataclass(frozen=True)
class Sampling:
    """The rule by which a token is chosen: which ones may be drawn, and how boldly.

    The logits are first lowered for tokens that were there before (`repetition_penalty`), then divided by the `temperature`;
    softmax makes probabilities of them, of which `top_k`, `top_p` and `min_p` keep the likely ones; and one of those is drawn.

    Args:
        temperature: below 1 keeps to likely tokens, above is bolder; at 0 the likeliest is taken.
        top_k: only so many of the likeliest.
        top_p: only the likeliest that together have at least this probability (Holtzman et al. 2019, arXiv:1904.09751).
        min_p: only those with at least this fraction of the likeliest one's probability (Nguyen et al. 2024, arXiv:2407.01082).
        repetition_penalty: logits of tokens that were there before are divided by it, or multiplied where they are below 0;
            1 changes nothing (Keskar et al. 2019, arXiv:1909.05858).

    Raises UsageError for a value that can't be meant.
    """

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        for name, value, right, words in (
            ("temperature", self.temperature, 0 <= self.temperature < math.inf, "a finite number of at least 0"),
            ("top-k", self.top_k, self.top_k is None or self.top_k >= 1, "at least 1"),
            ("top-p", self.top_p, 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("min-p", self.min_p, 0 <= self.min_p <= 1, "from 0 to 1"),
            ("repetition-penalty", self.repetition_penalty, 1 <= self.repetition_penalty <= 100, "from 1 to 100"),
        ):
            if not right:
                raise UsageError(f"--{name}: must be {words}, not {value}")

    def probabilities(self, logits: np.ndarray, seen: Sequence[int] = ()) -> np.ndarray:
        """The probabilities of the tokens, float64 (vocabulary,), for logits (vocabulary,) after the tokens `seen`."""
        p = self._weights(logits, seen)
        return p / p.sum()

    def choose(self, logits: np.ndarray, seen: Sequence[int], rng: np.random.Generator) -> int:
        """A token, drawn."""
        if self.temperature == 0 and self.repetition_penalty == 1:
            return int(logits.argmax())
        sums = self._weights(logits, seen).cumsum()
        return int(sums.searchsorted(rng.random() * sums[-1], side="right"))

    def _weights(self, logits: np.ndarray, seen: Sequence[int]) -> np.ndarray:
        """Numbers in proportion to the probabilities."""
        if self.repetition_penalty != 1 and len(seen):
            logits = logits.copy()
            before = list(set(seen))
            logits[before] *= np.where(logits[before] > 0, 1 / self.repetition_penalty, self.repetition_penalty)
        if self.temperature == 0:
            return np.eye(1, len(logits), int(logits.argmax()))[0]
        # (A temperature near 0 may not overflow: below this, all but the likeliest are impossible anyway.)
        p = np.exp((logits - logits.max()).astype(np.float64) / max(self.temperature, 1e-200))
        if self.top_k is not None or self.top_p < 1 or self.min_p > 0:
            p *= self._kept(p / p.sum())
        return p

    def _kept(self, p: np.ndarray) -> np.ndarray:
        """Mark the tokens that may be drawn; the likeliest always may."""
        kept = p >= self.min_p * p.max()
        order = np.argsort(-p, kind="stable")
        likeliest_first = p[order]
        if self.top_k is not None:
            kept[order[self.top_k :]] = False
        if self.top_p < 1:
            # What comes before it already has enough, so this one isn't needed.
            kept[order[likeliest_first.cumsum() - likeliest_first >= self.top_p]] = False
        return kept
