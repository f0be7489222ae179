"""An LSTM that reads one character after the other and keeps a hidden state (Hochreiter and Schmidhuber 1997)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import microtensor as mt
from microtensor import Tensor, nn
from microtensor.optim import AdamW
from zoo import recipe as recipes
from zoo.cache import Cache
from zoo.model import Model
from zoo.options import option


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.Recipe):
    """AdamW at a constant rate."""

    width: int = option(24, "how many numbers the hidden state has", at_least=1)
    context: int = option(16, "how many characters a sequence has", at_least=1)
    batch_size: int = option(8, "how many sequences a step learns from", at_least=1)
    steps: int | None = option(40, "how many times the parameters are changed", at_least=1)
    learning_rate: float = option(0.01, "the learning rate", above=0)
    dropout: float = option(0.1, "the fraction of numbers dropped at random while learning", at_least=0, below=1)

    def optimizer(self, model: nn.Module) -> AdamW:
        """AdamW."""
        return AdamW(model.parameters(), lr=self.learning_rate)


class Cell(nn.Module):
    """One step in time: gates decide what the cell forgets, takes in, and shows."""

    def __init__(self, width: int, rng: np.random.Generator) -> None:
        self.gates = nn.Linear(2 * width, 4 * width, rng=rng)

    def forward(self, x: Any, hidden: Any, cell: Any) -> tuple[Tensor, Tensor]:
        """All (batch, width); returns the next hidden state and cell state."""
        forget, enter, show, new = np.split(self.gates(mt.concatenate([x, hidden], axis=1)), 4, axis=1)
        cell = mt.sigmoid(forget) * cell + mt.sigmoid(enter) * np.tanh(new)
        return mt.sigmoid(show) * np.tanh(cell), cell


class LSTM(Model):
    """tokens (batch, time) to logits (batch, time, vocabulary)."""

    recipe_class = Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.embedding = nn.Embedding(vocabulary_size, recipe.width, rng=rng)
        self.cell = Cell(recipe.width, rng)
        self.dropout = nn.Dropout(recipe.dropout)
        self.lm_head = nn.Linear(recipe.width, vocabulary_size, rng=rng)

    def forward(self, tokens: Any, cache: Any = None) -> Tensor:
        """The hidden state goes from token to token; a cache brings that of the tokens before."""
        x = self.embedding(tokens)
        zeros = np.zeros((len(tokens), x.shape[2]), np.float32)
        hidden, cell = (zeros, zeros) if cache is None or cache.length == 0 else cache.state
        states = []
        for i in range(tokens.shape[1]):
            hidden, cell = self.cell(x[:, i], hidden, cell)
            states.append(hidden)
        if cache is not None:
            cache.state = hidden.numpy(), cell.numpy()
        return self.lm_head(self.dropout(mt.stack(states, axis=1)))

    def new_cache(self, batch: int = 1) -> Cache:
        """The states, however long the text."""
        return Cache()
