"""Beam search: the likeliest continuation as a whole, rather than the likeliest token each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.inference.decoder import Decoder


@dataclass
class _Beam:
    """One of the continuations that are followed."""

    #: The logarithm of its probability.
    score: float
    tokens: list[int]
    #: What the model expects after it: the logarithms of the probabilities.
    expected: np.ndarray
    decoder: Decoder


def beam_search(decoder: Decoder, prompt: Sequence[int], tokens: int, beams: int) -> Iterator[int]:
    """Continue a prompt (at least one token) by the `tokens` that are likeliest together, as far as `beams` can find them.

    In each step every beam is continued by every token, and the `beams` likeliest of all these go on. A token is given as soon
    as all beams agree on it. With one beam it is the greedy choice. Copies of the decoder do the reading.
    """
    decoder = decoder.copy()
    followed = [_Beam(0.0, [], _log_probabilities(decoder.read(prompt)), decoder)]
    given = 0
    for step in range(tokens):
        scores = np.concatenate([beam.score + beam.expected for beam in followed])
        best = np.argsort(-scores, kind="stable")[:beams]
        vocabulary = len(followed[0].expected)
        parents = [int(i) // vocabulary for i in best]
        successors = []
        for number, (i, parent) in enumerate(zip(best, parents, strict=True)):
            beam, token = followed[parent], int(i) % vocabulary
            # The last that goes on from a beam takes its decoder along; the others copy it.
            decoder = beam.decoder.copy() if parent in parents[number + 1 :] else beam.decoder
            successors.append((float(scores[i]), [*beam.tokens, token], decoder))
        last = step == tokens - 1
        followed = [
            _Beam(score, line, np.zeros(0) if last else _log_probabilities(decoder.read(line[-1:])), decoder)
            for score, line, decoder in successors
        ]
        agreed = _agreed([beam.tokens for beam in followed])
        yield from followed[0].tokens[given:agreed]
        given = max(given, agreed)
    yield from followed[0].tokens[given:]


def _log_probabilities(logits: np.ndarray) -> np.ndarray:
    shifted = (logits - logits.max()).astype(np.float64)
    return shifted - np.log(np.exp(shifted).sum())


def _agreed(lines: list[list[int]]) -> int:
    """Count the tokens that all lines begin with alike."""
    for i, column in enumerate(zip(*lines, strict=True)):
        if len(set(column)) > 1:
            return i
    return len(lines[0])
