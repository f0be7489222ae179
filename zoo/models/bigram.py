"""Bigram: which character follows which? A table with a row for each character is all that this model is.

**The idea.** Write the alphabet down the side of a sheet of paper and once more along its top, go through a text, and make a
stroke for every pair of characters that follow each other. Divided by their sum, the strokes of a row say how often each
character came next. That is a model of text, and a very old one: Markov counted vowels and consonants in Pushkin in 1913, and
Shannon let such tables write English in 1948. This one learns the same table without counting anything.

    token    (batch, 1)     e    ->  5
    logits   (batch, 27)    row 5 of the table: a score for each character that may come next

Its text is a list of 32,033 given names, one a line. The end of a line, the newline, is a token too, beside the 26 letters, and
stands before each name and after it: the newline's row says which letters names begin with, and its column with which they end.
A name of n letters has n + 1 targets. A tenth of the names, drawn at random, is held out.

**Learning.** The 27 x 27 = 729 scores start near 0, where every character is as likely as another: the loss is log 27 = 3.30
nats. The gradient then does what the pencil did.

**Why it must agree with counting.** Let n[j] be how often character j follows, in all the text, one that is fixed, and N their
sum. With the row's scores s, the probabilities are p = softmax(s), and what the N pairs add to the loss is

    L = -sum over j of n[j] log p[j],    where log p[j] = s[j] - log(sum over k of exp s[k])

The derivative of s[j] by s[k] is 1 where j = k and else 0; that of the logarithm of the sum is p[k]. So

    dL / ds[k] = -n[k] + N p[k] = N (p[k] - n[k] / N)

N times what is predicted minus what is counted. Gradient descent comes to rest only where the two are equal; and as L is convex
(a sum of exponentials, in a logarithm, is), that is its minimum and there is no other. There the loss is the entropy of the
counted frequencies, and elsewhere it is larger by their Kullback-Leibler divergence from p. No model that sees a single
character can do better on that text. (One thing a table of scores can't do: a pair that never occurs would need minus infinity.
Its score falls and falls, and its part of the loss was next to nothing already.)

This is what training prints at its end, beside the loss of counting; the two differ by less than a thousandth of a nat.
Chapter 10 of the course compares the gradient, too.

**What it writes.** It knows no more than the last character, and its names are as you would expect:

    python -m zoo.train bigram && python -m zoo.generate bigram --prompt ""

After each name it says if it learned that name, if it is among those held out, or if it is new. Most are new, and it shows.

**What is missing.** Two characters would need 27 x 27 rows, three 19,683, most of which nothing would ever be written in: the
paper runs out before the language does. And rows don't learn from each other: whatever it finds out about "a" says nothing
about "e", vowels though they both are. The next models give each character a list of numbers instead, its embedding, and what
is alike can have alike numbers. `char_mlp` does better on the same names.

**Adam** divides each score's gradient by its usual size. The gradient of a row has the factor N, so with plain gradient descent
the row of "q", in one pair of a thousand, would learn a hundred times more slowly than that of "a".

Any text will do: `--corpus shakespeare`, `--data my.txt`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from microtensor import Tensor, embedding, nn, softmax
from microtensor.optim import Adam, Optimizer, warmup_cosine
from zoo import recipe as recipes
from zoo.datasets.batches import Dataset, WindowDataset
from zoo.model import Description, Model
from zoo.options import option
from zoo.recipe import Metrics, corpus_option


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.Recipe):
    """The settings of bigram: Adam, in steps that get shorter along half a cosine."""

    keep_best: ClassVar[bool] = False
    loss_window: ClassVar[int | None] = 100

    corpus: str | None = corpus_option("names")
    context: int = option(1, "how many characters the model sees: no more than the last", at_least=1, at_most=1)
    batch_size: int = option(4096, "how many pairs a step learns from", at_least=1, at_most=10**9)
    steps: int | None = option(1000, "how many times the table is changed", at_least=1, at_most=10**12)
    learning_rate: float = option(0.1, "the learning rate at the start", above=0, at_most=1e30)

    def optimizer(self, model: nn.Module) -> Optimizer:
        """Adam: the row of a rare character learns as fast as another."""
        return Adam(model.parameters(), lr=self.learning_rate)

    def schedule(self, steps: int) -> Callable[[int], float]:
        """Half a cosine, down to 0."""
        return warmup_cosine(0, steps, 0.0)

    def report(self, at: Metrics) -> tuple[str, dict[str, Any]]:
        """The losses."""
        return f"Step {at.step:>{len(str(at.steps))}}/{at.steps} | {at.losses()}", {}

    def summary(self, model: nn.Module, dataset: Dataset) -> list[tuple[str, dict[str, Any]]]:
        """The loss over all pairs, by the table and by counting."""
        assert isinstance(model, Bigram) and isinstance(dataset, WindowDataset)
        size = model.vocabulary_size
        pairs = dataset.inputs[:, -1] * size + dataset.targets
        counts = np.bincount(pairs, minlength=size * size).reshape(size, size)
        counted = mean_loss(counts, counts / counts.sum(axis=1, keepdims=True).clip(1))
        trained = mean_loss(counts, softmax(model.table.data.astype(np.float64)))
        return [
            (
                f"Loss over all {counts.sum():,} pairs: {trained:.4f} by the table, {counted:.4f} by counting",
                {"pairs": int(counts.sum()), "table_loss": trained, "counting_loss": counted},
            )
        ]


def mean_loss(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """The mean loss in nats of pairs that occur so often and are given these probabilities: both (vocabulary, vocabulary)."""
    occur = counts > 0
    return float(-(counts[occur] * np.log(probabilities[occur])).sum() / counts.sum())


class Bigram(Model):
    """tokens (batch, 1) to logits (batch, vocabulary), by a row of a table."""

    recipe_class = Recipe
    description = Description(title="pairs of characters", reference=(2.458, 1), sample_tokens=60, max_new_tokens=150)

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.table = nn.normal((vocabulary_size, vocabulary_size), 0.01, rng)

    def forward(self, tokens: Any) -> Tensor:
        """tokens (batch, time), whole numbers, of which the last counts; logits (batch, vocabulary)."""
        return embedding(np.asarray(tokens)[:, -1], self.table)
