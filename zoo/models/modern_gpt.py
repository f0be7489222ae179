"""A GPT as they are built today."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import microtensor as mt
from microtensor import Tensor, nn
from microtensor.optim import Muon, Optimizer, linear_decay
from zoo import recipe as recipes
from zoo.cache import KVCache
from zoo.datasets.corpus import Corpus
from zoo.datasets.shakespeare import TinyShakespeare
from zoo.errors import UsageError
from zoo.model import Description, Model
from zoo.options import option


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.Recipe):
    """The settings of modern_gpt: Muon for the blocks' matrices, AdamW for the tables; a constant rate, then a line to 0."""

    corpus: ClassVar[Corpus] = TinyShakespeare()
    loss_window: ClassVar[int | None] = 100
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "nano": {"layers": 4, "heads": 4, "width": 128, "context": 64, "batch_size": 12, "steps": 1000, "dropout": 0.0},
    }

    context: int = option(256, "how many characters the model sees at most", at_least=1, at_most=2**16)
    layers: int = option(6, "how many blocks follow each other", at_least=1, at_most=1000)
    heads: int = option(6, "how many ways of looking back each block has; they share the width", at_least=1, at_most=1000)
    kv_heads: int | None = option(
        None, "heads of keys and values, each for several of queries; --heads unless given", at_least=1
    )
    width: int = option(192, "how many numbers stand for a character", at_least=1, at_most=2**14)
    feed_forward: str = option("squared_relu", "the network of each position", choices=("squared_relu", "swiglu"))
    dropout: float = option(0.1, "the fraction of numbers dropped at random while learning", at_least=0, below=1)
    batch_size: int = option(16, "how many sequences a step learns from", at_least=1, at_most=10**9)
    steps: int | None = option(1500, "how many times the parameters are changed", at_least=1, at_most=10**12)
    learning_rate: float = option(0.02, "Muon's highest learning rate, for the blocks' matrices", above=0, at_most=1e30)
    embedding_rate: float = option(0.02, "AdamW's highest learning rate for the table of embeddings", above=0, at_most=1e30)
    head_rate: float = option(0.004, "AdamW's highest learning rate for the head", above=0, at_most=1e30)
    momentum: float = option(0.95, "how slowly Muon's mean of the gradients forgets", at_least=0, below=1)
    weight_decay: float = option(0.1, "how strongly the blocks' matrices are drawn towards 0", at_least=0, at_most=1e6)
    decay_fraction: float = option(0.6, "the last part of training, in which the rates fall to 0", at_least=0, at_most=1)
    evaluate_every: int = option(250, "evaluate after every so many steps", at_least=1, at_most=10**12)

    def fill_in(self) -> None:
        """Refuse heads that don't share the width evenly, or can't be paired."""
        self.default("kv_heads", self.heads)
        kv_heads: Any = self.kv_heads
        if all(isinstance(n, int) and n > 0 for n in (self.width, self.heads, kv_heads)):
            if self.width % (2 * self.heads):
                raise UsageError(f"--heads: {self.heads} heads of an even width don't make a width of {self.width}")
            if self.heads % kv_heads:
                raise UsageError(f"--kv-heads: {kv_heads} heads of keys can't serve {self.heads} heads of queries evenly")

    def optimizer(self, model: Any) -> Optimizer:
        """Muon for the blocks; AdamW for embedding and head, each at a rate of its own."""
        blocks = [p for name, p in model.named_parameters() if name.startswith("blocks.")]
        adamw = {"algorithm": "adamw", "weight_decay": 0.0}
        groups = [
            {"params": blocks},
            {"params": model.token_embedding.parameters(), "lr": self.embedding_rate, **adamw},
            {"params": model.lm_head.parameters(), "lr": self.head_rate, **adamw},
        ]
        return Muon(groups, self.learning_rate, self.momentum, self.weight_decay, betas=(0.8, 0.95))

    def schedule(self, steps: int) -> Callable[[int], float]:
        """Constant at first, then falling in a straight line to 0."""
        return linear_decay(steps, self.decay_fraction)

    def evaluation_steps(self, steps: int, epoch_steps: int) -> set[int]:
        """Every `evaluate_every` steps, and the last."""
        return {*range(self.evaluate_every, steps, self.evaluate_every), steps}


