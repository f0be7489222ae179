"""Forking while another thread compiles: the child must not inherit a lock that nobody in it will ever release.

A fork copies the thread that asked for it, and no other; a lock that another held stays locked in the child for ever. So
whoever forks takes all of the locks first, in the order in which they are taken elsewhere: it waits until nobody imports,
compiles or loads a kernel, and both sides then release them.
"""

from __future__ import annotations

import os
import threading
from typing import Any

#: Held while a file of kernels is imported.
importing = threading.RLock()

#: Every lock to take, from the outermost. `jit` adds the compiler's.
locks: list[Any] = [importing]

#: What was taken for the fork that is under way.
_held: list[Any] = []


def _take_all() -> None:
    taken = list(locks)
    for lock in taken:
        lock.__enter__()
    _held[:] = taken  # (by now no other thread can be here)


def _release_all() -> None:
    taken = _held[::-1]
    _held.clear()  # (before the last is released: the next to fork is waiting for it)
    for lock in taken:
        lock.__exit__(None, None, None)


def watch() -> None:
    """See to all forks from now on; called before any of the locks is first taken.

    What is to happen before a fork happens from the last that was registered to the first. So logging, which has a lock of its
    own that whoever compiles may need, comes first, and its lock is then taken after ours.
    """
    import logging  # noqa: F401 (only now: it takes 4 ms)

    mine = object()
    if _watching.setdefault("by", mine) is mine and hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_take_all, after_in_parent=_release_all, after_in_child=_release_all)


#: Who registered what is to happen.
_watching: dict[str, object] = {}
