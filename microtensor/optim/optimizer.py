"""The base of optimizers, SGD and Adam; clipping; and schedules for the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from microtensor import hints, kernels
from microtensor.recording import LEAF, clock
from microtensor.tensor import Tensor

#: The highest count that a saved state may hold; more can't have been counted.
MOST_UPDATES = 2**53


class Optimizer:
    """The base of optimizers: groups of parameters with options, and a state that can be saved.

    A new optimizer is a subclass with three things: `state_names`, the names of the arrays that it keeps for a parameter in
    `self.state[parameter]`; `__init__`, which passes its options and their defaults on; and `update`, which changes parameters.

    Args:
        parameters: a list of Tensors, or a list of groups: dicts with "params" and any option to set for that group alone, as
            in `[{"params": matrices, "weight_decay": 0.1}, {"params": others}]`.
        options: the options by name, "lr" among them, with the values for groups that set none.

    Raises ValueError for an unknown option or an impossible value, and for parameters that can't be learned.
    """

    #: The names of the arrays that are kept for a parameter, in its state.
    state_names: frozenset[str] = frozenset()
    #: Which of them are counts, int64 of shape (); the others have the parameter's shape and dtype.
    count_names: frozenset[str] = frozenset({"updates"})

    def __init__(self, parameters: Iterable[Any], options: Mapping[str, Any]) -> None:
        if "lr" not in options:
            raise ValueError(f"{type(self).__name__}: its options lack lr, the learning rate")
        entries = list(parameters)
        groups = entries if entries and all(isinstance(e, Mapping) for e in entries) else [{"params": entries}]
        self.groups: list[dict[str, Any]] = []
        #: For each parameter its own arrays, by name (a momentum, say).
        self.state: dict[Tensor, dict[str, np.ndarray]] = {}
        for group in groups:
            unknown = sorted(group.keys() - options.keys() - {"params"})
            if unknown:
                raise ValueError(
                    f"{type(self).__name__}: unknown option {unknown[0]!r} in a group; it has {', '.join(options)}"
                )
            merged = {**options, **group, "params": list(group["params"])}
            for name, value in merged.items():
                _check_option(type(self).__name__, name, value)
            for p in merged["params"]:
                if not isinstance(p, Tensor) or not p.is_parameter:
                    raise ValueError(f"{type(self).__name__}: parameters must be Tensors made with requires_grad=True")
                if p in self.state:
                    raise ValueError(f"{type(self).__name__}: a parameter of shape {p.shape} is given twice")
                self.state[p] = {}
            if merged.get("nesterov") and not merged.get("momentum"):
                raise ValueError(f"{type(self).__name__}: nesterov looks along the momentum, so momentum must be above 0")
            self.groups.append(merged)
        if not self.state:
            raise ValueError(f"{type(self).__name__}: there are no parameters to optimize")

    def step(self, lr_factor: float = 1.0) -> None:
        """Change every parameter that has a gradient; `lr_factor`, from a schedule, scales the learning rates."""
        for group in self.groups:
            # (A parameter may have been frozen since.)
            ready = [p for p in group["params"] if p._gradient is not None and p._node is LEAF]
            self.update(ready, group["lr"] * lr_factor, group)
            if ready and not self.state[ready[0]].keys() <= self.state_names:
                unnamed = sorted(self.state[ready[0]].keys() - self.state_names)
                raise TypeError(f"{type(self).__name__}: state_names lacks {', '.join(unnamed)}, which update keeps")
            for p in ready:
                p._time = clock()  # a graph that still needs the old values must notice

    def update(self, parameters: list[Tensor], lr: float, group: Mapping[str, Any]) -> None:
        """Change parameters; a subclass says how.

        Args:
            parameters: those of one group that have a gradient. `p.grad.data` is it, and `p.data = array` gives p new values.
                Arrays to remember belong in `self.state[p]`, a dict that is empty at first, under the names in `state_names`.
            lr: the learning rate, scaled by the schedule.
            group: the group's options, by name.

        Raises TypeError where a subclass doesn't define it; so does `step` where `state_names` lacks what it keeps.
        """
        raise TypeError(f"{type(self).__name__} doesn't define update")

    def new_state(self, p: Tensor, group: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
        """The arrays that are kept for a parameter, as they are before its first step: what `load_state_dict` compares with.

        A subclass whose arrays all have a name in `state_names`, and numbers of the parameter's shape or one number, needn't
        define it; here it is None.
        """
        return None

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.state:
            p._gradient = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of everything needed to go on: `0.momentum` and so on, by the parameter's number."""
        return {f"{i}.{name}": a.copy() for i, state in enumerate(self.state.values()) for name, a in state.items()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take up a saved state.

        Raises ValueError, and changes nothing, when it isn't one that `state_dict` could have given here: arrays by other
        names, of other shapes or types, only some of a parameter's, or a negative count.
        """
        restored: list[dict[str, np.ndarray]] = [{} for _ in self.state]
        parameters = list(self.state)
        group_of = {p: group for group in self.groups for p in group["params"]}
        fresh = [self.new_state(p, group_of[p]) for p in parameters]
        names = [self.state_names if arrays is None else arrays.keys() for arrays in fresh]
        places = {f"{i}.{name}": (i, name) for i, kept in enumerate(names) for name in kept}
        for key, array in state.items():
            shape = getattr(array, "shape", "unknown")
            if key not in places:
                raise ValueError(f"the optimizer state {key!r} of shape {shape} doesn't belong to these parameters")
            i, name = places[key]
            like = fresh[i]
            if not isinstance(array, np.ndarray):
                raise ValueError(f"the optimizer state {key!r} must be an array, not {type(array).__name__}")
            if like is None and (shape not in ((), parameters[i].shape) or array.dtype.kind not in "fiu"):
                raise ValueError(f"the optimizer state {key!r} of {array.dtype} {shape} doesn't belong to these parameters")
            if like is not None and (shape != like[name].shape or array.dtype != like[name].dtype):
                raise ValueError(
                    f"the optimizer state {key!r} doesn't belong to these parameters: "
                    f"it should be {like[name].dtype} {like[name].shape}, but is {array.dtype} {shape}"
                )
            if array.dtype.kind in "iu" and ((array < 0) | (array > MOST_UPDATES)).any():
                raise ValueError(f"the optimizer state {key!r} is a count, and can't be {array.flat[0]}")
            restored[i][name] = np.array(array, order="C")
        for i, arrays in enumerate(restored):
            if arrays and len(arrays) < len(names[i]):
                raise ValueError(f"the optimizer state of parameter {i} lacks {', '.join(sorted(names[i] - arrays.keys()))}")
        self.state = dict(zip(parameters, restored, strict=True))

    def __dir__(self) -> list[str]:
        return hints.listed(self)


hints.explain_missing(Optimizer)


def _belongs(array: np.ndarray, parameter: Tensor, count: bool) -> bool:
    """Tell if an optimizer can have kept an array for a parameter: one of its shape and dtype, or a count of updates."""
    if count:
        return array.shape == () and array.dtype == np.int64 and array.item() >= 0
    return array.shape == parameter.shape and array.dtype == parameter.dtype


def _check_option(optimizer: str, name: str, value: Any) -> None:
    """Refuse hyper-parameters that can't be meant."""
    if name in ("params", "nesterov", "algorithm"):
        return
    if name == "betas" and len(value) != 2:
        raise ValueError(f"{optimizer}: betas must be two numbers, not {value}")
    for number in value if isinstance(value, tuple | list) else (value,):
        below_one = name in ("beta", "betas", "momentum")
        if not (0 <= number < math.inf and (number < 1 or not below_one)):
            raise ValueError(f"{optimizer}: {name} must be {'from 0 to below 1' if below_one else 'at least 0'}, not {number}")


class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr * gradient.

    Args:
        parameters: Tensors or groups.
        lr: the learning rate.
        momentum: the fraction of the last update that is kept in this one: velocity = momentum * velocity + gradient.
        nesterov: look one step ahead along the velocity (Sutskever et al. 2013); needs momentum.
        weight_decay: adds weight_decay * p to the gradient.
    """

    state_names = frozenset({"momentum"})

    def __init__(
        self, parameters: Iterable[Any], lr: float, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay})

    def update(self, parameters: list[Tensor], lr: float, group: Mapping[str, Any]) -> None:
        """Do what the class says, in place."""
        plain = not (group["weight_decay"] or group["momentum"])
        for p in parameters:
            gradient = p._gradient if plain else self._direction(p, group)
            kernels.optimizers.sgd(p._array.reshape(-1), gradient.reshape(-1), lr)  # type: ignore[union-attr]

    def new_state(self, p: Tensor, group: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """A velocity of 0, where there is momentum."""
        return {"momentum": np.zeros_like(p._array)} if group["momentum"] else {}

    def _direction(self, p: Tensor, group: Mapping[str, Any]) -> np.ndarray:
        """The gradient with weight decay and momentum."""
        gradient: Any = p._gradient
        if group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * p._array
        if group["momentum"]:
            state = self.state[p]
            if not state:
                state.update(self.new_state(p, group))
            velocity = state["momentum"]
            velocity *= group["momentum"]
            velocity += gradient
            gradient = gradient + group["momentum"] * velocity if group["nesterov"] else velocity
        return gradient


class Adam(Optimizer):
    """Steps of a size of its own for each number: the mean of its gradients, divided by the root of the mean of their squares
    (Kingma and Ba 2014, arXiv:1412.6980).

    Args:
        parameters: Tensors or groups.
        lr: the learning rate.
        betas: how slowly the running means of the gradient and of its square forget.
        eps: added to the denominator.
        weight_decay: adds weight_decay * p to the gradient; AdamW's way of shrinking mostly works better.
    """

    state_names = frozenset({"mean", "square", "updates"})
    #: Whether weight decay is a step of its own, apart from the gradient.
    decoupled = False

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def update(self, parameters: list[Tensor], lr: float, group: Mapping[str, Any]) -> None:
        """Do what the class says, in place."""
        adam_update(self.state, parameters, lr, group, self.decoupled)

    def new_state(self, p: Tensor, group: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Running means of 0, and no update yet."""
        return adam_state(p)


def adam_state(p: Tensor) -> dict[str, np.ndarray]:
    """The arrays that Adam keeps for a parameter, before its first step."""
    return {"mean": np.zeros_like(p._array), "square": np.zeros_like(p._array), "updates": np.zeros((), np.int64)}


def adam_update(
    states: Mapping[Tensor, dict[str, np.ndarray]],
    parameters: Sequence[Tensor],
    lr: float,
    group: Mapping[str, Any],
    decoupled: bool,
) -> None:
    """Change parameters as Adam does, or AdamW where the weight decay is decoupled; `states` are kept for each."""
    beta1, beta2 = group["betas"]
    decay = group["weight_decay"]
    shrink = 1 - lr * decay if decoupled else 1.0
    for dtype in {p.dtype for p in parameters}:
        arrays, gradients, means, squares, factors = [], [], [], [], []
        for p in parameters:
            if p.dtype != dtype:
                continue
            state = states[p]
            if not state:
                state.update(adam_state(p))
            state["updates"] += 1
            updates = int(state["updates"])
            # The running means start at 0; what that lacks is corrected.
            rate, correction = lr / (1 - beta1**updates), 1 / math.sqrt(1 - beta2**updates)
            gradient: Any = p._gradient
            if decay and not decoupled:
                gradient = gradient + decay * p._array
            arrays.append(p._array)
            gradients.append(np.asarray(gradient, order="C"))
            means.append(state["mean"])
            squares.append(state["square"])
            factors.append((1 - beta1, 1 - beta2, shrink, rate, correction, group["eps"]))
        kernels.optimizers.adamw(arrays, gradients, means, squares, factors)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv:1711.05101).

    Args:
        parameters: Tensors or groups.
        lr: the learning rate.
        betas: how slowly the running means of the gradient and of its square forget.
        eps: added to the denominator.
        weight_decay: each step shrinks p by lr * weight_decay * p.
    """

    decoupled = True

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)


def clip_grad_norm(parameters: Iterable[Tensor] | Tensor, max_norm: float) -> float:
    """Scale all gradients together so that their joint length is at most `max_norm`; returns the length before.

    A length that is NaN or infinite leaves them unchanged: the caller should stop.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm must be above 0, not {max_norm}")
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    by_dtype: dict[Any, dict[Tensor, np.ndarray]] = {}
    for p in tensors:
        if p._gradient is not None:
            by_dtype.setdefault(p.dtype, {})[p] = np.asarray(p._gradient, order="C")
    norm = math.sqrt(sum(kernels.optimizers.norm_of_all(list(group.values())) ** 2 for group in by_dtype.values()))
    if max_norm < norm < math.inf:
        for group in by_dtype.values():
            for p, scaled in zip(group, kernels.optimizers.scaled(list(group.values()), max_norm / norm), strict=True):
                p._gradient = scaled
    return norm


