"""The model of the benchmarks: a GPT-2-style transformer over characters, in microtensor and, with the same weights, in
PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

import microtensor as mt
from microtensor import nn

LAYERS, HEADS, WIDTH, CONTEXT, BATCH, CHARACTERS = 6, 6, 192, 256, 16, 65
RATE, BETAS, WEIGHT_DECAY, CLIP = 1e-3, (0.9, 0.99), 0.1, 1.0


class Block(nn.Module):
    """Attention, then a feed-forward layer, each on a normalised copy of the stream and added to it."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, scale=0.02, rng=rng)
        self.out = nn.Linear(WIDTH, WIDTH, scale=0.02, rng=rng)
        self.up = nn.Linear(WIDTH, 4 * WIDTH, scale=0.02, rng=rng, activation="gelu")
        self.down = nn.Linear(4 * WIDTH, WIDTH, scale=0.02, rng=rng)

    def forward(self, x: Any) -> Any:
        """(batch, time, width) to the same shape."""
        x = x + self.out(mt.multi_head_attention(self.qkv(self.norm1(x)), HEADS, causal=True))
        return x + self.down(self.up(self.norm2(x)))


class GPT(nn.Module):
    """Characters (batch, time) to logits (batch, time, characters)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.tokens = nn.Embedding(CHARACTERS, WIDTH, scale=0.02, rng=rng)
        self.places = nn.Embedding(CONTEXT, WIDTH, scale=0.02, rng=rng)
        self.blocks = [Block(rng) for _ in range(LAYERS)]
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, tokens: Any) -> Any:
        """The head is the table of characters, turned."""
        x = self.tokens(tokens) + self.places(np.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return mt.linear(self.norm(x), self.tokens.weight.T)


class Microtensor:
    """The model and its optimizer."""

    name = "microtensor"

    def __init__(self) -> None:
        from microtensor.optim import AdamW

        self.model = GPT(np.random.default_rng(0))
        parameters = self.model.parameters()
        self.optimizer = AdamW(
            [
                {"params": [p for p in parameters if p.ndim == 2], "weight_decay": WEIGHT_DECAY},
                {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=RATE,
            betas=BETAS,
        )

    def step(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """One training step; returns the loss."""
        from microtensor.optim import clip_grad_norm

        loss = mt.cross_entropy(self.model(inputs), targets)
        loss.backward()
        clip_grad_norm(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss)


class PyTorch:
    """The same in PyTorch, with its attention kernel and its fused AdamW."""

    name = "PyTorch"

    def __init__(self, compiled: bool = False) -> None:
        import torch

        torch.set_num_threads(2)
        self.torch = torch
        functional = torch.nn.functional
        state = GPT(np.random.default_rng(0)).state_dict()

        def linear(name: str) -> Any:
            weight = state[f"{name}.weight"].T
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
                layer.bias.zero_()
            return layer

        class TorchBlock(torch.nn.Module):
            def __init__(self, i: int) -> None:
                super().__init__()
                self.norm1, self.norm2 = torch.nn.LayerNorm(WIDTH), torch.nn.LayerNorm(WIDTH)
                self.qkv, self.out, self.up, self.down = (linear(f"blocks.{i}.{n}") for n in ("qkv", "out", "up", "down"))

            def forward(self, x: Any) -> Any:
                batch, time, width = x.shape
                q, k, v = (
                    y.view(batch, time, HEADS, width // HEADS).transpose(1, 2)
                    for y in self.qkv(self.norm1(x)).split(width, dim=2)
                )
                seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
                x = x + self.out(seen.transpose(1, 2).reshape(batch, time, width))
                return x + self.down(functional.gelu(self.up(self.norm2(x))))

        class TorchGPT(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.tokens = torch.nn.Embedding.from_pretrained(torch.from_numpy(state["tokens.weight"]), freeze=False)
                self.places = torch.nn.Embedding.from_pretrained(torch.from_numpy(state["places.weight"]), freeze=False)
                self.blocks = torch.nn.ModuleList(TorchBlock(i) for i in range(LAYERS))
                self.norm = torch.nn.LayerNorm(WIDTH)

            def forward(self, tokens: Any, targets: Any) -> Any:
                x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
                for block in self.blocks:
                    x = block(x)
                logits = functional.linear(self.norm(x), self.tokens.weight)
                return functional.cross_entropy(logits.view(-1, CHARACTERS), targets.view(-1))

        self.model = TorchGPT()
        self.forward = torch.compile(self.model) if compiled else self.model
        self.name = "PyTorch, torch.compile" if compiled else "PyTorch"
        parameters = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if p.ndim == 2], "weight_decay": WEIGHT_DECAY},
                {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=RATE,
            betas=BETAS,
            fused=True,
        )

    def step(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """One training step; returns the loss."""
        loss = self.forward(self.torch.from_numpy(inputs), self.torch.from_numpy(targets))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        return loss.item()


def batches(seed: int = 0) -> Any:
    """An endless stream of (inputs, targets), the same for every contestant: characters that follow a simple rule."""
    rng = np.random.default_rng(seed)
    follows = rng.integers(0, CHARACTERS, (CHARACTERS, 4))
    while True:
        text = np.empty((BATCH, CONTEXT + 1), np.int64)
        text[:, 0] = rng.integers(0, CHARACTERS, BATCH)
        choices = rng.integers(0, 4, (BATCH, CONTEXT))
        for i in range(CONTEXT):
            text[:, i + 1] = follows[text[:, i], choices[:, i]]
        yield text[:, :-1].copy(), text[:, 1:].copy()