class Attention(nn.Module):
    """Every position attends to those before it and to itself; where they are is told by turning queries and keys."""

    def __init__(self, recipe: Recipe, rng: np.random.Generator) -> None:
        self.heads, self.kv_heads = recipe.heads, recipe.kv_heads or recipe.heads
        features = recipe.width // recipe.heads * (self.heads + 2 * self.kv_heads)
        self.qkv = nn.Linear(recipe.width, features, bias=False, init_std=0.5 / math.sqrt(recipe.width), rng=rng)
        self.out = nn.Linear(recipe.width, recipe.width, bias=False, init_std=0, rng=rng)

    def forward(self, x: Any, cache: Any = None) -> Tensor:
        """(batch, time, width) to the same shape; with a cache, after the positions whose keys and values it holds."""
        first = 0 if cache is None else cache.length
        qkv = mt.rotary(self.qkv(x), self.heads, self.kv_heads, first=first, normalise=True)
        return self.out(mt.multi_head_attention(qkv, self.heads, causal=True, kv_heads=self.kv_heads, cache=cache))


class SquaredReLU(nn.Module):
    """Every position thinks for itself: four times as wide, max(0, x)^2, and back."""

    def __init__(self, recipe: Recipe, rng: np.random.Generator) -> None:
        up = 4 * recipe.width
        self.up = nn.Linear(
            recipe.width, up, bias=False, init_std=0.5 / math.sqrt(recipe.width), rng=rng, activation="squared_relu"
        )
        self.down = nn.Linear(up, recipe.width, bias=False, init_std=0, rng=rng)

    def forward(self, x: Any) -> Tensor:
        """(batch, time, width) to the same shape."""
        return self.down(self.up(x))


class SwiGLU(nn.Module):
    """The same with a gate: two maps up, of which one opens and closes the other (as many parameters: 8/3 as wide)."""

    def __init__(self, recipe: Recipe, rng: np.random.Generator) -> None:
        up, init_std = 8 * recipe.width // 3, 0.5 / math.sqrt(recipe.width)
        self.gate = nn.Linear(recipe.width, up, bias=False, init_std=init_std, rng=rng, activation="silu")
        self.up = nn.Linear(recipe.width, up, bias=False, init_std=init_std, rng=rng)
        self.down = nn.Linear(up, recipe.width, bias=False, init_std=0, rng=rng)

    def forward(self, x: Any) -> Tensor:
        """(batch, time, width) to the same shape."""
        return self.down(self.gate(x) * self.up(x))


FEED_FORWARD = {"squared_relu": SquaredReLU, "swiglu": SwiGLU}


class Block(nn.Module):
    """Look back, then think: each reads a normalised copy of the residual stream, and adds to it."""

    def __init__(self, recipe: Recipe, rng: np.random.Generator) -> None:
        self.attention = Attention(recipe, rng)
        self.feed_forward = FEED_FORWARD[recipe.feed_forward](recipe, rng)
        self.dropout = nn.Dropout(recipe.dropout)

    def forward(self, x: Any, cache: Any = None) -> Tensor:
        """(batch, time, width) to the same shape."""
        x = x + self.dropout(self.attention(mt.rms_norm(x), cache))
        return x + self.dropout(self.feed_forward(mt.rms_norm(x)))


class ModernGPT(Model):
    """tokens (batch, time) to logits (batch, time, vocabulary): a guess after every character."""

    recipe_class = Recipe
    description = Description(title="GPT with today's parts", sample_prompt="\n", sample_tokens=300, max_new_tokens=500)
    #: Logits lie between this and its negative.
    cap: ClassVar[float] = 15.0

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.token_embedding = nn.Embedding(vocabulary_size, recipe.width, rng=rng)
        self.dropout = nn.Dropout(recipe.dropout)
        self.blocks = [Block(recipe, rng) for _ in range(recipe.layers)]
        self.lm_head = nn.Linear(recipe.width, vocabulary_size, bias=False, init_std=0, rng=rng)

    def forward(self, tokens: Any, cache: Any = None) -> Tensor:
        """tokens (batch, time), at most `context` in time; logits (batch, time, vocabulary)."""
        x = self.dropout(mt.rms_norm(self.token_embedding(tokens)))
        for i, block in enumerate(self.blocks):
            x = block(x, None if cache is None else cache.layers[i])
        return self.cap * mt.tanh(self.lm_head(mt.rms_norm(x)) / self.cap)

    def new_cache(self, batch: int = 1) -> KVCache:
        """Make a cache for the keys and values of the last `context` positions."""
        return KVCache(len(self.blocks), self.recipe.context, slides=True)
