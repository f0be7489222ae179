"""Forking while another thread compiles: the child must not inherit a lock that nobody in it will ever release.

A fork copies the thread that asked for it, and no other; a lock that another held stays locked in the child for ever. So whoever
forks takes all of the locks first, in the order in which they are taken elsewhere: it waits until nobody imports, compiles or
loads a kernel, and both sides then release them.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from typing import Any

#: Held while a file of kernels is imported.
importing = threading.RLock()

#: Every lock to take, from the outermost. `jit` adds the compiler's.
locks: list[Any] = [importing]

_held = ExitStack()


def _take_all() -> None:
    global _held
    held = ExitStack()
    for lock in list(locks):
        held.enter_context(lock)
    _held = held  # (by now no other thread can be here)


def _release_all() -> None:
    _held.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take_all, after_in_parent=_release_all, after_in_child=_release_all)
