"""How the inputs of ops are drawn: random shapes (without axes, empty, broadcast), random values, and options that fit them."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from microtensor import Tensor

SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from([np.float32, np.float64])

# Lengths around those of the kernels' vectors and blocks
SIZES = st.sampled_from([0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33])
ROWS = st.sampled_from([0, 1, 2, 3, 15, 16, 17, 40])
WIDTHS = st.sampled_from([1, 2, 15, 16, 17, 63, 64, 65, 130])


def leaf(*values):
    """A Tensor of those numbers, in float64, that is to be learned."""
    return Tensor(np.array(values), requires_grad=True)


def naive_softmax(x):
    """Softmax of the last axis in float64; rows that are all -inf give zeros."""
    x = x.astype(np.float64)
    most = x.max(axis=-1, keepdims=True, initial=-np.inf)
    e = np.exp(x - np.where(np.isinf(most), 0, most))
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def distinct(rng, shapes, low=-2.0, high=2.0):
    """Arrays whose values are all different, none near 0, so that no max is a tie and no kink is within a finite difference."""
    sizes = [math.prod(s) for s in shapes]
    n = sum(sizes)
    grid = np.linspace(low, high, 2 * n + 3)[1:-1:2][: n + 1]
    grid = grid[np.abs(grid) > 1e-2][:n] if low < 0 else grid[:n]
    grid = np.concatenate([grid, np.full(n - len(grid), high * 0.999)])
    pool = rng.permutation(grid) + rng.uniform(-1, 1, n) * (high - low) / (20 * (n + 1))
    cuts = np.cumsum(sizes)[:-1]
    return [part.reshape(s) for part, s in zip(np.split(pool, cuts), shapes, strict=True)]


@st.composite
def broadcast(draw, count=1, low=-2.0, high=2.0):
    """That many arrays whose shapes broadcast, and no options."""
    sides = {"min_dims": 0, "max_dims": 3, "min_side": 0, "max_side": 3}
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=count, **sides)).input_shapes
    return distinct(np.random.default_rng(draw(SEEDS)), shapes, low, high), {}


def shapes(min_dims=0, max_dims=3, min_side=0, max_side=3):
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side) | (
        st.just(()) if min_dims == 0 else st.nothing()
    )


@st.composite
def one(draw, options=None, low=-2.0, high=2.0, **limits):
    """An array of any shape, with options drawn for that shape by `options(draw, shape)`."""
    shape = draw(shapes(**limits))
    x = distinct(np.random.default_rng(draw(SEEDS)), [shape], low, high)
    return x, options(draw, shape) if options else {}


def an_axis(draw, shape):
    return draw(st.integers(-len(shape), len(shape) - 1))


def folded(draw, shape):
    """axis and keepdims of a reduction."""
    axes = [st.none()]
    if shape:
        axes.append(st.integers(-len(shape), len(shape) - 1))
        axes.append(st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1).map(tuple))
    return {"axis": draw(st.one_of(axes)), "keepdims": draw(st.booleans())}


def filled(strategy, least=1):
    """Only where every folded set has at least so many elements (a maximum of nothing doesn't exist)."""

    def enough(case):
        (x,), options = case
        axis = options.get("axis")
        axes = range(x.ndim) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
        return math.prod(x.shape[a] for a in axes) >= least and (x.size or not any(x.shape[a] == 0 for a in axes))

    return strategy.filter(enough)


@st.composite
def matrices(draw):
    """Two arrays that can be multiplied: vectors, matrices, batches that broadcast, and lengths of 0."""
    shapes = draw(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, min_side=0, max_side=3))
    return distinct(np.random.default_rng(draw(SEEDS)), shapes.input_shapes), {}


EINSUMS = [
    "ij,jk->ik", "ij,jk", "bij,bjk->bik", "ij->ji", "ii->", "ii->i", "ij->", "i,i->", "i,j->ij", "ij,ij->i", "...i,ij->...j",
    "ijk,ijl,kl->i", "i->", "...->...", "aab,bc->ac", ",i->i", "bhqd,bhkd->bhqk",
]  # fmt: skip


@st.composite
def einsums(draw):
    subscripts = draw(st.sampled_from(EINSUMS))
    lengths = {c: draw(st.integers(0, 3)) for c in subscripts if c.isalpha()}
    dots = draw(st.lists(st.integers(1, 2), max_size=2))
    operands = []
    for term in subscripts.partition("->")[0].split(","):
        shape = [lengths[c] for c in term.replace(".", "")]
        operands.append(tuple(dots + shape if "." in term else shape))
    return distinct(np.random.default_rng(draw(SEEDS)), operands), {"subscripts": subscripts}


