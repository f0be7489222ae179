"""What to write instead: the names of PyTorch and NumPy that users try and that aren't here, each with what says it here."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

_CPU = "everything is on the CPU; leave it out"
_IN_PLACE = "write `t = t * 2` for a new Tensor, or, within mt.no_grad(), `t *= 2` to change a leaf"
_DTYPE = "write t.astype(np.float32), or whichever dtype it should be"
_FUNCTIONS = "the functions are in microtensor itself: mt.relu(x), mt.softmax(x, axis=-1), mt.cross_entropy(logits, target)"
_SEEDS = "chance comes from a generator that is passed on: rng=np.random.default_rng(0)"
_LIST = "a plain list or dict will do: the modules in `self.blocks = [...]` are found"
_SCHEDULE = "pass a factor to each step: schedule = optim.warmup_cosine(100, 5000); optimizer.step(schedule(i))"
TENSOR = "write mt.Tensor(data), or mt.Tensor(data, requires_grad=True)"
_DATA = "the plain array has it: np.{0}(t.data)"

#: For each place its missing names. In a key several names may share a hint, with spaces between them.
_TABLE: dict[str, dict[str, str]] = {
    "Tensor": {
        "cuda cpu device is_cuda pin_memory": _CPU,
        "to": f"{_CPU}; for another dtype, {_DTYPE}",
        "float double half long int bool bfloat16 type": _DTYPE,
        "clone copy": "t.numpy() is a copy as an array, t.detach() one without history, Tensor(t, requires_grad=True) a leaf",
        "contiguous": "every op takes any layout; leave it out",
        "grad_fn is_leaf": "print(t.graph()) shows how it was computed",
        "retain_grad": "mt.grad(loss, t) gives the gradient of any Tensor on the way",
        "requires_grad_": "write t.requires_grad = True",
        "detach_": "write t = t.detach()",
        "zero_grad": "write t.grad = None, or optimizer.zero_grad() for all parameters",
        "zero_ add_ sub_ mul_ div_ copy_ fill_ clamp_ normal_ uniform_ fill": _IN_PLACE,
        "register_hook": "mt.trace(loss) lists every step with its Tensors, and mt.grad gives their gradients",
        "permute": "write t.transpose(0, 2, 1), with all axes in their new order",
        "t mT": "write t.T, or t.swapaxes(-1, -2) for the last two axes",
        "unsqueeze": "write mt.expand_dims(t, axis), or t[:, None]",
        "expand expand_as": "write mt.broadcast_to(t, shape); most ops broadcast by themselves",
        "mm bmm mv matmul": "write x @ y",
        "pow": "write t ** 2",
        "abs": "write abs(t)",
        "add": "write x + y",
        "sub": "write x - y",
        "mul": "write x * y",
        "div": "write x / y",
        "clamp": "write t.clip(low, high)",
        "masked_fill": "write mt.where(mask, value, t)",
        "gather": "write mt.take_along_axis(t, indices, axis)",
        "index_select": "write t.take(indices, axis), or t[indices]",
        "chunk": "write mt.split(t, sections, axis)",
        "numel nelement": "write t.size",
        "dim": "write t.ndim",
        "norm": "write mt.norm(t), or mt.norm(t, axis=-1)",
        "reshape_as view_as": "write t.reshape(other.shape)",
        "new_zeros new_ones new_full": "write mt.zeros(shape), mt.ones(shape) or mt.full(shape, value)",
        **{
            name: f"write mt.{name}(t)"
            for name in (
                "sin", "cos", "tan", "log1p", "log2", "log10", "expm1", "square", "reciprocal", "erf", "gelu", "silu",
                "softplus", "tril", "triu", "flip", "roll", "tile", "diag", "floor", "ceil", "isnan", "isinf", "isfinite",
                "logsumexp",
            )
        },
        **{name: f"write mt.{name}(t, axis=-1)" for name in ("softmax", "log_softmax")},
        **{name: _DATA.format(name) for name in ("median", "unique")},
        "topk": "np.sort(t)[..., -k:] gives the largest, np.argsort(t)[..., -k:] their indices",
        "tobytes": "write t.numpy().tobytes()",
    },
    "Module": {
        "cuda cpu to": _CPU,
        "float double half bfloat16": "layers are float32, as their parameters are: `p.astype` makes a Tensor of another dtype",
        "modules children named_children": "write model.named_modules(), which gives paths and modules",
        "register_parameter": "set an attribute: self.weight = mt.Tensor(values, requires_grad=True)",
        "register_buffer buffers": "set an attribute: self.mask = array; Tensors made with requires_grad=True are parameters",
        "add_module register_module": "set an attribute: self.layer = nn.Linear(2, 3)",
        "requires_grad_": "write `for p in model.parameters(): p.requires_grad = False`",
        "apply": "write `for path, module in model.named_modules():`",
        "register_forward_hook register_full_backward_hook": "mt.trace(loss) lists every step with its values and its module",
        "compile": "the kernels are compiled already; leave it out",
    },
    "Optimizer": {
        "param_groups": "write optimizer.groups",
        "add_param_group": "pass all groups when it is made: Adam([{'params': a}, {'params': b, 'lr': 0.01}])",
    },
    "microtensor": {
        "from_numpy as_tensor asarray array": TENSOR,
        "F functional": _FUNCTIONS,
        "manual_seed seed random": _SEEDS,
        "rand randint": "write mt.Tensor(rng.random((2, 3)), dtype=np.float32), with rng = np.random.default_rng(0)",
        "randperm": "write rng.permutation(n), with rng = np.random.default_rng(0)",
        "float32 float64 int64 long bool": "write np.float32 and the like",
        "device cuda backends": _CPU,
        "inference_mode set_grad_enabled": "write `with mt.no_grad():`, or mt.enable_grad() inside it",
        "cat": "write mt.concatenate([x, y], axis=0)",
        "mm bmm": "write x @ y",
        "clamp": "write mt.clip(x, low, high)",
        "pow": "write x ** y",
        "unsqueeze": "write mt.expand_dims(x, axis)",
        "permute": "write mt.transpose(x, axes)",
        "gather": "write mt.take_along_axis(x, indices, axis)",
        "chunk": "write mt.split(x, sections, axis)",
        "div": "write mt.divide(x, y)",
        "mul": "write mt.multiply(x, y)",
        "sub": "write mt.subtract(x, y)",
        "eye empty": "write mt.Tensor(np.eye(3), dtype=np.float32), and so for NumPy's other arrays",
        "eq": "write x == y, or mt.array_equal(x, y)",
        "save load": "model.state_dict() is a dict of arrays: microtensor.serialize.save_safetensors(path, model.state_dict())",
        "Module Linear Sequential Parameter Embedding": "it is in mt.nn",
        "SGD Adam AdamW": "it is in mt.optim",
        "compile jit": "the kernels are compiled already; leave it out",
        "utils data": "batches are made with NumPy: x[rng.integers(len(x), size=32)]",
    },
    "microtensor.nn": {
        "functional F": _FUNCTIONS,
        "CrossEntropyLoss NLLLoss": "write mt.cross_entropy(logits, target)",
        "MSELoss": "write mt.mse_loss(prediction, target)",
        "BCELoss": "write mt.binary_cross_entropy(probability, target)",
        "BCEWithLogitsLoss": "write mt.binary_cross_entropy_with_logits(logits, target)",
        "ModuleList ModuleDict ParameterList ParameterDict": _LIST,
        "MultiheadAttention": "write mt.multi_head_attention(x, heads) between two nn.Linear layers",
        "Softmax LogSoftmax Softplus": "it has nothing to learn: write mt.softmax(x, axis=-1), or the like",
        "Flatten": "write x.flatten(1), or lambda x: x.flatten(1) in a Sequential",
        "Identity": "write lambda x: x",
        "BatchNorm1d GroupNorm": "there are nn.LayerNorm and nn.RMSNorm",
        "Conv2d MaxPool1d MaxPool2d AvgPool1d": "of the convolutions there is nn.Conv1d",
        "init": "layers take init_std= and rng=; other values are set by `layer.weight.data = array`",
        "utils": "clipping is optim.clip_grad_norm(parameters, max_norm)",
    },
    "microtensor.optim": {
        "RMSprop Adagrad Adadelta NAdam RAdam Adamax LBFGS": "there are SGD, Adam and AdamW; others subclass Optimizer",
        "lr_scheduler StepLR CosineAnnealingLR LambdaLR OneCycleLR": _SCHEDULE,
        "clip_grad_norm_": "write optim.clip_grad_norm(parameters, max_norm)",
    },
}  # fmt: skip

#: The same, name by name.
HINTS = {place: {name: hint for names, hint in table.items() for name in names.split()} for place, table in _TABLE.items()}


def missing(place: str, name: str) -> AttributeError:
    """The error for a name that a module (`microtensor.nn`) doesn't have, with its hint if it has one."""
    hint = HINTS[place].get(name)
    return AttributeError(f"module {place!r} has no attribute {name!r}" + (f": {hint}" if hint else ""))


class NotCallable(ModuleType):
    """A module that users call, as `mt.tensor(data)`, and that says what to write instead."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Raise TypeError."""
        raise TypeError(f"{self.__name__} is a module: {TENSOR}")


class _Missing:
    """An attribute that isn't there, as far as `hasattr` can tell. (A class's `__getattr__` would say the same, but all its
    attributes would be slower to read.)"""

    def __init__(self, owner: str, name: str, hint: str) -> None:
        self.message = f"{owner} has no attribute {name!r}: {hint}"

    def __get__(self, instance: Any, owner: type) -> Any:
        raise AttributeError(self.message)


def explain_missing(cls: type) -> None:
    """Let a class's missing attributes say what to write instead. What it has, or a subclass or an object sets, goes first."""
    for name, hint in HINTS[cls.__name__].items():
        if not hasattr(cls, name):
            setattr(cls, name, _Missing(cls.__name__, name, hint))


def listed(instance: Any) -> list[str]:
    """The names that `dir` gives, without those that are only hinted at."""
    names = object.__dir__(instance)
    return [name for name in names if not isinstance(inspect.getattr_static(instance, name, None), _Missing)]
