"""Tensors made from nothing but a shape. Floats are float32 unless another dtype is named.

Shapes are given as in PyTorch, `zeros(2, 3)`, or as in NumPy, `zeros((2, 3))`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor.tensor import Tensor, as_array, as_inputs, numpy_rules, ops


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


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    requires_grad: bool = False,
) -> Any:
    """`num` numbers at equal distances from `start` to `stop`, which is the last of them if `endpoint`.

    Of arrays, a line of numbers between each two elements, along a new axis. Bounds that are Tensors have gradients. With
    `retstep` the result is a pair: the numbers, and their distance. Raises ValueError for a negative `num`.
    """
    if num < 0:
        raise ValueError(f"linspace: makes at least 0 numbers, not {num}")
    recorded = any(isinstance(x, Tensor) and x.requires_grad for x in (start, stop))
    first, last = as_inputs((start, stop), numbers=True)
    kinds = [x.dtype for x in (first, last) if not isinstance(x, int | float) and x.dtype.kind == "f"]
    kind = np.result_type(*kinds) if kinds else np.dtype(np.float32)
    first, last = (x if isinstance(x, int | float) or x.dtype == kind else ops.astype(x, kind) for x in (first, last))
    # Weights of both bounds, so that each is met exactly.
    steps = num - 1 if endpoint else num
    weights = np.arange(num, dtype=kind) / np.asarray(max(steps, 1), kind)
    weights = weights.reshape((-1,) + (1,) * max(np.ndim(first), np.ndim(last)))
    values = Tensor(1 - weights) * first + Tensor(weights) * last
    if axis not in (0, -values.ndim):
        values = ops.moveaxis(values, 0, axis)
    if dtype is not None:
        values = ops.astype(np.floor(values) if np.dtype(dtype).kind in "iu" else values, dtype)
    if requires_grad and not recorded:
        values = Tensor(values, requires_grad=True)
    return (values, (last - first) / steps if steps else np.nan) if retstep else values


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, Tensor]:
    """The row and column indices of the upper triangle, from the k-th diagonal on, of a matrix (n, m), or (n, n)."""
    rows, columns = np.triu_indices(n, k, m)
    return Tensor(rows), Tensor(columns)


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, Tensor]:
    """The row and column indices of the lower triangle, up to the k-th diagonal, of a matrix (n, m), or (n, n)."""
    rows, columns = np.tril_indices(n, k, m)
    return Tensor(rows), Tensor(columns)


numpy_rules[np.linspace] = linspace
numpy_rules[np.triu_indices_from] = lambda x, k=0: triu_indices(x.shape[-2], k, x.shape[-1])
numpy_rules[np.tril_indices_from] = lambda x, k=0: tril_indices(x.shape[-2], k, x.shape[-1])
numpy_rules[np.empty_like] = zeros_like
numpy_rules[np.zeros_like] = zeros_like
numpy_rules[np.ones_like] = ones_like
numpy_rules[np.full_like] = full_like
