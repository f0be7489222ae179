"""Rows of a table by number: what an embedding does, forward and backward."""

import numpy as np

from microtensor.kernels.jit import kernel


@kernel
def gather(table, indices):
    """The rows of `table` (rows, width) at `indices` (n,): (n, width), and the place of the first bad index or -1."""
    rows, width = table.shape
    y = np.empty((indices.size, width), table.dtype)
    for i in range(indices.size):
        row = indices[i]
        if row < 0 or row >= rows:
            return y, i
        for j in range(width):
            y[i, j] = table[row, j]
    return y, -1


@kernel
def scatter_add(g, indices, rows):
    """A table (rows, width) of zeros with each row of `g` (n, width) added at its index; one index twice adds up."""
    width = g.shape[1]
    y = np.zeros((rows, width), g.dtype)
    for i in range(indices.size):
        row = indices[i]
        for j in range(width):
            y[row, j] += g[i, j]
    return y