Schedule = Callable[[int], float]


def constant() -> Schedule:
    """A factor of 1 at every step."""
    return lambda step: 1.0


def piecewise(boundaries: Sequence[int], factors: Sequence[float]) -> Schedule:
    """`factors[0]` before the first boundary, `factors[1]` from it on, and so on: one factor more than boundaries."""
    if len(factors) != len(boundaries) + 1 or list(boundaries) != sorted(boundaries):
        raise ValueError("piecewise: needs rising boundaries, and one factor more than boundaries")
    return lambda step: factors[sum(step >= b for b in boundaries)]


def warmup_cosine(warmup: int, steps: int, final: float = 0.0) -> Schedule:
    """A rise from 0 to 1 over `warmup` steps, then half a cosine down to `final` at `steps`, and `final` after."""
    if not 0 <= warmup <= steps or steps < 1:
        raise ValueError(f"warmup_cosine: warmup must be from 0 to steps, not {warmup} of {steps}")

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min((step - warmup) / max(steps - warmup, 1), 1.0)
        return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

    return factor


def linear_decay(steps: int, fraction: float = 1.0) -> Schedule:
    """1 at first; over the last `fraction` of the steps a fall to 0 in a straight line, and 0 after."""
    if steps < 1 or not 0 <= fraction <= 1:
        raise ValueError(f"linear_decay: needs steps of at least 1 and a fraction from 0 to 1, not {steps} and {fraction}")
    falling = max(fraction * steps, 1)
    return lambda step: min(1.0, max(steps - step, 0) / falling)
