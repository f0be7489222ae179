"""A GPT: a decoder-only transformer, built as GPT-2 is (Radford et al. 2019), that learns to write Shakespeare, by letters.

**From last time.** The networks with a window had weights for each position, and the recurrent network one hidden state for all
that it read. A transformer has one set of weights for all positions: every position asks the ones before it for what it
needs, and what is asked for is learned. So it can look back 256 characters, and what it learns about a word holds wherever the
word stands. (Chapters 11 and 12 of the course: attention by hand, and what the heads of this model have learned to look at.)

    tokens   (batch, time)               "First Citizen:"  ->  18 47 56 57 58 1 ...
    x        (batch, time, 192)          the token's embedding + the position's embedding
    6 blocks                             x = x + attention(norm(x)); x = x + feed_forward(norm(x))
    logits   (batch, time, 65)           norm(x) @ token_embedding.T: a guess after every character, all at once

**The residual stream.** Each position has a list of 192 numbers, x. Nothing ever replaces it: attention and the feed-forward
network read a copy of it, normalised (mean 0, variance 1, then scaled and shifted by learned numbers), and *add* their output.
The gradient flows back along the same sum, unweakened through all blocks.

**Attention** (`SelfAttention`) is how positions talk. Each makes three lists out of its 192 numbers: a *query* (what am I
looking for?), a *key* (what do I have?) and a *value* (what do I give?). A query's product with each key, divided by the
square root of their length, says how well they fit; softmax turns these scores into *attention weights*, which add up to 1; and
the output is the mean of the values with these weights (Vaswani et al. 2017, arXiv:1706.03762). The *causal mask* forbids
looking ahead: the score of a later position counts as minus infinity, so its weight is 0. Six *heads* do this side by side,
each with its own 32 of the 192 numbers: one may look for the last vowel, another for who is speaking. `mt.attention_weights`
writes the scores, the mask and the softmax out; `mt.multi_head_attention` does the same in a kernel that never builds the table
of all scores. While it generates, the keys and values of earlier positions are kept in a *KV cache*: nobody looks ahead, so
they never change, and each new character costs one row through the blocks.

**Feed-forward** (`FeedForward`) is how a position thinks: four times as many numbers, GELU (a bend like max(0, x), but smooth;
Hendrycks and Gimpel 2016, arXiv:1606.08415), and back to 192. Most of the parameters are here.

**Positions.** Attention alone is a bag again: it would give the same result for the same characters in any order. So each of
the 256 positions has a learned embedding that is added at the start.

**The head** is the table of characters' embeddings itself, turned on its side (Press and Wolf 2017, arXiv:1608.05859): a
character is likely next when x points to where its embedding is.

    tokens 65 x 192 + positions 256 x 192 + 6 blocks of 444,864 + the last norm's 384 = 2,731,200 numbers

**Start.** Weights are drawn with standard deviation 0.02. Each block adds to the stream twice, so the last matrix of each
branch is drawn smaller, by 1 / sqrt(2 x 6): the stream is then as large after all blocks as after one.

**Learning.** 16 sequences of 256 characters a step, from anywhere in the text, each with 256 targets. AdamW moves each
number by its gradient's running mean, divided by the root of its running mean square, so that steps are about as long for all
numbers; weight decay pulls the matrices towards 0. The learning rate rises for 100 steps, while those means are still rough,
then falls along half a cosine. A gradient longer than 1 is shortened (*clipped*). Dropout sets a fraction of the numbers to 0:
without it the model learns the plays by heart, and its loss on the held-out tenth rises while the other still falls.

**Memory too small?** `--grad-accumulation 4` learns from the same batch in four parts, whose gradients add up.

**Try.** `--preset small` (4 layers, 128 wide, context 128) and `--preset nano` (a few minutes); `--data my.txt` for a text
of yours, whose characters become the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import microtensor as mt
from microtensor import Tensor, nn
from zoo import recipe as recipes
from zoo.cache import KVCache
from zoo.errors import UsageError
from zoo.model import Description, Model
from zoo.options import option
from zoo.recipe import corpus_option


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.AdamWRecipe):
    """The settings of char_gpt: AdamW, a warmup, then half a cosine."""

    loss_window: ClassVar[int | None] = 100
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"layers": 4, "heads": 4, "width": 128, "context": 128},
        "nano": {
            "layers": 4, "heads": 4, "width": 128, "context": 64, "batch_size": 12, "steps": 2000, "dropout": 0.0,
            "learning_rate": 1e-3, "min_learning_rate_ratio": 0.1, "warmup": 100, "weight_decay": 0.1, "evaluate_every": 250,
        },
    }  # fmt: skip

    corpus: str | None = corpus_option("shakespeare")
    context: int = option(256, "how many characters the model sees at most", at_least=1, at_most=2**16)
    layers: int = option(6, "how many blocks follow each other", at_least=1, at_most=1000)
    heads: int = option(6, "how many ways of looking back each block has; they share the width", at_least=1, at_most=1000)
    width: int = option(192, "how many numbers stand for a character", at_least=1, at_most=2**14)
    dropout: float = option(0.2, "the fraction of numbers dropped at random while learning", at_least=0, below=1)
    steps: int | None = option(6000, "how many times the parameters are changed", at_least=1, at_most=10**12)
    learning_rate: float = option(2e-3, "the highest learning rate", above=0, at_most=1e30)
    evaluate_every: int = option(250, "evaluate after every so many steps", at_least=1, at_most=10**12)

    def fill_in(self) -> None:
        """Refuse heads that don't share the width evenly."""
        if isinstance(self.width, int) and isinstance(self.heads, int) and self.heads > 0 and self.width % self.heads:
            raise UsageError(f"--heads: {self.heads} heads don't divide a width of {self.width}; {_nearest_heads(self)} would")


