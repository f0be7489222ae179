"""Word mean-pool: the smallest word model that learns. Four words in, a guess at the fifth out.

**The idea.** Give every word of the vocabulary a list of 32 numbers, its *embedding*. To guess the next word, take the
embeddings of the last four words and average them: that is the *context*, 32 numbers again. Compare it with one column of 32
numbers for every word (a matrix product), which gives a number, the *logit*, for each. Softmax turns logits into probabilities
p that add up to 1. (`python -m zoo.explain word_meanpool "see the lights"` shows each of these numbers; the course begins
before them.)

    tokens      (batch, 4)             see the lights burn  ->  174 206 113 24
    embeddings  (batch, 4, 32)         a row of the table for each word
    context     (batch, 32)            their mean
    logits      (batch, vocabulary)    context @ projection

**Learning.** All those numbers start at random. The loss of an example is -log p(the word that really came): 0 when the
model was sure of it, 5.5 when all 252 words seem equally likely. The gradient says how the loss changes with each
number; for the logits it is simply p, minus 1 at the right word. Stochastic gradient descent moves every number a little
against its gradient, one example at a time, 100,000 times.

**What a mean can't see.** A mean doesn't know the order of its words: a context is a *bag* of words. In our verses "the
wing she painted" is followed by "the", and "wing she painted the" by "windows". Both contexts hold the same four words,
so their means are the same and so is the guess: one of the two must be wrong, however long we train. Seven bags of the
verses are followed by different words. One of them, "see the lights burn", ends each chorus with another word, which no
model that sees four words could foretell (any of the three counts as right). Each of the other six holds two contexts, of
which one is lost. So 409 of the 415 distinct contexts are the most that can be guessed right, and the command says after
training how many are. The next models of the zoo keep the
positions, and attention learns which of them matter.

**Batches.** `--batch-size 64` averages the gradient of 64 examples in each step. The matrices are then large enough to
keep the processor busy, and the same number of examples takes a fraction of the time. A mean of 64 gradients is steadier
than one, so the step may be 64 times longer (the linear scaling rule of Goyal et al. 2017, arXiv:1706.02677); unless told
otherwise the recipe takes 64 times fewer and longer steps.

A prompt may be shorter than four words: the mean is then of those there are, though the model never saw that in training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from microtensor import Tensor, embedding_bag, nn, no_grad
from zoo import recipe as recipes
from zoo.datasets.batches import Dataset, WindowDataset
from zoo.model import Description, Model, predict
from zoo.options import option
from zoo.recipe import Metrics
from zoo.tokenizers.words import WordTokenizer

EXAMPLES = 100_000  # how many the default recipe learns from
LEARNING_RATE = 0.1  # for an example at a time
SUMMARIZED = 20_000  # of a long text, the summary looks at so many examples from its beginning


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.Recipe):
    """The settings of word_meanpool: plain SGD, an example a step."""

    tokenizer_class = WordTokenizer
    loss_window = 1000

    width: int = option(32, "how many numbers stand for a word", at_least=1, at_most=10**5)
    steps: int | None = option(
        None, f"how many steps; {EXAMPLES} divided by the batch size unless given", at_least=1, at_most=10**12
    )
    learning_rate: float = option(
        None,
        f"how far a step moves along the gradient; {LEARNING_RATE} times the batch size unless given",
        above=0,
        at_most=1e30,
    )

    def fill_in(self) -> None:
        """Derive the number of steps and the learning rate from the batch size."""
        if isinstance(self.batch_size, int) and 0 < self.batch_size <= EXAMPLES:
            if self.epochs is None:
                self.default("steps", math.ceil(EXAMPLES / self.batch_size))
            self.default("learning_rate", LEARNING_RATE * self.batch_size)

    def evaluates_after(self, step: int, steps: int, epoch_steps: int) -> bool:
        """The first step too: it shows what the untrained model guesses, and the loss it starts from."""
        return step == 1 or super().evaluates_after(step, steps, epoch_steps)

    def report(self, at: Metrics) -> tuple[str, dict[str, Any]]:
        """An example, and what the model guessed."""
        example = at.example()
        seen = " | ".join(f"{name.capitalize()}: {text}" for name, text in example.items())
        return f"Step {at.step} | {seen} | {at.losses()}", example

    def summary(self, model: nn.Module, dataset: Dataset) -> list[tuple[str, dict[str, Any]]]:
        """For how many contexts the likeliest word is right, and how many a mean can't tell apart."""
        assert isinstance(dataset, WindowDataset)
        inputs, targets = dataset.inputs[:SUMMARIZED], dataset.targets[:SUMMARIZED]
        with no_grad():
            parts = [predict(model, inputs[i : i + 256]).data.argmax(axis=1) for i in range(0, len(inputs), 256)]
        guesses = np.concatenate(parts)
        right: dict[tuple[int, ...], bool] = {}
        bags: dict[tuple[int, ...], set[int]] = {}
        for context, target, guess in zip(inputs.tolist(), targets.tolist(), guesses.tolist(), strict=True):
            right[tuple(context)] = right.get(tuple(context), False) or guess == target
            bags.setdefault(tuple(sorted(context)), set()).add(target)
        known, contexts = sum(right.values()), len(right)
        ambiguous = sum(len(continuations) > 1 for continuations in bags.values())
        return [
            (
                f"Right: the likeliest next word, for {known} of {contexts} distinct contexts ({known / contexts:.1%})",
                {"right_contexts": known, "distinct_contexts": contexts},
            ),
            (
                f"Bags: {ambiguous} set{'s' if ambiguous != 1 else ''} of {self.context} words "
                "with several continuations, which a mean can't tell apart",
                {"ambiguous_bags": ambiguous},
            ),
        ]


class WordMeanPool(Model):
    """tokens (batch, context) to logits (batch, vocabulary), by the mean of the words' embeddings."""

    recipe_class = Recipe
    description = Description(title="mean of 4 words", reference=(0.052, 5))

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.embeddings = nn.normal((vocabulary_size, recipe.width), 1.0, rng)
        self.projection = nn.normal((recipe.width, vocabulary_size), 1 / math.sqrt(recipe.width), rng)

    def forward(self, tokens: Any) -> Tensor:
        """tokens (batch, time), whole numbers; logits (batch, vocabulary)."""
        context = embedding_bag(tokens, self.embeddings)  # the mean of the words' rows: (batch, width)
        return context @ self.projection
