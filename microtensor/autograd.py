"""The graph that Tensors record, and the chain rule that walks back through it: backward and grad.

Every recorded op leaves a `Node`. The nodes are visited from the newest to the oldest. Whatever was computed from a Tensor is
newer than it, so its gradient is complete when its turn comes: every path from the output has been followed and their gradients
added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.kernels.runtime import config
from microtensor.recording import LEAF, Node, enable_grad
from microtensor.tensor import Tensor, as_array, ops, wrap


def backward(output: Tensor, gradient: Any, retain_graph: bool) -> None:
    """Do what `Tensor.backward` says."""
    start = _cotangent(output, gradient, "backward")
    for leaf, total in propagate(output, start, retain_graph=retain_graph).items():
        leaf._gradient = np.asarray(total if leaf._gradient is None else leaf._gradient + total)


ops.backward = backward


def _cotangent(output: Tensor, gradient: Any, caller: str) -> np.ndarray:
    """Return the gradient to start from, checked against the output."""
    if output._node is None:
        raise RuntimeError(
            f"{caller}: nothing to differentiate: no Tensor with requires_grad=True leads here, or only through no_grad, "
            "detach, or a function without a gradient (a comparison, argmax, one_hot, sign)"
        )
    if gradient is None:
        if output.size != 1:
            raise RuntimeError(
                f"{caller}: the output has shape {output.shape}, and only a single number has *the* gradient; "
                "reduce it (with .sum() or .mean()) or pass gradient= of that shape"
            )
        return np.ones_like(output._array) if output._array.ndim else output._array.dtype.type(1)
    array = as_array(gradient, output.dtype)
    if array.shape != output.shape:
        raise ValueError(f"{caller}: gradient= has shape {array.shape}, but the output has shape {output.shape}")
    return np.array(array)


def grad(
    output: Tensor, inputs: Tensor | Sequence[Tensor], gradient: Any = None, create_graph: bool = False
) -> tuple[Tensor, ...]:
    """Differentiate `output` with respect to each of `inputs`, which may be leaves or in the middle of the graph.

    Nothing is written to `.grad`, and the graph is kept. However many inputs there are, the graph is walked once.

    Args:
        output: what to differentiate; a single number unless `gradient` is given.
        inputs: one Tensor or several.
        gradient: of output's shape, as in `Tensor.backward`.
        create_graph: record the gradients' own computation, so that they can be differentiated again.

    Returns a tuple with a Tensor of each input's shape; zeros for an input that the output doesn't depend on.
    Raises RuntimeError as `Tensor.backward` does, and for an input that doesn't require gradients.
    """
    wanted = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if not wanted:
        return ()
    for tensor in wanted:
        if tensor._node is None:
            raise RuntimeError(
                "grad: an input doesn't require gradients: make it with requires_grad=True before computing with it"
            )
    start: Any = _cotangent(output, gradient, "grad")
    if create_graph:
        start = gradient if isinstance(gradient, Tensor) else wrap(start)
        with enable_grad():
            gradients = propagate(output, start, wanted, create_graph=True)
        return tuple(gradients[t] if t in gradients else wrap(np.zeros_like(t._array)) for t in wanted)
    gradients = propagate(output, start, wanted)
    return tuple(wrap(np.array(gradients[t]) if t in gradients else np.zeros_like(t._array)) for t in wanted)


def propagate(
    output: Tensor, gradient: Any, wanted: Sequence[Tensor] = (), create_graph: bool = False, retain_graph: bool = False
) -> dict[Tensor, Any]:
    """Carry `gradient` from `output` back through the graph, one node at a time. Without recursion, so the graph can be as deep
    as it likes.

    Returns the gradients by Tensor: of `wanted`, or of all leaves when nothing is named (and then frees the nodes, unless
    told to retain them). They are arrays, each with its own memory; with `create_graph`, Tensors with a history.
    """
    # Gradients by node, or by Tensor for leaves. The heap gives the newest node first.
    gradients: dict[Node, Any] = {}
    leaves: dict[Tensor, Any] = {}
    shared: set[Tensor] = set()  # leaves whose gradient may share memory with another array
    heap: list[tuple[int, Node]] = []
    start = output._node
    if start is LEAF or start is None:
        leaves[output] = gradient
        shared.add(output)
    else:
        heap.append((-start.time, start))
        gradients[start] = gradient
    named = {t._node: t for t in wanted if t._node is not None and t._node is not LEAF}
    result: dict[Tensor, Any] = {}
    # What is older than all that is wanted can't depend on it. (A leaf's time moves when it is given new values.)
    oldest = min([t._time for t in wanted]) if wanted and LEAF not in [t._node for t in wanted] else 0
    kind = Tensor if create_graph else np.ndarray

    quiet: Any = None  # entered where the first op comes that has infinite derivatives: no reason to warn
    try:
        while heap:
            node = heappop(heap)[1]
            time, op, inputs, pullback = node.time, node.op, node.inputs, node.pullback
            g = gradients.pop(node)
            if wanted:
                if time < oldest:
                    break
                if node in named:
                    result[named[node]] = g
            builtin, unbounded = op.traits
            if unbounded and quiet is None:
                quiet = np.errstate(divide="ignore", over="ignore", invalid="ignore")
                quiet.__enter__()
            if pullback is None:
                raise RuntimeError(
                    "backward: this part of the graph was freed by an earlier backward; compute it again, "
                    "or pass retain_graph=True"
                )
            if create_graph:
                pullback = op.recorded_pullback(node)
            # One function for all the gradients, or a function for each.
            separate = type(pullback) is tuple
            parts = pullback if separate else pullback(g)
            checked = create_graph or not builtin
            if checked and len(parts) != len(inputs):
                raise TypeError(
                    f"{op.__name__}: its pullback gave {len(parts)} gradients for {len(inputs)} array inputs "
                    "(the parameters before the slash, or all when there is none)"
                )
            for x, part in zip(inputs, parts):  # noqa: B905 (checked above)
                if type(x) is not Tensor:
                    continue
                source = x._node
                if source is LEAF and x._time > time:
                    raise_stale(op, x)
                if source is None or part is None:
                    continue
                if separate:
                    part = part(g)
                if checked:
                    part = _checked(part, x, op, kind)
                if part.dtype is not x._array.dtype:
                    part = part.astype(x._array.dtype)
                if source is LEAF:
                    if x in leaves:
                        leaves[x] = leaves[x] + part
                        shared.discard(x)
                    else:
                        leaves[x] = part
                        if not create_graph and (part is g or part.base is not None or (not separate and _twice(part, parts))):
                            shared.add(x)
                    continue
                before = gradients.get(source)
                if before is None:
                    gradients[source] = part
                    heappush(heap, (-source.time, source))
                else:
                    gradients[source] = _sum(before, part, g, builtin and (separate or not _twice(part, parts)))
            if not (wanted or retain_graph):
                node.free()
    finally:
        if quiet is not None:
            quiet.__exit__(None, None, None)

    if wanted:
        result.update((t, leaves[t]) for t in wanted if t in leaves)
        return result
    for t in shared:
        leaves[t] = leaves[t].copy()
    return leaves


def raise_stale(op: Any, x: Tensor) -> None:
    """Refuse a graph that was recorded with values which are no longer there."""
    raise RuntimeError(
        f"backward: an input of {op.__name__}, of shape {x.shape}, was given new values after it was used; "
        "run the forward pass again, or change values only after backward"
    )


def _checked(part: Any, x: Tensor, op: Any, kind: type) -> Any:
    """Return the gradient of an input, as an array (or as a Tensor, when it is itself recorded) of the input's shape."""
    if type(part) is not kind:
        part = np.asarray(part) if kind is np.ndarray else Tensor(part)
    if part.shape != x.shape:
        raise ValueError(f"{op.__name__}: its pullback gave a gradient of shape {part.shape} for an input of shape {x.shape}")
    return part


def _sum(before: Any, part: Any, g: Any, fresh: bool) -> Any:
    """Add `part` to `before`; where it is large and nobody else's (the op is ours, and it is new), it is written over."""
    if type(part) is type(before) is np.ndarray and config.large_and_alike(before, part):
        owned = fresh and part is not g and part.base is None
        return kernels.arithmetic.add_to(before, part) if owned else kernels.arithmetic.add(before, part)
    return before + part


def _twice(part: Any, parts: tuple[Any, ...]) -> bool:
    """Tell if a pullback gave the same array for several inputs."""
    return sum([part is p for p in parts]) > 1
