"""Muon: momentum for matrices, with every direction of the step made equally long."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from microtensor import kernels
from microtensor.optim.optimizer import Adam, Optimizer, adam_state, adam_update
from microtensor.tensor import Tensor

#: The polynomial a s + b s^3 + c s^5: applied five times, it brings any s from 0.003 to 1 to between 0.68 and 1.14.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(x: np.ndarray, steps: int = 5) -> np.ndarray:
    """The nearest matrices with orthogonal rows (or columns, where those are fewer), roughly: with x = U S V^T, U V^T.

    Newton and Schulz's iteration needs nothing but products: x becomes a x + b (x x^T) x + c (x x^T)^2 x, which applies a
    polynomial to the singular values S and leaves U and V as they are. The coefficients are Jordan's (2024,
    https://kellerjordan.github.io/posts/muon/): they bring small ones up fast, to about 1 rather than to 1 itself.

    Only x x^T changes what is done to x, so it is followed by itself: it is smaller than x where x is wide. The factors of x
    are gathered in one matrix, with which x is multiplied at the end.

    Args:
        x: (..., rows, columns), of floats.
        steps: how often the polynomial is applied.

    Returns the same shape.
    """
    if x.shape[-2] > x.shape[-1]:
        return orthogonalise(x.swapaxes(-1, -2), steps).swapaxes(-1, -2)
    a, b, c = (x.dtype.type(coefficient) for coefficient in COEFFICIENTS)
    product = kernels.matmul.matmul
    x = x / (np.sqrt(np.add.reduce(x * x, axis=(-2, -1), keepdims=True)) + x.dtype.type(1e-7))
    one = np.eye(x.shape[-2], dtype=x.dtype)
    square = product(x, x.swapaxes(-1, -2))
    gathered: Any = None
    for step in range(steps):
        factor = a * one + b * square + c * product(square, square)
        gathered = factor if gathered is None else product(factor, gathered)
        if step < steps - 1:
            square = product(product(factor, square), factor)
    return x if gathered is None else product(gathered, x)


class Muon(Optimizer):
    """Momentum whose step is made orthogonal, for the matrices in a network's blocks; AdamW for all else (Jordan et al. 2024,
    https://kellerjordan.github.io/posts/muon/).

    The gradient of a matrix is mostly a few strong directions. `orthogonalise` makes all directions of the step equally long,
    so that the rare ones are learned, too. Embeddings, the head, gains and biases aren't maps between hidden states; they
    belong in groups with `"algorithm": "adamw"`.

    Args:
        parameters: Tensors or groups; those of a group with the algorithm "muon" must be matrices, (inputs, outputs).
        lr: the learning rate. A step changes each direction of a matrix by about lr * sqrt(max(1, outputs / inputs)).
        momentum: how slowly the running mean of the gradients forgets.
        weight_decay: each step shrinks p by lr * weight_decay * p.
        betas, eps: AdamW's.
        algorithm: "muon" or "adamw".
    """

    state_names = frozenset({"momentum", *Adam.state_names})

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        algorithm: str = "muon",
    ) -> None:
        options = {
            "lr": lr, "momentum": momentum, "weight_decay": weight_decay, "betas": betas, "eps": eps, "algorithm": algorithm
        }  # fmt: skip
        super().__init__(parameters, options)
        for group in self.groups:
            if group["algorithm"] not in ("muon", "adamw"):
                raise ValueError(f'Muon: the algorithm is "muon" or "adamw", not {group["algorithm"]!r}')
            wrong = [p for p in group["params"] if p.ndim != 2 and group["algorithm"] == "muon"]
            if wrong:
                raise ValueError(
                    f"Muon: is for matrices, not for a parameter of shape {wrong[0].shape}; put it in a group of its own, "
                    'with "algorithm": "adamw"'
                )

    def new_state(self, p: Tensor, group: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Muon keeps a momentum, AdamW its two means and a count."""
        return {"momentum": np.zeros_like(p._array)} if group["algorithm"] == "muon" else adam_state(p)

    def update(self, parameters: list[Tensor], lr: float, group: Mapping[str, Any]) -> None:
        """Do what the class says, in place."""
        if group["algorithm"] == "adamw":
            adam_update(self.state, parameters, lr, group, decoupled=True)
            return
        alike: dict[Any, list[Tensor]] = {}
        for p in parameters:
            alike.setdefault((p.shape, p.dtype), []).append(p)
        for (shape, _), matrices in alike.items():
            steps = orthogonalise(np.stack([self._direction(p, group) for p in matrices]))
            length = lr * math.sqrt(max(1, shape[1] / shape[0]))
            for p, step in zip(matrices, steps, strict=True):
                p._array *= 1 - lr * group["weight_decay"]
                p._array -= p.dtype.type(length) * step

    def _direction(self, p: Tensor, group: Mapping[str, Any]) -> np.ndarray:
        """The gradient and its running mean, looked at one step ahead (Nesterov)."""
        gradient: Any = p._gradient
        momentum = group["momentum"]
        if not self.state[p]:
            self.state[p].update(self.new_state(p, group))
        mean = self.state[p]["momentum"]
        mean += (1 - momentum) * (gradient - mean)
        return gradient + momentum * (mean - gradient)