def _nearest_heads(recipe: Recipe) -> int:
    divisors = [n for n in range(1, recipe.width + 1) if recipe.width % n == 0]
    return min(divisors, key=lambda n: abs(n - recipe.heads))


class SelfAttention(nn.Module):
    """Every position attends to those before it and to itself, and takes something from each."""

    def __init__(self, recipe: Recipe, init_std: float, rng: np.random.Generator) -> None:
        self.heads = recipe.heads
        #: Queries, keys and values, side by side.
        self.qkv = nn.Linear(recipe.width, 3 * recipe.width, init_std=init_std, rng=rng)
        self.out = nn.Linear(recipe.width, recipe.width, init_std=init_std / math.sqrt(2 * recipe.layers), rng=rng)

    def forward(self, x: Any, cache: Any = None) -> Tensor:
        """(batch, time, width) to the same shape; with a cache, after the positions whose keys and values it holds."""
        return self.out(mt.multi_head_attention(self.qkv(x), self.heads, causal=True, cache=cache))


class FeedForward(nn.Module):
    """Every position thinks for itself: four times as wide, GELU, and back."""

    def __init__(self, recipe: Recipe, init_std: float, rng: np.random.Generator) -> None:
        self.up = nn.Linear(recipe.width, 4 * recipe.width, init_std=init_std, rng=rng, activation="gelu")
        self.down = nn.Linear(4 * recipe.width, recipe.width, init_std=init_std / math.sqrt(2 * recipe.layers), rng=rng)

    def forward(self, x: Any) -> Tensor:
        """(batch, time, width) to the same shape."""
        return self.down(self.up(x))


class Block(nn.Module):
    """Look back, then think: each reads a normalised copy of the residual stream, and adds to it."""

    def __init__(self, recipe: Recipe, init_std: float, rng: np.random.Generator) -> None:
        self.norm1 = nn.LayerNorm(recipe.width)
        self.attention = SelfAttention(recipe, init_std, rng)
        self.norm2 = nn.LayerNorm(recipe.width)
        self.feed_forward = FeedForward(recipe, init_std, rng)
        self.dropout = nn.Dropout(recipe.dropout)

    def forward(self, x: Any, cache: Any = None) -> Tensor:
        """(batch, time, width) to the same shape."""
        x = x + self.dropout(self.attention(self.norm1(x), cache))
        return x + self.dropout(self.feed_forward(self.norm2(x)))


class CharGPT(Model):
    """tokens (batch, time) to logits (batch, time, vocabulary): a guess after every character."""

    recipe_class = Recipe
    description = Description(
        title="sees 256 characters", reference=(1.466, 2820), sample_prompt="\n", sample_tokens=300, max_new_tokens=500
    )
    #: The standard deviation of the weights at the start.
    init_std: ClassVar[float] = 0.02

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.token_embedding = nn.Embedding(vocabulary_size, recipe.width, init_std=self.init_std, rng=rng)
        self.position_embedding = nn.Embedding(recipe.context, recipe.width, init_std=self.init_std, rng=rng)
        self.dropout = nn.Dropout(recipe.dropout)
        self.blocks = [Block(recipe, self.init_std, rng) for _ in range(recipe.layers)]
        self.norm = nn.LayerNorm(recipe.width)
        self.lm_head: nn.Module = nn.TiedLinear(self.token_embedding)

    def forward(self, tokens: Any, cache: Any = None) -> Tensor:
        """tokens (batch, time), at most `context` in time; logits (batch, time, vocabulary)."""
        first = 0 if cache is None else cache.length
        positions = np.arange(first, first + tokens.shape[1])
        x = self.dropout(self.token_embedding(tokens) + self.position_embedding(positions))
        for i, block in enumerate(self.blocks):
            x = block(x, None if cache is None else cache.layers[i])
        return self.lm_head(self.norm(x))

    def new_cache(self, batch: int = 1) -> KVCache:
        """Make a cache for the keys and values of `context` positions."""
        return KVCache(len(self.blocks), self.recipe.context)
