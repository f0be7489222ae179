"""The linear layer, x @ weight + bias, with an activation applied to it while it is near."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.kernels.runtime import config
from microtensor.ops import activations
from microtensor.ops.matmul import matmul
from microtensor.tensor import as_inputs


def _linear_of_few_rows(x: Any, weight: Any, bias: Any = None, activation: str | None = None) -> Any:
    if not config.few_rows(x):
        return None
    columns = weight.shape[1]
    y = np.empty((*x.shape[:-1], columns), x.dtype)
    np.dot(x.reshape((-1, x.shape[-1])), weight, out=y.reshape((-1, columns)))
    if bias is not None:
        y += bias
    if activation is not None:
        y = activations.BY_NUMPY[activation](y)
    return y


def _linear_in_ops(x: Any, weight: Any, bias: Any = None, activation: str | None = None) -> Any:
    """`linear` in other ops."""
    y = matmul(x, weight)
    if bias is not None:
        y = y + bias
    return y if activation is None else activations.OPS[activation](y)


@differentiable(name="linear", composite=_linear_in_ops, few_rows=_linear_of_few_rows)
def _linear(x: Any, weight: Any, bias: Any = None, /, activation: str | None = None) -> Result:
    """`linear` by kernels."""
    rows = x.reshape((-1, x.shape[-1]))
    result = kernels.matmul.matmul(x, weight, bias, activation)
    derivatives, y = (None, result) if activation is None else result

    def pullback(g: Any) -> Any:
        db = None
        if bias is not None or derivatives is not None:
            g, db = kernels.linear.bias_backward(g, derivatives)
        return kernels.matmul.matmul(g, weight.T), kernels.matmul.matmul(rows.T, g.reshape((-1, weight.shape[1]))), db

    return y, pullback


def refuse_other_dtype(name: str, x: Any, weight: Any) -> None:
    """Raise TypeError where x would make a float32 layer's result float64, as NumPy has it with float64 and integers."""
    dtype = getattr(x, "dtype", None)
    if dtype is not None and weight.dtype == np.float32 and dtype != np.float32:
        raise TypeError(f"{name}: x is {dtype} and the weight float32; write x.astype(np.float32)")


@composed
def linear(x: Any, weight: Any, bias: Any = None, activation: str | None = None) -> Any:
    """f(x @ weight + bias): x (..., in), weight (in, out), bias (out,) or None; the result is (..., out).

    `activation` is f: "gelu", "gelu_tanh", "silu", "tanh", "relu", "squared_relu", or None. Raises ValueError for another,
    and for shapes that don't fit; TypeError where x isn't float32 and the weight is.
    """
    if activation is not None and activation not in activations.OPS:
        raise ValueError(f"linear: activation is one of {', '.join(activations.OPS)}, or None, not {activation!r}")
    takes = config.kernel_takes(x, weight, bias)
    if not takes:  # (Only here, for this is called at every step.)
        x, weight, bias = as_inputs((x, weight, bias))
        takes = config.kernel_takes(x, weight, bias)
    if not takes or x.ndim < 2 or weight.ndim != 2:
        refuse_other_dtype("linear", x, weight)
        return _linear_in_ops(x, weight, bias, activation)
    if x.shape[-1] != weight.shape[0] or (bias is not None and bias.shape != weight.shape[1:]):
        shapes = f"x {x.shape}, weight {weight.shape}" + ("" if bias is None else f", bias {bias.shape}")
        raise ValueError(f"linear: the shapes must be x (..., in), weight (in, out), bias (out,), not {shapes}")
    return _linear(x, weight, bias, activation=activation)
