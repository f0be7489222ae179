"""A GPT as they are built today: the same plan as char_gpt, with each part exchanged for what replaced it since 2019.

**From last time.** char_gpt is GPT-2 in small. The language models of the following years kept its plan, a residual stream
that blocks add to, and changed the parts. Here are the changes that matter at this size, one by one. There are 2,679,168
numbers, fewer than before, and a step takes a little longer, for Muon's sake.

    tokens   (batch, time)
    x        (batch, time, 192)    norm(the token's embedding); nothing is added for the position
    6 blocks                       x = x + attention(norm(x)); x = x + feed_forward(norm(x))
    logits   (batch, time, 65)     15 tanh(norm(x) @ head / 15)

**Rotary positions** (Su et al. 2021, arXiv:2104.09864). char_gpt adds a learned list of numbers for each position, and
attention must learn from them what "three characters ago" means, for every position anew. Here nothing is added. Instead,
inside attention, the 32 numbers of a query or key are taken as 16 points in the plane, and each point is turned about 0 by an
angle in proportion to the position: the first by 1 radian a character, the last by 1/5,600. A product of two points turned by
angles a and b depends on a - b alone:

    turn(q, m) . turn(k, n) = q . turn(k, n - m)

So a score knows how far apart query and key are, and nothing else about where they stand. It also lets the KV cache *slide*: a
key stays right when the oldest one is forgotten, so a long text is never read again.

**Normalised queries and keys** (Henry et al. 2020, arXiv:2010.04245). Each is brought to length sqrt(32) before it is turned,
so a score, their product over sqrt(32), lies between -5.7 and 5.7, and no head can become so sure that it stops learning.

**RMSNorm without parameters** (Zhang and Sennrich 2019, arXiv:1910.07467): x divided by its root mean square. LayerNorm also
subtracts the mean, then multiplies and adds learned numbers; the matrix that follows can do all of that itself.

**Squared ReLU** (So et al. 2021, arXiv:2109.08668): max(0, x)^2 in place of GELU. `--feed-forward swiglu` is what most large
models use (Shazeer 2020, arXiv:2002.05202): two maps up, one of them a gate for the other, with as many parameters.

**No biases, a head of its own, capped logits.** Biases cost time and give nothing here. The head no longer is the table of
embeddings: a character's meaning as input and as output may differ. Logits are bent by 15 tanh(z / 15), which lets them move
freely near 0 and never pass 15 (as Gemma 2 has it, arXiv:2408.00118).

**A start at nothing.** The matrices that end each branch start as zeros, and so does the head. At first, every block adds 0 and
all characters are equally likely: the loss is log 65 = 4.17, exactly. Each block begins to speak when it has something to say.

**Muon** (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/). AdamW looks at each number by itself. But the
numbers of a matrix belong together: what it does to x is best told by its singular values, how far it stretches each of 192
directions. A gradient is mostly made of a few directions, and steps along it learn these over and over. Muon takes the running
mean of the gradients and makes all its singular values about 1, so that a rare direction is learned as fast as a common one:

    mean = U S V^T   ->   step = U V^T, roughly

No decomposition is computed: x -> a x + b (x x^T) x + c (x x^T)^2 x leaves U and V as they are and applies the polynomial
a s + b s^3 + c s^5 to each singular value s; five rounds bring all but the tiniest near 1. It is for the blocks' matrices; the
embeddings and the head, tables in which each row is a thing of its own, are AdamW's.

**Fewer heads of keys.** `--kv-heads 2` lets three heads of queries share one of keys and values (Ainslie et al. 2023,
arXiv:2305.13245): the KV cache is a third as large. That matters where many long texts are written at once.

**Learning.** A constant rate at first, and over the last 60 % of the steps a line down to 0: the
validation loss is 1.638 after 500 steps, 1.544 after 1,000, and 1.446 in the end.

**Try.** Change one part back in this file, and train again with `--preset nano`: as it is, it comes to 1.695 in three minutes,
and to 1.827 with `--steps 400`. With AdamW for all that is 2.010, with learned positions 1.986; every other part is worth 0.02
or less at this size (chapter 17 of the course has them all).
"""

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
from zoo.errors import UsageError
from zoo.model import Description, Model
from zoo.options import option
from zoo.recipe import corpus_option


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.Recipe):
    """The settings of modern_gpt: Muon for the blocks' matrices, AdamW for the tables; a constant rate, then a line to 0."""

    loss_window: ClassVar[int | None] = 100
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "nano": {"layers": 4, "heads": 4, "width": 128, "context": 64, "batch_size": 12, "steps": 1000, "dropout": 0.0},
        "names": {
            "corpus": "names",
            "layers": 4,
            "heads": 4,
            "width": 64,
            "batch_size": 128,
            "steps": 8000,
            "dropout": 0.15,
        },
    }

    corpus: str | None = corpus_option("shakespeare")
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

    def evaluates_after(self, step: int, steps: int, epoch_steps: int) -> bool:
        """Every `evaluate_every` steps, and after the last."""
        return step % self.evaluate_every == 0 or step == steps


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
    description = Description(
        title="with today's parts",
        reference=(1.446, 1693),
        sample_prompt="\n",
        sample_tokens=300,
        max_new_tokens=500,
    )
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
