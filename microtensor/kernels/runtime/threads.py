"""The one pool of threads: `share(work, n)` runs work(0) ... work(n - 1), on several cores at once.

The workers are ordinary Python threads. A compiled kernel releases Python's lock while it runs, so they compute side by
side, and nothing has to be compiled specially for it. Waking a sleeping thread takes some 30 microseconds, so a worker that has
finished first looks out for more work for `LOOKOUT` rounds (half a millisecond); then starting it takes 5.

What a part computes depends on its number alone, never on who runs it or when: results are the same bits every time. When the
pool is busy for another Python thread, or the caller is itself a worker, the caller does all the parts. A forked child has no
workers, and starts its own.
"""

from __future__ import annotations

import _thread
import atexit
import ctypes
import itertools
import os
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from microtensor.kernels.runtime.allocator import keep_freed_memory
from microtensor.kernels.runtime.config import CORES, get_num_threads
from microtensor.kernels.runtime.jit import intrinsic, kernel, numba_config

#: Work of fewer elementary operations than this (some 20 microseconds) isn't shared; a part has ten times as many, or more.
PART = 100_000

#: The number of times that a worker looks for new work before it sleeps, and the caller for the end of a worker's.
LOOKOUT = 2**20
#: The number of times that a worker looks after it has found work: until the caller is inside its own part, and has released
#: Python's lock.
PAUSE = 2**14


@intrinsic
def _flag(typing: Any, flags: Any, at: Any) -> Any:
    """flags[at], read from memory each time: another thread writes there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.load_atomic(builder.gep(array.data, [arguments[1]]), "acquire", 8)

    return flags.dtype(flags, at), generate


@kernel
def _look_out(flags, at, old, rounds, pause):
    """Wait until flags[at] is no longer `old`, but so many rounds at most; then so many more. Says whether it changed."""
    seen = 0  # (counted so that the compiler keeps the second loop)
    for _ in range(rounds):
        if _flag(flags, at) != old:
            for _ in range(pause):
                seen += _flag(flags, at) != old
            return seen >= 0
    return False


class _Worker:
    """A thread that waits for work, does it, and says so."""

    def __init__(self) -> None:
        self.work: Callable[[], object] | None = None  # None when it is told to start: the thread ends
        self.error: BaseException | None = None
        self.asked, self.done = 0, 0  # how often it was told to start, and how often it has finished
        self.flags = np.zeros(2, np.int64)  # the same two numbers, for kernels to look at
        self.asleep = False
        self.alarm = _thread.allocate_lock()
        self.alarm.acquire()
        self.avoids = -1  # the core that it keeps off
        self.thread = threading.Thread(target=self._run, name="microtensor", daemon=True)
        self.thread.start()

    def start(self, work: Callable[[], object] | None) -> None:
        """Tell it what to do."""
        self.work = work
        self.asked += 1
        self.flags[0] = self.asked
        if self.asleep:
            self.asleep = False
            self.alarm.release()

    def wait(self) -> None:
        """Return when it has finished."""
        while self.done < self.asked:
            if not _look_out(self.flags, 1, self.done, LOOKOUT, PAUSE // 8):
                time.sleep(0)  # it may be waiting for this very core

    def _run(self) -> None:
        while True:
            if self.done == self.asked and not _look_out(self.flags, 0, self.done, LOOKOUT, PAUSE):
                self.asleep = self.done == self.asked
                if self.asleep:
                    self.alarm.acquire()
            if self.work is None:
                return
            try:
                self.work()
            except BaseException as error:  # handed to the thread that shared the work
                self.error = error
            self.done += 1
            self.flags[1] = self.done

    def avoid(self, core: int) -> None:
        """Keep off the caller's core. A system that wakes a thread where its waker runs would have both share that one core,
        for longer than our parts last."""
        self.avoids = core
        others = CORES - {core}
        if others and self.thread.native_id is not None:
            try:
                os.sched_setaffinity(self.thread.native_id, others)
            except OSError:  # the cores that this process may use have changed: let the system choose
                pass

    def dismiss(self) -> None:
        """End the thread when it has done what it is doing, and wait for that: it writes to its caller's arrays."""
        while self.done < self.asked:
            try:
                self.wait()
            except BaseException:  # one more Ctrl-C
                pass
        self.start(None)


keep_freed_memory()

_workers: list[_Worker] = []
_pool = SimpleNamespace(busy=_thread.allocate_lock())


def parts(n: int, cost: int) -> int:
    """The number of parts to split `n` equal items into that cost `cost` elementary operations each: 1 for little work, and
    several for each thread for much, so that a thread that is held up doesn't hold up the others."""
    count = get_num_threads()
    if count == 1 or n * cost < PART:
        return 1
    rounds = max(1, min(4, n * cost // (10 * PART * count)))
    return min(n, rounds * count)


def _no_core() -> int:
    return -1


try:
    #: The number of the core that the caller runs on, where the system tells (Linux).
    _core: Callable[[], int] = ctypes.CDLL(None).sched_getcpu if CORES else _no_core
except (AttributeError, OSError, TypeError):
    _core = _no_core


def share(work: Callable[[int], object], n: int) -> None:
    """Call work(0), ..., work(n - 1), each once, and return when all are done. An error in one is raised here."""
    count = min(n, get_num_threads())
    if count <= 1 or numba_config.DISABLE_JIT or not _pool.busy.acquire(blocking=False):  # (a thread waits in compiled code)
        for i in range(n):
            work(i)
        return
    try:
        try:
            while len(_workers) < count - 1:
                _workers.append(_Worker())
        except RuntimeError:  # the system allows no more threads: those that there are do the work
            count = len(_workers) + 1
        helpers = _workers[: count - 1]
        core = _core()
        if helpers and helpers[-1].avoids != core and count <= len(CORES):
            for worker in _workers:
                worker.avoid(core)
        take = itertools.count().__next__

        def take_parts() -> None:
            while (i := take()) < n:
                work(i)

        try:
            for worker in helpers:
                worker.start(take_parts)
            take_parts()
            for worker in helpers:
                worker.wait()
        except BaseException:  # an error, or Ctrl-C: who has started what isn't known any more, so start afresh
            _dismiss_all()
            raise
        for worker in helpers:
            if worker.error is not None:
                error, worker.error = worker.error, None
                raise error
    finally:
        _pool.busy.release()


def share_rows(n: int, cost: int, kernel: Callable[..., object], *args: object) -> None:
    """Call kernel(*args, first, last) for ranges that together make 0 ... n, one of which costs `cost` elementary
    operations."""
    pieces = parts(n, cost)
    if pieces == 1:
        kernel(*args, 0, n)
    else:
        share(lambda i: kernel(*args, i * n // pieces, (i + 1) * n // pieces), pieces)


def _dismiss_all() -> None:
    while _workers:
        _workers.pop().dismiss()


atexit.register(_dismiss_all)


def _forget() -> None:
    """In a forked child: its parent's workers don't exist here."""
    _workers.clear()
    _pool.busy = _thread.allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
