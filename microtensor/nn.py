"""Layers: Tensors to be learned, and the function that uses them.

A Module's parameters are its attributes that are Tensors with requires_grad=True, and those of the Modules (and the lists
and dicts of Modules) among its attributes. Their names are the path to them: `blocks.0.attention.weight`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from microtensor.ops import dropout, embedding, linear, normalization
from microtensor.recording import LEAF, thread
from microtensor.tensor import Tensor


class Module:
    """The base of layers and models: subclasses set attributes and define `forward`."""

    training: bool = True

    def forward(self, *inputs: Any) -> Any:
        """Compute the module's output; a subclass says how."""
        raise TypeError(f"{type(self).__name__} doesn't define forward")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Compute `forward`; what is recorded within remembers that it was this module's."""
        mode = thread.mode
        outer, mode.module = mode.module, self
        try:
            return self.forward(*inputs, **options)
        finally:
            mode.module = outer

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Every module within with its path (`blocks.0.attention`), itself first, under the name ""; one that is used twice
        comes once."""
        seen: set[int] = set()
        for path, value in self._walk(""):
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield path, value

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter with its name, in the order of assignment; one that is used twice comes once."""
        seen: set[Tensor] = set()
        for name, value in self._walk(""):
            if isinstance(value, Tensor) and value._node is LEAF and value not in seen:
                seen.add(value)
                yield name, value

    def parameters(self) -> list[Tensor]:
        """Every parameter."""
        return [p for _, p in self.named_parameters()]

    def num_parameters(self) -> int:
        """The number of numbers that are learned."""
        return sum(p.size for p in self.parameters())

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters():
            p.grad = None

    def train(self, training: bool = True) -> Module:
        """Tell every module within whether it is training (dropout then drops) or not."""
        for _, value in self._walk(""):
            if isinstance(value, Module):
                value.training = training
        return self

    def eval(self) -> Module:
        """The opposite of `train()`."""
        return self.train(False)

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every parameter, by name."""
        return {name: p.numpy() for name, p in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set every parameter from arrays by name.

        Raises ValueError, and changes nothing, when a name is missing or unknown or a shape or dtype differs.
        """
        parameters = dict(self.named_parameters())
        missing, unknown = sorted(parameters.keys() - state.keys()), sorted(state.keys() - parameters.keys())
        if missing or unknown:
            lists = [f"{what} {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
            raise ValueError(f"the parameters don't match this model: {'; '.join(lists)}")
        for name, p in parameters.items():
            new = state[name]
            if new.shape != p.shape or new.dtype != p.dtype:
                raise ValueError(f"parameter {name} should be {p.dtype} {p.shape}, but is {new.dtype} {new.shape}")
        for name, p in parameters.items():
            p.data = state[name]

    def _walk(self, path: str) -> Iterator[tuple[str, Any]]:
        """This module and everything in it, with names."""
        yield path.rstrip("."), self
        for name, value in vars(self).items():
            yield from _walk_value(f"{path}{name}", value)


def _walk_value(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Module):
        yield from value._walk(name + ".")
    elif isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _walk_value(f"{name}.{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk_value(f"{name}.{key}", item)


def normal(shape: tuple[int, ...], init_std: float, rng: np.random.Generator | None = None, dtype: Any = np.float32) -> Tensor:
    """A parameter of normally distributed numbers with standard deviation `init_std`."""
    rng = np.random.default_rng() if rng is None else rng
    return Tensor(rng.standard_normal(shape, dtype=np.float32) * init_std, requires_grad=True, dtype=dtype)


class Linear(Module):
    """f(x @ weight + bias): (..., inputs) to (..., outputs).

    Args:
        inputs, outputs: the widths. weight is (inputs, outputs), so that the formula reads as it is written.
        bias: whether there is one, (outputs,), starting at 0.
        init_std: the standard deviation that weights start with; 1 / sqrt(inputs) unless given, which keeps the size of x.
        rng: draws them.
        activation: what is applied to the result: "gelu", "gelu_tanh", "silu", "tanh", or None for nothing.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        init_std: float | None = None,
        rng: np.random.Generator | None = None,
        activation: str | None = None,
    ) -> None:
        self.activation = activation
        self.weight = normal((inputs, outputs), 1 / math.sqrt(inputs) if init_std is None else init_std, rng)
        self.bias = Tensor(np.zeros(outputs, np.float32), requires_grad=True) if bias else None

    def forward(self, x: Any) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        return linear.linear(x, self.weight, self.bias, self.activation)


class TiedLinear(Module):
    """A product with another layer's table, turned on its side: (..., width) to (..., rows) (Press and Wolf 2017,
    arXiv:1608.05859). It has no parameters of its own."""

    bias = activation = None

    def __init__(self, embedding: Embedding) -> None:
        self.embedding = embedding

    @property
    def weight(self) -> Tensor:
        """The table, transposed: (width, rows)."""
        return self.embedding.weight.T

    def forward(self, x: Any) -> Tensor:
        """(..., width) to (..., rows)."""
        return linear.linear(x, self.weight)


class Embedding(Module):
    """A table with a row of numbers to learn for each token: integers (...) to (..., width).

    The numbers start normally distributed, with standard deviation `init_std`; `rng` draws them.
    """

    def __init__(self, rows: int, width: int, init_std: float = 1.0, rng: np.random.Generator | None = None) -> None:
        self.weight = normal((rows, width), init_std, rng)

    def forward(self, tokens: Any) -> Tensor:
        """Integers (...) to (..., width)."""
        return embedding.embedding(tokens, self.weight)


class LayerNorm(Module):
    """`layer_norm` with a weight that starts at 1 and a bias that starts at 0."""

    def __init__(self, width: int, bias: bool = True, eps: float = 1e-5) -> None:
        self.weight = Tensor(np.ones(width, np.float32), requires_grad=True)
        self.bias = Tensor(np.zeros(width, np.float32), requires_grad=True) if bias else None
        self.eps = eps

    def forward(self, x: Any) -> Tensor:
        """(..., width) to the same shape."""
        return normalization.layer_norm(x, self.weight, self.bias, self.eps)


class RMSNorm(Module):
    """`rms_norm` with a weight that starts at 1."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        self.weight = Tensor(np.ones(width, np.float32), requires_grad=True)
        self.eps = eps

    def forward(self, x: Any) -> Tensor:
        """(..., width) to the same shape."""
        return normalization.rms_norm(x, self.weight, self.eps)


class Dropout(Module):
    """`dropout` while training, nothing otherwise. `rng` is its own source of chance."""

    def __init__(self, p: float = 0.1, rng: np.random.Generator | None = None) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p must be at least 0 and below 1, not {p}")
        self.p = p
        self.rng = np.random.default_rng() if rng is None else rng

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return dropout.dropout(x, self.p, self.rng) if self.training else x
