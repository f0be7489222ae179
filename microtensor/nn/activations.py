"""The activations as modules, for `Sequential`; elsewhere their functions (`mt.relu(x)`) say the same."""

from __future__ import annotations

from typing import Any

from microtensor.nn.module import Module
from microtensor.ops import activations


class ReLU(Module):
    """`relu`: x where it is positive, else 0."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return activations.relu(x)


class GELU(Module):
    """`gelu`, with its `approximate`: "none" or "tanh"."""

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return activations.gelu(x, self.approximate)


class SiLU(Module):
    """`silu`: x * sigmoid(x)."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return activations.silu(x)


class Tanh(Module):
    """`tanh`: an S-shaped curve from -1 to 1."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return activations.tanh(x)


class Sigmoid(Module):
    """`sigmoid`: an S-shaped curve from 0 to 1."""

    def forward(self, x: Any) -> Any:
        """Any shape to the same shape."""
        return activations.sigmoid(x)
