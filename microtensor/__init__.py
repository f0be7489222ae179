"""microtensor: a small reverse-mode automatic differentiation library on NumPy and numba.

>>> import microtensor as mt
>>> x = mt.Tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
Tensor([2., 4.])
"""

import importlib as _importlib
from types import ModuleType as _Module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from microtensor import hints as _hints
from microtensor.autograd import grad
from microtensor.creation import (
    arange,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    randn,
    randn_like,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)
from microtensor.differentiable import differentiable, not_differentiable
from microtensor.drawing import Drawing
from microtensor.gradcheck import GradientError, gradcheck, gradgradcheck
from microtensor.kernels.runtime.config import get_num_threads, set_num_threads, use_numpy_matmul
from microtensor.ops import positions as _positions
from microtensor.ops.activations import erf, gelu, relu, sigmoid, silu, softplus, squared_relu, tanh
from microtensor.ops.arithmetic import (
    abs,
    add,
    argwhere,
    astype,
    clip,
    cos,
    divide,
    equal,
    exp,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    log1p,
    logaddexp,
    logical_and,
    maximum,
    minimum,
    multiply,
    negative,
    nonzero,
    not_equal,
    power,
    sign,
    sin,
    sqrt,
    subtract,
    unbroadcast,
    where,
)
from microtensor.ops.arrangement import diff, fliplr, flipud, moveaxis, ravel, roll, rot90
from microtensor.ops.attention import (
    attention_weights,
    merge_heads,
    multi_head_attention,
    scaled_dot_product_attention,
    split_heads,
)
from microtensor.ops.convolution import causal_conv1d, conv1d
from microtensor.ops.cross_entropy import cross_entropy
from microtensor.ops.dropout import dropout
from microtensor.ops.einsum import einsum
from microtensor.ops.embedding import embedding, embedding_bag
from microtensor.ops.gates import gated_tanh
from microtensor.ops.indexing import getitem, one_hot, put_along_axis, take, take_along_axis
from microtensor.ops.linear import linear
from microtensor.ops.linear_algebra import cross, diag, diagonal, inner, kron, norm, outer, tensordot
from microtensor.ops.logarithms import exp2, expm1, log2, log10, logaddexp2
from microtensor.ops.logic import (
    all,
    allclose,
    any,
    array_equal,
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    invert,
    isclose,
    isfinite,
    isinf,
    isnan,
    logical_not,
    logical_or,
    logical_xor,
    signbit,
)
from microtensor.ops.losses import binary_cross_entropy, binary_cross_entropy_with_logits, mse_loss
from microtensor.ops.matmul import dot, matmul
from microtensor.ops.normalization import layer_norm, rms_norm
from microtensor.ops.products import cumprod
from microtensor.ops.recurrent import gru, lstm, rnn
from microtensor.ops.reduction import argmax, cumsum, logsumexp, max, min, prod
from microtensor.ops.rotary import rotary
from microtensor.ops.rounding import (
    ceil,
    copysign,
    floor,
    floor_divide,
    fmax,
    fmin,
    nan_to_num,
    positive,
    reciprocal,
    remainder,
    round,
    square,
    trunc,
)
from microtensor.ops.selective_scan import selective_scan
from microtensor.ops.shape import (
    broadcast_to,
    concatenate,
    expand_dims,
    flatten,
    flip,
    pad,
    repeat,
    reshape,
    split,
    squeeze,
    stack,
    swapaxes,
    transpose,
    tril,
    triu,
)
from microtensor.ops.softmax import log_softmax, softmax
from microtensor.ops.sorting import argmin, argsort, sort
from microtensor.ops.stacking import (
    append,
    array_split,
    atleast_1d,
    atleast_2d,
    atleast_3d,
    column_stack,
    dstack,
    hstack,
    meshgrid,
    tile,
    vstack,
)
from microtensor.ops.statistics import mean, std, sum, var
from microtensor.ops.trigonometry import arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh, cosh, hypot, sinh, tan
from microtensor.recording import enable_grad, no_grad
from microtensor.tensor import Tensor
from microtensor.trace import Step, trace

__version__ = "0.1.0"
__all__ = [name for name, value in list(globals().items()) if not name.startswith("_") and not isinstance(value, _Module)]

if _TYPE_CHECKING:
    from microtensor import nn, optim
else:

    def __getattr__(name: str) -> _Any:
        """`mt.nn` and `mt.optim`, imported when they are first asked for."""
        if name in ("nn", "optim"):
            return _importlib.import_module(f"{__name__}.{name}")
        raise _hints.missing(__name__, name)

    def __dir__() -> list[str]:
        return [*globals(), "nn", "optim"]
