"""Tensors made from nothing but a shape. Floats are float32 unless another dtype is named.

Shapes are given as in PyTorch, `zeros(2, 3)`, or as in NumPy, `zeros((2, 3))`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.tensor import Tensor, as_array, numpy_rules


def _shape(name: str, shape: tuple[Any, ...]) -> tuple[int, ...]:
    given = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    if not all(isinstance(n, int | np.integer) and n >= 0 for n in given):
        raise TypeError(f"{name}: a shape is made of lengths, {name}(2, 3) or {name}((2, 3)), not {given}; dtype= goes by name")
    return tuple(map(int, given))


def zeros(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """A Tensor of zeros. Raises TypeError for what is no shape."""
    return Tensor(np.zeros(_shape("zeros", shape), dtype), requires_grad)


def ones(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """A Tensor of ones. Raises TypeError for what is no shape."""
    return Tensor(np.ones(_shape("ones", shape), dtype), requires_grad)


def full(shape: int | tuple[int, ...], value: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of one value, in the value's type: float32 for a Python float. Raises TypeError for what is no shape."""
    value = as_array(value, dtype)
    return Tensor(np.full(_shape("full", (shape,)), value, value.dtype), requires_grad)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """The numbers from `start` to before `stop`, `step` apart; from 0 when only one bound is given. Integers stay integers."""
    first, last = (0, start) if stop is None else (start, stop)
    values = np.arange(first, last, step)
    return Tensor(values.astype(np.float32) if dtype is None and values.dtype.kind == "f" else values, requires_grad, dtype)


def randn(
    *shape: Any, rng: np.random.Generator | int | None = None, dtype: Any = np.float32, requires_grad: bool = False
) -> Tensor:
    """A Tensor of numbers from the standard normal distribution.

    `rng` is the generator that draws them, or a seed for a new one; without it they are others each time. Raises TypeError for
    what is no shape.
    """
    drawn_as = np.float64 if np.dtype(dtype) == np.float64 else np.float32
    return Tensor(np.random.default_rng(rng).standard_normal(_shape("randn", shape), drawn_as), requires_grad, dtype)


def zeros_like(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape and type of x."""
    return full_like(x, 0, dtype, requires_grad)


def ones_like(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones in the shape and type of x."""
    return full_like(x, 1, dtype, requires_grad)


def full_like(x: Any, value: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """One value in the shape and type of x."""
    array = as_array(x)
    dtype = array.dtype if dtype is None else dtype
    return Tensor(np.full(array.shape, as_array(value, dtype), dtype), requires_grad)


def randn_like(x: Any, rng: np.random.Generator | int | None = None, requires_grad: bool = False) -> Tensor:
    """Numbers from the standard normal distribution in the shape and type of x, drawn as by `randn`."""
    array = as_array(x)
    return randn(array.shape, rng=rng, dtype=array.dtype, requires_grad=requires_grad)


numpy_rules[np.zeros_like] = zeros_like
numpy_rules[np.ones_like] = ones_like
numpy_rules[np.full_like] = full_like
