"""Modules one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from microtensor.nn.module import Module


class Function(Module):
    """A function of one Tensor as a module; `Sequential` makes one of each plain function that it is given."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.name = getattr(function, "__name__", type(function).__name__)
        self._function = function

    def forward(self, x: Any) -> Any:
        """What the function gives for x."""
        return self._function(x)


class Sequential(Module):
    """Layers one after the other, each given what the one before it computed.

    Args:
        layers: modules, or any functions of one Tensor (`mt.tanh`). Their parameters are named by position: "0.weight".

    Raises TypeError for what can't be called.
    """

    def __init__(self, *layers: Callable[[Any], Any]) -> None:
        for i, layer in enumerate(layers):
            if not callable(layer):
                advice = "; a list is written Sequential(*layers)" if isinstance(layer, list | tuple) else ""
                raise TypeError(f"Sequential: layer {i} is a {type(layer).__name__}, not a module or a function{advice}")
            setattr(self, str(i), layer if isinstance(layer, Module) else Function(layer))
        self._length = len(layers)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, i: int) -> Any:
        return list(self)[i]

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, str(i)) for i in range(self._length))

    def forward(self, x: Any) -> Any:
        """x through every layer, from the first to the last."""
        for layer in self:
            x = layer(x)
        return x
