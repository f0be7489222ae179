"""Character mean-pool: the smallest model with embeddings. Five characters in, a guess at the sixth out.

**The idea.** Text is a row of characters, and a model of text says which character comes next. This one knows 27 of them, the
letters and the blank. Each has a list of 32 numbers, its *embedding*; the mean of the last five embeddings is the *context*;
and the product of the context with a matrix gives a number, the *logit*, for each of the 27. Softmax turns logits into
probabilities that add up to 1. (Chapters 1 to 9 of the course take this model apart, a command at a time.)

    tokens      (batch, 5)       "the c"  ->  20 8 5 0 3
    embeddings  (batch, 5, 32)   a row of the table for each character
    context     (batch, 32)      their mean
    logits      (batch, 27)      context @ projection

27 x 32 numbers in the table and 32 x 27 in the matrix make 1,728, all of them random at the start. They learn from six phrases
("the cat sat on the mat" and its kin): after each example every number moves a little against its gradient, 100 times through
all phrases. The average loss, -log of the probability that the right character was given, falls from about 3.3 = log 27 to
0.3.

**What it learns.** After "the c" it expects "a", after "sat o" an "n". Let it go on from "the c", taking the likeliest
character each time, and it writes "the cat sat on ".

**What it can't.** There it goes astray: not "the mat" but letters thrown about. A mean doesn't know the order of what it is
the mean of. The last five characters are "t on " at first, and one step later " on t": other contexts, which go on with "t"
and with "h", but the same five characters, so the same mean, and the same guess. One of the two must be wrong, however long it
learns.

    python -m zoo.predict char_meanpool "t on "
    python -m zoo.predict char_meanpool " on t"

**Positions.** `--pooling concat` lays the five embeddings side by side instead: 160 numbers, of which each position keeps its
own slice, and the matrix has other weights for each slice. "t on " and " on t" are now as different as "t" and "h" need, and
from "the c" it writes "the cat sat on the m". That costs more numbers (5,184). The next model, `word_ngram`, is built on this.

A prompt may be shorter than five characters. The mean is then of those there are; side by side, the first slices are missing.
Text of your own: `--data my.txt`; each of its lines stands for itself, and its characters are the vocabulary. A line of five
characters or fewer is learned in the same way, each character from those before it. Other widths (16, 64), contexts (3, 10) and
learning rates are options.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from microtensor import Tensor, embedding, nn
from zoo import recipe as recipes
from zoo.model import Description, Model
from zoo.options import option
from zoo.recipe import Metrics, corpus_option


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.Recipe):
    """The settings of char_meanpool: plain SGD, an example a step, a hundred times through the phrases."""

    document_per_line = True

    corpus: str | None = corpus_option("phrases")
    context: int = option(5, "how many characters the model sees", at_least=1, at_most=2**16)
    width: int = option(32, "how many numbers stand for a character", at_least=1, at_most=2**14)
    pooling: str = option(
        "mean",
        "how the characters' embeddings become one context",
        choices=("mean", "concat"),
    )
    epochs: int | None = option(100, "how many times the text is gone through", at_least=1, at_most=10**9)
    learning_rate: float = option(0.05, "how far a step moves along the gradient", above=0, at_most=1e30)

    def report(self, at: Metrics) -> tuple[str, dict[str, Any]]:
        """The epoch's mean loss."""
        return f"Epoch {at.epoch}/{at.epochs}, {at.losses('Average Loss', ', ')}", {"epoch": at.epoch}


class CharMeanPool(Model):
    """tokens (batch, context) to logits (batch, vocabulary), by the mean of the characters' embeddings."""

    recipe_class = Recipe
    description = Description(
        title="mean of 5 characters", reference=(0.301, 1), prompts=("the c", "sat o"),
        sample_prompt="the c", sample_tokens=15, sample_temperature=0.0,
    )  # fmt: skip

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        parts = recipe.context if recipe.pooling == "concat" else 1
        self.embeddings = nn.normal((vocabulary_size, recipe.width), 1.0, rng)
        self.projection = nn.normal((parts * recipe.width, vocabulary_size), 1 / math.sqrt(parts * recipe.width), rng)

    def forward(self, tokens: Any) -> Tensor:
        """tokens (batch, time), whole numbers; logits (batch, vocabulary)."""
        seen = embedding(tokens, self.embeddings)  # (batch, time, width)
        if self.recipe.pooling == "mean":
            return seen.mean(axis=1) @ self.projection
        slices = seen.reshape((len(seen), -1))  # (batch, time * width)
        # The last character belongs to the last slice; a text shorter than the context lacks the first ones.
        return slices @ self.projection[len(self.projection) - slices.shape[1] :]
