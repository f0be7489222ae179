"""`differentiable` turns a function that returns its value and its pullback into an op: on arrays it just computes, on
Tensors it is recorded.

    @differentiable
    def square(x):
        return x * x, lambda g: (g * 2 * x,)

The pullback takes the gradient of the output and returns a tuple with the gradient of each input. When the gradients
have no work in common it may instead be a tuple of functions, one for each input, and only those needed are called:

    @differentiable
    def multiply(x, y):
        return x * y, (lambda g: unbroadcast(g * y, x), lambda g: unbroadcast(g * x, y))

Parameters before a `/` are the inputs (all of them, when there is none); those after it are options, like an axis.

Gradients of gradients come from the same definition: the function is called again, on Tensors this time, so that its
pullback is itself made of recorded ops. That asks for a body written in operators and NumPy's functions. A body that
isn't is either *linear* (its pullback uses no input's values, so the first one serves) or has a *composite* (the same
function written in other ops).
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from microtensor import tensor as graph
from microtensor.autograd import grad, raise_stale
from microtensor.recording import LEAF, Node, clock, thread
from microtensor.tensor import NUMBERS, Tensor, as_array, as_inputs, wrap

#: The result of an op's function: its value, and its pullback.
Result = tuple[Any, Any]
#: What shapes an op wants.
Hint = str | Callable[..., str] | Mapping[str, str]

ARRAYS = frozenset({Tensor, ndarray})
ONLY_NONE = frozenset({type(None)})
NUMBERS_AND_NONE = frozenset({type(None), bool, int, float})

new, new_node = Tensor.__new__, Node.__new__


def differentiable(
    body: Callable[..., Any] | None = None,
    *,
    name: str = "",
    numpy: Any = (),
    linear: bool = False,
    composite: Callable[..., Any] | None = None,
    few_rows: Callable[..., Any] | None = None,
    shape_hint: Hint = "",
    integers: Sequence[str] = (),
    numbers: bool = True,
    unbounded: bool = False,
) -> Callable[..., Any]:
    """Make an op of `body`, which returns `(value, pullback)`; use it as a decorator.

    Args:
        body: the function. It must not write to its inputs, nor its pullback to `g`, and the pullback must return new arrays,
            or `g` itself. A pullback of None means that this result has no gradient.
        name: what the op is called in errors; the function's own name unless given.
        numpy: NumPy's function (or several) that this op stands for when it is called on Tensors.
        linear: the pullback uses no input's values.
        composite: the same function of the same arguments in other ops, for gradients of gradients.
        few_rows: the same function of the same arguments in plain NumPy, which gives the value alone, or None where it leaves
            that to `body`. It is asked first where nothing is recorded, so that few rows need no compiled kernel.
        shape_hint: what shapes the op wants, added to the error when they don't fit: a sentence, a function of the inputs, or
            sentences by the words of the errors that they belong to.
        integers: the inputs that are indices; a list of integers given for one isn't made of floats, as others are.
        unbounded: the derivative is infinite somewhere, so NumPy isn't to warn of that in the pullback.
        numbers: whether the body takes numbers beside arrays; otherwise it is given arrays without axes.

    Raises TypeError when the op is used and the body returned no pullback.
    """
    if body is None:
        return functools.partial(
            differentiable,
            name=name,
            numpy=numpy,
            linear=linear,
            composite=composite,
            few_rows=few_rows,
            shape_hint=shape_hint,
            integers=integers,
            numbers=numbers,
            unbounded=unbounded,
        )
    function = body
    name = name or function.__name__
    inputs, variadic = _inputs(function)
    count = len(inputs)
    limit = sys.maxsize if variadic else count
    names = frozenset(inputs)
    # What microtensor's own ops give back is proven by its tests, and needn't be checked at every step.
    builtin = function.__module__.startswith("microtensor.")
    parameters = list(inspect.signature(function).parameters)
    positions = tuple(inputs.index(given) for given in integers)
    # The types that the function takes as they are, among arrays and without any.
    taken = NUMBERS_AND_NONE if numbers else ONLY_NONE
    taken_alone = ONLY_NONE if builtin else taken

    @functools.wraps(function)
    def op(*args: Any, **options: Any) -> Any:
        if options:
            if not names.isdisjoint(options):
                args, options = _reorder(function, inputs, args, options)
            if not ARRAYS.isdisjoint(map(type, options.values())):
                if Tensor in map(type, options.values()):
                    raise TypeError(_no_gradient_for(name, parameters[count:]))
                options = {k: v.copy() if type(v) is ndarray else v for k, v in options.items()}
        if Tensor not in map(type, args):
            return on_arrays(args, options)
        # Every op of every training step comes through here, so it is kept short for the machine too.
        mode = thread.mode
        recording = mode.recording
        needed = odd = False
        values: list[Any] = []
        for arg in args:
            kind = type(arg)
            if kind is Tensor:
                values.append(arg._array)
                if arg._node is not None:
                    needed = recording
            elif kind is ndarray:
                # The caller could change it before backward reads it.
                values.append(arg.copy() if recording else arg)
                if not arg.dtype.isnative:
                    odd = True
            else:
                values.append(arg)
                if kind not in taken:
                    odd = True
        try:
            if odd:
                values[:limit] = convert(values[:limit])
            value = few_rows(*values, **options) if few_rows is not None and not needed else None
            result = function(*values, **options) if value is None else (value, None)
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise _explained(error, name, shape_hint, values[:limit]) from error
        if type(result) is not tuple or len(result) != 2:
            raise TypeError(f"{name}: an op returns its value and its pullback, (value, pullback)")
        value, pullback = result
        if type(value) is not ndarray:
            value = np.asarray(value)
        elif not builtin or value.base is not None or value is values[0]:
            value = _apart(value, args)
        output = new(Tensor)
        output._array = value
        output._gradient = None
        output._time = time = clock()
        letter = value.dtype.kind
        if letter not in "fbiu":
            raise TypeError(f"{name}: gave {value.dtype} where real numbers were expected")
        if needed and pullback is not None and letter == "f":
            if len(args) != count and not variadic:
                args, options = _complete(args, values, options, parameters, count, name)
            output._node = node = new_node(Node)
            node.time = time
            node.op = op
            node.inputs = args
            node.arrays = values
            node.options = options
            node.pullback = pullback
            node.module = mode.module
        else:
            output._node = None
        return output

    def on_arrays(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """The op without a Tensor among its inputs: just the value."""
        try:
            for arg in args[:limit]:
                if arg.dtype.isnative if type(arg) is ndarray else type(arg) in taken_alone:
                    continue
                args = (*convert(args[:limit]), *args[limit:])
                break
            value = few_rows(*args, **options) if few_rows is not None else None
            return function(*args, **options)[0] if value is None else value
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise _explained(error, name, shape_hint, args[:limit]) from error

    def convert(given: Sequence[Any]) -> list[Any]:
        """The inputs as the function takes them."""
        if not builtin:  # a tuple or a number may be what stands for an option
            given = [as_array(x) if type(x) is list else x for x in given]
            return [x if isinstance(x, NUMBERS) else as_inputs([x])[0] for x in given]
        return as_inputs(given, positions, numbers)

    def recorded_pullback(node: Node) -> Any:
        """The pullback again, made of recorded ops."""
        if linear:
            return node.pullback
        kept, options = node.arrays, node.options
        arrays = [x if type(x) is Tensor or i >= len(kept) else kept[i] for i, x in enumerate(node.inputs)]
        for x in arrays:
            if type(x) is Tensor and x._time > node.time:
                raise_stale(op, x)
        if composite is None:
            return function(*arrays, **options)[1]

        def through_composite(g: Tensor) -> tuple[Any, ...]:
            # Stand-ins, so that the gradients stop at this op's inputs even where one was computed from another.
            stand_ins = [graph.ops.identity(x) if type(x) is Tensor and x.requires_grad else x for x in arrays]
            wanted = [x for x in stand_ins if type(x) is Tensor and x.requires_grad]
            gradients = iter(grad(composite(*stand_ins, **options), wanted, g, create_graph=True))
            return tuple(next(gradients) if type(x) is Tensor and x.requires_grad else None for x in stand_ins)

        return through_composite

    op.__name__ = name
    op.traits = builtin, unbounded  # type: ignore[attr-defined]
    op.recorded_pullback = recorded_pullback  # type: ignore[attr-defined]
    _register(op, function.__name__, numpy)
    return op


def not_differentiable(function: Callable[..., Any] | None = None, *, numpy: Any = ()) -> Callable[..., Any]:
    """Make an op of a function that has no gradient (argmax, comparisons): on Tensors it gives a Tensor, and gradients
    stop there. `backward` says so if it is asked to start from one. Parameters before a `/` are its inputs."""
    if function is None:
        return functools.partial(not_differentiable, numpy=numpy)
    plain = function
    inputs = _before_slash(plain)
    count, names = len(inputs), frozenset(inputs)

    @functools.wraps(plain)
    def op(*args: Any, **options: Any) -> Any:
        if options and not names.isdisjoint(options):
            args, options = _reorder(plain, inputs, args, options)
        on_tensors = any(isinstance(a, Tensor) for a in (*args, *options.values()))
        args = (*as_inputs(args[:count], numbers=True), *args[count:])
        values = [a._array if isinstance(a, Tensor) else a for a in args]
        named = {k: a._array if isinstance(a, Tensor) else a for k, a in options.items()}
        try:
            result = plain(*values, **named)
        except (ValueError, TypeError, IndexError) as error:
            raise _explained(error, plain.__name__, "", values) from error
        return wrap(np.asarray(result)) if on_tensors else result

    _register(op, plain.__name__, numpy)
    return op


def composed(
    function: Callable[..., Any] | None = None, *, numpy: Any = (), integers: Sequence[str] = ()
) -> Callable[..., Any]:
    """Register a function that is written in ops, and so needs no pullback of its own.

    Parameters before a `/` are its inputs: it is given Tensors, arrays or None for them, whatever they were (lists, numbers).
    `integers` names those that are indices, as in `differentiable`.
    """
    if function is None:
        return functools.partial(composed, numpy=numpy, integers=integers)
    written = function
    inputs = _before_slash(written)
    if not inputs:
        _register(written, written.__name__, numpy)
        return written
    count, names = len(inputs), frozenset(inputs)
    positions = tuple(inputs.index(name) for name in integers)

    @functools.wraps(written)
    def op(*args: Any, **options: Any) -> Any:
        if options and not names.isdisjoint(options):
            args, options = _reorder(written, inputs, args, options)
        for arg in args[:count]:
            kind = type(arg)
            if kind is not Tensor and (not arg.dtype.isnative if kind is ndarray else arg is not None):
                args = (*as_inputs(args[:count], positions), *args[count:])
                break
        return written(*args, **options)

    _register(op, written.__name__, numpy)
    return op


def _apart(value: ndarray, args: Sequence[Any]) -> ndarray:
    """The value, copied if it lies in memory that can change: a leaf's, which learns, or an array of the caller's."""
    for arg in args:
        source = arg if type(arg) is ndarray else arg._array if type(arg) is Tensor and arg._node is LEAF else None
        if source is not None and (value is source or (value.base is not None and np.may_share_memory(value, source))):
            return value.copy()
    return value


def _complete(
    args: tuple[Any, ...], values: list[Any], options: dict[str, Any], parameters: Sequence[str], count: int, name: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as a node keeps them: all inputs in their positions, and options by name."""
    for value in args[count:]:
        if type(value) is Tensor:
            raise TypeError(_no_gradient_for(name, parameters[count:]))
    named = dict(zip(parameters[count:], values[count:], strict=False))
    return args[:count] + (None,) * (count - len(args)), {**named, **options}