@st.composite
def reshaped(draw):
    shape = draw(shapes())
    new = list(draw(st.permutations(shape)))
    if math.prod(shape) and new and draw(st.booleans()):
        new[draw(st.integers(0, len(new) - 1))] = -1
    return distinct(np.random.default_rng(draw(SEEDS)), [shape]), {"shape": tuple(new)}


@st.composite
def joined(draw, same=False):
    shape = draw(shapes(min_dims=0 if same else 1))
    axis = draw(st.integers(-len(shape) - same, len(shape) - (not same)))
    count = draw(st.integers(1, 3))
    all_shapes = [list(shape) for _ in range(count)]
    if not same:
        for s in all_shapes:
            s[axis] = draw(st.integers(0, 3))
    return distinct(np.random.default_rng(draw(SEEDS)), [tuple(s) for s in all_shapes]), {"axis": axis}


@st.composite
def indexed(draw):
    """x and a key: slices, None, Ellipsis, integers; arrays of integers (with repeats) and booleans."""
    shape = draw(shapes(min_dims=1, min_side=1))
    rng = np.random.default_rng(draw(SEEDS))
    if draw(st.booleans()):
        key = draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    elif draw(st.booleans()):
        key = rng.random(shape) < 0.5
    else:
        picks = [rng.integers(-n, n, draw(st.integers(0, 4))) for n in shape[:1]]
        key = draw(st.sampled_from([picks[0], (picks[0], Ellipsis), (slice(None),) * (len(shape) - 1) + ([0, 0],)]))
    return distinct(rng, [shape]), {"key": key}


@st.composite
def taken(draw, along=False):
    shape = draw(shapes(min_dims=1, min_side=1))
    rng = np.random.default_rng(draw(SEEDS))
    axis = draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    n = math.prod(shape) if axis is None else shape[axis]
    if along:
        size = list(shape) if axis is not None else [n]
        size[0 if axis is None else axis] = draw(st.integers(0, 4))
    else:
        size = draw(shapes(max_dims=2))
    return distinct(rng, [shape]), {"indices": rng.integers(0, n, size), "axis": axis}


@st.composite
def classified(draw, soft=False, weighted=False):
    """Logits and targets, some of them ignored."""
    shape = draw(shapes(min_dims=1, max_dims=3))
    shape = (*shape[:-1], draw(st.integers(1, 5)))
    rng = np.random.default_rng(draw(SEEDS))
    options = {
        "reduction": draw(st.sampled_from(["mean", "sum", "none"])),
        "label_smoothing": draw(st.sampled_from([0.0, 0.1, 1.0])),
    }
    if weighted:
        options["weight"] = rng.uniform(0, 2, shape[-1])
    if soft:
        return [*distinct(rng, [shape]), rng.dirichlet(np.ones(shape[-1]), shape[:-1])], options
    target = rng.integers(0, shape[-1], shape[:-1])
    options["ignore_index"] = draw(st.sampled_from([-100, 0]))
    target = np.where(rng.random(target.shape) < 0.2, options["ignore_index"], target)
    return distinct(rng, [shape]), {"target": target, **options}


@st.composite
def looked_up(draw, bag=False):
    rng = np.random.default_rng(draw(SEEDS))
    rows = draw(st.integers(1, 4))
    size = draw(shapes(max_dims=2, min_side=0))
    indices = rng.integers(0, rows, (*size, draw(st.integers(1, 4))) if bag else size)
    return distinct(rng, [(rows, draw(st.integers(0, 3)))]), {"indices": indices}


@st.composite
def attended(draw):
    rng = np.random.default_rng(draw(SEEDS))
    batch = draw(shapes(max_dims=2))
    queries, keys = draw(st.integers(0, 3)), draw(st.integers(1, 4))
    width, value_width = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    mask = draw(st.sampled_from([None, "some", "bias"]))
    options: dict[str, Any] = {"causal": draw(st.booleans()), "scale": draw(st.sampled_from([None, 0.3]))}
    if mask == "some":
        options["mask"] = rng.random((queries, keys)) < 0.7
    elif mask == "bias":
        options["mask"] = rng.normal(size=(queries, keys))
    return distinct(rng, [(*batch, queries, width), (*batch, keys, width), (*batch, keys, value_width)]), options


@st.composite
def packed(draw):
    lead, time, kv_heads, group, width = (
        draw(shapes(max_dims=1)),
        draw(st.integers(0, 4)),
        draw(st.integers(1, 2)),
        draw(st.integers(1, 2)),
        draw(st.integers(1, 3)),
    )
    heads = kv_heads * group
    parts = [(*lead, time, (heads + 2 * kv_heads) * width)]
    options = {"heads": heads, "kv_heads": kv_heads, "causal": draw(st.booleans())}
    return distinct(np.random.default_rng(draw(SEEDS)), parts), options


