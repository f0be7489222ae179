"""The base of every model: a network that computes logits from tokens, and what describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from microtensor import Tensor, concatenate, nn, no_grad
from zoo.cache import Cache, TokenCache
from zoo.datasets.batches import PADDING
from zoo.errors import UsageError
from zoo.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Description:
    """Data about a model, for the table of models and for what training shows at its end. All of it has defaults."""

    #: A few words for the table of models; the first line of the model's docstring unless given.
    title: str = ""
    #: The loss that it reaches with its own recipe, and in how many seconds on two cores; None if nobody has measured it.
    reference: tuple[float, float] | None = None
    #: Prompts of its own text, for which training shows the likeliest next tokens.
    prompts: tuple[str, ...] = ()
    #: A prompt that training lets the model continue, by how many tokens, at which temperature; None for one from the text.
    sample_prompt: str | None = None
    sample_tokens: int = 12
    sample_temperature: float = 0.8
    #: By how many tokens `zoo.generate` continues a text unless told.
    max_new_tokens: int = 20
    #: What to do with a trained model: a command, with the run and a prompt put in.
    next_command: str = "python -m zoo.generate {run} --prompt {prompt}"


class Model(nn.Module):
    """A language model: `logits = model(tokens)`, for what comes next.

    tokens is (batch, time), whole numbers; logits are (batch, vocabulary), or (batch, time, vocabulary) for a model that
    predicts a next token after every token. A subclass is one file in `zoo/models/`. It needs `__init__` and `forward`, and
    nothing else: all the rest has defaults. It defines `new_cache` where `forward` takes a cache. How it is trained is its
    recipe's matter.

    Args:
        recipe: the settings.
        vocabulary_size: how many tokens there are.
        rng: draws the first parameters.
    """

    #: Its settings, and how it is trained.
    recipe_class: ClassVar[type[Recipe]] = Recipe
    description: ClassVar[Description] = Description()
    #: True for a model that has learned from conversations: a run records it, and prompts are put into the chat template.
    chat: bool = False
    #: The token that stands before and after each document, where its text had such: what comes before it has no say in what
    #: follows.
    boundary: int | None = None

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        self.recipe = recipe
        self.vocabulary_size = vocabulary_size

    def __call__(self, tokens: Any, cache: Cache | None = None) -> Tensor:
        """Compute the logits for tokens (batch, time); with a cache, for tokens after those that it has seen, without
        recording.

        A model's `forward` takes the cache that its `new_cache` makes; one without a `new_cache` of its own is shown its last
        tokens again.
        """
        if cache is None:
            return _call(self, tokens)
        tokens = np.asarray(tokens)
        with no_grad():
            return _call(self, cache.extend(tokens)) if isinstance(cache, TokenCache) else self.go_on(tokens, cache)

    def go_on(self, tokens: np.ndarray, cache: Cache) -> Tensor:
        """Compute the logits for tokens after those that the cache has seen, as a call does, but with recording.

        The gradient goes back to the first of these tokens and no further, as a cache holds plain arrays: truncated
        backpropagation.
        """
        logits = _call(self, tokens, cache)
        cache.length += tokens.shape[1]
        return logits

    def new_cache(self, batch: int = 1) -> Cache:
        """Make an empty cache for so many texts side by side."""
        return TokenCache(batch, self.recipe.context)

    def predicts_every_token(self) -> bool:
        """Tell if the logits are (batch, time, vocabulary), rather than (batch, vocabulary). Raises UsageError for others."""
        if self.vocabulary_size == 0:
            return False
        with no_grad():
            shape = getattr(self(np.zeros((1, 1), np.int64)), "shape", None)
        window, sequence = (1, self.vocabulary_size), (1, 1, self.vocabulary_size)
        if shape not in (window, sequence):
            raise UsageError(
                f"{type(self).__name__}.forward: tokens of shape (1, 1) gave logits of shape {shape}, which must be {window}, "
                f"or {sequence} where it predicts after every token"
            )
        return shape == sequence


#: A module's call, without the cost of super() at every step.
_call = nn.Module.__call__


def predict(model: nn.Module, inputs: np.ndarray) -> Tensor:
    """Compute the logits for the inputs (batch, time) of a batch.

    A window that begins with its document may have PADDING before it. A model doesn't see that: windows of the same number of
    tokens go through it together, without.
    """
    if inputs[:, 0].min() > PADDING:
        return model(inputs)
    padding = (inputs == PADDING).sum(axis=1)
    groups = [np.flatnonzero(padding == count) for count in np.unique(padding)]
    logits = concatenate([model(inputs[rows, padding[rows[0]] :]) for rows in groups])
    return logits[np.argsort(np.concatenate(groups))]
