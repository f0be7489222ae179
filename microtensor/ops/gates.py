"""Gates: numbers that say, of others, how much of them goes on."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.kernels.runtime import config
from microtensor.ops.arithmetic import sigmoid


def _gated_in_ops(x: Any) -> Any:
    """`gated_tanh` in other ops, or on plain arrays."""
    width = x.shape[-1] // 2
    return np.tanh(x[..., :width]) * sigmoid(x[..., width:])


def _gated_of_few_rows(x: Any) -> Any:
    return _gated_in_ops(x) if config.few_rows(x) else None


@differentiable(name="gated_tanh", composite=_gated_in_ops, few_rows=_gated_of_few_rows)
def _gated(x: Any, /) -> Result:
    """`gated_tanh` by a kernel."""
    return kernels.gates.gated_tanh(x), lambda g: (kernels.gates.gated_tanh_backward(x, g),)


@composed
def gated_tanh(x: Any, /) -> Any:
    """tanh(a) * sigmoid(b), where a and b are the first and the second half of each row of x: (..., 2 * width) to (..., width).

    b says how much of each number of tanh(a) goes on (van den Oord et al. 2016, arXiv:1609.03499). Raises ValueError for rows
    of an odd length.
    """
    if x.ndim == 0 or x.shape[-1] % 2:
        raise ValueError(f"gated_tanh: x must be (..., 2 * width), not {x.shape}")
    return _gated(x) if config.kernel_takes(x) else _gated_in_ops(x)
