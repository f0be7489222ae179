"""Recurrent networks: one layer of LSTM, GRU and RNN by itself, a training step of char_rnn, and writing with it.

All start from the same weights and see the same batches; that they learn the same is checked by their losses. Our model
multiplies the embedding of each character by the first layer's weight once, not once for each time that it comes in a batch;
PyTorch's model is an Embedding, an LSTM and a Linear, as its users write it. Hidden states are carried from step to step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import Row, compared, has_torch, interleaved

import microtensor as mt
from microtensor import Tensor, nn
from microtensor.optim import clip_grad_norm
from zoo.inference.decoder import Decoder
from zoo.inference.generation import generate
from zoo.inference.sampling import Sampling
from zoo.models.char_rnn import CharRNN, Recipe

VOCABULARY, LENGTH = 65, 256
KINDS = ("LSTM", "GRU", "RNN")


def run(quick: bool) -> list[Row]:
    """The rows of the table."""
    rounds = 3 if quick else 25
    rows = [layer(kind, rounds) for kind in KINDS]
    rows += steps("char_rnn training step, 64 x 32 characters", Recipe(dropout=0.0), rounds)
    small = Recipe(dropout=0.0, layers=2, width=128, context=50, batch_size=50)
    rows += steps("the same, 2 x 128 wide, 50 x 50 characters, as in char-rnn", small, rounds)
    return [*rows, *writing(1 if quick else 7)]


def layer(kind: str, rounds: int) -> Row:
    """Measure a layer forward and backward: 32 sequences of 64 steps, 256 wide."""
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, 32, 64, 256)).astype(np.float32)
    ours = getattr(nn, kind)(256, 256, rng=rng)

    def microtensor() -> None:
        y, _ = ours(Tensor(x, requires_grad=True))
        y.backward(g)
        ours.zero_grad()

    contestants: dict[str, Callable[[], Any]] = {"microtensor": microtensor}
    if has_torch():
        import torch

        theirs = getattr(torch.nn, kind)(256, 256, batch_first=True)
        other_x, other_g = torch.tensor(x), torch.tensor(g)

        def pytorch() -> None:
            y, _ = theirs(other_x.clone().requires_grad_())
            y.backward(other_g)
            theirs.zero_grad()

        contestants["PyTorch"] = pytorch
    return compared(f"nn.{kind}, forward and backward", "ms", 1e3, interleaved(contestants, rounds, rest=0.05), "PyTorch")


class Microtensor:
    """char_rnn in microtensor, with its hidden state."""

    def __init__(self, recipe: Recipe) -> None:
        self.model = CharRNN(recipe, VOCABULARY, np.random.default_rng(0))
        self.optimizer = recipe.optimizer(self.model)
        self.parameters = self.model.parameters()
        self.cache = self.model.new_cache()

    def step(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """Learn from a batch; returns its loss."""
        loss = mt.cross_entropy(self.model.go_on(inputs, self.cache), targets)
        loss.backward()
        clip_grad_norm(self.parameters, 1.0)
        self.optimizer.step(1.0)
        self.optimizer.zero_grad()
        return float(loss)


class PyTorch:
    """The same network in PyTorch: Embedding, LSTM, Linear."""

    def __init__(self, recipe: Recipe, compiled: bool = False) -> None:
        import torch

        ours = CharRNN(recipe, VOCABULARY, np.random.default_rng(0))
        self.torch, width = torch, recipe.width
        self.state: Any = None
        self.embedding = torch.nn.Embedding(VOCABULARY, width)
        self.lstm = torch.nn.LSTM(width, width, recipe.layers, batch_first=True)
        self.head = torch.nn.Linear(width, VOCABULARY)
        pairs = [(self.embedding.weight, ours.token_embedding.weight.data), (self.head.weight, ours.lm_head.weight.data.T)]
        assert ours.lm_head.bias is not None
        pairs.append((self.head.bias, ours.lm_head.bias.data))
        for i, each in enumerate(ours.layers):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                pairs.append((getattr(self.lstm, f"{name}_l{i}"), getattr(each.cells[0], name).data.T))
        with torch.no_grad():
            for theirs, array in pairs:
                theirs.copy_(torch.tensor(np.ascontiguousarray(array)))
        self.parameters = [p for p, _ in pairs]
        groups = [
            {"params": [p for p in self.parameters if (p.ndim == 2) == matrix], "weight_decay": decay}
            for matrix, decay in ((True, recipe.weight_decay), (False, 0.0))
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.99), fused=True)
        self.logits = torch.compile(self.forward) if compiled else self.forward

    def forward(self, tokens: Any, state: Any) -> Any:
        """The logits, and the next hidden state."""
        y, state = self.lstm(self.embedding(tokens), state)
        return self.head(y), state

    def step(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """Learn from a batch; returns its loss."""
        logits, state = self.logits(self.torch.from_numpy(inputs), self.state)
        self.state = tuple(s.detach() for s in state)
        wanted = self.torch.from_numpy(targets).reshape(-1)
        loss = self.torch.nn.functional.cross_entropy(logits.reshape(-1, VOCABULARY), wanted)
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    def write(self, length: int) -> None:
        """Draw characters, one after the other, on one thread, which is faster here."""
        torch = self.torch
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                token, state = torch.zeros((1, 1), dtype=torch.int64), None
                for _ in range(length):
                    logits, state = self.logits(token, state)
                    token = torch.multinomial(torch.softmax(logits[0], -1), 1)
                    token.item()
        finally:
            torch.set_num_threads(threads)


def steps(case: str, recipe: Recipe, rounds: int) -> list[Row]:
    """Training steps, against PyTorch and PyTorch compiled."""
    contestants: dict[str, Any] = {"microtensor": Microtensor(recipe)}
    if has_torch():
        contestants["PyTorch"] = PyTorch(recipe)
        contestants["PyTorch, torch.compile"] = PyTorch(recipe, compiled=True)
    rng = np.random.default_rng(1)
    data = rng.integers(0, VOCABULARY, (rounds + 2, recipe.batch_size, recipe.context + 1))
    losses: dict[str, list[float]] = {name: [] for name in contestants}
    notes = {}
    for name in list(contestants):
        try:
            losses[name].append(contestants[name].step(data[0, :, :-1].copy(), data[0, :, 1:].copy()))
        except Exception as error:  # torch.compile wants a C++ compiler
            notes[name] = f"failed: {type(error).__name__}: {error}".splitlines()[0]
            del contestants[name]

    def work(name: str) -> Callable[[], None]:
        batches = iter(data[1:])

        def one() -> None:
            batch = next(batches)
            losses[name].append(contestants[name].step(batch[:, :-1].copy(), batch[:, 1:].copy()))

        return one

    seconds = interleaved({name: work(name) for name in contestants}, rounds, rest=0.05)
    rows = []
    for rival in ("PyTorch", "PyTorch, torch.compile"):
        row = compared(case, "ms", 1e3, seconds, rival)
        row.note = notes.get(rival, row.note)
        if rival in seconds and not np.allclose(losses["microtensor"], losses[rival], rtol=1e-3):
            row.note = "learned something else"
        rows.append(row)
    return rows


def writing(rounds: int) -> list[Row]:
    """Characters drawn at temperature 1, one after the other, with the hidden state kept."""
    recipe = Recipe(dropout=0.0)
    decoder = Decoder(CharRNN(recipe, VOCABULARY, np.random.default_rng(0)))
    contestants: dict[str, Callable[[int], Any]] = {
        "microtensor": lambda n: list(generate(decoder, [0], n, Sampling(1.0), np.random.default_rng(0)))
    }
    if has_torch():
        contestants["PyTorch"] = PyTorch(recipe).write
    seconds = interleaved({name: functools.partial(f, LENGTH) for name, f in contestants.items()}, rounds, rest=0.05)
    row = compared("char_rnn writes a character", "us", 1e6 / LENGTH, seconds, "PyTorch")
    row.share = f"{1e6 / (row.ours or 1):,.0f} characters/s"
    return [row]
