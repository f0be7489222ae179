"""MLP"""

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
    """The settings of char_mlp."""

    loss_window: ClassVar[int | None] = 1000

    corpus: str | None = corpus_option("names")
    context: int = option(3, "how many characters the model sees", at_least=1, at_most=2**12)
    width: int = option(10, "how many numbers stand for a character", at_least=1, at_most=2**14)
    hidden: int = option(200, "how many numbers the hidden layer has", at_least=1, at_most=2**14)
    batch_size: int = option(512, "how many examples are learned from at a time", at_least=1, at_most=10**9)
    epochs: int | None = option(30, "how many times the text is gone through", at_least=1, at_most=10**9)
    learning_rate: float = option(0.01, "the learning rate at the start", above=0, at_most=1e30)
    weight_decay: float = option(0.01, "how strongly matrices are drawn towards 0", at_least=0, at_most=1e6)

    def optimizer(self, model: nn.Module) -> Optimizer:
        matrices = [p for p in model.parameters() if p.ndim == 2]
        others = [p for p in model.parameters() if p.ndim != 2]
        groups = [{"params": matrices, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return AdamW(groups, lr=self.learning_rate, betas=(0.9, 0.99))

    def schedule(self, steps: int) -> Callable[[int], float]:
        return warmup_cosine(min(100, steps), steps, 0.0)


class CharMLP(Model):
    """tokens (batch, context) to logits (batch, vocabulary), by a hidden layer."""

    recipe_class = Recipe
    description = Description(title="3 characters and a hidden layer", reference=(2.1, 20), max_new_tokens=150, sample_tokens=60)

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.embedding = nn.Embedding(vocabulary_size, recipe.width, init_std=1.0, rng=rng)
        self.hidden = nn.Linear(recipe.context * recipe.width, recipe.hidden, rng=rng, activation="tanh")
        self.output = nn.Linear(recipe.hidden, vocabulary_size, init_std=0.1 / recipe.hidden**0.5, rng=rng)

    def forward(self, tokens: Any) -> Tensor:
        tokens = np.asarray(tokens)
        missing = self.recipe.context - tokens.shape[1]
        seen = self.embedding(tokens).reshape((len(tokens), -1))
        if missing:
            seen = mt.concatenate([np.zeros((len(tokens), missing * self.recipe.width), np.float32), seen], axis=1)
        return self.output(self.hidden(seen))
