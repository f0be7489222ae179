"""Embeddings: rows of a table by number, forward and backward."""

from microtensor.kernels.runtime.jit import kernel


@kernel
def gather(table, indices, out):
    """out[i] = table[indices[i]], for table (rows, width), indices (n,), out (n, width).

    Returns the position of the first index outside the table, or -1.
    """
    rows, width = table.shape
    for i in range(indices.size):
        row = indices[i]
        if row < 0 or row >= rows:
            return i
        for j in range(width):
            out[i, j] = table[row, j]
    return -1


@kernel
def scatter_add(g, indices, out):
    """out[indices[i]] += g[i], for g (n, width), indices (n,), out (rows, width); one index twice adds up."""
    for i in range(indices.size):
        row = indices[i]
        for j in range(out.shape[1]):
            out[row, j] += g[i, j]


@kernel
def gather_mean(table, indices, out):
    """out[i] = the mean of the rows of table (rows, width) at indices[i], for indices (n, bag), out (n, width).

    Returns the position of the first index outside the table, counted along the rows of `indices`, or -1.
    """
    rows, width = table.shape
    n, bag = indices.shape
    fraction = table.dtype.type(1 / bag)
    for i in range(n):
        for k in range(bag):
            row = indices[i, k]
            if row < 0 or row >= rows:
                return i * bag + k
            if k == 0:
                for j in range(width):
                    out[i, j] = table[row, j]
            else:
                for j in range(width):
                    out[i, j] += table[row, j]
        for j in range(width):
            out[i, j] *= fraction
    return -1


@kernel
def scatter_mean(g, indices, out):
    """out[indices[i, k]] += g[i] / bag, for g (n, width), indices (n, bag), out (rows, width)."""
    n, bag = indices.shape
    fraction = out.dtype.type(1 / bag)
    for i in range(n):
        for k in range(bag):
            row = indices[i, k]
            for j in range(out.shape[1]):
                out[row, j] += fraction * g[i, j]
