"""A GPT: a decoder-only transformer, built as GPT-2 is (Radford et al. 2019), that learns to write Shakespeare, by letters.

**From last time.** The n-gram network had separate weights for each position. A transformer has one set for all: every
position asks the ones before it for what it needs, and what is asked for is learned. So it can look back 256 characters, and
what it learns about a word holds wherever the word stands. (Chapters 10 and 11 of COURSE.md: attention by hand, and what the
heads of this model have learned to look at.)

    tokens   (batch, time)               "First Citizen:"  ->  18 47 56 57 58 1 ...
    x        (batch, time, 192)          the character's embedding + the place's embedding
    6 blocks                             x = x + attention(norm(x)); x = x + feed_forward(norm(x))
    logits   (batch, time, 65)           norm(x) @ characters.T: a guess after every character, all at once

**The stream.** Each place has a list of 192 numbers, x. Nothing ever replaces it: attention and the feed-forward network read
a copy of it, normalised (mean 0, variance 1, then scaled and shifted by learned numbers), and *add* what they found. The
gradient flows back along the same sum, unweakened through all blocks.

**Attention** (`SelfAttention`) is how places talk. Each place makes three lists out of its 192 numbers: a *query* (what am I
looking for?), a *key* (what do I have?) and a *value* (what do I give?). A query's product with each key, divided by the
square root of their length, says how well they fit; softmax turns these scores into weights that add up to 1; and what is
found is the mean of the values with these weights (Vaswani et al. 2017, arXiv:1706.03762). The *mask* forbids looking ahead:
the score of a later place counts as minus infinity, so its weight is 0. Six *heads* do this side by side, each with its own 32
of the 192 numbers: one may look for the last vowel, another for who is speaking. `in_steps` writes it out line by line;
`forward` does the same in the engine's fused kernel, which never builds the table of all scores. A test compares the two.

**Feed-forward** (`FeedForward`) is how a place thinks: four times as many numbers, GELU (a bend like max(0, x), but smooth;
Hendrycks and Gimpel 2016, arXiv:1606.08415), and back to 192. Most of the parameters are here.

**Places.** Attention alone is a bag again: it would give the same result for the same characters in any order. So each of the
256 places has a learned embedding that is added at the start.

**The head** is the table of characters' embeddings itself, turned on its side (Press and Wolf 2017, arXiv:1608.05859): a
character is likely next when x points to where its embedding is.

    characters 65 x 192 + places 256 x 192 + 6 blocks of 444,864 + the last norm's 384 = 2,731,200 numbers

**Start.** Weights are drawn with standard deviation 0.02. Each block adds to the stream twice, so the last matrix of each
branch is drawn smaller, by 1 / sqrt(2 x 6): the stream is then as large after all blocks as after one.

**Learning.** 16 stretches of 256 characters a step, from random places, each with 256 guesses to learn from. AdamW moves each
number by its gradient's running mean, divided by the root of its running mean square, so that steps are about as long for all
numbers; weight decay pulls the matrices towards 0. The learning rate rises for 100 steps, while those means are still rough,
then falls along half a cosine. A gradient longer than 1 is shortened (*clipped*). Dropout sets a share of the numbers to 0:
without it the model learns the plays by heart, and its loss on the held-out tenth rises while the other still falls.

**Memory too small?** `--accumulate 4` learns from the same batch in four parts, whose gradients add up.

**Try.** `--preset small` (4 layers, 128 wide, context 128) and `--preset nano` (a few minutes); `--data my.txt` for a text
of yours, whose characters become the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import microtensor as mt
from microtensor import Tensor, nn
from microtensor.optim import AdamW, Optimizer, warmup_cosine
from zoo import recipe as recipes
from zoo.datasets.batches import Dataset, SequenceDataset
from zoo.datasets.corpus import Corpus
from zoo.datasets.shakespeare import TinyShakespeare
from zoo.errors import UsageError
from zoo.model import Model, Moment
from zoo.recipe import option
from zoo.tokenizers.characters import CharTokenizer
from zoo.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.Recipe):
    """How char_gpt is built and trained: AdamW, a warmup, then half a cosine."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"layers": 4, "heads": 4, "width": 128, "context": 128},
        "nano": {
            "layers": 4, "heads": 4, "width": 128, "context": 64, "batch_size": 12, "steps": 2000, "dropout": 0.0,
            "learning_rate": 1e-3, "final_rate": 0.1, "warmup": 100, "weight_decay": 0.1, "evaluate_every": 250,
        },
    }  # fmt: skip

    context: int = option(256, "how many characters the model sees at most", at_least=1, at_most=2**16)
    layers: int = option(6, "how many blocks follow each other", at_least=1, at_most=1000)
    heads: int = option(6, "how many ways of looking back each block has; they share the width", at_least=1, at_most=1000)
    width: int = option(192, "how many numbers stand for a character", at_least=1, at_most=2**14)
    dropout: float = option(0.2, "the share of numbers dropped at random while learning", at_least=0, below=1)
    batch_size: int = option(16, "how many sequences a step learns from", at_least=1, at_most=10**9)
    steps: int | None = option(6000, "how many times the parameters are changed", at_least=1, at_most=10**12)
    learning_rate: float = option(2e-3, "the highest learning rate", above=0, at_most=1e30)
    final_rate: float = option(0.02, "the last learning rate, as a share of the highest", at_least=0, at_most=1)
    warmup: int = option(100, "over how many steps the learning rate rises", at_least=0, at_most=10**12)
    weight_decay: float = option(0.1, "how strongly matrices are drawn towards 0", at_least=0, at_most=1e6)
    beta2: float = option(0.99, "how slowly AdamW's mean of the squared gradients forgets", at_least=0, below=1)
    clip: float | None = option(1.0, "the greatest length of the gradient: a longer one is shortened", above=0, at_most=1e30)
    evaluate_every: int = option(250, "evaluate after every so many steps", at_least=1, at_most=10**12)

    def fill_in(self) -> None:
        """Refuse heads that don't share the width evenly."""
        if isinstance(self.width, int) and isinstance(self.heads, int) and self.heads > 0 and self.width % self.heads:
            raise UsageError(f"--heads: {self.heads} heads don't divide a width of {self.width}; {_nearest_heads(self)} would")


