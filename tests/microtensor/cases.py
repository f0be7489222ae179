"""Every op with the inputs it is tested on, and NumPy's own function, or a plain formula, for what the value should be."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from drawing import (
    appended,
    arrowed,
    attended,
    bordered,
    broadcast,
    causally_convolved,
    classified,
    compared,
    contracted,
    convolved,
    corrected,
    diagonals,
    differences,
    einsums,
    filled,
    folded,
    indexed,
    joined,
    joined_axes,
    last_axis,
    looked_up,
    many_heads,
    masked,
    matrices,
    mirrored,
    moved,
    new_axes,
    normalised,
    normed,
    one,
    ones,
    packed,
    pairs,
    pieces,
    placed,
    projected,
    reshaped,
    rolled,
    rotated,
    running,
    scanned,
    several_axes,
    stacked,
    taken,
    tiles,
    times,
    transposed,
    turned,
    two_axes,
    uneven_pieces,
    unrolled,
    vectors,
    wider,
    with_zeros,
)  # fmt: skip
from hypothesis import strategies as st

import microtensor as mt
from microtensor.ops.linear_algebra import trace

# What the ops that NumPy doesn't have should give


def softmax(x, axis=-1):
    e = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-math.inf))
    return e / np.sum(e, axis=axis, keepdims=True)


def logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def normal_cdf(x):
    return np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.ravel()]).reshape(x.shape)


def gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x * normal_cdf(x)


def cross_entropy(logits, target, ignore_index=-100, label_smoothing=0.0, reduction="mean", weight=1.0):
    log_p = np.log(softmax(logits))
    classes = logits.shape[-1]
    weight = np.broadcast_to(weight, classes)
    if target.dtype.kind == "f":
        counts, p = np.ones(target.shape[:-1], bool), target
    else:
        counts = target != ignore_index
        p = np.eye(classes)[np.where(counts, target, 0)]
    losses = -np.sum(((1 - label_smoothing) * p + label_smoothing / classes) * weight * log_p, axis=-1) * counts
    if reduction == "none":
        return losses
    total = (counts if target.dtype.kind == "f" else weight[np.where(counts, target, 0)] * counts).sum()
    return losses.sum() / (total or 1) if reduction == "mean" else losses.sum()


def reduced(losses, reduction):
    return {"mean": losses.sum() / max(losses.size, 1), "sum": losses.sum(), "none": losses}[reduction]


def binary_cross_entropy(p, target, reduction):
    return reduced(-target * np.log(p) - (1 - target) * np.log(1 - p), reduction)


def conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Each result by itself: the sum over the channels of its group and over the positions in its window."""
    x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(padding, padding)])
    outputs, seen, size = weight.shape
    windows = (x.shape[-1] - dilation * (size - 1) - 1) // stride + 1
    y = np.zeros((*x.shape[:-2], outputs, windows))
    for o in range(outputs):
        first = o // (outputs // groups) * seen
        for t in range(windows):
            window = x[..., first : first + seen, t * stride : t * stride + dilation * (size - 1) + 1 : dilation]
            y[..., o, t] = (window * weight[o]).sum(axis=(-2, -1)) + (0 if bias is None else bias[o])
    return y


