"""From logits to text: choosing the next token, again and again."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Any

import numpy as np

from zoo.chat.template import BOT, END, USER, apply_chat_template
from zoo.columns import clip, columns, pad, width
from zoo.datasets.corpus import prepare
from zoo.errors import DataError, quoted
from zoo.inference.decoder import Decoder
from zoo.inference.sampling import Sampling
from zoo.model import Model
from zoo.tokenizers.tokenizer import Tokenizer

#: Of a token, so many columns are shown.
LONGEST_NAME = 40


def encode_prompt(model: Model, tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens of a text that is given to a model, at least one: prepared as what it learned from was; where it converses, in
    the chat template; and where its text has documents between newlines, after one, so that it may be empty. Raises DataError
    for an empty text elsewhere, and for a token that isn't known."""
    prepared = prepare(text)
    if model.chat:
        prepared = apply_chat_template(prepared, turn_alphabet(tokenizer))
    if model.boundary is not None and not prepared.startswith("\n"):
        prepared = "\n" + prepared
    tokens: list[int] = tokenizer.encode(prepared).tolist()
    if not tokens:
        raise DataError(f"the prompt {quoted(text)} holds no {tokenizer.unit}; give it at least one")
    return tokens


def turn_alphabet(tokenizer: Tokenizer) -> Set[str]:
    """The characters that a turn can hold, for a model that converses."""
    return set(tokenizer.vocabulary) - {USER, BOT, END}


def generate(
    decoder: Decoder, prompt: Sequence[int], tokens: int, sampling: Sampling, rng: np.random.Generator
) -> Iterator[int]:
    """Continue a prompt (at least one token) by `tokens` more, each given as soon as it is drawn.

    A copy of the decoder does the reading, so that the same one serves for many texts.
    """
    decoder = decoder.copy()
    seen, new = list(prompt), list(prompt)
    for _ in range(tokens):
        token = sampling.choose(decoder.read(new), seen, rng)
        new = [token]
        seen.append(token)
        yield token


def text_pieces(tokens: Iterable[int], tokenizer: Tokenizer, stop: Sequence[str] = ()) -> Iterator[str]:
    """The text of tokens, piece by piece as they come, up to the first of the `stop` strings, which isn't given.

    The text begins after a prompt: between words, the first piece begins with a space. What might be the beginning of a stop
    string is held back until it is clear.
    """
    held, decode = "", tokenizer.stream()
    for token in tokens:
        held += decode(token)
        found = [at for at in map(held.find, stop) if at >= 0]
        if found:
            if min(found):
                yield held[: min(found)]
            return
        keep = max((_overlap(held, s) for s in stop), default=0)
        if len(held) > keep:
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
    if held:
        yield held


def _overlap(text: str, stop: str) -> int:
    """Count the characters at the end of a text that could be the beginning of a stop string."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)


def likeliest(model: Model, tokenizer: Tokenizer, tokens: Sequence[int], count: int) -> list[dict[str, Any]]:
    """The likeliest next tokens after others, with their probabilities: [{"token": "a", "probability": 0.9}, ...]."""
    logits = Decoder(model, fused=False).read(tokens)
    p = Sampling(1.0).probabilities(logits)
    best = np.argsort(-p, kind="stable")[:count]
    return [{"token": tokenizer.vocabulary[i], "probability": float(p[i])} for i in best]


def show_bars(predictions: list[dict[str, Any]], beside: int = 0) -> list[str]:
    """Probabilities as bars, a line each, with `beside` columns left free after it. Characters that can't be seen are shown as
    Python writes them."""
    names = [clip(visible(p["token"]), columns() // 3) for p in predictions]
    longest = max(map(width, names))
    room = min(40, columns() - longest - 13 - beside)
    return [
        f"  {pad(name, longest)}  {p['probability']:7.2%}  {_bar(p['probability'], room)}".rstrip()
        for name, p in zip(names, predictions, strict=True)
    ]


def visible(token: str) -> str:
    """A token as one can see it, and not too much of it: blanks, also around it, and the like as Python writes them, and what
    only joins another character by its number."""
    token = clip(token, LONGEST_NAME)
    if token and all(unicodedata.category(c) in ("Mn", "Me", "Cf") for c in token):
        return " ".join(f"U+{ord(c):04X}" for c in token)
    return repr(token) if token != token.strip() or not token.isprintable() else token


def _bar(probability: float, width: int) -> str:
    """A bar in eighths of a character."""
    eighths = round(probability * width * 8)
    return "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]
