"""Sums of products: matmul and einsum. Nearly all the time of a neural network is spent here."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.differentiable import Result, composed, differentiable
from microtensor.kernels.runtime import config
from microtensor.ops.elementwise import is_float_array, unbroadcast


def _matmul_shapes(x: Any, y: Any) -> str:
    x, y = np.shape(x), np.shape(y)
    if not x or not y:
        return "matmul needs at least one axis on both sides; use multiply for a single number"
    inner = y[-2] if len(y) > 1 else y[0]
    if x[-1] != inner:
        return f"the rows of the first have {x[-1]} elements and the columns of the second {inner}, which must be equal"
    return "the axes before the last two must be equal, or one of them 1"


def _product(x: Any, y: Any) -> Any:
    """x @ y, by our kernel where it is faster."""
    if is_float_array(x) and is_float_array(y) and x.ndim > 1 and y.ndim > 1 and x.dtype == y.dtype:
        return kernels.matmul.matmul(x, y)
    return np.matmul(x, y)


@differentiable(numpy=np.matmul, shape_hint=_matmul_shapes)
def matmul(x: Any, y: Any, /) -> Result:
    """The matrix product x @ y, over the last two axes; the axes before them broadcast. A vector is a row on the left and
    a column on the right."""
    if y.ndim == 2:
        if x.ndim == 2:
            if x.size * y.shape[1] < config.SMALL_PRODUCT:
                return np.matmul(x, y), (lambda g: g.dot(y.T), x.T.dot)
            return _product(x, y), (lambda g: _product(g, y.T), lambda g: _product(x.T, g))
        if x.ndim > 2 and 0 not in y.shape:
            # One tall product instead of many small ones.
            rows = x.reshape((-1, x.shape[-1]))
            return _product(rows, y).reshape((*x.shape[:-1], y.shape[-1])), (
                lambda g: _product(g.reshape((-1, y.shape[-1])), y.T).reshape(x.shape),
                lambda g: _product(rows.T, g.reshape((-1, y.shape[-1]))),
            )
    z = _product(x, y)
    row = x.reshape((1, -1)) if x.ndim == 1 else x
    column = y.reshape((-1, 1)) if y.ndim == 1 else y
    whole = np.broadcast_shapes(row.shape[:-2], column.shape[:-2]) + (row.shape[-2], column.shape[-1])
    return z, (
        lambda g: unbroadcast(_product(g.reshape(whole), column.swapaxes(-1, -2)), row).reshape(x.shape),
        lambda g: unbroadcast(_product(row.swapaxes(-1, -2), g.reshape(whole)), column).reshape(y.shape),
    )


@composed(numpy=np.dot)
def dot(x: Any, y: Any) -> Any:
    """matmul of vectors and matrices, by NumPy's other name for it; more axes are refused, as NumPy treats them otherwise.

    On plain arrays it is faster than np.matmul where one side is a single row seen as a column.
    """
    if np.ndim(x) > 2 or np.ndim(y) > 2:
        raise ValueError(f"dot: takes vectors and matrices, not {np.shape(x)} and {np.shape(y)}; use matmul or einsum")
    return matmul(x, y)


@differentiable(name="einsum")
def _contract(*operands: Any, terms: tuple[str, ...], result: str) -> Result:
    """einsum with its subscripts parsed: a string of labels for each operand and for the result."""
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        for label, n in zip(term, operand.shape, strict=True):
            sizes[label] = n if sizes.get(label, 1) == 1 else sizes[label]

    def pull(i: int) -> Any:
        def pullback(g: Any) -> Any:
            # The gradient is again an einsum: of g with all the other operands. A label that only this operand has was
            # summed, so its gradient is spread evenly (a vector of ones); one it has twice took the diagonal (an identity).
            others = [(t, x) for j, (t, x) in enumerate(zip(terms, operands, strict=True)) if j != i]
            seen = set(result).union(*({c for c, n in zip(t, x.shape, strict=True) if n == sizes[c]} for t, x in others))
            own = list(terms[i])
            fresh = (c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in sizes)
            extra: list[tuple[str, Any]] = []
            for k, label in enumerate(own):
                if label in own[:k]:
                    own[k] = next(fresh)
                    extra.append((label + own[k], np.eye(sizes[label], dtype=g.dtype)))
                elif label not in seen:
                    extra.append((label, np.ones(sizes[label], dtype=g.dtype)))
            parts = [(result, g), *others, *extra]
            whole = _contract(*(x for _, x in parts), terms=tuple(t for t, _ in parts), result="".join(own))
            return unbroadcast(whole, operands[i])

        return pullback

    labels = ",".join(terms) + "->" + result
    arrays = [getattr(x, "_array", x) for x in operands]
    return np.einsum(labels, *arrays, optimize=len(arrays) > 2), tuple(pull(i) for i in range(len(operands)))


@composed(numpy=np.einsum)
def einsum(subscripts: str, *operands: Any) -> Any:
    """Sums of products by Einstein's convention: `einsum("ij,jk->ik", a, b)` is a @ b. Labels that are missing on the right
    are summed over; a label twice in one operand takes its diagonal; `...` stands for axes that broadcast.

    Raises ValueError when the subscripts don't fit the operands.
    """
    if not isinstance(subscripts, str):
        raise TypeError("einsum: the first argument is a string of subscripts, as in 'ij,jk->ik'")
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    shapes = [np.shape(x) for x in operands]
    if len(terms) != len(operands):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands, but {len(operands)} are given")
    free = [c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkjihgfedcba" if c not in subscripts]
    spread = [len(s) - len(t) + 3 if "..." in t else 0 for t, s in zip(terms, shapes, strict=True)]
    most = max(spread, default=0)
    dots = "".join(free[:most])
    for k, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        terms[k] = term.replace("...", dots[most - spread[k] :] if spread[k] > 0 else "")
        if len(terms[k]) != len(shape):
            raise ValueError(f"einsum: {term!r} in {subscripts!r} names {len(terms[k])} axes of an operand of shape {shape}")
    if arrow:
        result = right.replace("...", dots)
    else:
        used = "".join(terms)
        result = dots + "".join(sorted(c for c in set(used) if used.count(c) == 1 and c not in dots))
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, n in zip(term, shape, strict=True):
            if 1 not in (n, lengths.get(label, 1)) and lengths[label] != n:
                raise ValueError(f"einsum: in {subscripts!r} the label {label!r} has lengths {lengths[label]} and {n}")
            lengths[label] = n if lengths.get(label, 1) == 1 else lengths[label]
    unknown = [c for c in result if c not in lengths]
    if unknown or len(set(result)) < len(result):
        raise ValueError(f"einsum: the result {right!r} of {subscripts!r} must name labels of the operands, each once")
    return _contract(*operands, terms=tuple(terms), result=result)
