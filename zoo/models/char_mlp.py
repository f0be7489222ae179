"""Character MLP: a hidden layer on three characters, the network of Bengio et al. 2003, that makes up names.

**From last time.** `word_ngram` is this network on words, with a table of embeddings for each position. Here there is one table
for all positions, as in A Neural Probabilistic Language Model (Bengio et al. 2003): what a letter is, is learned once, and what
it means to be the last, or the one before, is left to the hidden layer's weights. Andrej Karpathy's makemore has the same
network on the same list of names, so the losses can be compared.

    tokens      (batch, 3)      e m m  ->  5 13 13
    embeddings  (batch, 30)     10 numbers for each, side by side
    hidden      (batch, 200)    tanh(embeddings @ weight + bias)
    logits      (batch, 27)     hidden @ weight + bias: a score for each character

    table 27 x 10 + hidden 30 x 200 + 200 + output 200 x 27 + 27 = 11,897 numbers

A table for three characters, as `bigram` has one for one, would need 27 x 27 x 27 rows, most of them for what never occurs.
Here all contexts share 11,897 numbers, and contexts that are alike get similar predictions, whether or not they were ever seen.
That is the paper's point, and why it is the ancestor of all later models.

**Where a name begins and ends.** A newline stands before each name and after it, as a token like the letters. A name of n
letters gives n + 1 examples. For "ava", with a dot for the newline, these are . -> a, .a -> v, .av -> a and ava -> . (the first
two have fewer than three characters, and there the missing embeddings are zeros).

**Learning.** At the start the output's weights are small, so that the logits are near 0 and the loss near log 27 = 3.30: with
large ones the network would begin by being sure of nonsense, and spend its first thousand steps on unlearning that. The hidden
layer's are drawn so that its sums are about as large as its inputs. There tanh bends; far from 0 it is flat, and nothing gets
through to the gradient, as the derivative of tanh(x) is 1 - tanh(x)^2.

AdamW takes 512 examples a step. The learning rate rises for 100 steps and falls along half a cosine to 0: long steps find the
region, and short ones the best place in it. After 20 times through the names the loss on those held out is 2.099 nats (8 times
give 2.112). makemore's network of as many numbers, trained as its author does (200,000 steps of 32 examples), gets 2.109 on the
same names. One in seven of the names held out was learned as well, because the list has it twice: once for girls and once for
boys.

**What a longer memory is worth**, in nats a character on the names that were held out. (The command tries four contexts, which
takes a few minutes.)

    python -m zoo.compare char_mlp --context 1 2 3 5

    context  parameters  held-out
          1       7,897    2.4586
          2       9,897    2.2277
          3      11,897    2.0987
          5      15,897    2.0302

With one character it is a `bigram` that takes a detour, and gets what counting gets, 2.458. Each further character costs 2,000
numbers.

**What it writes.** `python -m zoo.generate char_mlp --prompt ""` writes names, and says of each if it was in training, was held
out or is new. With `--prompt mar` the first begins so.

**What is missing.** A context that is twice as long needs twice the weights, and what the hidden layer has learned of a pair of
letters in one place it doesn't know in another. The next models have one set of weights for all positions: `char_rnn` reads
on and keeps a hidden state, `char_gpt` looks back 256 characters. (The paper also had weights that led from the embeddings
straight to the logits. They are left out here.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import microtensor as mt
from microtensor import Tensor, nn
from microtensor.optim import AdamW, Optimizer, warmup_cosine
from zoo import recipe as recipes
from zoo.model import Description, Model
from zoo.options import option
from zoo.recipe import corpus_option


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.Recipe):
    """The settings of char_mlp: AdamW, a short rise, then half a cosine."""

    loss_window: ClassVar[int | None] = 1000

    corpus: str | None = corpus_option("names")
    context: int = option(3, "how many characters the model sees", at_least=1, at_most=2**12)
    width: int = option(10, "how many numbers stand for a character", at_least=1, at_most=2**14)
    hidden: int = option(200, "how many numbers the middle layer has", at_least=1, at_most=2**14)
    batch_size: int = option(512, "how many examples are learned from at a time", at_least=1, at_most=10**9)
    epochs: int | None = option(20, "how many times the text is gone through", at_least=1, at_most=10**9)
    learning_rate: float = option(0.01, "the highest learning rate", above=0, at_most=1e30)
    warmup: int = option(100, "over how many steps the learning rate rises", at_least=0, at_most=10**12)
    weight_decay: float = option(0.01, "how strongly the weights are drawn towards 0", at_least=0, at_most=1e6)

    def optimizer(self, model: nn.Module) -> Optimizer:
        """AdamW."""
        return AdamW(model.parameters(), lr=self.learning_rate, betas=(0.9, 0.99), weight_decay=self.weight_decay)

    def schedule(self, steps: int) -> Callable[[int], float]:
        """A rise from 0, then half a cosine down to 0."""
        return warmup_cosine(min(self.warmup, steps), steps, 0.0)


class CharMLP(Model):
    """tokens (batch, context) to logits (batch, vocabulary), by one table of embeddings and a tanh layer."""

    recipe_class = Recipe
    description = Description(title="with a hidden layer", reference=(2.099, 30), sample_tokens=60, max_new_tokens=150)

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.embedding = nn.Embedding(vocabulary_size, recipe.width, init_std=1.0, rng=rng)
        self.hidden = nn.Linear(recipe.context * recipe.width, recipe.hidden, rng=rng, activation="tanh")
        self.output = nn.Linear(recipe.hidden, vocabulary_size, init_std=0.1 / recipe.hidden**0.5, rng=rng)

    def forward(self, tokens: Any) -> Tensor:
        """tokens (batch, time), whole numbers, at most `context` in time; logits (batch, vocabulary)."""
        seen = self.embedding(tokens)  # (batch, time, width)
        batch, time, width = seen.shape
        side_by_side = seen.reshape((batch, time * width))
        if time < self.recipe.context:  # before the text began, there are zeros
            nothing = np.zeros((batch, (self.recipe.context - time) * width), side_by_side.dtype)
            side_by_side = mt.concatenate([nothing, side_by_side], axis=1)
        return self.output(self.hidden(side_by_side))
