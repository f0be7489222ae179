"""The backward pass of a linear layer, but for its matrix products: through the activation, and to the bias."""

from __future__ import annotations

import numpy as np

from microtensor.kernels.arithmetic import accumulate, product
from microtensor.kernels.runtime import door, threads
from microtensor.kernels.runtime.jit import kernel

#: The number of rows whose parts of the gradient of a bias are added up together.
BLOCK = 128


@kernel
def _bias_part(derivatives, g, out, parts, first, last):
    """Blocks first to last, each of BLOCK rows: out = g * derivatives, and parts[block] = the sum of out's rows (of g's,
    without derivatives)."""
    rows = g.shape[0]
    for block in range(first, last):
        sums = parts[block]
        sums[:] = 0
        for i in range(block * BLOCK, min((block + 1) * BLOCK, rows)):
            if derivatives.size > 0:
                product(g[i], derivatives[i], out[i])
                accumulate(out[i], sums)
            else:
                accumulate(g[i], sums)


def bias_backward(g: np.ndarray, derivatives: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(gradient of h, gradient of b) for y = f(h), h = ... + b, from g, that of y; all (..., width) but b, (width,).

    `derivatives` are f'(h); without them f changes nothing, and g itself comes back.
    """
    rows, width = door.rows("bias_backward", g)
    door.fits("bias_backward", g.dtype, derivatives=(derivatives, g.shape))
    g = np.asarray(g, order="C")
    out = g if derivatives is None else np.empty_like(g)
    parts = np.empty((-(-rows // BLOCK), width), g.dtype)
    derivatives = np.empty(0, g.dtype) if derivatives is None else np.asarray(derivatives, order="C")
    flat = [a.reshape((-1, width)) for a in (derivatives, g, out)]
    threads.share_rows(len(parts), BLOCK * width, _bias_part, *flat, parts)
    return out, parts.sum(axis=0)