@st.composite
def rotated(draw):
    lead, time, heads, kv_heads, pairs = (
        draw(shapes(max_dims=1)),
        draw(st.integers(0, 4)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 2)),
        draw(st.integers(1, 3)),
    )
    parts = [(*lead, time, (heads + 2 * kv_heads) * 2 * pairs)]
    options = {"heads": heads, "kv_heads": kv_heads, "first": draw(st.integers(0, 5)), "normalise": draw(st.booleans())}
    return distinct(np.random.default_rng(draw(SEEDS)), parts), options


@st.composite
def many_heads(draw):
    lead, time = draw(shapes(max_dims=1)), draw(st.integers(0, 3))
    parts, heads = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    shape = (*lead, time, parts * heads * draw(st.integers(1, 3)))
    return distinct(np.random.default_rng(draw(SEEDS)), [shape]), {"heads": heads, "parts": parts}


@st.composite
def normalised(draw, bias=True):
    shape = draw(shapes(min_dims=1))
    shape = (*shape[:-1], draw(st.integers(2, 4)))
    count = draw(st.integers(0, 1 + bias))
    return distinct(np.random.default_rng(draw(SEEDS)), [shape] + [shape[-1:]] * count), {}


@st.composite
def projected(draw, activations=(None,)):
    lead, width, out = draw(shapes(max_dims=2)), draw(st.integers(0, 3)), draw(st.integers(0, 3))
    parts = [(*lead, width), (width, out)] + ([(out,)] if draw(st.booleans()) else [])
    activation = draw(st.sampled_from(activations))
    return distinct(np.random.default_rng(draw(SEEDS)), parts), {"activation": activation} if activation else {}


@st.composite
def unrolled(draw, gates, states):
    """A sequence of inputs, first states, and the parameters of a recurrent network with so many gates."""
    lead, time = draw(shapes(max_dims=2)), draw(st.integers(1, 4))
    inputs, hidden = draw(st.integers(0, 3)), draw(st.integers(1, 3))
    parts = [(*lead, time, inputs), *[(*lead, hidden)] * states, (inputs, gates * hidden), (hidden, gates * hidden)]
    parts += [(gates * hidden,)] * draw(st.integers(0, 2))
    return distinct(np.random.default_rng(draw(SEEDS)), parts), {}


@st.composite
def compared(draw, low=-2.0, high=2.0):
    """Two arrays of one shape, the second from 0 to 1, and how their loss is reduced."""
    shape = draw(shapes())
    rng = np.random.default_rng(draw(SEEDS))
    inputs = [*distinct(rng, [shape], low, high), rng.random(shape)]
    return inputs, {"reduction": draw(st.sampled_from(["mean", "sum", "none"]))}


@st.composite
def convolved(draw):
    """x (..., channels, length), a weight and perhaps a bias, with a convolution's options."""
    some = st.integers(1, 2)
    groups, seen, outputs, size = draw(some), draw(some), draw(some), draw(st.integers(1, 3))
    options = {"stride": draw(some), "padding": draw(st.integers(0, 2)), "dilation": draw(some), "groups": groups}
    shortest = max(options["dilation"] * (size - 1) + 1 - 2 * options["padding"], 0)
    lead, length = draw(shapes(max_dims=2, max_side=2)), shortest + draw(st.integers(0, 3))
    parts = [(*lead, seen * groups, length), (outputs * groups, seen, size)] + (
        [(outputs * groups,)] if draw(st.booleans()) else []
    )
    return distinct(np.random.default_rng(draw(SEEDS)), parts), options


@st.composite
def causally_convolved(draw):
    """x (..., time, channels), a weight of either kind and perhaps a bias, with a dilation."""
    channels, outputs, size = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    lead, time = draw(shapes(max_dims=2, max_side=2)), draw(st.integers(0, 5))
    depthwise = draw(st.booleans())
    weight = (size, channels) if depthwise else (size, channels, outputs)
    parts = [(*lead, time, channels), weight] + ([weight[-1:]] if draw(st.booleans()) else [])
    return distinct(np.random.default_rng(draw(SEEDS)), parts), {"dilation": draw(st.integers(1, 3))}


