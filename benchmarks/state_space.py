"""The zoo's wavenet and mamba, and the same models with the same weights in PyTorch."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import microtensor as mt
import zoo
from microtensor.optim import clip_grad_norm


@functools.cache
def start(name: str) -> Any:
    """The model that everybody starts from: the default recipe, without dropout, whose chance would differ."""
    return zoo.create_model(name, dropout=0.0)


class Microtensor:
    """The model and its optimizer."""

    def __init__(self, name: str) -> None:
        self.model = zoo.create_model(name, dropout=0.0)
        self.optimizer = self.model.recipe.optimizer(self.model)
        self.parameters = self.model.parameters()

    def step(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """One training step; returns the loss."""
        loss = mt.cross_entropy(self.model(inputs), targets)
        loss.backward()
        clip_grad_norm(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss)


class PyTorch:
    """The same in PyTorch, with its fused AdamW. Compiled, the layers are; mamba's loop over the steps stays as it is."""

    def __init__(self, name: str, compiled: bool = False) -> None:
        import torch

        torch.set_num_threads(2)
        self.torch = torch
        self.model = torch_model(start(name), compiled)
        recipe = start(name).recipe
        decayed = [p for key, p in self.model.named_parameters() if p.ndim >= 2 and not key.endswith("log_a")]
        others = [p for key, p in self.model.named_parameters() if p.ndim < 2 or key.endswith("log_a")]
        groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, recipe.beta2), fused=True)

    def step(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """One training step; returns the loss."""
        logits = self.model(self.torch.from_numpy(inputs))
        loss = self.torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), self.torch.from_numpy(targets).reshape(-1)
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()


def torch_model(model: Any, compiled: bool = False) -> Any:
    """A wavenet or a mamba in PyTorch, with a copy of its weights."""
    return (_wavenet if hasattr(model, "dilations") else _mamba)(model, compiled)


def gradients(theirs: Any) -> dict[str, np.ndarray]:
    """The gradients of `torch_model`'s parameters, in our names and shapes."""
    found = {}
    for name, p in theirs.named_parameters():
        g = p.grad.numpy()
        if name.endswith("convolution.weight"):
            g = g.transpose(2, 1, 0) if g.shape[1] > 1 else g[:, 0].T
        elif name.endswith("weight") and g.ndim == 2 and "embedding" not in name:
            g = g.T
        found[name] = g
    return found


def _tensor(array: np.ndarray) -> Any:
    import torch

    return torch.tensor(np.array(array, order="C"))


def _linear(layer: Any) -> Any:
    import torch

    weight = layer.weight.data
    made = torch.nn.Linear(*weight.shape, bias=layer.bias is not None)
    made.weight.data = _tensor(weight.T)
    if layer.bias is not None:
        made.bias.data = _tensor(layer.bias.data)
    return made


def _convolution(layer: Any) -> Any:
    import torch

    weight = layer.weight.data
    depthwise = weight.ndim == 2
    size, inputs = weight.shape[:2]
    outputs = weight.shape[-1]
    made = torch.nn.Conv1d(inputs, outputs, size, dilation=layer.dilation, groups=inputs if depthwise else 1)
    made.weight.data = _tensor(weight.T[:, None] if depthwise else weight.transpose(2, 1, 0))
    made.bias.data = _tensor(layer.bias.data)
    return made


def _embedding(layer: Any) -> Any:
    import torch

    return torch.nn.Embedding.from_pretrained(_tensor(layer.weight.data), freeze=False)


