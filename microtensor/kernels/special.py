"""Special functions that NumPy doesn't have."""

import math

from microtensor.kernels.jit import kernel


@kernel
def erf(x, out):
    """out[i] = erf(x[i]), over flat arrays."""
    for i in range(x.size):
        out[i] = math.erf(x[i])
