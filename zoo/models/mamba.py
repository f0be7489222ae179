"""Mamba: a memory of fixed size that chooses what it keeps, a selective state space model (Gu and Dao 2023, arXiv:2312.00752).

**The idea.** A transformer remembers everything: its KV cache grows with the text, and each new character looks at all of it. A
recurrent network has a hidden state of fixed size, but learns slowly: step after step through a tanh, its gradient fades. A
*state space model* is a recurrent network whose step is *linear*: nothing bends the state on its way, only its size changes.
Mamba makes that step depend on the character, so that it can keep what matters and let go of the rest.

    tokens   (batch, time)              "First Citizen:"  ->  18 47 56 57 58 1 ...
    x        (batch, time, 128)         the token's embedding
    4 blocks                            x = x + out(selection(silu(convolution(enter(norm(x))))) * silu(gate(norm(x))))
    logits   (batch, time, 65)          norm(x) @ embedding.T

**From a differential equation to a step.** Each of a block's 256 channels has 16 numbers of memory, h. Think of time as
continuous; the input u drives h, which fades by itself at the rate -a, and y reads it:

    dh/dt = a h + b u        y = c . h        (a < 0, a number for each of the 16)

Hold u for a time `step` (the paper's delta). The solution is known: h fades to exp(step a) h, and b u adds up to
(exp(step a) - 1) / a * b u, which is step * b u when step * a is small. That is *discretisation*, and gives

    h[t] = exp(step a) h[t-1] + step b u[t]        y[t] = c . h[t] + skip u[t]

(the fading exact, what is added by the simpler formula, as in the paper's own code). Since a < 0, exp(step a) lies between 0
and 1: the state can't explode, and its gradient, which is multiplied by the same factors backwards, can't either. a is
-exp(log_a), so that it stays negative while log_a learns; it starts as -1, -2, ..., -16: memories of 16 lengths. Steps start
between 0.001 and 0.1, so the slowest remember a thousand characters, and the fastest not even one.

**Why selective.** With a, b, c and step the same everywhere, y is a convolution of u with a fixed curve, exp(step a)^n: what is
remembered depends on how long ago it was, never on what it was. Here `choose` makes b, c and step from the input of each
position (a linear layer; softplus, log(1 + e^x), keeps the step positive). A large step: exp(step a) is near 0, so the old
state is wiped out, and this character is written in its place. A step near 0: exp(step a) is near 1 and step b u near 0, so the
character is ignored, and all stays as it was. This is the gate of an LSTM, derived rather than invented: for one state, with
a = -1, a step s = softplus(z) gives exp(-s) = 1 - sigmoid(z), so h = (1 - g) h + ..., with g = sigmoid(z) (Theorem 1 of
the paper).

**The scan.** Selection costs the convolution: steps must follow each other. `mt.selective_scan` is a kernel that does them in
one go, for channels side by side. It stores no states but a few: backward computes the others again.

**A block** has two branches. One goes through a *short convolution*, in which each channel sees its own last 4 positions
(letters in their order, which the scan alone tells apart badly), then through the state space. The other is a *gate*: silu
of a linear map, multiplied with the first. There is no feed-forward network beside it: this is both.

**Writing.** All that is kept is h, 4 x 256 x 16 numbers, and the last 3 inputs of each convolution: 19,456 numbers, whether ten
characters were read or ten million. (char_gpt's cache has 2,304 for each character.)

**Learning.** As for char_gpt: AdamW, a warmup, half a cosine, clipping. Weight decay pulls at the layers' weights only: log_a
and skip mean something at 0 that isn't simpler.

**Try.** `--selective no` shows `choose` the same at every position, so that all characters have the same step, b and c: the
earlier state space models (S4, Gu et al. 2021, arXiv:2111.00396), with as many parameters.

    python -m zoo.train mamba --preset nano --steps 300
    python -m zoo.train mamba --preset nano --steps 300 --selective no --out runs/same_for_all

The held-out loss is 2.030 with selection, and 2.047 without. That is little: after so few steps a model knows how words are
spelled, and for that it matters more how long ago a letter was than which it was. The whole preset, 1,500 steps, comes to 1.784
with 63,488 parameters.
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
from zoo.cache import Cache, LastInputs
from zoo.model import Description, Model
from zoo.options import option
from zoo.recipe import corpus_option


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.AdamWRecipe):
    """The settings of mamba."""

    loss_window: ClassVar[int | None] = 100
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "nano": {
            "layers": 2, "width": 64, "states": 8, "context": 64, "batch_size": 12, "steps": 1500, "dropout": 0.0,
        },
        "names": {"corpus": "names", "layers": 2, "width": 64, "states": 8, "batch_size": 128, "steps": 4000},
    }  # fmt: skip

    corpus: str | None = corpus_option("shakespeare")
    context: int = option(256, "how many characters a sequence has that it learns from", at_least=1, at_most=2**16)
    layers: int = option(4, "how many blocks follow each other", at_least=1, at_most=1000)
    width: int = option(128, "how many numbers stand for a character", at_least=1, at_most=2**14)
    expand: int = option(2, "how many times as many channels a block has", at_least=1, at_most=100)
    states: int = option(16, "how many numbers of memory each channel has", at_least=1, at_most=2**10)
    kernel_size: int = option(4, "how many positions the short convolution sees", at_least=1, at_most=100)
    selective: str = option("yes", "whether steps, and what enters and is read, depend on the character", choices=("yes", "no"))
    dropout: float = option(0.1, "the fraction of numbers dropped at random while learning", at_least=0, below=1)
    steps: int | None = option(2000, "how many times the parameters are changed", at_least=1, at_most=10**12)

    def decays(self, name: str, parameter: Tensor) -> bool:
        """Leave log_a alone: 0 is a rate like others."""
        return super().decays(name, parameter) and not name.endswith(".log_a")


class Memory:
    """What a block keeps of the text so far: the last inputs of its convolution, and the hidden state."""

    def __init__(self, recipe: Recipe) -> None:
        self.inputs = LastInputs(recipe.kernel_size - 1)
        self.state: np.ndarray | None = None


class Selection(nn.Module):
    """The state space: how far a step goes, what enters the state and how it is read, all chosen by the input."""

    def __init__(self, recipe: Recipe, channels: int, rng: np.random.Generator) -> None:
        states, rank = recipe.states, -(-recipe.width // 16)
        self.selective = recipe.selective == "yes"
        self.cuts = [rank, rank + states]
        self.choose = nn.Linear(channels, rank + 2 * states, bias=False, rng=rng)
        self.step = nn.Linear(rank, channels, rng=rng, activation="softplus")
        # At the start, the channels' steps lie between 0.001 and 0.1: softplus(bias) is the step where the input says nothing.
        steps = np.geomspace(1e-3, 1e-1, channels)
        self.step.bias = nn.Parameter(np.log(np.expm1(steps)).astype(np.float32))
        self.log_a = nn.Parameter(np.tile(np.log(np.arange(1, states + 1, dtype=np.float32)), (channels, 1)))
        self.skip = nn.Parameter(np.ones(channels, np.float32))

    def choices(self, x: Any) -> tuple[Any, Any, Any]:
        """x (batch, time, channels) to each position's step (batch, time, channels), b and c (batch, time, states)."""
        seen = x if self.selective else np.ones(x.shape, x.dtype)  # who sees the same everywhere chooses the same
        step, b, c = np.split(self.choose(seen), self.cuts, axis=-1)
        return self.step(step), b, c

    def forward(self, x: Any, cache: Any = None) -> Tensor:
        """(batch, time, channels) to the same shape."""
        step, b, c = self.choices(x)
        return mt.selective_scan(x, step, -np.exp(self.log_a), b, c, self.skip, cache=cache)