def _nearest_heads(recipe: Recipe) -> int:
    divisors = [n for n in range(1, recipe.width + 1) if recipe.width % n == 0]
    return min(divisors, key=lambda n: abs(n - recipe.heads))


class SelfAttention(nn.Module):
    """Every place looks back at the places before it, and at itself, and takes something from each."""

    def __init__(self, recipe: Recipe, scale: float, rng: np.random.Generator) -> None:
        self.heads = recipe.heads
        #: Queries, keys and values, side by side.
        self.qkv = nn.Linear(recipe.width, 3 * recipe.width, scale=scale, rng=rng)
        self.out = nn.Linear(recipe.width, recipe.width, scale=scale / math.sqrt(2 * recipe.layers), rng=rng)

    def forward(self, x: Any) -> Tensor:
        """(batch, time, width) to the same shape, by the engine's fused attention."""
        return self.out(mt.multi_head_attention(self.qkv(x), self.heads, causal=True))

    def in_steps(self, x: Any) -> tuple[Tensor, Tensor]:
        """The same, written out: the result, and who looks at whom, (batch, heads, time, time). A test compares the two."""
        batch, time, width = x.shape
        each = width // self.heads
        query, key, value = (
            part.reshape((batch, time, self.heads, each)).swapaxes(1, 2) for part in np.split(self.qkv(x), 3, axis=-1)
        )
        scores = query @ key.swapaxes(-1, -2) / math.sqrt(each)  # (batch, heads, time, time): how well each query fits each key
        mask = np.tri(time, dtype=bool)  # row i is True up to column i: nobody sees what comes after
        weights = mt.softmax(mt.where(mask, scores, -math.inf))
        found = (weights @ value).swapaxes(1, 2).reshape((batch, time, width))
        return self.out(found), weights


class FeedForward(nn.Module):
    """Every place thinks for itself: four times as wide, GELU, and back."""

    def __init__(self, recipe: Recipe, scale: float, rng: np.random.Generator) -> None:
        self.up = nn.Linear(recipe.width, 4 * recipe.width, scale=scale, rng=rng, activation="gelu")
        self.down = nn.Linear(4 * recipe.width, recipe.width, scale=scale / math.sqrt(2 * recipe.layers), rng=rng)

    def forward(self, x: Any) -> Tensor:
        """(batch, time, width) to the same shape."""
        return self.down(self.up(x))


