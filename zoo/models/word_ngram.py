"""Word n-gram: a network that knows where each word stands (Bengio et al. 2003, A Neural Probabilistic Language Model).

**The idea.** A mean of embeddings is a bag of words: "the dog chased" and "dog chased the" look alike to it. Here each of the
last three positions has an embedding table of its own, so that "dog" as the last word is another list of numbers than "dog" as
the first; and the three lists lie side by side. A *hidden layer* then mixes them: each of its 96 numbers is a weighted sum of
all 96 inputs, bent by tanh, an S-shaped curve from -1 to 1. Without the bend, two matrices in a row would be no more than one.

(Chapter 9 of the course asks what the positions are worth.)

    tokens      (batch, 3)     the cat sat  ->  29 8 24
    embeddings  (batch, 96)    32 numbers from the first word's table, 32 from the second's, 32 from the third's
    hidden      (batch, 96)    tanh(embeddings @ weight + bias)
    logits      (batch, 34)    hidden @ weight + bias: one for each word

It learns from 20 sentences about cats, dogs and people, 34 distinct words. No example reaches from one sentence into the next.

**Learning.** Gradient descent by 8 examples at a time, 150 times through the sentences. The learning rate is 0.1 for the first
50 epochs (an *epoch* is once through), then 0.05, then 0.02: long steps to get near, short ones to settle. The loss falls from
3.5, which is log 34, so no idea at all, to 0.11. It can't reach 0: after "the cat sat" the sentences go on with "on" and with
"in", and half the probability for each is the best there is.

**Order matters.** After "the dog chased" comes "the", after "dog chased the" comes "cat", and the model is sure of both.
`--pooling mean` removes the positions: one table, and the mean of three rows. The two contexts then hold the same words and
get the same prediction, about two fifths "the" and two fifths "cat". Try both:

    python -m zoo.train word_ngram && python -m zoo.predict word_ngram "dog chased the"
    python -m zoo.train word_ngram --pooling mean --out runs/mean && python -m zoo.predict runs/mean "dog chased the"

**Dropout.** `--dropout 0.2` sets a fifth of the hidden numbers to 0 at random while it learns, others in each step, so that no
single one can be relied upon (Srivastava et al. 2014). With so little text to learn by heart it doesn't help; with more it
does.

**What is missing.** Three words are little. A wider window means more tables and a larger matrix, and what was learned about a
word in one position says nothing about it in another. Later models have one set of weights for all positions: `char_rnn` reads
on and keeps a hidden state, `char_gpt` looks back at 256 positions.

**It doesn't know where a sentence ends.** There is no sign for that in its vocabulary, so after the last word of a sentence it
goes on from contexts that it never saw, and babbles: "the girl ran to the park tea the park".

A prompt may be shorter than three words: the last word belongs to the last table, and the missing embeddings are zeros. In a
text of your own, `--data my.txt`, each line is a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import microtensor as mt
from microtensor import Tensor, nn
from microtensor.optim import piecewise
from zoo import recipe as recipes
from zoo.model import Description, Model
from zoo.options import option
from zoo.recipe import Metrics, corpus_option
from zoo.tokenizers.words import WordTokenizer


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.Recipe):
    """The settings of word_ngram: SGD whose rate is lowered after a third and after two thirds of the way."""

    tokenizer_class = WordTokenizer
    document_per_line = True

    corpus: str | None = corpus_option("sentences")
    context: int = option(3, "how many words the model sees", at_least=1, at_most=2**12)
    width: int = option(32, "how many numbers stand for a word", at_least=1, at_most=2**14)
    batch_size: int = option(8, "how many examples are learned from at a time", at_least=1, at_most=10**9)
    hidden: int = option(96, "how many numbers the middle layer has", at_least=1, at_most=2**14)
    pooling: str = option(
        "positions",
        "how the words' embeddings become one context",
        choices=("positions", "mean"),
    )
    dropout: float = option(0.0, "the fraction of the middle layer dropped at random while learning", at_least=0, below=1)
    epochs: int | None = option(150, "how many times the text is gone through", at_least=1, at_most=10**9)
    learning_rate: float = option(0.1, "the learning rate of the first third of training", above=0, at_most=1e30)

    def schedule(self, steps: int) -> Callable[[int], float]:
        """The whole rate for a third of the way, half of it for another, and a fifth for the last."""
        return piecewise([-(-steps // 3), -(-2 * steps // 3)], [1.0, 0.5, 0.2])

    def evaluates_after(self, step: int, steps: int, epoch_steps: int) -> bool:
        """The first epoch too, which shows the loss it starts from."""
        return step == epoch_steps or super().evaluates_after(step, steps, epoch_steps)

    def report(self, at: Metrics) -> tuple[str, dict[str, Any]]:
        """The epoch's mean loss and the learning rate."""
        epoch = f"Epoch {at.epoch:>{len(str(at.epochs))}}/{at.epochs}"
        return f"{epoch} | {at.losses()} | LR: {at.learning_rate:.3f}", {"epoch": at.epoch}


class WordNgram(Model):
    """tokens (batch, context) to logits (batch, vocabulary), by a table of embeddings for each position and a tanh layer."""

    recipe_class = Recipe
    description = Description(
        title="3 words in order", reference=(0.111, 1),
        prompts=("the cat sat", "the dog chased", "dog chased the", "boy ate some"),
        sample_prompt="the girl ran", sample_tokens=3, sample_temperature=0.0,
    )  # fmt: skip

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        tables = recipe.context if recipe.pooling == "positions" else 1
        self.tables = [nn.Embedding(vocabulary_size, recipe.width, init_std=0.5, rng=rng) for _ in range(tables)]
        self.hidden = nn.Linear(tables * recipe.width, recipe.hidden, rng=rng, activation="tanh")
        self.dropout = nn.Dropout(recipe.dropout)
        self.output = nn.Linear(recipe.hidden, vocabulary_size, init_std=0.1 / recipe.hidden**0.5, rng=rng)

    def forward(self, tokens: Any) -> Tensor:
        """tokens (batch, time), whole numbers; logits (batch, vocabulary)."""
        tokens = np.asarray(tokens)
        if self.recipe.pooling == "mean":
            context = self.tables[0](tokens).mean(axis=1)
        else:
            # The last word belongs to the last table; positions before the text began are zeros.
            missing = len(self.tables) - tokens.shape[1]
            nothing = np.zeros((len(tokens), missing * self.recipe.width), np.float32)
            context = mt.concatenate([nothing, *(table(tokens[:, i]) for i, table in enumerate(self.tables[missing:]))], axis=1)
        return self.output(self.dropout(self.hidden(context)))
