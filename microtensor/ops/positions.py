"""NumPy's order of arguments: `np.sum(t, 0, np.float64)` names the type third, where `mt.sum(t, 0, True)` has keepdims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microtensor.ops import (
    arithmetic,
    indexing,
    linear_algebra,
    logic,
    products,
    reduction,
    rounding,
    shape,
    sorting,
    statistics,
)
from microtensor.tensor import numpy_rules

#: Ops that NumPy gives other arguments, or has them elsewhere: its names for those after the first.
_ORDERS: dict[Any, tuple[Callable[..., Any], str]] = {
    np.sum: (statistics.sum, "axis dtype out keepdims initial where"),
    np.mean: (statistics.mean, "axis dtype out keepdims"),
    np.var: (statistics.var, "axis dtype out ddof keepdims"),
    np.std: (statistics.std, "axis dtype out ddof keepdims"),
    np.prod: (reduction.prod, "axis dtype out keepdims"),
    np.max: (reduction.max, "axis out keepdims"),
    np.min: (reduction.min, "axis out keepdims"),
    np.argmax: (reduction.argmax, "axis out keepdims"),
    np.argmin: (sorting.argmin, "axis out keepdims"),
    np.any: (logic.any, "axis out keepdims"),
    np.all: (logic.all, "axis out keepdims"),
    np.cumsum: (reduction.cumsum, "axis dtype out"),
    np.cumprod: (products.cumprod, "axis dtype out"),
    np.trace: (linear_algebra.trace, "offset axis1 axis2 dtype out"),
    np.concatenate: (shape.concatenate, "axis out"),
    np.stack: (shape.stack, "axis out"),
    np.take: (indexing.take, "indices axis out mode"),
    np.round: (rounding.round, "decimals out"),
    np.around: (rounding.round, "decimals out"),
    np.clip: (arithmetic.clip, "a_min a_max out"),
}


def _in_order(op: Callable[..., Any], names: list[str]) -> Callable[..., Any]:
    def rule(x: Any, *args: Any, **options: Any) -> Any:
        if len(args) > len(names):
            raise TypeError(f"{op.__name__}: takes at most {len(names) + 1} arguments by position, not {len(args) + 1}")
        options.update(zip(names, args, strict=False))
        for name in ("out", "dtype"):
            if name in options and options[name] is None:
                del options[name]
        return op(x, **options)

    return rule


for _function, (_op, _names) in _ORDERS.items():
    numpy_rules[_function] = _in_order(_op, _names.split())
