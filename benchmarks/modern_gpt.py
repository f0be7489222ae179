"""The zoo's modern_gpt in PyTorch, with the same weights, and PyTorch's own Muon."""

from __future__ import annotations

from typing import Any

import numpy as np


def torch_model(ours: Any, dropout: float) -> Any:
    """The model in PyTorch, with the weights of `ours`."""
    import torch

    functional = torch.nn.functional
    recipe, state = ours.recipe, ours.state_dict()
    heads, kv_heads, width, cap = recipe.heads, recipe.kv_heads, recipe.width, ours.cap
    each = width // heads
    angles = torch.arange(recipe.context)[:, None] / 10000 ** (torch.arange(each // 2) / (each // 2))
    cosines, sines = angles.cos(), angles.sin()

    def linear(name: str) -> Any:
        weight = torch.from_numpy(np.ascontiguousarray(state[f"{name}.weight"].T))
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        with torch.no_grad():
            layer.weight.copy_(weight)
        return layer

    def norm(x: Any) -> Any:
        return functional.rms_norm(x, (x.shape[-1],), eps=1e-6)

    def turn(x: Any) -> Any:
        a, b = norm(x).chunk(2, -1)
        cos, sin = cosines[: x.shape[-2]], sines[: x.shape[-2]]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    class Block(torch.nn.Module):
        def __init__(self, i: int) -> None:
            super().__init__()
            path = f"blocks.{i}"
            self.qkv, self.out = linear(f"{path}.attention.qkv"), linear(f"{path}.attention.out")
            self.up, self.down = linear(f"{path}.feed_forward.up"), linear(f"{path}.feed_forward.down")
            self.dropout = torch.nn.Dropout(dropout)

        def forward(self, x: Any) -> Any:
            batch, time, _ = x.shape
            packed = self.qkv(norm(x)).view(batch, time, heads + 2 * kv_heads, each).transpose(1, 2)
            q, k, v = packed.split([heads, kv_heads, kv_heads], dim=1)
            found = functional.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True, enable_gqa=heads != kv_heads)
            x = x + self.dropout(self.out(found.transpose(1, 2).reshape(x.shape)))
            return x + self.dropout(self.down(functional.relu(self.up(norm(x))).square()))

    class GPT(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            table = torch.from_numpy(np.ascontiguousarray(state["token_embedding.weight"]))
            self.token_embedding = torch.nn.Embedding.from_pretrained(table, freeze=False)
            self.blocks: Any = torch.nn.ModuleList(Block(i) for i in range(recipe.layers))
            self.lm_head = linear("lm_head")
            self.dropout = torch.nn.Dropout(dropout)

        def forward(self, tokens: Any) -> Any:
            x = self.dropout(norm(self.token_embedding(tokens)))
            for block in self.blocks:
                x = block(x)
            return cap * torch.tanh(self.lm_head(norm(x)) / cap)

    return GPT()


def torch_optimizers(model: Any, recipe: Any) -> list[Any]:
    """Muon for the blocks and fused AdamW for the tables, as the recipe has it."""
    import torch

    muon = torch.optim.Muon(
        list(model.blocks.parameters()), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, momentum=recipe.momentum
    )
    tables = [
        {"params": list(model.token_embedding.parameters()), "lr": recipe.embedding_rate},
        {"params": list(model.lm_head.parameters()), "lr": recipe.head_rate},
    ]
    return [muon, torch.optim.AdamW(tables, betas=(0.8, 0.95), weight_decay=0.0, fused=True)]
