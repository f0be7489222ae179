"""The zoo's GPTs, and the same models with the same weights in PyTorch."""

from __future__ import annotations

import functools
from typing import Any

import modern_gpt
import numpy as np

import microtensor as mt
import zoo
from microtensor.optim import clip_grad_norm

#: The recipes without dropout, whose chance would differ.
SETTINGS: dict[str, dict[str, Any]] = {
    "char_gpt": {
        "dropout": 0.0,
        "learning_rate": 1e-3,
        "min_learning_rate_ratio": 0.1,
        "warmup": 100,
        "weight_decay": 0.1,
        "steps": 5000,
    },
    "chat_gpt": {"dropout": 0.0},
    "modern_gpt": {"dropout": 0.0},
}


@functools.cache
def start(name: str = "char_gpt") -> Any:
    """The model that everybody starts from."""
    return zoo.create_model(name, **SETTINGS[name])


class Microtensor:
    """The model and its optimizer."""

    name = "microtensor"

    def __init__(self, name: str = "char_gpt", dropout: float = 0.0) -> None:
        self.model = zoo.create_model(name, **{**SETTINGS[name], "dropout": dropout})
        self.optimizer = self.model.recipe.optimizer(self.model)
        self.parameters = self.model.parameters()

    def step(self, inputs: np.ndarray, targets: np.ndarray, factor: float = 1.0) -> float:
        """One training step; returns the loss."""
        loss = mt.cross_entropy(self.model(inputs), targets)
        loss.backward()
        if self.model.recipe.grad_clip is not None:
            clip_grad_norm(self.parameters, self.model.recipe.grad_clip)
        self.optimizer.step(factor)
        self.optimizer.zero_grad()
        return float(loss)


class PyTorch:
    """The same in PyTorch, with its attention kernel and its fused AdamW."""

    name = "PyTorch"

    def __init__(self, name: str = "char_gpt", compiled: bool = False, dropout: float = 0.0) -> None:
        import torch

        torch.set_num_threads(2)
        self.torch = torch
        self.model = modern_gpt.torch_model(start(name), dropout) if name == "modern_gpt" else torch_model(name, dropout)
        self.forward = torch.compile(self.model) if compiled else self.model
        self.name = "PyTorch, torch.compile" if compiled else "PyTorch"
        self.recipe = start(name).recipe
        self.optimizers = (modern_gpt.torch_optimizers if name == "modern_gpt" else torch_optimizers)(self.model, self.recipe)
        self.rates = [(group, group["lr"]) for optimizer in self.optimizers for group in optimizer.param_groups]

    def step(self, inputs: np.ndarray, targets: np.ndarray, factor: float = 1.0) -> float:
        """One training step; returns the loss."""
        logits = self.forward(self.torch.from_numpy(inputs))
        loss = self.torch.nn.functional.cross_entropy(
            logits.view(-1, logits.shape[-1]), self.torch.from_numpy(targets).reshape(-1)
        )
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.grad_clip is not None:
            self.torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.grad_clip)
        for group, rate in self.rates:
            group["lr"] = rate * factor
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.item()


def torch_optimizers(model: Any, recipe: Any) -> list[Any]:
    """Fused AdamW, with weight decay for matrices only."""
    import torch

    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim == 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, recipe.beta2), fused=True)]


def torch_model(name: str = "char_gpt", dropout: float = 0.0) -> Any:
    """The model in PyTorch, with the weights of `start(name)`."""
    import torch

    functional = torch.nn.functional
    recipe, state = start(name).recipe, start(name).state_dict()
    heads, width = recipe.heads, recipe.width
    each = width // heads

    def tensor(name: str) -> Any:
        return torch.from_numpy(np.ascontiguousarray(state[name]))

    def linear(name: str) -> Any:
        weight = tensor(f"{name}.weight").T.contiguous()
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(tensor(f"{name}.bias"))
        return layer

    class Block(torch.nn.Module):
        def __init__(self, i: int) -> None:
            super().__init__()
            self.norm1, self.norm2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
            path = f"blocks.{i}"
            self.qkv, self.out = linear(f"{path}.attention.qkv"), linear(f"{path}.attention.out")
            self.up, self.down = linear(f"{path}.feed_forward.up"), linear(f"{path}.feed_forward.down")
            self.dropout = torch.nn.Dropout(dropout)

        def heads_of(self, x: Any) -> Any:
            batch, time, _ = x.shape
            return (y.view(batch, time, heads, each).transpose(1, 2) for y in self.qkv(self.norm1(x)).split(width, dim=2))

        def rest(self, x: Any, found: Any) -> Any:
            x = x + self.dropout(self.out(found.transpose(1, 2).reshape(x.shape)))
            return x + self.dropout(self.down(functional.gelu(self.up(self.norm2(x)))))

        def forward(self, x: Any) -> Any:
            q, k, v = self.heads_of(x)
            return self.rest(x, functional.scaled_dot_product_attention(q, k, v, is_causal=True))

        def cached(self, x: Any, keys: Any, values: Any, position: Any, seen: Any) -> Any:
            """One token: its key and value are kept, and it looks at what is kept (`seen`: how many, or a mask)."""
            q, k, v = self.heads_of(x)
            if isinstance(seen, int):
                keys[:, :, seen - 1 : seen], values[:, :, seen - 1 : seen] = k, v
                return self.rest(x, functional.scaled_dot_product_attention(q, keys[:, :, :seen], values[:, :, :seen]))
            keys.index_copy_(2, position, k)
            values.index_copy_(2, position, v)
            return self.rest(x, functional.scaled_dot_product_attention(q, keys, values, attn_mask=seen))

    class GPT(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token_embedding = torch.nn.Embedding.from_pretrained(tensor("token_embedding.weight"), freeze=False)
            self.position_embedding = torch.nn.Embedding.from_pretrained(tensor("position_embedding.weight"), freeze=False)
            self.blocks: Any = torch.nn.ModuleList(Block(i) for i in range(recipe.layers))
            self.norm = torch.nn.LayerNorm(width)
            self.dropout = torch.nn.Dropout(dropout)
            untied = "lm_head.weight" in state
            self.head = torch.nn.Parameter(tensor("lm_head.weight").T.contiguous()) if untied else self.token_embedding.weight

        def forward(self, tokens: Any) -> Any:
            x = self.dropout(self.token_embedding(tokens) + self.position_embedding(torch.arange(tokens.shape[1])))
            for block in self.blocks:
                x = block(x)
            return functional.linear(self.norm(x), self.head)

        def fill(self, tokens: Any, keys: Any, values: Any) -> Any:
            """Read a text (1, time) at once, keep all keys and values, and give the last logits."""
            x = self.token_embedding(tokens) + self.position_embedding(torch.arange(tokens.shape[1]))
            for i, block in enumerate(self.blocks):
                q, k, v = block.heads_of(x)
                keys[i][:, :, : tokens.shape[1]], values[i][:, :, : tokens.shape[1]] = k, v
                x = block.rest(x, functional.scaled_dot_product_attention(q, k, v, is_causal=True))
            return functional.linear(self.norm(x[0, -1]), self.head)

        def cached(self, token: Any, position: Any, keys: Any, values: Any, seen: Any) -> Any:
            """The logits after one more token (1, 1) at a position (1,)."""
            x = self.token_embedding(token) + self.position_embedding(position)
            for i, block in enumerate(self.blocks):
                x = block.cached(x, keys[i], values[i], position, seen)
            return functional.linear(self.norm(x[0, -1]), self.head)

    return GPT()
