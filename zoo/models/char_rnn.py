"""Char RNN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from microtensor import Tensor, nn
from microtensor.optim import AdamW, Optimizer, warmup_cosine
from zoo import recipe as recipes
from zoo.cache import StateCache
from zoo.datasets.batches import Dataset, StreamDataset
from zoo.datasets.corpus import Corpus
from zoo.datasets.shakespeare import TinyShakespeare
from zoo.model import Description, Model
from zoo.options import option
from zoo.tokenizers.tokenizer import Tokenizer

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.Recipe):
    """The settings of char_rnn: AdamW, a warmup, then half a cosine; the hidden state is carried from batch to batch."""

    corpus: ClassVar[Corpus] = TinyShakespeare()
    loss_window: ClassVar[int | None] = 100
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"layers": 1, "width": 128, "dropout": 0.0, "steps": 1500},
        "karpathy": {
            "layers": 2, "width": 128, "context": 50, "batch_size": 50, "dropout": 0.5, "epochs": 50, "weight_decay": 0.0,
        },
    }  # fmt: skip

    cell: str = option("lstm", "what a step in time is", choices=("rnn", "gru", "lstm"))
    context: int = option(64, "how many characters back the gradient goes", at_least=1, at_most=2**16)
    layers: int = option(2, "how many layers follow each other", at_least=1, at_most=100)
    width: int = option(256, "how many numbers the hidden state of a layer has", at_least=1, at_most=2**14)
    dropout: float = option(0.2, "the fraction of numbers dropped at random while learning", at_least=0, below=1)
    carry: str = option("yes", "whether a batch goes on from the hidden state of the one before", choices=("yes", "no"))
    batch_size: int = option(32, "how many sequences a step learns from", at_least=1, at_most=10**9)
    steps: int | None = option(3000, "how many times the parameters are changed", at_least=1, at_most=10**12)
    learning_rate: float = option(3e-3, "the highest learning rate", above=0, at_most=1e30)
    min_learning_rate_ratio: float = option(0.02, "the last learning rate, over the highest", at_least=0, at_most=1)
    warmup: int = option(100, "over how many steps the learning rate rises", at_least=0, at_most=10**12)
    weight_decay: float = option(0.1, "how strongly matrices are drawn towards 0", at_least=0, at_most=1e6)
    grad_clip: float | None = option(
        1.0, "the greatest norm of the gradient: a longer one is scaled down", above=0, at_most=1e30
    )
    evaluate_every: int = option(250, "evaluate after every so many steps", at_least=1, at_most=10**12)

    def dataset(self, documents: list[np.ndarray], tokenizer: Tokenizer, every_token: bool) -> Dataset:
        """Streams of a long text, through which the hidden state is carried."""
        if self.carry == "yes" and len(documents) == 1:
            return StreamDataset(documents, self.context, tokenizer.unit)
        return super().dataset(documents, tokenizer, every_token)

    def optimizer(self, model: nn.Module) -> Optimizer:
        """AdamW, with weight decay for matrices only."""
        matrices = [p for p in model.parameters() if p.ndim == 2]
        others = [p for p in model.parameters() if p.ndim != 2]
        groups = [{"params": matrices, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return AdamW(groups, lr=self.learning_rate, betas=(0.9, 0.99))

    def schedule(self, steps: int) -> Callable[[int], float]:
        """A rise from 0, then half a cosine down to the last learning rate."""
        return warmup_cosine(min(self.warmup, steps), steps, self.min_learning_rate_ratio)

    def evaluation_steps(self, steps: int, epoch_steps: int) -> set[int]:
        """Every `evaluate_every` steps, and the last."""
        return {*range(self.evaluate_every, steps, self.evaluate_every), steps}


def read_state(cache: StateCache, name: str) -> Any:
    """A layer's state, as it takes it: h, or for an LSTM (h, c); None in an empty cache."""
    state = tuple(cache.states[key] for key in (f"{name}.h", f"{name}.c") if key in cache.states)
    return state if len(state) > 1 else state[0] if state else None


def write_state(cache: StateCache, name: str, state: Any) -> None:
    """Keep a layer's state as plain arrays, through which no gradient flows."""
    for key, array in zip("hc", state if isinstance(state, tuple) else (state,), strict=False):
        cache.states[f"{name}.{key}"] = array.data


class CharRNN(Model):
    """tokens (batch, time) to logits (batch, time, vocabulary): a guess after every character."""

    recipe_class = Recipe
    description = Description(title="a memory that is rewritten", sample_prompt="\n", sample_tokens=300, max_new_tokens=500)

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.token_embedding = nn.Embedding(vocabulary_size, recipe.width, init_std=1.0, rng=rng)
        self.layers = [CELLS[recipe.cell](recipe.width, recipe.width, rng=rng) for _ in range(recipe.layers)]
        self.dropout = nn.Dropout(recipe.dropout)
        self.lm_head = nn.Linear(recipe.width, vocabulary_size, rng=rng)

    def forward(self, tokens: Any, cache: Any = None) -> Tensor:
        """tokens (batch, time); logits (batch, time, vocabulary). A cache brings the hidden states to start from, and takes the
        last ones along."""
        x, table = tokens, self.token_embedding.weight
        for i, layer in enumerate(self.layers):
            state = None if cache is None else read_state(cache, f"layers.{i}")
            x, state = layer(x, state, table=table if i == 0 else None)
            if cache is not None:
                write_state(cache, f"layers.{i}", state)
            x = self.dropout(x)
        return self.lm_head(x)

    def new_cache(self, batch: int = 1) -> StateCache:
        """Make a cache for the hidden states, however long the text."""
        return StateCache()
