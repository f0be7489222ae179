"""What every model of the zoo has in common, so that one trainer, one generator and one set of commands serve them all."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from microtensor import nn
from zoo.recipe import Recipe
from zoo.text.corpus import embedded, read_text
from zoo.text.words import WordTokenizer


class Model(nn.Module):
    """A language model: `logits = model(tokens)`, scores for the token that comes after each row of tokens.

    A subclass is one file in `zoo/models/`. It sets the class attributes and defines `forward` and `examples`, and
    `progress_line` or `summary` where it has something of its own to say.
    """

    #: One line for the table of models.
    about: ClassVar[str]
    #: The embedded text it learns from.
    corpus: ClassVar[str]
    #: How it is trained.
    recipe_class: ClassVar[type[Recipe]]
    #: How its text becomes tokens.
    tokenizer_class: ClassVar[type[WordTokenizer]]

    def __init__(self, recipe: Recipe, vocabulary: int, rng: np.random.Generator) -> None:
        self.recipe = recipe
        self.vocabulary = vocabulary

    @classmethod
    def read_corpus(cls, recipe: Recipe) -> str:
        """The text to learn from: the user's, or the model's own."""
        return embedded(cls.corpus) if recipe.data is None else read_text(recipe.data)

    def examples(self, tokens: np.ndarray, unit: str) -> tuple[np.ndarray, np.ndarray]:
        """The inputs and targets that a text holds, a row an example. `unit` names what the text is counted in."""
        raise TypeError(f"{type(self).__name__} doesn't define examples")

    def progress_line(self, step: int, seen: str, target: str, guess: str, loss: float) -> str:
        """The line that training prints now and then. `loss` is the mean of the last steps."""
        return f"Step {step} | Input: {seen} | Target: {target} | Pred: {guess} | Loss: {loss:.4f}"

    def summary(self, inputs: np.ndarray, targets: np.ndarray) -> list[tuple[str, Any]]:
        """What to say about a trained model: sentences, each with the figures it holds as a dict for `--json`."""
        return []
