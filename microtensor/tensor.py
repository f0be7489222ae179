"""Tensor: an array that remembers how it was computed, so that gradients can be found by walking back.

Every operation on Tensors makes a new Tensor that keeps its *node*: which op made it, from which inputs, and the op's
*pullback*, the function that carries a gradient from the output back to each input. The nodes are the graph through which
`backward` walks.

A Tensor owns its memory: it copies what it is made from, and nothing outside can write into it. `t.data = array` gives
it new values, as `t += 1` does where nothing is recorded. Both also move the Tensor forward in time, so that a graph recorded
with the old values is recognised as stale, and its backward raises an error instead of returning a wrong gradient.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from microtensor import hints
from microtensor.recording import LEAF, Node, clock, thread

#: The differentiable functions by name, and the rules for NumPy's own functions. The files above this one fill both, so that
#: Tensor's methods reach what is defined there.
ops: Any = SimpleNamespace()
numpy_rules: dict[Any, Callable[..., Any]] = {
    np.shape: lambda t: t.shape,
    np.ndim: lambda t: t.ndim,
    np.size: lambda t: t.size,
}


def as_array(data: Any, dtype: Any = None) -> np.ndarray:
    """`data` as an array, with Python floats as float32 (the default everywhere); arrays keep their dtype."""
    if isinstance(data, Tensor):
        return data._array if dtype is None else data._array.astype(dtype)
    if isinstance(data, list | tuple) and any(isinstance(item, Tensor) for item in data):
        raise TypeError("a list of Tensors is not an array: join them with stack or concatenate")
    if isinstance(data, np.ndarray | np.generic):
        return np.asarray(data, dtype=dtype)
    array = np.asarray(data)
    if array.dtype == object:
        raise TypeError(f"a Tensor holds numbers, not {type(data).__name__}")
    if dtype is not None:
        return array.astype(dtype)
    return array.astype(np.float32) if array.dtype == np.float64 and not _holds_float64(data) else array


def as_inputs(values: Iterable[Any], integers: Collection[int] = (), numbers: bool = False) -> list[Any]:
    """The inputs of an op, made what its function takes: Tensors, and plain arrays in the processor's byte order.

    Numbers (NumPy's scalars too) and nested lists or tuples of them take the type of the arrays beside them, so that none is
    promoted: a type of floats where one has it. Where there is no array they become what a Tensor of them would be. None, and
    what is no number, is left as it is.

    Args:
        values: what was given.
        integers: the positions of indices and conditions, whose type is theirs alone.
        numbers: leave single numbers beside arrays as Python's, which NumPy gives the type of the arrays by itself.

    Raises TypeError for a masked array, and for a list of Tensors.
    """
    given = list(values)
    arrays = {i: x.dtype for i, x in enumerate(given) if isinstance(x, Tensor | np.ndarray)}
    types = [t for i, t in arrays.items() if i not in integers] or [t for t in arrays.values() if t.kind == "f"]
    floats = [t for t in types if t.kind == "f"]
    dtype = np.result_type(*(floats or types)) if types else None
    return [_as_input(x, dtype, i in integers, numbers) for i, x in enumerate(given)]


def _as_input(x: Any, dtype: Any, integer: bool, numbers: bool) -> Any:
    """One of an op's inputs, beside arrays of a type (None: there are none)."""
    if isinstance(x, np.ndarray):
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError("a masked array's mask would be lost; use where() with the mask")
        plain = x if type(x) is np.ndarray else np.array(x)
        return plain if plain.dtype.isnative else plain.astype(plain.dtype.newbyteorder("="))
    if not isinstance(x, NUMBERS):
        return x
    if dtype is None:
        return as_array(x)
    if isinstance(x, np.generic) and x.dtype.kind in "biuf":
        x = float(x) if x.dtype.kind == "f" else x.item()
    return x if numbers and not isinstance(x, list | tuple) else as_beside(x, dtype, integer)


def as_beside(x: Any, dtype: Any, integer: bool = False) -> np.ndarray:
    """A number, or a nested list or tuple of them, as an array of a type, if that can hold it: integers don't hold fractions,
    nor booleans numbers, and an `integer` is kept from becoming a float. The array of a Tensor is left as it is."""
    if isinstance(x, Tensor | np.ndarray):
        return as_array(x)
    if isinstance(x, list | tuple) and any(isinstance(item, Tensor) for item in x):
        raise TypeError("a list of Tensors is not an array: join them with stack or concatenate")
    array = np.asarray(x)
    if array.dtype == object:
        raise TypeError(f"numbers are needed, not {type(x).__name__}")
    kind, wanted = array.dtype.kind, np.dtype(dtype).kind
    if integer and (kind in "iu" or array.size == 0):
        return array.astype(np.intp)
    if (wanted == "f" and kind in "fiu") or (wanted in "iu" and kind in "iu" and np.all(array == array.astype(dtype))):
        return array.astype(dtype)
    return array


#: What counts as a number, or as a container of numbers.
NUMBERS = (bool, int, float, np.generic, list, tuple)


def _holds_float64(data: Any) -> bool:
    """Tell if a nested list holds a NumPy float64 (whose type was chosen) rather than only Python floats."""
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return isinstance(data, np.ndarray | np.generic)


def wrap(array: np.ndarray) -> Tensor:
    """A Tensor around an array that nobody else will write to. No copy is made."""
    tensor = Tensor.__new__(Tensor)
    tensor._array = array
    tensor._time = clock()
    tensor._node = None
    tensor._gradient = None
    return tensor


def _leaf(array: np.ndarray, requires_grad: bool, parameter: bool) -> Tensor:
    """A leaf; one that was frozen, if it is a parameter that doesn't require gradients."""
    tensor = Tensor(array, requires_grad=parameter)
    if parameter and not requires_grad:
        tensor.requires_grad = False
    return tensor


class Tensor:
    """An n-dimensional array of numbers that can be differentiated.

    Args:
        data: an array, a number or nested lists; it is copied. Python floats become float32, arrays keep their dtype.
        requires_grad: whether `backward` should leave a gradient in `.grad`. Only floating-point Tensors can.
        dtype: the element type, when another is wanted.

    Operators and NumPy's functions (`t * 2`, `np.tanh(t)`, `t.sum(axis=0)`) work as on arrays and are recorded.
    """

    __slots__ = ("__weakref__", "_array", "_frozen", "_gradient", "_node", "_time")
    __hash__ = object.__hash__

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None) -> None:
        self._array: np.ndarray = np.array(as_array(data, dtype), order="C")
        self._time: int = clock()
        # What made it; LEAF; or None if it needs no gradient.
        self._node: Node | None = None
        self._gradient: np.ndarray | None = None
        kind, size = self._array.dtype.kind, self._array.dtype.itemsize
        if kind not in "biuf" or (kind == "f" and size not in (4, 8)):
            raise TypeError(f"Tensor: holds float32, float64, integers or booleans, not {self._array.dtype}")
        if not self._array.dtype.isnative:
            self._array = self._array.astype(self._array.dtype.newbyteorder("="))
        if requires_grad:
            self.requires_grad = True

    # What it holds

    @property
    def data(self) -> np.ndarray:
        """The values, as a read-only view. Assign a new array to change them: `t.data = t.data - 0.1 * t.grad.data`."""
        view = self._array.view()
        view.flags.writeable = False
        return view

    @data.setter
    def data(self, values: Any) -> None:
        if self._node is not None and self._node is not LEAF:
            raise RuntimeError("data: only a leaf can be given new values; this Tensor was computed from others")
        new = as_array(values, self._array.dtype)
        if new.shape != self._array.shape:
            raise ValueError(f"data: a Tensor of shape {self.shape} can't take values of shape {new.shape}")
        self._array = np.array(new, dtype=self._array.dtype, order="C")
        self._time = clock()

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` left here, or None. Set it to None to start afresh."""
        return None if self._gradient is None else wrap(self._gradient)

    @grad.setter
    def grad(self, gradient: Any) -> None:
        if gradient is not None:
            gradient = np.array(as_array(gradient, self.dtype))
            if gradient.shape != self.shape:
                raise ValueError(f"grad: a Tensor of shape {self.shape} can't have a gradient of shape {gradient.shape}")
        self._gradient = gradient

    @property
    def requires_grad(self) -> bool:
        """True where gradients flow to this Tensor."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if wanted and self._array.dtype.kind != "f":
            raise TypeError(f"requires_grad: gradients need a floating-point dtype, not {self._array.dtype}")
        if self._node is not None and self._node is not LEAF:
            raise RuntimeError("requires_grad: this Tensor was computed from others; use detach() for one without history")
        if wanted and self._node is None:
            # Memory of its own, in one piece, which an optimizer can write to without changing another Tensor.
            self._array = np.array(self._array, order="C")
        if self._node is LEAF and not wanted:
            self._frozen = True
        self._node = LEAF if wanted else None

    @property
    def is_parameter(self) -> bool:
        """True for a Tensor that is learned, or was and is frozen (by `requires_grad = False`)."""
        return self._node is LEAF or (self._node is None and getattr(self, "_frozen", False))

    shape = property(lambda self: self._array.shape, doc="The length of each axis.")
    dtype = property(lambda self: self._array.dtype, doc="The element type.")
    ndim = property(lambda self: self._array.ndim, doc="The number of axes.")
    size = property(lambda self: self._array.size, doc="The number of elements.")

    def numpy(self) -> np.ndarray:
        """A copy of the values, yours to change."""
        return self._array.copy()

    def item(self) -> Any:
        """The only element, as a Python number. Raises ValueError when there are several."""
        return self._array.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self._array.tolist()

    def detach(self) -> Tensor:
        """The same values without history: gradients stop here."""
        return wrap(self._array.copy() if self._node is LEAF else self._array)

    def __len__(self) -> int:
        return len(self._array)

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return self._array.__index__()

    def __contains__(self, value: Any) -> bool:
        return bool(np.any(ops.equal(self, value)._array))

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("a Tensor without axes can't be iterated over")
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        values = np.array2string(self._array, separator=", ", prefix="Tensor(")
        dtype = "" if self.dtype in (np.float32, np.int64, np.bool_) else f", dtype={self.dtype}"
        return f"Tensor({values}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    def _repr_html_(self) -> str:
        from microtensor import notebook  # only notebooks ask for it

        return notebook.table(self._array, self.requires_grad)

    def __format__(self, spec: str) -> str:
        return format(self._number("format"), spec) if spec else str(self)

    def __round__(self, digits: int | None = None) -> Any:
        return round(self._number("round"), digits)

    def _number(self, what: str) -> Any:
        if self.size != 1:
            raise TypeError(
                f"{what}: only a single number can be, not a Tensor of shape {self.shape}; for many use np.round(t, 3)"
            )
        return self.item()

    def __dir__(self) -> list[str]:
        return hints.listed(self)

    def __init_subclass__(cls) -> None:
        raise TypeError("Tensor can't be subclassed; write ops with differentiable, and layers with nn.Module")

    def __reduce__(self) -> Any:
        if self._node is not None and self._node is not LEAF:
            raise TypeError("only a leaf can be pickled; this Tensor was computed from others: use detach()")
        return _leaf, (self._array, self.requires_grad, self.is_parameter)

    def __copy__(self) -> Tensor:
        raise TypeError("a Tensor isn't copied by copy.copy: use detach(), or Tensor(t, requires_grad=True) for a new leaf")

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None and self._node is not LEAF:
            raise TypeError("only a leaf can be deep-copied; this Tensor was computed from others: use detach()")
        return _leaf(self._array, self.requires_grad, self.is_parameter)

    # NumPy's protocols: np.tanh(t) is the op tanh, and a function without a rule is an error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad:
            raise TypeError("a Tensor that requires gradients doesn't become an array by itself: use .numpy() or .detach()")
        return np.array(self._array, dtype=dtype) if copy is not False else np.asarray(self.data, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if kwargs.get("out") is not None:
            raise TypeError(
                f"np.{ufunc.__name__}: can't write a Tensor's result into out= or by an in-place operator on an array"
            )
        if method == "reduce" and len(inputs) == 1:
            kwargs.setdefault("axis", 0)  # a ufunc's reduce, unlike np.sum, folds the first axis unless told otherwise
        rule = numpy_rules.get(ufunc if method == "__call__" else (ufunc, method))
        if rule is None:
            call = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            raise TypeError(
                f"np.{call} has no gradient rule: use .data for the plain array, or write an op with differentiable"
            )
        return rule(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        rule = numpy_rules.get(function)
        if rule is None:
            place = function.__module__.replace("numpy", "np", 1)
            raise TypeError(
                f"{place}.{function.__name__} has no gradient rule: use .data for the plain array, "
                "or write an op with differentiable"
            )
        return rule(*args, **kwargs)

    # Operators

    def __add__(self, other: Any) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return ops.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return ops.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return ops.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return ops.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return ops.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.divide(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return ops.power(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return ops.power(other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return ops.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return ops.floor_divide(other, self)

    def __mod__(self, other: Any) -> Tensor:
        return ops.remainder(self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return ops.remainder(other, self)

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return other // self, other % self

    def __and__(self, other: Any) -> Tensor:
        return ops.bitwise_and(self, other)

    def __rand__(self, other: Any) -> Tensor:
        return ops.bitwise_and(other, self)

    def __or__(self, other: Any) -> Tensor:
        return ops.bitwise_or(self, other)

    def __ror__(self, other: Any) -> Tensor:
        return ops.bitwise_or(other, self)

    def __xor__(self, other: Any) -> Tensor:
        return ops.bitwise_xor(self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return ops.bitwise_xor(other, self)

    def __invert__(self) -> Tensor:
        return ops.invert(self)

    def __pos__(self) -> Tensor:
        return ops.positive(self)

    def __matmul__(self, other: Any) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __getitem__(self, key: Any) -> Tensor:
        return ops.getitem(self, key)

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return ops.equal(self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return ops.not_equal(self, other)

    def __lt__(self, other: Any) -> Tensor:
        return ops.less(self, other)

    def __le__(self, other: Any) -> Tensor:
        return ops.less_equal(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return ops.greater(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return ops.greater_equal(self, other)

    # In place: the same Tensor with new values, where nothing is recorded

    def _change(self, by: Any, *given: Any) -> Tensor:
        """Take the values that `by` makes of this Tensor's and of what is given, in memory of their own."""
        recording = thread.mode.recording
        if self._node is not None and self._node is not LEAF:
            raise RuntimeError(
                "a Tensor that was computed from others can't be changed in place, for gradients flow through its values: "
                "write `t = t * 2` instead of `t *= 2`, and where() instead of `t[mask] = x`"
            )
        if recording and any(x.requires_grad for x in (self, *given) if isinstance(x, Tensor)):
            raise RuntimeError(
                "what requires gradients can't be changed in place while it is recorded: change it within "
                "`with mt.no_grad():`, or write `t = t * 2` for a new Tensor"
            )
        values = by(self._array, *(x._array if isinstance(x, Tensor) else x for x in given))
        self._array = np.asarray(values, order="C")  # (in one piece, as an optimizer needs it)
        self._time = clock()
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        def put(values: np.ndarray, key: Any, value: Any) -> np.ndarray:
            new = values.copy()
            new[key] = value
            return new

        parts = tuple(k._array if isinstance(k, Tensor) else k for k in key) if isinstance(key, tuple) else key
        self._change(put, parts, value)

    # The methods that NumPy's arrays have, and the commonest of PyTorch's; each is documented at the op of the same name

    @property
    def T(self) -> Tensor:
        """All axes reversed; for a matrix, its transpose."""
        return ops.transpose(self)

    def dot(self, other: Any) -> Tensor:
        return ops.dot(self, other)

    def sum(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Tensor:
        return ops.sum(self, axis=axis, keepdims=keepdims, **options)

    def mean(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Tensor:
        return ops.mean(self, axis=axis, keepdims=keepdims, **options)

    def var(self, axis: Any = None, ddof: float = 0, keepdims: bool = False, **options: Any) -> Tensor:
        return ops.var(self, axis, ddof=ddof, keepdims=keepdims, **options)

    def std(self, axis: Any = None, ddof: float = 0, keepdims: bool = False, **options: Any) -> Tensor:
        return ops.std(self, axis, ddof=ddof, keepdims=keepdims, **options)

    def any(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.any(self, axis=axis, keepdims=keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.all(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.min(self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.prod(self, axis=axis, keepdims=keepdims)

    def cumsum(self, axis: Any = None) -> Tensor:
        return ops.cumsum(self, axis)

    def cumprod(self, axis: Any = None) -> Tensor:
        return ops.cumprod(self, axis)

    def argmax(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.argmax(self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.argmin(self, axis=axis, keepdims=keepdims)

    def argsort(self, axis: int | None = -1, **options: Any) -> Tensor:
        return ops.argsort(self, axis=axis, **options)

    def sort(self, axis: int | None = -1, **options: Any) -> Tensor:
        return ops.sort(self, axis, **options)

    def nonzero(self) -> tuple[Tensor, ...]:
        return ops.nonzero(self)

    def round(self, decimals: int = 0) -> Tensor:
        return ops.round(self, decimals)

    def exp(self) -> Tensor:
        return ops.exp(self)

    def log(self) -> Tensor:
        return ops.log(self)

    def sqrt(self) -> Tensor:
        return ops.sqrt(self)

    def tanh(self) -> Tensor:
        return ops.tanh(self)

    def sigmoid(self) -> Tensor:
        return ops.sigmoid(self)

    def relu(self) -> Tensor:
        return ops.relu(self)

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        return ops.clip(self, min, max)

    def astype(self, dtype: Any) -> Tensor:
        return ops.astype(self, dtype)

    def reshape(self, *shape: Any, order: str = "C") -> Tensor:
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape, order)

    view = reshape

    def flatten(self, start: int = 0, end: int = -1) -> Tensor:
        return ops.flatten(self, start, end)

    def ravel(self, order: str = "C") -> Tensor:
        return ops.ravel(self, order)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        return ops.diagonal(self, offset, axis1, axis2)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Tensor:
        return ops.trace(self, offset, axis1, axis2, dtype)

    def transpose(self, *axes: Any) -> Tensor:
        return ops.transpose(self, axes[0] if len(axes) == 1 else axes or None)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        return ops.swapaxes(self, axis1, axis2)

    def squeeze(self, axis: Any = None) -> Tensor:
        return ops.squeeze(self, axis)

    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor:
        return ops.repeat(self, repeats, axis)

    def take(self, indices: Any, axis: int | None = None) -> Tensor:
        return ops.take(self, indices, axis)

    # Gradients

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Add the gradient of this Tensor with respect to every leaf it was computed from to that leaf's `.grad`.

        Args:
            gradient: the gradient of what comes after, of this Tensor's shape; 1 when this is a single number (a loss).
            retain_graph: keep the graph, so that backward can run through it again. Otherwise it is freed.

        Raises RuntimeError when nothing here requires gradients, when the graph was freed, or when a Tensor was given
        new values after it was used.
        """
        ops.backward(self, gradient, retain_graph)

    def graph(self, format: str = "text", /, **names: Tensor) -> Any:
        """Tell how this Tensor was computed, a line for each step: the op, the shape of its result, and the numbers of the
        lines that it was computed from. `print(loss.graph(x=x, w=w))` also names x and w.

        As "dot" it is the same in graphviz's language. As "svg" it is a picture, which a notebook shows and `.save(path)`
        writes: drawn by graphviz where that is installed, else the dot text, and it says which.

        Raises RuntimeError as backward does, and ValueError for another format.
        """
        return ops.graph(self, format, names)


def _in_place(name: str) -> Callable[[Tensor, Any], Tensor]:
    """The operator that changes a leaf, `t += x`, from the one that makes a new Tensor."""
    compute = getattr(operator, name)

    def change(self: Tensor, other: Any) -> Tensor:
        def by(values: np.ndarray, other: Any) -> np.ndarray:
            new = compute(wrap(values), other)
            if not isinstance(new, Tensor):
                raise TypeError(f"{name}: gave {type(new).__name__} where a Tensor was expected")
            if new.shape != values.shape:
                raise ValueError(f"a Tensor of shape {values.shape} can't take a result of shape {new.shape} in place")
            if not np.can_cast(new.dtype, values.dtype, "same_kind"):
                raise TypeError(f"a Tensor of {values.dtype} can't take a result of {new.dtype} in place")
            return np.array(new._array, dtype=values.dtype, order="C")

        return self._change(by, other)

    return change


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
    setattr(Tensor, f"__i{_name}__", _in_place(f"__{_name}__"))

hints.explain_missing(Tensor)
sys.modules[__name__].__class__ = hints.NotCallable
