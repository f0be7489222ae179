"""Optimizer updates, in place: the only kernels that write to what they are given."""

from microtensor.kernels.jit import kernel


@kernel
def sgd(parameter, gradient, lr):
    """parameter -= lr * gradient, over flat arrays."""
    for i in range(parameter.size):
        parameter[i] -= lr * gradient[i]
