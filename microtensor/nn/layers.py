"""The layers that most models are made of: linear maps, embeddings, norms, dropout."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from microtensor.nn.module import Module
from microtensor.ops import dropout, embedding, linear, normalization
from microtensor.tensor import Tensor

_generator: ContextVar[np.random.Generator | None] = ContextVar("generator", default=None)


@contextmanager
def drawn_from(rng: np.random.Generator) -> Iterator[None]:
    """Let layers that are made within this block, and are given no generator, draw their parameters from `rng`."""
    token = _generator.set(rng)
    try:
        yield
    finally:
        _generator.reset(token)


def normal(shape: tuple[int, ...], init_std: float, rng: np.random.Generator | None = None, dtype: Any = np.float32) -> Tensor:
    """A parameter of normally distributed numbers with standard deviation `init_std`."""
    rng = rng or _generator.get() or np.random.default_rng()
    return Tensor(rng.standard_normal(shape, dtype=np.float32) * init_std, requires_grad=True, dtype=dtype)


class Linear(Module):
    """f(x @ weight + bias): (..., inputs) to (..., outputs).

    Args:
        inputs, outputs: the widths. weight is (inputs, outputs), so that the formula reads as it is written.
        bias: whether there is one, (outputs,), starting at 0.
        init_std: the standard deviation that weights start with; 1 / sqrt(inputs) unless given, which keeps the size of x.
        rng: draws them.
        activation: what is applied to the result: "gelu", "gelu_tanh", "silu", "tanh", "relu", "squared_relu", or None for
            nothing.
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