class Block(nn.Module):
    """One branch remembers, the other decides how much of it goes on; their product is added to the residual stream."""

    def __init__(self, recipe: Recipe, rng: np.random.Generator) -> None:
        width, channels = recipe.width, recipe.expand * recipe.width
        self.norm = nn.RMSNorm(width)
        self.enter = nn.Linear(width, channels, bias=False, rng=rng)
        self.gate = nn.Linear(width, channels, bias=False, rng=rng, activation="silu")
        self.convolution = nn.CausalConv1d(channels, channels, recipe.kernel_size, depthwise=True, rng=rng)
        self.selection = Selection(recipe, channels, rng)
        self.out = nn.Linear(channels, width, bias=False, init_std=1 / math.sqrt(channels * recipe.layers), rng=rng)
        self.dropout = nn.Dropout(recipe.dropout)

    def forward(self, x: Any, cache: Any = None) -> Tensor:
        """(batch, time, width) to the same shape."""
        normal = self.norm(x)
        near = mt.silu(self.convolution(self.enter(normal), None if cache is None else cache.inputs))
        return x + self.dropout(self.out(self.selection(near, cache) * self.gate(normal)))


class Mamba(Model):
    """tokens (batch, time) to logits (batch, time, vocabulary): a guess after every character."""

    recipe_class = Recipe
    description = Description(
        title="a selective memory", reference=(1.503, 447), sample_prompt="\n", sample_tokens=300, max_new_tokens=500
    )

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.embedding = nn.Embedding(vocabulary_size, recipe.width, init_std=0.02, rng=rng)
        self.dropout = nn.Dropout(recipe.dropout)
        self.blocks = [Block(recipe, rng) for _ in range(recipe.layers)]
        self.norm = nn.RMSNorm(recipe.width)
        self.lm_head = nn.TiedLinear(self.embedding)

    def forward(self, tokens: Any, cache: Any = None) -> Tensor:
        """tokens (batch, time), whole numbers; logits (batch, time, vocabulary)."""
        x = self.dropout(self.embedding(tokens))
        for i, block in enumerate(self.blocks):
            x = block(x, None if cache is None else cache.layers[i])
        return self.lm_head(self.norm(x))

    def new_cache(self, batch: int = 1) -> Cache:
        """Make a cache for each block's memory, the same size however long the text."""
        cache: Any = Cache()
        cache.layers = [Memory(self.recipe) for _ in self.blocks]
        return cache
