"""Prove a gradient: compare what backward finds with what happens when an input is moved a little.

For a function f and a random cotangent v, the number s(x) = sum(v * f(x)) has the gradient that backward computes. Moving one
entry of x by a small h either way gives the same gradient as (s(x + h) - s(x - h)) / 2h, up to about h squared. Where the
two differ, the pullback is wrong.

The cotangent is random because a cotangent of ones hides mistakes: with it, a transposed gradient or a lost softmax
looks right.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from microtensor.autograd import grad
from microtensor.recording import LEAF, enable_grad, no_grad
from microtensor.tensor import Tensor, wrap


class GradientError(AssertionError):
    """A gradient differs from its finite difference."""


def gradcheck(
    f: Callable[..., Any],
    *inputs: Any,
    step: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    fast: bool = False,
    seed: int = 0,
) -> bool:
    """Check the gradient of `f` at `inputs` against central differences.

    Args:
        f: takes Tensors, returns a Tensor or several. It must give the same result each time.
        inputs: the arguments of f, arrays, Tensors or numbers, one after the other or in one list. Floating-point ones are
            checked, as float64; others (integer indices, say) are passed on unchanged.
        step: how far an entry is moved, relative to its size where that is above 1.
        rtol, atol: a difference of up to atol + rtol * |expected| is accepted.
        fast: move each input along a few random directions instead of entry by entry: six evaluations of f an input, whatever
            its size.
        seed: chooses the cotangents and directions.

    Returns True. Raises GradientError naming the op, the input, the entry, what was expected and what was found; TypeError for
    inputs that f doesn't take.
    """
    name = getattr(f, "__name__", type(f).__name__)
    arguments = _arguments(f, inputs, name)
    checked = [x for x in arguments if isinstance(x, Tensor) and x.requires_grad]
    rng = np.random.default_rng(seed)

    with enable_grad():
        outputs = _evaluate(f, arguments, name)
    if name == "<lambda>" and outputs and outputs[0]._node not in (None, LEAF):
        name = f"{outputs[0]._node.op.__name__} (in a lambda)"
    cotangents = [np.asarray(rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape)) for y in outputs]

    def score() -> float:
        with no_grad():
            values = _evaluate(f, arguments, name)
        return float(sum(np.sum(v * y.numpy()) for v, y in zip(cotangents, values, strict=True)))

    if not np.array_equal(score(), score(), equal_nan=True):
        raise GradientError(f"{name}: gives another result each time it is called; fix its random numbers first")
    with enable_grad():
        found = _gradients(outputs, cotangents, checked, name)
    number = [i for i, x in enumerate(arguments) if any(x is c for c in checked)]
    for i, x, gradient in zip(number, checked, found, strict=True):
        if fast:
            _check_directions(score, x, gradient, rng, name, i, (step, rtol, atol))
        else:
            _check_entries(score, x, gradient, name, i, (step, rtol, atol))
    return True


def gradgradcheck(f: Callable[..., Any], *inputs: Any, seed: int = 0, **tolerances: Any) -> bool:
    """Check second derivatives: `gradcheck` of the gradient of `f`, with respect to the inputs and to the cotangents.

    Takes and raises what `gradcheck` does.
    """
    name = getattr(f, "__name__", type(f).__name__)
    arguments = _arguments(f, inputs, name)
    rng = np.random.default_rng(seed)
    outputs = [y for y in _evaluate(f, arguments, name) if y.dtype.kind == "f"]
    cotangents = [np.asarray(rng.uniform(0.5, 1.5, y.shape)) for y in outputs]
    count = len(arguments)

    def first(*everything: Any) -> tuple[Tensor, ...]:
        xs, vs = everything[:count], everything[count:]
        wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        with enable_grad():
            ys = [y for y in _evaluate(f, xs, name) if y.dtype.kind == "f"]
        total = [wrap(np.zeros(x.shape)) for x in wanted]
        for y, v in zip(ys, vs, strict=True):
            if y.requires_grad:
                total = [t + g for t, g in zip(total, grad(y, wanted, v, create_graph=True), strict=True)]
        return tuple(total)

    first.__name__ = f"the gradient of {name}"
    wanted = [x for x in arguments if isinstance(x, Tensor) and x.requires_grad]
    with enable_grad():
        plain = _gradients([y for y in _evaluate(f, arguments, name) if y.dtype.kind == "f"], cotangents, wanted, name)
        recorded = first(*arguments, *cotangents)
    for i, (a, b) in enumerate(zip(plain, recorded, strict=True)):
        if not np.allclose(a, b.data, rtol=1e-7, atol=1e-9, equal_nan=True):
            raise GradientError(f"{name}: the gradient of input {i} is another one when it is recorded (create_graph=True)")
    return gradcheck(first, [*arguments, *cotangents], seed=seed, **tolerances)


def _arguments(f: Callable[..., Any], inputs: tuple[Any, ...], name: str) -> list[Any]:
    """What f is called with: the inputs, or what is in the only one if that is a list."""
    listed = len(inputs) == 1 and isinstance(inputs[0], list | tuple)
    given = list(inputs[0] if listed else inputs)
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):  # some that are written in C have none
        signature = None
    try:
        if signature is not None:
            signature.bind(*given)
    except TypeError:
        advice = ""
        if listed and given and all(isinstance(x, int | float) for x in given):
            advice = "; a list is a list of inputs, and one input of several numbers is np.array([...])"
        elif len(given) == 1 and isinstance(given[0], np.ndarray | Tensor):
            advice = "; several are given one after the other, gradcheck(f, x, y), or as a list, gradcheck(f, [x, y])"
        elif len(given) > 1:
            advice = "; an input that is itself a list of arrays is joined inside f, as in lambda x, y: f([x, y])"
        kinds = ", ".join(_kind(x) for x in given) or "none"
        wanted = ", ".join(signature.parameters) if signature is not None else ""
        raise TypeError(f"{name}: takes ({wanted}), but was given {len(given)} of them: {kinds}{advice}") from None
    arguments = [_as_float64(x) for x in given]
    if not any(isinstance(x, Tensor) and x.requires_grad for x in arguments):
        kinds = ", ".join(_kind(x) for x in given)
        raise GradientError(
            f"{name}: no input holds floating-point numbers, so there is nothing to check: {kinds}; integers become floats as "
            "np.array([1.0, 2.0]) or by x.astype(np.float64)"
        )
    return arguments


def _kind(x: Any) -> str:
    """What an input is, in a few words."""
    if isinstance(x, np.ndarray | Tensor):
        return f"{x.dtype} {x.shape}"
    return type(x).__name__


def _as_float64(x: Any) -> Any:
    """A leaf in float64, if x holds floats; else x as it is."""
    array = x.numpy() if isinstance(x, Tensor) else x
    if isinstance(array, float) or (isinstance(array, np.ndarray | np.floating) and array.dtype.kind == "f"):
        return Tensor(np.asarray(array, np.float64), requires_grad=True)
    return x


def _evaluate(f: Callable[..., Any], arguments: Sequence[Any], name: str) -> list[Tensor]:
    """The results of f, as a list of Tensors."""
    result = f(*arguments)
    outputs = list(result) if isinstance(result, tuple | list) else [result]
    for y in outputs:
        if not isinstance(y, Tensor):
            raise GradientError(f"{name}: gave {type(y).__name__} where a Tensor was expected: the gradient was lost inside it")
    return outputs


def _gradients(outputs: list[Tensor], cotangents: list[np.ndarray], wanted: list[Tensor], name: str) -> list[np.ndarray]:
    """The gradient of the sum of cotangent * output, by backward; zeros where nothing arrives."""
    total = [np.zeros(x.shape) for x in wanted]
    for y, v in zip(outputs, cotangents, strict=True):
        if y.requires_grad:
            # A neighbour that receives the same gradient: it shows whether a pullback writes to what it is given.
            neighbour = Tensor(np.zeros(y.shape), requires_grad=True)
            *gradients, untouched = grad(neighbour + y, [*wanted, neighbour], v)
            if not np.array_equal(untouched.data, v):
                raise GradientError(f"{name}: its pullback writes to the gradient it is given, which others need too")
            total = [t + g.data for t, g in zip(total, gradients, strict=True)]
    return total


def _moved(score: Callable[[], float], x: Tensor, direction: np.ndarray, h: float) -> float:
    """The derivative of the score when x moves along a direction."""
    at = x._array.copy()
    try:
        x._array[...] = at + h * direction
        above = score()
        x._array[...] = at - h * direction
        return (above - score()) / (2 * h)
    finally:
        x._array[...] = at


def _check_entries(
    score: Callable[[], float], x: Tensor, gradient: np.ndarray, name: str, number: int, limits: tuple[float, float, float]
) -> None:
    step, rtol, atol = limits
    worst: tuple[float, str] = (0.0, "")
    for entry in np.ndindex(x.shape):
        direction = np.zeros(x.shape)
        direction[entry] = 1.0
        expected = _moved(score, x, direction, step * max(1.0, abs(float(x._array[entry]))))
        excess = _excess(expected, float(gradient[entry]), rtol, atol)
        if excess > worst[0]:
            where = f"entry {entry}" if entry else "its only entry"
            worst = (excess, f"{where}: expected {expected:.10g} by central differences, found {gradient[entry]:.10g}")
    _report(worst, name, number, x, gradient)


def _check_directions(
    score: Callable[[], float],
    x: Tensor,
    gradient: np.ndarray,
    rng: np.random.Generator,
    name: str,
    number: int,
    limits: tuple[float, float, float],
) -> None:
    step, rtol, atol = limits
    worst: tuple[float, str] = (0.0, "")
    for trial in range(3):
        direction = np.asarray(rng.standard_normal(x.shape))
        direction /= max(float(np.sqrt(np.sum(direction**2))), 1e-300)
        expected = _moved(score, x, direction, step)
        found = float(np.sum(gradient * direction))
        excess = _excess(expected, found, rtol, atol)
        if excess > worst[0]:
            worst = (
                excess,
                f"along random direction {trial}: expected {expected:.10g} by central differences, found {found:.10g}",
            )
    _report(worst, name, number, x, gradient)


def _excess(expected: float, found: float, rtol: float, atol: float) -> float:
    """The difference as a multiple of the tolerance, when above it; 0 when it is within."""
    if np.isnan(expected) and np.isnan(found):
        return 0.0
    ratio = abs(expected - found) / (atol + rtol * abs(expected))
    return 0.0 if ratio <= 1 else (np.inf if np.isnan(ratio) else ratio)


def _report(worst: tuple[float, str], name: str, number: int, x: Tensor, gradient: np.ndarray) -> None:
    if not worst[1]:
        return
    lost = "; the whole gradient is zero: was it lost?" if not np.any(gradient) else ""
    raise GradientError(f"{name}: the gradient of input {number}, of shape {x.shape}, is wrong at {worst[1]}{lost}")
