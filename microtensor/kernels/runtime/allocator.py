"""Memory that was freed stays with the process, for the next array of its size.

A training step makes and frees the same large arrays again and again. The C library gives a large block back to the system
as soon as it is freed, and the system hands it out again page by page, each cleared first: for a small GPT that took a
sixth of the step. Where the C library is glibc, which can be told not to, it is: up to `KEPT` bytes of free memory are
kept.
"""

from __future__ import annotations

import ctypes
import sys

#: The most free memory that is kept, in bytes.
KEPT = 2**30

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names for the two, in malloc.h


def keep_freed_memory() -> bool:
    """Tell the C library; says whether it could be told."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, KEPT) and mallopt(_MMAP_THRESHOLD, KEPT))
