"""Compiled code: plain arrays in, plain arrays out. Nothing above this folder imports numba.

A file of kernels is imported when it is first asked for (`kernels.softmax`), so that importing microtensor neither imports
numba (half a second) nor compiles anything.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from microtensor.kernels.runtime import fork


def __getattr__(name: str) -> ModuleType:
    if name not in __dir__():
        raise AttributeError(f"microtensor.kernels has no file {name!r}; it has {', '.join(__dir__())}")
    fork.watch()
    with fork.importing:
        return importlib.import_module(f"microtensor.kernels.{name}")  # from now on an ordinary attribute


def __dir__() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
