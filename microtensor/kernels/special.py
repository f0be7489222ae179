"""Special functions that NumPy doesn't have."""

import math

import numpy as np

from microtensor.kernels.jit import kernel


@kernel
def erf(x):
    """The error function of each element of an array of any shape."""
    y = np.empty_like(x)
    for i in range(x.size):
        y.flat[i] = math.erf(x.flat[i])
    return y
