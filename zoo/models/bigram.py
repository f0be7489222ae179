"""Bigram"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from microtensor import Tensor, embedding, nn
from microtensor.optim import AdamW, Optimizer, warmup_cosine
from zoo import recipe as recipes
from zoo.datasets.batches import Dataset, WindowDataset
from zoo.model import Description, Model
from zoo.options import option
from zoo.recipe import corpus_option


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.Recipe):
    """The settings of bigram: Adam, whose steps get shorter along half a cosine."""

    keep_best: ClassVar[bool] = False
    loss_window: ClassVar[int | None] = 100

    corpus: str | None = corpus_option("names")
    context: int = option(1, "how many characters the model sees", at_least=1, at_most=1)
    batch_size: int = option(4096, "how many pairs a step learns from", at_least=1, at_most=10**9)
    steps: int | None = option(1000, "how many times the table is changed", at_least=1, at_most=10**12)
    learning_rate: float = option(0.1, "the learning rate at the start", above=0, at_most=1e30)

    def optimizer(self, model: nn.Module) -> Optimizer:
        """Adam: a row of a rare character moves as far as another."""
        return AdamW(model.parameters(), lr=self.learning_rate, weight_decay=0.0)

    def schedule(self, steps: int) -> Callable[[int], float]:
        """Half a cosine, down to 0."""
        return warmup_cosine(0, steps, 0.0)

    def summary(self, model: nn.Module, dataset: Dataset) -> list[tuple[str, dict[str, Any]]]:
        """How far the loss is from the one that counting gives, over all pairs."""
        assert isinstance(model, Bigram) and isinstance(dataset, WindowDataset)
        size = model.vocabulary_size
        counts = np.bincount(dataset.inputs[:, -1] * size + dataset.targets, minlength=size**2).reshape(size, size)
        table = model.table.data.astype(np.float64)
        table = table - np.log(np.exp(table - table.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)) - table.max(axis=1, keepdims=True)
        trained = -(counts * table).sum() / counts.sum()
        frequencies = counts / counts.sum(axis=1, keepdims=True).clip(1)
        counted = -(counts * np.log(frequencies, where=counts > 0, out=np.zeros_like(frequencies))).sum() / counts.sum()
        return [(
            f"Counting: {counted:.4f} nats over all {counts.sum():,} pairs that it learned from; the trained table: {trained:.4f}",
            {"counting_loss": counted, "table_loss": trained},
        )]


class Bigram(Model):
    """tokens (batch, 1) to logits (batch, vocabulary): a row of a table."""

    recipe_class = Recipe
    description = Description(title="counts pairs", reference=(2.455, 2), max_new_tokens=150, sample_tokens=60, sample_temperature=1.0)

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.table = nn.normal((vocabulary_size, vocabulary_size), 0.01, rng)

    def forward(self, tokens: Any) -> Tensor:
        """tokens (batch, time), whole numbers, of which the last counts; logits (batch, vocabulary)."""
        return embedding(np.asarray(tokens)[:, -1], self.table)
