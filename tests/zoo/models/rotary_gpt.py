"""A GPT with rotary positions (Su et al. 2021), RMSNorm and SwiGLU (Shazeer 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import microtensor as mt
from microtensor import Tensor, nn
from microtensor.optim import AdamW
from zoo import recipe as recipes
from zoo.cache import KVCache
from zoo.model import Model
from zoo.options import option


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.Recipe):
    """AdamW at a constant rate."""

    width: int = option(24, "how many numbers stand for a character", at_least=2)
    heads: int = option(2, "how many heads attention has", at_least=1)
    layers: int = option(2, "how many blocks there are", at_least=1)
    context: int = option(16, "how many characters a sequence has", at_least=1)
    batch_size: int = option(8, "how many sequences a step learns from", at_least=1)
    steps: int | None = option(40, "how many times the parameters are changed", at_least=1)
    learning_rate: float = option(0.01, "the learning rate", above=0)

    def optimizer(self, model: nn.Module) -> AdamW:
        """AdamW."""
        return AdamW(model.parameters(), lr=self.learning_rate)


def rotate(x: Any, first: int) -> Any:
    """Turn pairs of numbers of x (batch, heads, time, head_width) by angles that grow with the position."""
    half = x.shape[-1] // 2
    angles = np.arange(first, first + x.shape[-2])[:, None] / 10_000 ** (np.arange(half) / half)
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    a, b = x[..., :half], x[..., half:]
    return mt.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


class Attention(nn.Module):
    """Causal attention whose queries and keys are turned by their positions."""

    def __init__(self, recipe: Recipe, rng: np.random.Generator) -> None:
        self.heads = recipe.heads
        self.qkv = nn.Linear(recipe.width, 3 * recipe.width, bias=False, rng=rng)
        self.out = nn.Linear(recipe.width, recipe.width, bias=False, rng=rng)

    def forward(self, x: Any, cache: Any = None) -> Tensor:
        """(batch, time, width) to the same shape."""
        query, key, value = mt.split_heads(self.qkv(x), self.heads)
        first = 0 if cache is None else cache.length
        query, key = rotate(query, first), rotate(key, first)
        if cache is not None:
            key, value = map(mt.Tensor, cache.extend(key.data, value.data))
        weights = mt.attention_weights(query, key, causal=True, scale=1 / math.sqrt(query.shape[-1]))
        return self.out(mt.merge_heads(weights @ value))


class Block(nn.Module):
    """Attention, then a gated feed-forward network; each adds to the residual stream."""

    def __init__(self, recipe: Recipe, rng: np.random.Generator) -> None:
        self.norm1, self.norm2 = nn.RMSNorm(recipe.width), nn.RMSNorm(recipe.width)
        self.attention = Attention(recipe, rng)
        self.gate = nn.Linear(recipe.width, 2 * recipe.width, bias=False, rng=rng, activation="silu")
        self.up = nn.Linear(recipe.width, 2 * recipe.width, bias=False, rng=rng)
        self.down = nn.Linear(2 * recipe.width, recipe.width, bias=False, rng=rng)

    def forward(self, x: Any, cache: Any = None) -> Tensor:
        """(batch, time, width) to the same shape."""
        x = x + self.attention(self.norm1(x), cache)
        h = self.norm2(x)
        return x + self.down(self.gate(h) * self.up(h))


class RotaryGPT(Model):
    """tokens (batch, time) to logits (batch, time, vocabulary)."""

    recipe_class = Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.embedding = nn.Embedding(vocabulary_size, recipe.width, rng=rng)
        self.blocks = [Block(recipe, rng) for _ in range(recipe.layers)]
        self.norm = nn.RMSNorm(recipe.width)
        self.lm_head = nn.Linear(recipe.width, vocabulary_size, bias=False, rng=rng)

    def forward(self, tokens: Any, cache: Any = None) -> Tensor:
        """The cache holds the keys and values of earlier positions."""
        x = self.embedding(tokens)
        for i, block in enumerate(self.blocks):
            x = block(x, None if cache is None else cache.layers[i])
        return self.lm_head(self.norm(x))

    def new_cache(self, batch: int = 1) -> KVCache:
        """Keys and values of `context` positions."""
        return KVCache(len(self.blocks), self.recipe.context)
