"""Activations: what bends the straight lines of a network. Each works on one number at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.kernels.runtime import config
from microtensor.ops.arithmetic import abs, logaddexp, logistic, sigmoid, where
from microtensor.tensor import as_array


def _tanh_of_few_rows(x: Any) -> Any:
    return np.tanh(x) if config.few_rows(x) else None


@differentiable(numpy=np.tanh, few_rows=_tanh_of_few_rows)
def tanh(x: Any, /) -> Result:
    """The hyperbolic tangent: an S-shaped curve from -1 to 1."""
    if config.is_float_array(x) and x.size > config.LARGE_MAP:
        y, derivatives = kernels.activations.activate("tanh", x)
        return y, lambda g: (kernels.arithmetic.multiply(g, derivatives),)
    y = np.tanh(x)
    return y, lambda g: (g * (1 - y * y),)


@differentiable
def relu(x: Any, /) -> Result:
    """x where it is positive, else 0; the derivative at 0 is taken as 0."""
    return np.maximum(x, 0), lambda g: (np.where(x > 0, g, 0),)


@composed
def softplus(x: Any, /) -> Any:
    """log(1 + e^x): relu with the corner rounded."""
    return logaddexp(x, 0.0)


def _erf_of_few_rows(x: Any) -> Any:
    if not config.few_rows(x):
        return None
    dtype = x.dtype if x.dtype.kind == "f" else np.float64
    return np.array([math.erf(v) for v in x.reshape(-1).tolist()], dtype).reshape(x.shape)


@differentiable(few_rows=_erf_of_few_rows, unbounded=True)
def erf(x: Any, /) -> Result:
    """The error function, 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x: how a bell curve adds up."""
    flat = np.ascontiguousarray(as_array(x)).reshape(-1)
    if flat.dtype.kind != "f":
        flat = flat.astype(np.float64)
    y = np.empty_like(flat)
    kernels.activations.erf(flat, y)
    return y.reshape(x.shape), lambda g: (g * (2 / math.sqrt(math.pi) * np.exp(-x * x)),)


# GELU, SiLU and tanh have one kernel. The same functions stand here in plain NumPy, for few rows (the tests compare the kernel
# with them), and in other ops, for gradients of gradients. Far from 0 one factor would overflow while the other is
# 0, and the product would be NaN, so x is held where that no longer changes the result.


#: The coefficients of formula 7.1.26 of Abramowitz and Stegun's Handbook of Mathematical Functions, halved, from the highest;
#: its constant p; and two more numbers. (NumPy takes an array without axes in half the time of a Python number.)
_FIRST, *_REST, _P, _MINUS_HALF, _ONE = (
    np.array(c, np.float32)
    for c in (0.5307027145, -0.7265760135, 0.7107068705, -0.142248368, 0.127414796, 0.3275911 * math.sqrt(0.5), -0.5, 1)
)


def _normal_tail(a: np.ndarray) -> np.ndarray:
    """The fraction of a standard normal distribution beyond a, for a >= 0: in float32 by the formula that
    `kernels.math` uses, in float64 exactly."""
    if a.dtype != np.float32:
        return np.array([0.5 * math.erfc(v * math.sqrt(0.5)) for v in a.reshape(-1).tolist()]).reshape(a.shape)
    t = a * _P
    t += _ONE
    t = np.reciprocal(t)
    tail = t * _FIRST
    for coefficient in _REST:
        tail += coefficient
        tail *= t
    e = a * a
    e *= _MINUS_HALF
    tail *= np.exp(e)
    return tail


def _gelu(x: np.ndarray) -> np.ndarray:
    size = np.minimum(np.absolute(x), 40)
    below = _normal_tail(size)
    below *= size
    return np.maximum(x, 0) - below


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    held = np.maximum(np.minimum(x, 40), -40)
    u = held * (0.7978845608028654 + 0.035677408136300125 * held * held)
    return np.maximum(x, -40) * (0.5 + 0.5 * np.tanh(u))


def _silu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, -700) * logistic(x)[0]


#: The activations by name, of an array of floats, by NumPy.
BY_NUMPY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "squared_relu": lambda x: np.square(np.maximum(x, 0)),
}


def _activate_few_rows(x: Any, name: str) -> Any:
    return BY_NUMPY[name](x) if config.few_rows(x) else None


def _activate_in_ops(x: Any, name: str) -> Any:
    """The activations in other ops. Far from 0 they are relu."""
    if name == "squared_relu":
        return relu(x) * relu(x)
    far = as_array(abs(x)) > (700 if name == "silu" else 40)
    if far.any():
        return where(far, relu(x), _activate_in_ops(where(far, 0, x), name))
    if name == "silu":
        return x * sigmoid(x)
    if name == "gelu":
        return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


@differentiable(name="activation", composite=_activate_in_ops, few_rows=_activate_few_rows)
def _activate(x: Any, /, name: str) -> Result:
    """The activations by a kernel."""
    y, derivatives = kernels.activations.activate(name, x)
    return y, lambda g: (kernels.arithmetic.multiply(g, derivatives),)


def _activation(x: Any, name: str) -> Any:
    return _activate(x, name=name) if getattr(x, "dtype", None) in (np.float32, np.float64) else _activate_in_ops(x, name)


@composed
def silu(x: Any, /) -> Any:
    """x * sigmoid(x), also called swish (Elfwing et al. 2017, arXiv:1702.03118)."""
    return _activation(x, "silu")


@composed
def squared_relu(x: Any, /) -> Any:
    """x * x where x is positive, else 0 (So et al. 2021, arXiv:2109.08668)."""
    return _activation(x, "squared_relu")


@composed
def gelu(x: Any, /, approximate: str = "none") -> Any:
    """x times the chance that a standard normal number is below x (Hendrycks and Gimpel 2016, arXiv:1606.08415).

    `approximate` is "none" (exact, by erf) or "tanh" (the approximation that GPT-2 used; it differs by at most 0.0005). Raises
    ValueError for another.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate is "none" or "tanh", not {approximate!r}')
    return _activation(x, "gelu" if approximate == "none" else "gelu_tanh")


#: The activations by name, of a Tensor or an array, as ops.
OPS: dict[str, Callable[[Any], Any]] = {
    "gelu": gelu,
    "gelu_tanh": lambda x: gelu(x, "tanh"),
    "silu": silu,
    "tanh": tanh,
    "relu": relu,
    "squared_relu": squared_relu,
}