def _no_gradient_for(name: str, options: Sequence[str]) -> str:
    return f"{name}: a Tensor was given for an option ({', '.join(options)}), which has no gradient; give its .data or .item()"


def _register(op: Any, name: str, numpy: Any) -> None:
    """Let Tensor's methods and NumPy's functions find the op. One defined outside microtensor stays its author's own."""
    if op.__module__.startswith("microtensor."):
        setattr(graph.ops, name, op)
        method = vars(Tensor).get(name)
        if method is not None and method.__doc__ is None:
            method.__doc__ = op.__doc__
        for function in numpy if isinstance(numpy, tuple) else (numpy,):
            graph.numpy_rules[function] = op


def _inputs(body: Callable[..., Any]) -> tuple[tuple[str, ...], bool]:
    """The names of the parameters that are arrays, and whether there can be any number of them."""
    parameters = list(inspect.signature(body).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return (), True
    return _before_slash(body) or tuple(p.name for p in parameters), False


def _before_slash(body: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(p.name for p in inspect.signature(body).parameters.values() if p.kind is p.POSITIONAL_ONLY)


def _reorder(
    body: Callable[..., Any], inputs: tuple[str, ...], args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs given by name (`linear(x, w, bias=b)`) moved to their positions."""
    parameters = inspect.signature(body).parameters
    given = list(args)
    options = dict(options)
    for name in inputs[len(args) :]:
        if name in options:
            given.append(options.pop(name))
        elif not any(later in options for later in inputs[len(given) :]):
            break
        elif parameters[name].default is inspect.Parameter.empty:
            raise TypeError(f"{body.__name__}: the input {name} is missing")
        else:
            given.append(parameters[name].default)
    return tuple(given), options


def _explained(error: Exception, name: str, shape_hint: Hint, values: Sequence[Any]) -> Exception:
    """The same kind of error, saying which op it was, with which inputs, and what would fit."""
    if getattr(error, "explained", False):
        return error
    arrays = [v for v in values if isinstance(v, np.ndarray | np.generic)]
    shapes = " and ".join(f"{v.shape} {v.dtype}" for v in arrays) or "none"
    wrong_axis = np.exceptions.AxisError
    advice: Any = ""
    if isinstance(error, ValueError | IndexError) and not isinstance(error, wrong_axis):  # what doesn't fit may be the shapes
        advice = shape_hint(*values) if callable(shape_hint) else shape_hint
        if isinstance(advice, Mapping):
            advice = next((sentence for words, sentence in advice.items() if words in str(error)), "")
    kind = next((kind for kind in (wrong_axis, IndexError, ValueError) if isinstance(error, kind)), TypeError)
    explained = kind(f"{name}: {error}; the inputs have shapes {shapes}{'; ' + advice if advice else ''}")
    explained.explained = True  # type: ignore[union-attr]
    return explained
