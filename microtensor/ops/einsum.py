"""Sums of products over any axes, named by letters."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from microtensor.differentiable import Result, composed, differentiable
from microtensor.ops.arithmetic import unbroadcast
from microtensor.tensor import as_inputs


@differentiable(name="einsum", numbers=False)
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
def einsum(subscripts: Any, *operands: Any, optimize: Any = None) -> Any:
    """Sums of products by Einstein's convention: `einsum("ij,jk->ik", a, b)` is a @ b. Labels that are missing on the right
    are summed over; a label twice in one operand takes its diagonal; `...` stands for axes that broadcast. Labels may be
    numbers, in a list after each operand: `einsum(a, [0, 1], b, [1, 2], [0, 2])`. `optimize`, NumPy's option, changes nothing:
    a good order of contraction is taken in any case.

    Raises ValueError when the subscripts don't fit the operands.
    """
    if not isinstance(subscripts, str):
        subscripts, operands = _by_numbers((subscripts, *operands))
    operands = tuple(as_inputs(operands))
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


def _by_numbers(arguments: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """The subscripts and the operands of the form that names axes by numbers."""
    pairs, rest = arguments[: len(arguments) // 2 * 2], arguments[len(arguments) // 2 * 2 :]
    letters = string.ascii_uppercase + string.ascii_lowercase

    def labels(numbers: Any) -> str:
        if not isinstance(numbers, list | tuple) or not all(n is Ellipsis or 0 <= n < len(letters) for n in numbers):
            raise TypeError(
                "einsum: takes a string of subscripts first, as in 'ij,jk->ik', or after each operand a list of numbers from 0 "
                f"to {len(letters) - 1}, not {type(numbers).__name__}"
            )
        return "".join("..." if n is Ellipsis else letters[n] for n in numbers)

    return ",".join(map(labels, pairs[1::2])) + "".join(f"->{labels(r)}" for r in rest), pairs[::2]