@st.composite
def scanned(draw):
    """x, step, a, b, c and perhaps skip, with steps and fading as in a model, or of any sign."""
    lead, time = draw(shapes(max_dims=2, max_side=2)), draw(st.integers(0, 4))
    channels, states = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(SEEDS))
    sequence, both = (*lead, time, channels), (*lead, time, states)
    x, step, a, b, c, skip = distinct(rng, [sequence, sequence, (channels, states), both, both, (channels,)], -1, 1)
    if draw(st.booleans()):
        step, a = np.abs(step), -np.abs(a)
    return [x, step, a, b, c, skip][: draw(st.integers(5, 6))], {}


@st.composite
def pairs(draw, *shapes):
    """An array of each shape."""
    return distinct(np.random.default_rng(draw(SEEDS)), list(shapes)), {}


@st.composite
def contracted(draw):
    """Two arrays for tensordot, and the axes to sum over."""
    shape = draw(shapes(max_dims=2))
    rest, more = draw(shapes(max_dims=2)), draw(shapes(max_dims=1))
    rng = np.random.default_rng(draw(SEEDS))
    if draw(st.booleans()):
        return distinct(rng, [rest + shape, shape + more]), {"axes": len(shape)}
    order = draw(st.permutations(range(len(shape))))
    axes = [-(i + 1) for i in order], [len(shape) - 1 - i for i in order]
    return distinct(rng, [rest + shape, shape + more]), {"axes": (axes[0][0], axes[1][0]) if len(shape) == 1 else axes}


@st.composite
def vectors(draw):
    """Two arrays of vectors with three elements, which broadcast."""
    parts = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, min_side=0, max_side=3)).input_shapes
    return distinct(np.random.default_rng(draw(SEEDS)), [(*s, 3) for s in parts]), {}


@st.composite
def normed(draw):
    """An array for norm, with an order that fits its axes."""
    ordinary, kept = draw(st.booleans()), {"keepdims": draw(st.booleans())}
    if ordinary:
        options = {"axis": draw(st.none() | st.integers(-2, 1)), **kept}
        if options["axis"] is not None:
            options["ord"] = draw(st.sampled_from([None, 1, 2, 3, 1.5, -1, np.inf, -np.inf]))
    else:
        options = {
            "axis": draw(st.sampled_from([None, (0, 1), (-1, 0)])),
            "ord": draw(st.sampled_from([None, "fro", 1, -1, np.inf, -np.inf])),
        }
        options |= kept
    return distinct(np.random.default_rng(draw(SEEDS)), [(draw(st.integers(1, 3)), draw(st.integers(1, 3)))]), options


@st.composite
def appended(draw):
    shape = draw(shapes(min_dims=1))
    axis = draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    other = draw(shapes()) if axis is None else shape
    return distinct(np.random.default_rng(draw(SEEDS)), [shape, other]), {"axis": axis}


@st.composite
def stacked(draw, axis, least=0):
    """Up to three arrays of one number of axes, which differ in length along an axis if they have it."""
    shape = draw(shapes())
    all_shapes = [list(shape) for _ in range(draw(st.integers(1, 3)))]
    differs = axis if len(shape) > max(axis, 1) else 0 if axis == 1 and len(shape) == 1 and not least else None
    for s in all_shapes:
        if differs is not None:
            s[differs] = draw(st.integers(0, 3))
    if least and len(shape) > 2:
        all_shapes = [[*s[:1], draw(st.integers(0, 3))] for s in all_shapes]
    return distinct(np.random.default_rng(draw(SEEDS)), [tuple(s) for s in all_shapes]), {}


@st.composite
def arrowed(draw):
    """Vectors that span a grid."""
    sides = [(draw(st.integers(0, 3)),) for _ in range(draw(st.integers(1, 3)))]
    options = {"sparse": draw(st.booleans()), "indexing": draw(st.sampled_from(["xy", "ij"]))}
    return distinct(np.random.default_rng(draw(SEEDS)), sides), options


@st.composite
def placed(draw):
    """x, and values to be put at indices along an axis, each at another place."""
    shape = draw(shapes(min_dims=1, min_side=1))
    rng = np.random.default_rng(draw(SEEDS))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    count = draw(st.integers(0, shape[axis]))
    order = rng.permuted(np.broadcast_to(np.arange(shape[axis]), (*np.delete(shape, axis), shape[axis])), axis=-1)
    indices = np.moveaxis(order[..., :count], -1, axis)
    values = draw(st.sampled_from([indices.shape, ()]))
    return distinct(rng, [shape, values]), {"indices": indices, "axis": axis}


# Options for a shape


def running(draw, shape):
    return {"axis": draw(st.none() | st.integers(-len(shape), len(shape) - 1)) if shape else None}