class Block(nn.Module):
    """Look back, then think: each reads a normalised copy of the stream of numbers, and adds to the stream."""

    def __init__(self, recipe: Recipe, scale: float, rng: np.random.Generator, noise: np.random.Generator) -> None:
        self.norm1 = nn.LayerNorm(recipe.width)
        self.attention = SelfAttention(recipe, scale, rng)
        self.norm2 = nn.LayerNorm(recipe.width)
        self.feed_forward = FeedForward(recipe, scale, rng)
        self.dropout = nn.Dropout(recipe.dropout, noise)

    def forward(self, x: Any) -> Tensor:
        """(batch, time, width) to the same shape."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.feed_forward(self.norm2(x)))


class CharGPT(Model):
    """tokens (batch, time) to logits (batch, time, vocabulary): a guess after every character."""

    about = "sees 256 characters"
    corpus: ClassVar[Corpus] = TinyShakespeare()
    recipe_class = Recipe
    tokenizer_class = CharTokenizer
    trains = (1.466, 2820)
    recent = 100
    tokens = 500
    sample = ("\n", 300, 0.8)
    #: The standard deviation of the weights at the start.
    scale: ClassVar[float] = 0.02

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary, rng)
        self.characters = nn.Embedding(vocabulary, recipe.width, scale=self.scale, rng=rng)
        self.places = nn.Embedding(recipe.context, recipe.width, scale=self.scale, rng=rng)
        self.dropout = nn.Dropout(recipe.dropout, self.noise)
        self.blocks = [Block(recipe, self.scale, rng, self.noise) for _ in range(recipe.layers)]
        self.norm = nn.LayerNorm(recipe.width)

    def forward(self, tokens: Any) -> Tensor:
        """tokens (batch, time), at most `context` in time; logits (batch, time, vocabulary)."""
        x = self.dropout(self.characters(tokens) + self.places(np.arange(tokens.shape[1])))
        for block in self.blocks:
            x = block(x)
        return mt.linear(self.norm(x), self.head_weight())

    def head_weight(self) -> Tensor:
        """What turns a place's numbers into scores: (width, vocabulary)."""
        return self.characters.weight.T

    def examples(self, documents: list[np.ndarray], tokenizer: Tokenizer) -> Dataset:
        """Stretches of text at random places."""
        return SequenceDataset(documents, self.recipe.context, tokenizer.unit)

    def optimizer(self) -> Optimizer:
        """AdamW, with weight decay for matrices only: a bias or a gain near 0 is no simpler than another."""
        matrices = [p for p in self.parameters() if p.ndim == 2]
        others = [p for p in self.parameters() if p.ndim != 2]
        groups = [
            {"params": matrices, "weight_decay": self.recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return AdamW(groups, lr=self.recipe.learning_rate, betas=(0.9, self.recipe.beta2))

    def schedule(self, steps: int) -> Callable[[int], float]:
        """A rise from 0, then half a cosine down to the final rate."""
        return warmup_cosine(min(self.recipe.warmup, steps), steps, self.recipe.final_rate)

    def window(self, count: int) -> int:
        """All of a text up to the context; then the window slides on, keeping a third of the context each time, because every
        slide means reading what is left once more, at other places."""
        context, kept = self.recipe.context, max(self.recipe.context // 3, 1)
        return count if count <= context else kept + (count - context - 1) % (context - kept + 1)

    def marks(self, steps: int, epoch: int) -> set[int]:
        """Every `evaluate_every` steps, and the last."""
        return {*range(self.recipe.evaluate_every, steps, self.recipe.evaluate_every), steps}

    def report(self, at: Moment) -> tuple[str, dict[str, Any]]:
        """The losses, the learning rate and the speed."""
        held_out = "" if at.validation is None else f" | Validation: {at.validation:.4f}"
        digits = len(str(at.steps))
        line = f"Step {at.step:>{digits}}/{at.steps} | Loss: {at.loss:.4f}{held_out} | LR: {at.learning_rate:.2e}"
        return f"{line} | {at.speed:,.0f} tokens/s", {}
