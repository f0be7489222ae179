"""Embeddings: rows of a table by number, forward and backward."""

from microtensor.kernels.runtime.jit import kernel


@kernel
def gather(table, indices, out):
    """out[i] = table[indices[i]], for table (rows, width), indices (n,), out (n, width).

    Returns the position of the first index outside the table, or -1.
    """
    rows, width = table.shape
    if indices.ndim != 1 or out.shape != (indices.size, width):
        raise ValueError("gather: indices must be (n,) and out (n, width), for a table (rows, width)")
    for i in range(indices.size):
        row = indices[i]
        if row < 0 or row >= rows:
            return i
        for j in range(width):
            out[i, j] = table[row, j]
    return -1


@kernel
def scatter_add(g, indices, out):
    """out[indices[i]] += g[i], for g (n, width), indices (n,), out (rows, width); one index twice adds up.

    Raises IndexError, and adds nothing, for an index outside the table.
    """
    rows, width = out.shape
    if indices.ndim != 1 or g.shape != (indices.size, width):
        raise ValueError("scatter_add: indices must be (n,) and g (n, width), for out (rows, width)")
    for i in range(indices.size):
        if indices[i] < 0 or indices[i] >= rows:
            raise IndexError("scatter_add: an index is outside the table")
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
    if bag == 0 or out.shape != (n, width):
        raise ValueError("gather_mean: indices must be (n, bag) and out (n, width), for a table (rows, width)")
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
    """out[indices[i, k]] += g[i] / bag, for g (n, width), indices (n, bag), out (rows, width).

    Raises IndexError, and adds nothing, for an index outside the table.
    """
    rows, width = out.shape
    n, bag = indices.shape
    if bag == 0 or g.shape != (n, width):
        raise ValueError("scatter_mean: indices must be (n, bag) and g (n, width), for out (rows, width)")
    for i in range(n):
        for k in range(bag):
            if indices[i, k] < 0 or indices[i, k] >= rows:
                raise IndexError("scatter_mean: an index is outside the table")
    fraction = out.dtype.type(1 / bag)
    for i in range(n):
        for k in range(bag):
            row = indices[i, k]
            for j in range(out.shape[1]):
                out[row, j] += fraction * g[i, j]
