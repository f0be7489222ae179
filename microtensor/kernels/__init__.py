"""Compiled code: plain arrays in, plain arrays out. Nothing above this folder imports numba.

A kernel is loaded when it is first asked for (`kernels.erf`), so that importing microtensor neither imports numba (half a
second) nor compiles anything.
"""

from __future__ import annotations

import importlib
from typing import Any

_FILES = {
    "activate": "elementwise",
    "adamw": "updates",
    "add": "elementwise",
    "add_to": "elementwise",
    "attention": "flash_attention",
    "attention_backward": "flash_attention",
    "bias_backward": "elementwise",
    "cached_transformer": "transformer",
    "cross_entropy": "losses",
    "dropout": "elementwise",
    "empty_cache": "transformer",
    "erf": "special",
    "gather": "tables",
    "gather_mean": "tables",
    "get_num_threads": "settings",
    "matmul": "gemm",
    "multiply": "elementwise",
    "norm": "norms",
    "norm_backward": "norms",
    "norm_of_all": "updates",
    "pack_transformer": "transformer",
    "scaled": "updates",
    "scatter_add": "tables",
    "scatter_mean": "tables",
    "set_num_threads": "settings",
    "sgd": "updates",
    "softmax": "rows",
    "softmax_backward": "rows",
    "use_numpy_matmul": "settings",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"microtensor.kernels has no kernel {name!r}; it has {', '.join(sorted(_FILES))}")
    kernel = getattr(importlib.import_module(f"microtensor.kernels.{_FILES[name]}"), name)
    globals()[name] = kernel  # from now on an ordinary attribute, found without this function
    return kernel


def __dir__() -> list[str]:
    return sorted(_FILES)
