"""The matrix product over the shapes of the zoo's models, against NumPy's (OpenBLAS)."""

from __future__ import annotations

import math
import statistics

import numpy as np
from measure import REST, Row, compared, interleaved, share_of_peak

from microtensor import kernels


def shapes() -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """A name, and the shapes of both sides; a name with T has that side transposed in memory."""
    found: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []
    for width in (192, 128):
        for inner, outer in ((width, 3 * width), (width, 4 * width), (4 * width, width), (width, 65)):
            found.append(("forward", (4096, inner), (inner, outer)))
            found.append(("gradient of the input, right side T", (4096, outer), (outer, inner)))
            found.append(("gradient of the weight, left side T", (inner, 4096), (4096, outer)))
    found.append(("small", (64, 32), (32, 27)))
    found.append(("one row", (1, 192), (192, 768)))
    found.append(("attention scores, right side T", (96, 256, 32), (96, 32, 256)))
    found.append(("attention values", (96, 256, 256), (96, 256, 32)))
    return found


def run(quick: bool) -> list[Row]:
    """The rows of the table."""
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for name, left, right in shapes():

        def draw(shape: tuple[int, ...], transposed: bool) -> np.ndarray:
            x = rng.standard_normal(shape, dtype=np.float32)
            return np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2) if transposed else x

        a, b = draw(left, "left side T" in name), draw(right, "right side T" in name)
        operations = 2 * math.prod(left) * right[-1]
        contestants = {"microtensor": lambda a=a, b=b: kernels.matmul.matmul(a, b), "NumPy": lambda a=a, b=b: np.matmul(a, b)}
        repeats = int(max(5, min(500, 3e8 / operations)))
        seconds = interleaved(contestants, rounds=3 if quick else 9, repeats=repeats, rest=REST)
        case = f"matrix product, {name}: {'x'.join(map(str, left))} @ {'x'.join(map(str, right))}"
        row = compared(case, "us", 1e6, seconds, "NumPy")
        row.share = share_of_peak(operations, statistics.median(seconds["microtensor"]))
        rows.append(row)
    ratios = [row.ratio for row in rows if row.ratio]
    worst = min(ratios)
    mean = Row("matrix product, geometric mean", "", rival_name="NumPy")
    mean.ratio = math.exp(statistics.fmean(map(math.log, ratios)))
    mean.note = f"the lowest is {worst:.2f}"
    return [mean, *rows]
