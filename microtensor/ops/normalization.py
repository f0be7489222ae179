"""LayerNorm and RMSNorm: rows brought to a standard size. Features lie on the last axis: x is (..., features)."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.kernels.runtime import config
from microtensor.ops.linear import refuse_other_dtype


def _norm_of_few_rows(x: Any, weight: Any = None, bias: Any = None, centre: bool = True, eps: float = 1e-5) -> Any:
    if not config.few_rows(x):
        return None
    width = x.shape[-1]
    if centre:
        x = x - np.add.reduce(x, axis=-1, keepdims=True) / width
    y = x / np.sqrt(np.vecdot(x, x)[..., None] / width + eps)
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return y


def _norm_in_ops(x: Any, weight: Any = None, bias: Any = None, centre: bool = True, eps: float = 1e-5) -> Any:
    """`layer_norm`, or `rms_norm` where the rows aren't centred, in other ops."""
    if centre:
        x = x - np.mean(x, axis=-1, keepdims=True)
    y = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


@differentiable(name="norm", composite=_norm_in_ops, few_rows=_norm_of_few_rows)
def _norm(x: Any, weight: Any = None, bias: Any = None, /, centre: bool = True, eps: float = 1e-5) -> Result:
    """`layer_norm` and `rms_norm` by a kernel."""
    y, means, factors = kernels.normalization.norm(x, weight, bias, centre, eps)

    def pullback(g: Any) -> Any:
        dx, dweight, dbias = kernels.normalization.norm_backward(x, weight, bias, centre, means, factors, g)
        return dx, None if weight is None else dweight, None if bias is None else dbias

    return y, pullback


def _normalise(name: str, x: Any, weight: Any, bias: Any, centre: bool, eps: float) -> Any:
    for part, what in ((weight, "weight"), (bias, "bias")):
        if part is not None and part.shape != x.shape[-1:]:
            raise ValueError(
                f"{name}: {what} of shape {part.shape} doesn't fit x of shape {x.shape}; it must be {x.shape[-1:]}"
            )
    if config.kernel_takes(x, weight, bias) and (weight is not None or bias is None):
        return _norm(x, weight, bias, centre=centre, eps=eps)
    if weight is not None:
        refuse_other_dtype(name, x, weight)
    return _norm_in_ops(x, weight, bias, centre, eps)


@composed
def layer_norm(x: Any, weight: Any = None, bias: Any = None, /, eps: float = 1e-5) -> Any:
    """Each row of x (..., features) shifted to mean 0 and scaled to variance 1, then scaled by weight and shifted by
    bias, both (features,) or None (Ba et al. 2016, arXiv:1607.06450). `eps` keeps a constant row finite."""
    return _normalise("layer_norm", x, weight, bias, True, eps)


@composed
def rms_norm(x: Any, weight: Any = None, /, eps: float = 1e-6) -> Any:
    """Each row of x (..., features) divided by its root mean square, then scaled by weight (features,) or None (Zhang and
    Sennrich 2019, arXiv:1910.07467)."""
    return _normalise("rms_norm", x, weight, None, False, eps)
