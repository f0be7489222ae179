"""The module, base of all layers and models: Tensors to be learned, and the function that uses them.

A Module's parameters are its attributes that are Tensors made with requires_grad=True, and those of the Modules (and the lists
and dicts of Modules) among its attributes. Their names are the path to them: `blocks.0.attention.weight`. One that was frozen,
by `requires_grad = False`, remains a parameter, though it isn't trained: it is saved and loaded with the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from microtensor import hints
from microtensor.nn import tree
from microtensor.recording import thread
from microtensor.tensor import Tensor


class _ParameterType(type):
    """Lets `isinstance(t, Parameter)` tell if a Tensor is to be learned, or was and is frozen."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.is_parameter


class Parameter(metaclass=_ParameterType):
    """`Parameter(data)` is `Tensor(data, requires_grad=True)`: a Tensor to be learned. Any such Tensor will do in its place.

    With requires_grad=False it is frozen from the start.
    """

    def __new__(cls, data: Any, requires_grad: bool = True) -> Tensor:  # type: ignore[misc]
        """The Tensor."""
        parameter = Tensor(data, requires_grad=True)
        parameter.requires_grad = requires_grad
        return parameter


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
        for path, value in self._walk():
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield path, value

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter with its name, frozen ones too, in the order of assignment; one that is used twice comes once."""
        seen: set[Tensor] = set()
        for name, value in self._walk():
            if isinstance(value, Tensor) and value.is_parameter and value not in seen:
                seen.add(value)
                yield name, value

    def parameters(self) -> list[Tensor]:
        """Every parameter. An optimizer leaves alone what is frozen among them."""
        return [p for _, p in self.named_parameters()]

    def num_parameters(self) -> int:
        """The number of numbers in all parameters, frozen or not."""
        return sum(p.size for p in self.parameters())

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters():
            p.grad = None

    def train(self, training: bool = True) -> Module:
        """Tell every module within whether it is training (dropout then drops) or not."""
        for _, value in self._walk():
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
            if not isinstance(new, np.ndarray | Tensor):
                raise ValueError(f"parameter {name} should be an array, but is {type(new).__name__}")
            if new.shape != p.shape or new.dtype != p.dtype:
                raise ValueError(f"parameter {name} should be {p.dtype} {p.shape}, but is {new.dtype} {new.shape}")
        for name, p in parameters.items():
            p.data = state[name]

    def _walk(self) -> Iterator[tuple[str, Any]]:
        """This module and every module and Tensor in it, each with its path, in the order of assignment; what is in a
        module that comes again isn't repeated. Without recursion, so that modules can lie as deep as they like."""
        seen: set[int] = set()
        waiting: list[tuple[str, Any]] = [("", self)]
        while waiting:
            path, value = waiting.pop()
            if isinstance(value, Module | Tensor):
                yield path, value
            if isinstance(value, Tensor) or id(value) in seen:
                continue
            seen.add(id(value))
            inside: Any = (
                enumerate(value)
                if isinstance(value, list | tuple)
                else (value if isinstance(value, dict) else vars(value)).items()
            )
            prefix = f"{path}." if path else ""
            held = [
                (f"{prefix}{name}", item) for name, item in inside if isinstance(item, Module | Tensor | list | tuple | dict)
            ]
            waiting.extend(reversed(held))

    def __repr__(self) -> str:
        return tree.text(self._walk())

    def _repr_html_(self) -> str:
        return tree.as_html(self._walk())

    def __dir__(self) -> list[str]:
        return hints.listed(self)


hints.explain_missing(Module)