def masked(draw, shape):
    """Options of a reduction of chosen elements, two at least in each row."""
    where = np.asarray(np.random.default_rng(draw(SEEDS)).random(shape) < (0.6 if shape else 2))
    for axis in range(len(shape)):
        where[(slice(None),) * axis + (slice(0, 2),)] = True
    return {**folded(draw, shape), "where": draw(st.sampled_from([where, np.array(True)]))}


def corrected(draw, shape):
    return {**folded(draw, shape), "correction": draw(st.sampled_from([0, 1, 1.5]))}


def diagonals(draw, shape):
    axis1, axis2 = draw(st.permutations(range(len(shape))))[:2]
    return {"offset": draw(st.integers(-3, 3)), "axis1": axis1, "axis2": axis2 - len(shape) * draw(st.booleans())}


def tiles(draw, shape):
    return {"reps": draw(st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=4).map(tuple))}


def rolled(draw, shape):
    axis = draw(st.none() | st.integers(-len(shape), len(shape) - 1) | st.just(tuple(range(len(shape))))) if shape else None
    many = isinstance(axis, tuple) and draw(st.booleans())
    return {"shift": tuple(draw(st.integers(-4, 4)) for _ in axis) if many else draw(st.integers(-4, 4)), "axis": axis}


def moved(draw, shape):
    n = draw(st.integers(1, len(shape)))
    source, destination = (draw(st.permutations(range(len(shape))))[:n] for _ in range(2))
    return (
        {"source": source[0] - len(shape), "destination": destination[0]}
        if n == 1
        else {"source": source, "destination": destination}
    )


def differences(draw, shape):
    return {"n": draw(st.integers(0, 3)), "axis": an_axis(draw, shape)}


def turned(draw, shape):
    axes = draw(st.permutations(range(len(shape))))[:2]
    return {"k": draw(st.integers(-3, 4)), "axes": (axes[0], axes[1] - len(shape))}


def mirrored(draw, shape):
    each = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=len(shape), max_size=len(shape))
    modes = st.sampled_from(["edge", "reflect", "symmetric", "wrap"])
    return {"pad_width": draw(st.integers(0, 3) | each), "mode": draw(modes)}


def uneven_pieces(draw, shape):
    axis = an_axis(draw, shape)
    return {"indices_or_sections": draw(st.integers(1, 5) | st.just([1, 2])), "axis": axis}


def joined_axes(draw, shape):
    start, end = sorted([draw(st.integers(0, len(shape) - 1)), draw(st.integers(0, len(shape) - 1))]) if shape else (0, -1)
    return {"start": start, "end": end - len(shape)} if shape else {}


def last_axis(draw, shape):
    return {"axis": an_axis(draw, shape)}


def transposed(draw, shape):
    return {"axes": draw(st.none() | st.permutations(range(len(shape))).map(tuple))}


def two_axes(draw, shape):
    return {"axis1": an_axis(draw, shape), "axis2": an_axis(draw, shape)}


def wider(draw, shape):
    stretched = tuple(draw(st.integers(0, 3)) if n == 1 else n for n in shape)
    return {"shape": draw(shapes(max_dims=1)) + stretched}


def ones(draw, shape):
    units = [i for i, n in enumerate(shape) if n == 1]
    choices = [st.none()] + ([st.sampled_from(units), st.just(tuple(units))] if units else [])
    return {"axis": draw(st.one_of(choices))}


def new_axes(draw, shape):
    n = len(shape)
    return {"axis": draw(st.integers(-n - 1, n) | st.just((0, n + 1)))}


def bordered(draw, shape):
    each = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=len(shape), max_size=len(shape))
    return {"pad_width": draw(st.integers(0, 2) | each), "constant_values": draw(st.sampled_from([0, 1.5]))}


def several_axes(draw, shape):
    return {"axis": draw(st.none() | st.integers(-len(shape), len(shape) - 1) | st.just(tuple(range(len(shape)))))}


def times(draw, shape):
    axis = draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    n = math.prod(shape) if axis is None else shape[axis]
    counts = st.lists(st.integers(0, 2), min_size=n, max_size=n).map(np.array) if n else st.just(2)
    return {"repeats": draw(st.integers(0, 3) | counts), "axis": axis}


def pieces(draw, shape):
    axis = an_axis(draw, shape)
    n = shape[axis]
    even = st.sampled_from([k for k in range(1, n + 1) if n % k == 0] or [1])
    return {"indices_or_sections": draw(even | st.just([n // 2])), "axis": axis}


def with_zeros(case):
    """The first element and a middle one made 0."""
    (x,), options = case
    x.flat[: x.size : max(x.size // 2, 1)] = 0
    return [x], options