def flatten(x, start=0, end=-1):
    shape = x.shape or (1,)
    end %= len(shape)
    return x.reshape((*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


def layer_norm(x, weight=1.0, bias=0.0, eps=1e-5):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * weight + bias


def rms_norm(x, weight=1.0, eps=1e-6):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def dropout(x, p, key):
    h = np.arange(x.size, dtype=np.uint32) ^ np.uint32(key)
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
    h = h ^ (h >> np.uint32(16))
    return x * (h.reshape(x.shape) >= p * 2**32) / (1 - p)


def causal_conv1d(x, weight, bias=0.0, dilation=1):
    """Each step by itself: the sum over those that it sees."""
    weight = weight if weight.ndim == 3 else np.stack([np.diag(w) for w in weight])
    y = np.zeros((*x.shape[:-1], weight.shape[2])) + bias
    for t in range(x.shape[-2]):
        for k, w in enumerate(weight[::-1]):
            if t >= k * dilation:
                y[..., t, :] += x[..., t - k * dilation, :] @ w
    return y


def gated_tanh(x):
    value, gate = np.split(x, 2, axis=-1)
    return np.tanh(value) / (1 + np.exp(-gate))


def selective_scan(x, step, a, b, c, skip=0.0):
    """Number by number, as it is defined."""
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape[:-2]):
        for channel in range(x.shape[-1]):
            h = np.zeros(a.shape[1])
            for t in range(x.shape[-2]):
                pace = step[place][t, channel]
                h = np.exp(pace * a[channel]) * h + pace * b[place][t] * x[place][t, channel]
                y[place][t, channel] = h @ c[place][t]
    return y + skip * x


def attention(q, k, v, mask=None, causal=False, scale=None):
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for place in np.ndindex(q.shape[:-1]):
        *batch, i = place
        scores = k[tuple(batch)] @ q[place] * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
        seen = np.ones(len(scores), bool)
        if mask is not None:
            seen &= mask[i] if mask.dtype == bool else True
            scores = scores + (0 if mask.dtype == bool else mask[i])
        if causal:
            seen &= np.arange(len(scores)) <= i + len(scores) - q.shape[-2]
        if seen.any():
            out[place] = softmax(scores[seen]) @ v[tuple(batch)][seen]
    return out


def attention_weights(q, k, mask=None, causal=False, scale=None):
    """The mean of unit vectors is the weights themselves."""
    return attention(q, k, np.broadcast_to(np.eye(k.shape[-2]), (*k.shape[:-2], *[k.shape[-2]] * 2)), mask, causal, scale)


def split_heads(x, heads, parts=3):
    width = x.shape[-1] // (parts * heads)
    pieces = [x[..., i * width : (i + 1) * width] for i in range(parts * heads)]
    return [np.stack(pieces[i * heads : (i + 1) * heads], axis=-3) for i in range(parts)]


def multi_head_attention(x, heads, causal, kv_heads):
    width = x.shape[-1] // (heads + 2 * kv_heads)
    head = [x[..., i * width : (i + 1) * width] for i in range(heads + 2 * kv_heads)]
    served = [heads + h // (heads // kv_heads) for h in range(heads)]
    parts = [attention(head[h], head[k], head[k + kv_heads], None, causal) for h, k in enumerate(served)]
    return np.concatenate(parts, axis=-1)


def rotary(x, heads, kv_heads, first, normalise, base=10000.0, eps=1e-6):
    """Each pair of numbers as a complex number, which is turned by a multiplication."""
    width = x.shape[-1] // (heads + 2 * kv_heads)
    parts = []
    for h in range(heads + 2 * kv_heads):
        part = x[..., h * width : (h + 1) * width]
        if h < heads + kv_heads:
            if normalise:
                part = part / np.sqrt(np.mean(part * part, axis=-1, keepdims=True) + eps)
            z = part[..., : width // 2] + 1j * part[..., width // 2 :]
            positions = first + np.arange(x.shape[-2])
            z = z * np.exp(1j * positions[:, None] * base ** (-2 * np.arange(width // 2) / width))
            part = np.concatenate([z.real, z.imag], axis=-1)
        parts.append(part)
    return np.concatenate(parts, axis=-1)


def activated(x, w, b=0.0, activation=""):
    h = x @ w + b
    if activation == "tanh":
        return np.tanh(h)
    if activation in ("relu", "squared_relu"):
        return np.maximum(h, 0) ** (1 if activation == "relu" else 2)
    if activation == "softplus":
        return np.logaddexp(h, 0)
    return h / (1 + np.exp(-h)) if activation == "silu" else gelu(h, "tanh" if activation == "gelu_tanh" else "none")


@dataclass
class Case:
    """An op under test."""

    name: str
    inputs: Any
    reference: Any
    #: How the op is called with the arrays and the options that `inputs` draws.
    call: Any = None
    #: The same for the reference, where it differs.
    call_reference: Any = None
    float32_tolerance: float = 1e-4
    #: Whether every threshold is 0 while it is tested, so that it takes the way of large arrays.
    large: bool = False

    def __post_init__(self):
        self.call = self.call or getattr(mt, self.name)
        self.call_reference = self.call_reference or self.reference


def rnn(x, h, weight_ih, weight_hh, bias_ih=0.0, bias_hh=0.0):
    states = []
    for t in range(x.shape[-2]):
        h = np.tanh(x[..., t, :] @ weight_ih + bias_ih + h @ weight_hh + bias_hh)
        states.append(h)
    return np.stack(states, axis=-2)


def gru(x, h, weight_ih, weight_hh, bias_ih=0.0, bias_hh=0.0):
    states = []
    for t in range(x.shape[-2]):
        a, b = np.split(x[..., t, :] @ weight_ih + bias_ih, 3, axis=-1), np.split(h @ weight_hh + bias_hh, 3, axis=-1)
        r, z = logistic(a[0] + b[0]), logistic(a[1] + b[1])
        h = (1 - z) * np.tanh(a[2] + r * b[2]) + z * h
        states.append(h)
    return np.stack(states, axis=-2)


def lstm(x, h, c, weight_ih, weight_hh, bias_ih=0.0, bias_hh=0.0):
    states = []
    for t in range(x.shape[-2]):
        i, f, g, o = np.split(x[..., t, :] @ weight_ih + bias_ih + h @ weight_hh + bias_hh, 4, axis=-1)
        c = logistic(f) * c + logistic(i) * np.tanh(g)
        h = logistic(o) * np.tanh(c)
        states.append(h)
    return np.stack(states, axis=-2), c


def logistic(x):
    return 1 / (1 + np.exp(-x))


def with_list(f):
    return lambda *xs, **options: f(list(xs), **options)


def side_by_side(f):
    """split_heads gives a tuple, and a test wants an array: the parts in reverse order."""
    return lambda x, **options: np.concatenate(f(x, **options)[::-1], axis=-1)


def joined_pieces(f):
    """split gives a list, and a test wants an array: the pieces in reverse order."""
    return lambda x, **options: (np.concatenate)(f(x, **options)[::-1], axis=options["axis"])


def joined_flat(f):
    """One array of all that a function of several arrays gives."""
    return lambda *xs, **options: np.concatenate([x.reshape(-1) for x in f(*xs, **options)])


def put_along_axis(x, values, indices, axis):
    y = x.copy()
    np.put_along_axis(y, indices, values, axis)
    return y


def by_numbers(f):
    return lambda x, y: f(x, [0, 3, ...], y, [3, 1, ...], [1, 0, ...])


def elementwise(name, low=-2.0, high=2.0):
    """The case of a function of one number, within those bounds."""
    return Case(name, one(low=low, high=high), getattr(np, name))


SMOOTH = one()
POSITIVE = one(low=0.3, high=2.0)
CASES = [
    Case("add", broadcast(2), np.add),
    Case("subtract", broadcast(2), np.subtract),
    Case("multiply", broadcast(2), np.multiply),
    Case("divide", broadcast(2, 0.3, 2.0), np.divide),
    Case("power", broadcast(2, 0.3, 2.0), np.power),
    Case("power", SMOOTH, np.power, lambda x: x**3, lambda x: x**3),
    Case("power", broadcast(1), np.power, lambda x: 1.5**x, lambda x: 1.5**x),
    Case("negative", SMOOTH, np.negative),
    Case("abs", SMOOTH, np.abs),
    Case("exp", SMOOTH, np.exp),
    Case("log", POSITIVE, np.log),
    Case("log1p", one(low=-0.7, high=2.0), np.log1p),
    Case("sqrt", POSITIVE, np.sqrt),
    Case("sin", SMOOTH, np.sin),
    Case("cos", SMOOTH, np.cos),
    Case("tanh", SMOOTH, np.tanh),
    *(elementwise(name) for name in ("sinh", "cosh", "arctan", "arcsinh", "exp2", "expm1", "square", "positive", "nan_to_num")),
    *(elementwise(name, -0.9, 0.9) for name in ("arcsin", "arccos", "arctanh")),
    *(elementwise(name, 0.3) for name in ("log2", "log10", "reciprocal")),
    elementwise("tan", -1.2, 1.2),
    elementwise("arccosh", 1.2, 3.0),
    Case("arctan2", broadcast(2), np.arctan2),
    Case("hypot", broadcast(2), np.hypot),
    Case("copysign", broadcast(2), np.copysign),
    Case("remainder", broadcast(2, 2.1, 3.9), np.remainder),
    Case("remainder", SMOOTH, None, lambda x: mt.remainder(x, 2.2), lambda x: np.remainder(x, 2.2)),
    Case("fmax", broadcast(2), np.fmax),
    Case("fmin", broadcast(2), np.fmin),
    Case("logaddexp2", broadcast(2), np.logaddexp2),
    Case("sigmoid", SMOOTH, lambda x: 1 / (1 + np.exp(-x))),
    Case("relu", SMOOTH, lambda x: np.maximum(x, 0)),
    Case("squared_relu", SMOOTH, lambda x: np.maximum(x, 0) ** 2),
    Case("silu", SMOOTH, lambda x: x / (1 + np.exp(-x))),
    Case("erf", SMOOTH, lambda x: 2 * normal_cdf(x * math.sqrt(2)) - 1),
    Case("gelu", one(lambda draw, _: {"approximate": draw(st.sampled_from(["none", "tanh"]))}), gelu),
    Case("softplus", SMOOTH, lambda x: np.log1p(np.exp(x))),
    Case("logaddexp", broadcast(2), np.logaddexp),
    Case("maximum", broadcast(2), np.maximum),
    Case("minimum", broadcast(2), np.minimum),
    Case("where", broadcast(3), None, lambda c, x, y: mt.where(c > 0, x, y), lambda c, x, y: np.where(c > 0, x, y)),
    Case("clip", one(lambda draw, _: draw(st.sampled_from([{"a_min": -0.9, "a_max": 1.1}, {"a_min": 0.0, "a_max": None}]))), np.clip),
    Case("clip", one(lambda draw, _: {"min": -0.5, "max": np.array(0.7)}), None, None, lambda x, min, max: np.clip(x, min, max)),
    Case("astype", SMOOTH, None, lambda x: mt.astype(x, np.float64), lambda x: x.astype(np.float64)),
    Case("sum", one(folded), np.sum),
    Case("sum", one(masked), np.sum, lambda x, **o: mt.sum(x, initial=2.0, **o), lambda x, **o: np.sum(x, initial=2.0, **o)),
    Case("mean", filled(one(folded)), np.mean),
    Case("mean", one(masked, min_dims=1, min_side=2), np.mean),
    Case("var", one(masked, min_dims=1, min_side=2), np.var),
    Case("std", one(masked, min_dims=1, min_side=2), np.std),
    Case("var", one(corrected, min_dims=1, min_side=3), np.var),
    Case("std", one(corrected, min_dims=1, min_side=3), np.std),
    Case("var", filled(one(folded), 2), np.var),
    Case("var", filled(one(folded), 2), np.var, lambda x, **o: x.var(ddof=1, **o), lambda x, **o: x.var(ddof=1, **o)),
    Case("std", filled(one(folded), 2), np.std),
    Case("max", filled(one(folded)), np.max),
    Case("min", filled(one(folded)), np.min),
    Case("prod", one(folded), np.prod),
    Case("prod", one(folded).map(with_zeros), np.prod),
    Case("cumsum", one(lambda draw, shape: {"axis": draw(st.none() | st.integers(-len(shape), len(shape) - 1)) if shape else None}), np.cumsum),
    Case("cumprod", one(running), np.cumprod),
    Case("cumprod", one(running).map(with_zeros), np.cumprod),
    Case("sort", one(running, min_dims=1), np.sort),
    Case("logsumexp", filled(one(folded)), logsumexp),
    Case("matmul", matrices(), np.matmul),
    Case("dot", matrices().filter(lambda case: max(x.ndim for x in case[0]) <= 2), np.dot),
    Case("einsum", einsums(), None, lambda *xs, subscripts: mt.einsum(subscripts, *xs), lambda *xs, subscripts: np.einsum(subscripts, *xs)),
    Case("einsum", pairs((2, 3), (3, 2)), None, by_numbers(mt.einsum), by_numbers(np.einsum)),
    Case("einsum", pairs((2, 3), (3, 2)), None, lambda x, y: mt.einsum("ij,jk", x, y, optimize=True), np.dot),
    Case("tensordot", contracted(), np.tensordot),
    Case("inner", pairs((2, 3), (4, 3)), np.inner),
    Case("inner", pairs((3,), (3,)), np.inner),
    Case("inner", pairs((), (2, 3)), np.inner),
    Case("outer", pairs((2, 2), (3,)), np.outer),
    Case("outer", pairs((), (0,)), np.outer),
    Case("kron", pairs((2, 3), (3, 1)), np.kron),
    Case("kron", pairs((2,), (3, 1, 2)), np.kron),
    Case("cross", vectors(), np.cross),
    Case("cross", pairs((3, 2), (2, 3)), None, lambda x, y: mt.cross(x, y, 0, 1, 0), lambda x, y: np.cross(x, y, 0, 1, 0)),
    Case("diag", one(lambda draw, _: {"k": draw(st.integers(-2, 2))}, min_dims=1, max_dims=2), np.diag),
    Case("diagonal", one(diagonals, min_dims=2), np.diagonal),
    Case("trace", one(diagonals, min_dims=2), np.trace, trace),
    Case("norm", normed(), np.linalg.norm),
    Case("reshape", reshaped(), np.reshape),
    Case("reshape", reshaped(), None, lambda x, shape: mt.reshape(x, shape, order="F"), lambda x, shape: x.reshape(shape, order="F")),
    Case("ravel", one(lambda draw, _: {"order": draw(st.sampled_from("CF"))}), np.ravel),
    Case("flatten", one(joined_axes), flatten),
    Case("transpose", one(transposed), np.transpose),
    Case("swapaxes", one(two_axes, min_dims=1), np.swapaxes),
    Case("broadcast_to", one(wider), np.broadcast_to),
    Case("squeeze", one(ones), np.squeeze),
    Case("expand_dims", one(new_axes), np.expand_dims),
    Case("concatenate", joined(), np.concatenate, with_list(mt.concatenate), with_list(np.concatenate)),
    Case("append", appended(), np.append),
    Case("vstack", stacked(0), np.vstack, with_list(mt.vstack), with_list(np.vstack)),
    Case("hstack", stacked(1), np.hstack, with_list(mt.hstack), with_list(np.hstack)),
    Case("dstack", stacked(2), np.dstack, with_list(mt.dstack), with_list(np.dstack)),
    Case("column_stack", stacked(1, 2), np.column_stack, with_list(mt.column_stack), with_list(np.column_stack)),
    *(Case(name, SMOOTH, getattr(np, name)) for name in ("atleast_1d", "atleast_2d", "atleast_3d")),
    Case("atleast_2d", pairs((), (3,)), None, joined_flat(mt.atleast_2d), joined_flat(np.atleast_2d)),
    Case("meshgrid", arrowed(), None, joined_flat(mt.meshgrid), joined_flat(np.meshgrid)),
    Case("tile", one(tiles), np.tile),
    Case("roll", one(rolled), np.roll),
    Case("moveaxis", one(moved, min_dims=1), np.moveaxis),
    Case("diff", one(differences, min_dims=1), np.diff),
    Case("diff", pairs((2, 3), (2, 1)), None, lambda x, y: mt.diff(x, prepend=y, append=0.5), lambda x, y: np.diff(x, prepend=y, append=0.5)),
    Case("fliplr", one(min_dims=2), np.fliplr),
    Case("flipud", one(min_dims=1), np.flipud),
    Case("rot90", one(turned, min_dims=2), np.rot90),
    Case("array_split", one(uneven_pieces, min_dims=1), np.array_split, joined_pieces(mt.array_split), joined_pieces(np.array_split)),
    Case("put_along_axis", placed(), None, lambda x, values, indices, axis: mt.put_along_axis(x, indices, values, axis), put_along_axis),
    Case("stack", joined(same=True), np.stack, with_list(mt.stack), with_list(np.stack)),
    Case("split", one(pieces, min_dims=1), np.split, joined_pieces(mt.split), joined_pieces(np.split)),
    Case("pad", one(bordered, min_dims=1), np.pad),
    Case("pad", one(mirrored, min_dims=1, min_side=1), np.pad),
    Case("flip", one(several_axes, min_dims=1), np.flip),
    Case("repeat", one(times, min_dims=1), np.repeat),
    Case("tril", one(lambda draw, _: {"k": draw(st.integers(-2, 2))}, min_dims=2), np.tril),
    Case("triu", one(lambda draw, _: {"k": draw(st.integers(-2, 2))}, min_dims=2), np.triu),
    Case("getitem", indexed(), None, lambda x, key: x[key], lambda x, key: x[key]),
    Case("take", taken(), np.take),
    Case("take_along_axis", taken(along=True), np.take_along_axis),
    Case("softmax", one(last_axis, min_dims=1), softmax),
    Case("log_softmax", one(last_axis, min_dims=1), lambda x, axis: np.log(softmax(x, axis))),
    Case("cross_entropy", classified(), cross_entropy),
    Case("cross_entropy", classified(soft=True), cross_entropy),
    Case("cross_entropy", classified(weighted=True), cross_entropy),
    Case("cross_entropy", classified(soft=True, weighted=True), cross_entropy),
    Case("mse_loss", compared(), lambda x, y, reduction: reduced((x - y) ** 2, reduction)),
    Case("binary_cross_entropy", compared(0.1, 0.9), binary_cross_entropy),
    Case("binary_cross_entropy_with_logits", compared(), lambda x, y, reduction: binary_cross_entropy(1 / (1 + np.exp(-x)), y, reduction)),
    Case("conv1d", convolved(), conv1d),
    Case("causal_conv1d", causally_convolved(), causal_conv1d),
    Case("gated_tanh", one(min_dims=1).filter(lambda case: case[0][0].shape[-1] % 2 == 0), gated_tanh),
    Case("selective_scan", scanned(), selective_scan),
    Case("embedding", looked_up(), None, lambda table, indices: mt.embedding(indices, table), lambda table, indices: table[indices]),
    Case("embedding_bag", looked_up(bag=True), None, lambda t, indices: mt.embedding_bag(indices, t), lambda t, indices: t[indices].mean(-2)),
    Case("linear", projected(), lambda x, w, b=0.0: x @ w + b),
    Case("linear", projected(activations=("gelu", "gelu_tanh", "silu", "tanh", "relu", "squared_relu", "softplus")), activated),
    Case("layer_norm", normalised(), layer_norm, float32_tolerance=1e-2),
    Case("rms_norm", normalised(bias=False), rms_norm, float32_tolerance=1e-2),
    Case("dropout", SMOOTH, None, lambda x: mt.dropout(x, 0.4, np.random.default_rng(3)),
         lambda x: dropout(x, 0.4, np.random.default_rng(3).integers(2**32))),
    Case("scaled_dot_product_attention", attended(), attention),
    Case("attention_weights", attended().map(lambda case: (case[0][:2], case[1])), attention_weights),
    Case("split_heads", many_heads(), None, side_by_side(mt.split_heads), side_by_side(split_heads)),
    Case("merge_heads", one(min_dims=3, max_dims=4, min_side=1), lambda x: np.concatenate(np.moveaxis(x, -3, 0), axis=-1)),
    Case("multi_head_attention", packed(), multi_head_attention),
    Case("rotary", rotated(), rotary, float32_tolerance=1e-3),
    Case("rnn", unrolled(1, 1), rnn),
    Case("gru", unrolled(3, 1), gru),
    Case("lstm", unrolled(4, 2), None, joined_flat(mt.lstm), joined_flat(lstm)),
]  # fmt: skip
