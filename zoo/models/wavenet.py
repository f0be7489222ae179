"""WaveNet: a convolution over the past, whose layers look twice as far back each (van den Oord et al. 2016, arXiv:1609.03499).

**The idea.** The n-gram network mixes a window of tokens all at once, so its matrix grows with the window. Mix two at a time
instead: a layer sees a position and one before it; the next layer sees two such results, and so on, like a tree that grows
towards the present. Every position does the same with the same weights: that is a *convolution* along time. It is *causal*:
nothing that comes later is seen.

    tokens   (batch, time)              "First Citizen:"  ->  18 47 56 57 58 1 ...
    x        (batch, time, 80)          the token's embedding
    14 layers                           h = gated(x[t - dilation], x[t]); x = x + residual(h); told = told + skip(h)
    logits   (batch, time, 65)          a guess after every character, from what all layers told

**The receptive field.** Let all layers see neighbours, and each looks back one step further than the last: L layers see L + 1
characters, and to see 256 takes 255 layers. *Dilation* leaves gaps: layer i sees the positions t and t - 2^i. Its two inputs
come from layer i - 1, and have each seen 2^i characters, up to t and up to t - 2^i: side by side, without a gap, they make
2^(i+1). So the *receptive field* doubles with every layer:

    receptive field = 1 + (kernel size - 1) x (1 + 2 + 4 + ... + 2^(L-1)) = 2^L       for a kernel of 2

Seven layers see 128 characters. Two cycles of seven (1, 2, ..., 64, 1, 2, ..., 64) see 1 + 2 x 127 = 255, and mix them twice.

**The gate.** What a convolution finds, `value`, is bent by tanh, and multiplied by sigmoid(`gate`), a number between 0 and 1:
how much of it goes on. `value` and `gate` are the halves of one convolution's output; `mt.gated_tanh` does both. An LSTM's
output gate is the same product.

**Residual and skip connections.** The result is added to the stream x, as in a GPT, so that the gradient reaches the first
layers unweakened. It is also told to the *head* directly: the sum of what all layers tell, near and far, is what guesses.

**Writing.** A new character changes nothing in earlier positions. All that a layer needs of the past is its input `dilation`
steps ago. So each keeps a *queue* of its last inputs: the new one comes in, the one from `dilation` steps ago is looked at,
older ones are forgotten. A token costs one row through the layers, the same for a receptive field of 255 or of a million, and
writing can go on for ever.

**Learning.** As for char_gpt: AdamW, a warmup, half a cosine, clipping; 16 sequences of 256 characters a step.

**Try.** The same layers without dilation: six layers that see 7 characters, against six that see 64, with the same number of
parameters and the same time a step.

    python -m zoo.train wavenet --preset nano --steps 300
    python -m zoo.train wavenet --preset nano --steps 300 --cycles 6 --doublings 1 --out runs/near

The near one is ahead: a loss of 1.963 on the held-out text, against 2.016. What the last seven characters say is most of what
there is, and is learned first; to see more doesn't pay in so short a time. The whole preset, 1,500 steps, brings the far one
to 1.766. Does it overtake the near one on the way?

**What is missing.** Which positions are looked at is fixed: always t - 1, t - 2, t - 4, whatever stands there. Attention
chooses where to look by what it finds. The next model, `char_gpt`, is built on that.
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
    """The settings of wavenet."""

    loss_window: ClassVar[int | None] = 100
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "nano": {
            "cycles": 1, "doublings": 6, "width": 64, "context": 64, "batch_size": 12, "steps": 1500, "dropout": 0.0,
        },
        "names": {
            "corpus": "names", "cycles": 1, "doublings": 3, "width": 62, "skip_width": 64, "batch_size": 128, "dropout": 0.15,
            "steps": 8000,
        },
    }  # fmt: skip

    corpus: str | None = corpus_option("shakespeare")
    context: int = option(256, "how many characters a sequence has that it learns from", at_least=1, at_most=2**16)
    cycles: int = option(2, "how many times the dilations run from 1 upwards", at_least=1, at_most=100)
    doublings: int = option(7, "how many layers a cycle has, each with twice the dilation of the last", at_least=1, at_most=15)
    kernel_size: int = option(2, "how many positions a convolution sees", at_least=1, at_most=100)
    width: int = option(80, "how many numbers stand for a character", at_least=1, at_most=2**14)
    skip_width: int = option(160, "how many numbers all layers together tell the head", at_least=1, at_most=2**14)
    dropout: float = option(0.1, "the fraction of gated numbers dropped at random while learning", at_least=0, below=1)
    steps: int | None = option(2000, "how many times the parameters are changed", at_least=1, at_most=10**12)


class Layer(nn.Module):
    """Look back by one dilated convolution, let through what the gate allows, add it to the stream, and tell the head."""

    def __init__(self, recipe: Recipe, dilation: int, last: bool, rng: np.random.Generator) -> None:
        width, layers = recipe.width, recipe.cycles * recipe.doublings
        self.convolution = nn.CausalConv1d(width, 2 * width, recipe.kernel_size, dilation, rng=rng)
        self.dropout = nn.Dropout(recipe.dropout)
        #: The last layer has nobody after it to read the stream.
        self.residual = None if last else nn.Linear(width, width, init_std=1 / math.sqrt(width * layers), rng=rng)
        self.skip = nn.Linear(width, recipe.skip_width, init_std=1 / math.sqrt(width * layers), rng=rng)

    def forward(self, x: Any, cache: Any = None) -> tuple[Tensor, Tensor]:
        """(batch, time, width) to the same shape, and what the head is told (batch, time, skip width)."""
        gated = self.dropout(mt.gated_tanh(self.convolution(x, cache)))
        return x if self.residual is None else x + self.residual(gated), self.skip(gated)


class WaveNet(Model):
    """tokens (batch, time) to logits (batch, time, vocabulary): a guess after every character."""

    recipe_class = Recipe
    description = Description(
        title="convolutions", reference=(1.581, 313), sample_prompt="\n", sample_tokens=300, max_new_tokens=500
    )

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.dilations = [2**doubling for doubling in range(recipe.doublings)] * recipe.cycles
        self.embedding = nn.Embedding(vocabulary_size, recipe.width, rng=rng)
        last = len(self.dilations) - 1
        self.layers = [Layer(recipe, dilation, i == last, rng) for i, dilation in enumerate(self.dilations)]
        self.hidden = nn.Linear(recipe.skip_width, recipe.skip_width, rng=rng, activation="relu")
        self.lm_head = nn.Linear(recipe.skip_width, vocabulary_size, init_std=0.1 / math.sqrt(recipe.skip_width), rng=rng)

    def receptive_field(self) -> int:
        """Count the characters that a guess depends on."""
        return 1 + (self.recipe.kernel_size - 1) * sum(self.dilations)

    def forward(self, tokens: Any, cache: Any = None) -> Tensor:
        """tokens (batch, time), whole numbers; logits (batch, time, vocabulary)."""
        x, told = self.embedding(tokens), []
        for i, layer in enumerate(self.layers):
            x, skip = layer(x, None if cache is None else cache.layers[i])
            told.append(skip)
        return self.lm_head(self.hidden(mt.relu(sum(told[1:], told[0]))))

    def new_cache(self, batch: int = 1) -> Cache:
        """Make a cache for the inputs that each layer will still look at."""
        cache: Any = Cache()
        cache.layers = [LastInputs((self.recipe.kernel_size - 1) * dilation) for dilation in self.dilations]
        return cache
