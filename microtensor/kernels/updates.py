"""Optimizer updates, in place: the only kernels that write to what they are given."""

from microtensor.kernels.jit import kernel


@kernel
def sgd(parameter, gradient, lr):
    """parameter -= lr * gradient, over flat arrays."""
    rate = parameter.dtype.type(lr)
    for i in range(parameter.size):
        parameter[i] -= rate * gradient[i]
