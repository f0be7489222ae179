"""The recording of what is computed: the node that each use of an op leaves, the clock that orders them, and the switches."""

from __future__ import annotations

import functools
import inspect
import itertools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

#: Counts every Tensor made and every change of one: a node's inputs are always older than the node.
clock = itertools.count(1).__next__


class Node:
    """One recorded use of an op: how a Tensor was made, and how gradients flow back to what it was made from.

    Attributes:
        time: when, on the clock that counts all Tensors and their changes.
        op: the differentiable function.
        inputs: what it was given: Tensors, arrays, numbers; None for an input that was left out.
        arrays: the same as plain arrays.
        options: what isn't differentiated, by name: an axis, say.
        pullback: carries a gradient of the output to the inputs; None once the node was freed.
        module: the `nn.Module` in whose `forward` the op was used, or None.
    """

    __slots__ = ("arrays", "inputs", "module", "op", "options", "pullback", "time")

    time: int
    op: Any
    inputs: tuple[Any, ...]
    arrays: list[Any]
    options: dict[str, Any]
    pullback: Any
    module: Any

    def free(self) -> None:
        """Let go of everything that backward has used."""
        self.inputs, self.arrays, self.options, self.pullback = (), [], {}, None


#: The node of a Tensor that is to be learned: it has a gradient, and no history.
LEAF = Node()


class Mode:
    """The state of a thread: if it records what it computes, and for which module."""

    __slots__ = ("before", "module", "recording")

    def __init__(self) -> None:
        self.recording = True
        #: The module whose `forward` is running.
        self.module: Any = None
        #: The settings outside the switches that are open, from the innermost: (recording, (recording, ...)).
        self.before: Any = None


class _Thread(threading.local):
    """The calling thread's mode. It is an object of its own because `thread.mode`, which looks for the thread, takes three
    times as long as an attribute of it."""

    def __init__(self) -> None:
        self.mode = Mode()


thread = _Thread()


class _RecordingSwitch:
    """Context manager and decorator that turns recording on or off within it."""

    def __init__(self, recording: bool) -> None:
        self._recording = recording

    def __enter__(self) -> None:
        mode = thread.mode
        mode.before = (mode.recording, mode.before)
        mode.recording = self._recording

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        mode = thread.mode
        mode.recording, mode.before = mode.before

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):
            raise TypeError("no_grad: a generator runs on after its decorator has ended; use `with no_grad():` inside it")

        @functools.wraps(function)
        def switched(*args: Any, **kwargs: Any) -> Any:
            with _RecordingSwitch(self._recording):
                return function(*args, **kwargs)

        return switched


def no_grad() -> _RecordingSwitch:
    """Compute without recording: `with no_grad():` or `@no_grad()`. It concerns the calling thread alone."""
    return _RecordingSwitch(False)


def enable_grad() -> _RecordingSwitch:
    """Record again inside a `no_grad` block."""
    return _RecordingSwitch(True)
