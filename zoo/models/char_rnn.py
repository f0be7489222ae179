"""Char RNN: a network that reads one character after the other and keeps what it needs in a hidden state.

**The idea.** A window forgets all that lies before it. A *recurrent* network (Elman 1990, Finding Structure in Time) reads from
left to right and keeps a *hidden state* h, a list of numbers: each step makes the next state from the state before and the
character that comes, with the same weights at every step.

    tokens   (batch, time)             "First Citizen:"  ->  18 47 56 57 58 1 ...
    x        (batch, time, 256)        the token's embedding
    2 layers (batch, time, 256)        h = tanh(x @ W + h @ U + b), step after step; the second layer reads the first's h
    logits   (batch, time, 65)         h @ weight + bias: a guess after every character

There is no limit to how far back h can reach, and no table of positions. A character costs one step, however long the text was:
while it generates, the hidden state is the whole cache.

**Backward through time.** The loss at step t depends on h_t, that on h_(t-1), and so on. The chain rule multiplies the gradient
by each step's derivative on the way back,

    dL/dh_(t-1) = (dL/dh_t * (1 - h_t^2)) @ U.T

and U's gradient is the sum over all steps of h_(t-1).T @ (dL/dh_t * (1 - h_t^2)). That is nothing new: the network is as deep
as the text is long, and its layers share their weights. `mt.rnn` does the loop in one kernel, forward and backward; in plain
ops a step is `nn.RNNCell`.

**Why memory fades.** Over k steps the gradient is multiplied k times by U.T, and by slopes of tanh that are at most 1. If U
shrinks vectors, the product goes to 0 like a power: the *vanishing gradient* (Bengio, Simard and Frasconi 1994). If U stretches
them it explodes, and a step of learning goes anywhere; therefore a gradient longer than 1 is shortened (*clipped*). What is
further back than some ten steps then has no part in what is learned, though h could carry it.

**The LSTM** (long short-term memory; Hochreiter and Schmidhuber 1997, its forget gate by Gers et al. 2000) keeps a second list,
the memory c, that is *added to* and not replaced:

    c = forget * c + enter * new         h = show * tanh(c)

`forget`, `enter` and `show` are *gates*, numbers from 0 to 1, sigmoids of x @ W + h @ U + b, as `new` is a tanh of it. Back
through c the gradient is multiplied by `forget` alone, number by number: where that stays near 1, it passes unweakened. So the
forget gate starts open, with a bias of 1 (Jozefowicz et al. 2015). The residual stream of a transformer is the same idea, along
its layers. **The GRU** (gated recurrent unit; Cho et al. 2014, arXiv:1406.1078) does it with one list and one gate fewer: h is
a mixture, (1 - z) * new + z * h.

**Measured**, with `--preset small` (one layer of 128 numbers, 600 steps) and each cell: the gradient of a prediction's loss
with respect to the character k steps back, as a part of that for the last one (lengths, means over 64 held-out places):

    k           1      4      8       16     32     63      validation loss
    rnn         0.58   0.12   0.013   2e-4   7e-8   1e-14   1.893
    gru         0.53   0.10   0.018   0.006  0.002  2e-4    1.821
    lstm        0.51   0.12   0.029   0.012  0.004  2e-4    1.860

What stood 32 characters back is worth nothing to the simple network's learning; the gated ones still get a part in some
hundreds. This is how it was found:

    import numpy as np, microtensor as mt, zoo
    run = zoo.load_model("runs/char_rnn")
    model = run.model
    text = run.tokenizer.encode(model.recipe.read_text())[1_003_854:]
    tokens = text[1500 * np.arange(64)[:, None] + np.arange(65)]
    x = mt.Tensor(model.token_embedding(tokens[:, :-1]).data, requires_grad=True)
    y, _ = model.layers[0](x)
    loss = mt.cross_entropy(model.lm_head(y[:, -1]), tokens[:, -1], reduction="sum")
    lengths = np.linalg.norm(mt.grad(loss, [x])[0].data, axis=-1).mean(axis=0)[::-1]
    print(lengths / lengths[0])

**Truncated backpropagation.** The text is too long to go back through all of it. It is cut into 32 *streams*, and a step
learns from the next 64 characters of each. The hidden state is carried on from one step to the next, but as plain numbers: the
gradient ends where the step began, while the memory doesn't (Williams and Peng 1990). `--carry no` starts every sequence from
zeros, at random places, to compare. The held-out text is read in the same way, and a checkpoint keeps the hidden states, so
that a resumed run has the same bits.

Where each line stands for itself, as in `--corpus names`, nothing is carried: every name begins with an empty hidden state and
the newline before it, ends with the newline after it, and is padded to the length of the longest, where no loss is taken. No
letter is predicted from another name. When it writes, the hidden state is emptied at each newline in the same way.

**Learning** is as in `char_gpt`: AdamW, a warmup, half a cosine, clipping, and dropout of what goes from layer to layer and to
the head (Zaremba et al. 2014, arXiv:1409.2329), never from step to step.

**What is missing.** Steps can't be computed side by side, as each needs the one before; and all that was read must fit into one
list of numbers. The next model, `wavenet`, computes all positions side by side, and `char_gpt` keeps every one and looks at
those that it needs.

**Try.** `--cell rnn` and `--cell gru`; `--preset karpathy` has the sizes of the program that made this model known (char-rnn,
2015), and `--preset small` takes a minute; `--corpus names` makes up names;
`--data my.txt` is for a text of yours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from microtensor import Tensor, nn
from zoo import recipe as recipes
from zoo.cache import StateCache
from zoo.datasets.batches import Dataset, StreamDataset
from zoo.model import Description, Model
from zoo.options import option
from zoo.recipe import corpus_option
from zoo.tokenizers.tokenizer import Tokenizer

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@dataclass(frozen=True, kw_only=True)
class Recipe(recipes.AdamWRecipe):
    """The settings of char_rnn: AdamW, a warmup, then half a cosine; the hidden state is carried from batch to batch."""

    loss_window: ClassVar[int | None] = 100
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"layers": 1, "width": 128, "dropout": 0.0, "steps": 600},
        "karpathy": {
            "layers": 2, "width": 128, "context": 50, "batch_size": 50, "dropout": 0.5, "epochs": 50, "weight_decay": 0.0,
        },
        "names": {"corpus": "names", "layers": 1, "width": 63, "dropout": 0.0, "batch_size": 128, "steps": 4000},
    }  # fmt: skip

    corpus: str | None = corpus_option("shakespeare")
    cell: str = option("lstm", "what a step in time is", choices=("rnn", "gru", "lstm"))
    context: int = option(64, "how many characters back the gradient goes", at_least=1, at_most=2**16)
    layers: int = option(2, "how many layers follow each other", at_least=1, at_most=100)
    width: int = option(256, "how many numbers the hidden state of a layer has", at_least=1, at_most=2**14)
    dropout: float = option(0.2, "the fraction of numbers dropped at random while learning", at_least=0, below=1)
    carry: str = option("yes", "whether a batch goes on from the hidden state of the one before", choices=("yes", "no"))
    batch_size: int = option(32, "how many sequences a step learns from", at_least=1, at_most=10**9)
    steps: int | None = option(2000, "how many times the parameters are changed", at_least=1, at_most=10**12)
    evaluate_every: int = option(250, "evaluate after every so many steps", at_least=1, at_most=10**12)

    def dataset(self, documents: list[np.ndarray], tokenizer: Tokenizer, every_token: bool) -> Dataset:
        """Streams of a text, through which the hidden state is carried; lines that are documents begin with an empty one."""
        if self.carry == "no" or self.text.document_per_line:
            return super().dataset(documents, tokenizer, every_token)
        return StreamDataset(documents, self.context, tokenizer.unit)


def open_forget_gate(cell: Any) -> None:
    """Let an LSTM begin by remembering: the bias of its second gate is 1."""
    bias = cell.bias_ih.numpy()
    bias[cell.hidden : 2 * cell.hidden] = 1
    cell.bias_ih.data = bias


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
    description = Description(
        title="keeps a hidden state", reference=(1.508, 160), sample_prompt="\n", sample_tokens=300, max_new_tokens=500
    )

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.token_embedding = nn.Embedding(vocabulary_size, recipe.width, init_std=1.0, rng=rng)
        self.layers = [CELLS[recipe.cell](recipe.width, recipe.width, rng=rng) for _ in range(recipe.layers)]
        if recipe.cell == "lstm":
            for layer in self.layers:
                open_forget_gate(layer.cells[0])
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