def _wavenet(model: Any, compiled: bool) -> Any:
    """Channels before time throughout, as PyTorch's convolutions want it; those of one position are convolutions too, as in
    every WaveNet in PyTorch."""
    import torch

    functional = torch.nn.functional

    class Layer(torch.nn.Module):
        def __init__(self, layer: Any) -> None:
            super().__init__()
            self.convolution = _convolution(layer.convolution)
            self.residual = None if layer.residual is None else _linear(layer.residual)
            self.skip = _linear(layer.skip)
            self.before = (len(layer.convolution.weight.data) - 1) * layer.convolution.dilation

        def forward(self, x: Any) -> Any:
            value, gate = self.convolution(functional.pad(x, (self.before, 0))).chunk(2, dim=1)
            gated = torch.tanh(value) * torch.sigmoid(gate)
            skip = functional.conv1d(gated, self.skip.weight[..., None], self.skip.bias)
            if self.residual is None:
                return x, skip
            return x + functional.conv1d(gated, self.residual.weight[..., None], self.residual.bias), skip

    class WaveNet(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = _embedding(model.embedding)
            self.layers: Any = torch.nn.ModuleList(Layer(layer) for layer in model.layers)
            self.hidden, self.lm_head = _linear(model.hidden), _linear(model.lm_head)

        def forward(self, tokens: Any) -> Any:
            x, total = self.embedding(tokens).transpose(1, 2), 0
            for layer in self.layers:
                x, skip = layer(x)
                total = total + skip
            return self.lm_head(torch.relu(self.hidden(torch.relu(total).transpose(1, 2))))

    made = WaveNet()
    if compiled:
        made.forward = torch.compile(made.forward)  # type: ignore[method-assign]
    return made


def _mamba(model: Any, compiled: bool) -> Any:
    """Its scan is a loop over the steps. Everything that isn't the recurrence itself is computed for all steps at once, before
    and after; `unbind` and `stack` keep backward from making an array of zeros for each step. (In log space a cumulative sum
    would do without a loop, but e^-sum overflows in float32 where a state has faded; and doubling strides, 8 passes over all
    states, take longer than the loop.)"""
    import torch

    functional = torch.nn.functional

    def scan(x: Any, step: Any, a: Any, b: Any, c: Any, skip: Any) -> Any:
        decays = torch.exp(step[..., None] * a).unbind(1)
        added = ((step * x)[..., None] * b[:, :, None]).unbind(1)
        states, h = [], torch.zeros_like(added[0])
        for decay, new in zip(decays, added, strict=True):
            h = torch.addcmul(new, decay, h)
            states.append(h)
        return (torch.stack(states, 1) @ c[..., None])[..., 0] + skip * x

    class Selection(torch.nn.Module):
        def __init__(self, selection: Any) -> None:
            super().__init__()
            self.choose, self.step = _linear(selection.choose), _linear(selection.step)
            self.log_a = torch.nn.Parameter(_tensor(selection.log_a.data))
            self.skip = torch.nn.Parameter(_tensor(selection.skip.data))
            rank, states = selection.step.weight.shape[0], selection.log_a.shape[1]
            self.sizes = [rank, states, states]

        def choices(self, x: Any) -> Any:
            step, b, c = self.choose(x).split(self.sizes, dim=-1)
            return functional.softplus(self.step(step)), -torch.exp(self.log_a), b, c

    class Block(torch.nn.Module):
        def __init__(self, block: Any) -> None:
            super().__init__()
            self.norm = torch.nn.RMSNorm(block.norm.weight.shape, eps=block.norm.eps)
            self.norm.weight.data = _tensor(block.norm.weight.data)
            self.enter, self.gate, self.out = _linear(block.enter), _linear(block.gate), _linear(block.out)
            self.convolution = _convolution(block.convolution)
            self.selection = Selection(block.selection)
            self.before = len(block.convolution.weight.data) - 1

        def first(self, x: Any) -> Any:
            normal = self.norm(x)
            entered = functional.pad(self.enter(normal).transpose(1, 2), (self.before, 0))
            near = functional.silu(self.convolution(entered)).transpose(1, 2)
            return near, self.gate(normal), self.selection.choices(near)

        def last(self, x: Any, y: Any, gate: Any) -> Any:
            return x + self.out(y * functional.silu(gate))

        def forward(self, x: Any) -> Any:
            near, gate, (step, a, b, c) = self.first(x)
            return self.last(x, scan(near, step, a, b, c, self.selection.skip), gate)

    class Mamba(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = _embedding(model.embedding)
            self.blocks: Any = torch.nn.ModuleList(Block(block) for block in model.blocks)
            self.norm = torch.nn.RMSNorm(model.norm.weight.shape, eps=model.norm.eps)
            self.norm.weight.data = _tensor(model.norm.weight.data)

        def forward(self, tokens: Any) -> Any:
            x = self.embedding(tokens)
            for block in self.blocks:
                x = block(x)
            return functional.linear(self.norm(x), self.embedding.weight)

    made = Mamba()
    if compiled:
        for block in made.blocks:
            block.first, block.last = torch.compile(block.first), torch.compile(block.last)
    return made
