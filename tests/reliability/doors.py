"""Knock at the doors of the kernels, and of what loads a state, with what doesn't belong there: `python doors.py COUNT SEED`.

Every array lies between two others, which must stay as they are: a kernel that writes past an end is found out even where nothing
crashes. What is allowed is a result, or one line of an error.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import microtensor as mt
from microtensor import kernels, nn, optim
from microtensor.serialize import load_safetensors, save_safetensors

#: What surrounds each array, in bytes on each side, and what is written there.
MARGIN, MARK = 4096, 0xA5
F, I = np.float32, np.int64  # noqa: E741

ALLOWED = (ValueError, TypeError, IndexError, OverflowError)


class Guarded:
    """Makes arrays with marks around them."""

    def __init__(self):
        self.buffers = []

    def array(self, x):
        """A copy of x between marks."""
        x = np.asarray(x)
        buffer = np.full(x.nbytes + 2 * MARGIN, MARK, np.uint8)
        inside = buffer[MARGIN : MARGIN + x.nbytes].view(x.dtype).reshape(x.shape)
        inside[...] = x
        self.buffers.append((buffer, x.nbytes))
        return inside

    def whole(self):
        return all((b[:MARGIN] == MARK).all() and (b[MARGIN + n :] == MARK).all() for b, n in self.buffers)


def packed(rng, width=4, hidden=5, outputs=3):
    def weight(*shape):
        return rng.normal(size=shape).astype(F)

    norm = (weight(width), weight(width), 1e-5, True)
    products = [(norm, weight(width, 3 * width), None, None), (None, weight(width, width), None, None)]
    products += [(norm, weight(width, hidden), None, "gelu"), (None, weight(hidden, width), None, None)]
    return kernels.residual_blocks.pack_blocks([*products, (norm, weight(width, outputs), None, None)], 2)


def residual_blocks(numbers, stages, x, keys, values, position):
    blocks = kernels.residual_blocks.PackedBlocks(numbers, stages, 2, 4, 5, 3)
    return kernels.residual_blocks.residual_blocks(blocks, x, keys, values, position)


def attention_backward(q, k, v, g, logs, dq, dk, dv):
    return kernels.attention.attention_backward(q, k, v, g, logs, True, 0.5, (dq, dk, dv))


def recurrent_backward(x, h, c, weight_ih, weight_hh, hidden, gates, inner, g):
    kept = kernels.recurrent.Kept(gates, inner)
    return kernels.recurrent.recurrent_backward("lstm", x, h, c, weight_ih, weight_hh, (True, True), hidden, kept, g)


def gru_backward(x, h, weight_hh, hidden, gates, inner, g):
    kept = kernels.recurrent.Kept(gates, inner)
    return kernels.recurrent.recurrent_backward("gru", x, h, None, None, weight_hh, (False, True), hidden, kept, g)


def adamw(p, g, m, s, p2, g2, m2, s2, factors):
    return kernels.optimizers.adamw([p, p2], [g, g2], [m, m2], [s, s2], factors)


def doors(rng):
    """For each door its function, arguments that belong together, and whether it is a kernel itself (which is compiled for each
    type of array, so that it is given few)."""

    def f(*shape):
        return rng.normal(size=shape).astype(F)

    k = kernels
    blocks = packed(rng)
    keys, values = k.residual_blocks.empty_cache(blocks, 6)
    adam = [f(7), f(7), f(7), abs(f(7)), f(2, 3), f(2, 3), f(2, 3), abs(f(2, 3)), np.full((2, 6), 0.1)]
    heads = (2, 3, 4)
    scan = [f(2, 20, 70), abs(f(2, 20, 70)), -abs(f(70, 3)), f(2, 20, 3), f(2, 20, 3), f(70)]
    return {
        "activations.activate": (lambda x: k.activations.activate("gelu", x), [f(3, 5)], False),
        "activations.apply_in_place": (lambda x, y: k.activations.apply_in_place(1, x, y), [f(9), f(9)], True),
        "activations.erf": (k.activations.erf, [f(9), f(9)], True),
        "arithmetic.add": (k.arithmetic.add, [f(4, 5), f(4, 5)], False),
        "arithmetic.add_to": (k.arithmetic.add_to, [f(4, 5), f(4, 5)], False),
        "arithmetic.multiply": (k.arithmetic.multiply, [f(4, 5), f(4, 5)], False),
        "attention.attention": (lambda q, x, v: k.attention.attention(q, x, v, True, 0.5), [f(*heads)] * 3, False),
        "attention.attention_backward": (attention_backward, [*[f(*heads)] * 4, f(2, 3), *[f(*heads)] * 3], False),
        "convolution.depthwise": (k.convolution.depthwise, [f(2, 70, 5), f(3, 5), f(5), 2], False),
        "convolution.depthwise_backward": (k.convolution.depthwise_backward, [f(2, 70, 5), f(3, 5), 2, f(2, 70, 5)], False),
        "cross_entropy.cross_entropy": (
            lambda x, t, losses, g: k.cross_entropy.cross_entropy(x, t, -100, 0.1, losses, g),
            [f(20), rng.integers(0, 5, 4), f(4), f(20)],
            True,
        ),
        "dropout.dropout": (lambda x: k.dropout.dropout(x, 0.5, 7), [f(4, 5)], False),
        "embedding.gather": (k.embedding.gather, [f(6, 3), rng.integers(0, 6, 4), f(4, 3)], True),
        "embedding.scatter_add": (k.embedding.scatter_add, [f(4, 3), rng.integers(0, 6, 4), f(6, 3)], True),
        "embedding.gather_mean": (k.embedding.gather_mean, [f(6, 3), rng.integers(0, 6, (4, 2)), f(4, 3)], True),
        "embedding.scatter_mean": (k.embedding.scatter_mean, [f(4, 3), rng.integers(0, 6, (4, 2)), f(6, 3)], True),
        "gates.gated_tanh": (k.gates.gated_tanh, [f(4, 6)], False),
        "gates.gated_tanh_backward": (k.gates.gated_tanh_backward, [f(4, 6), f(4, 3)], False),
        "linear.bias_backward": (k.linear.bias_backward, [f(4, 5), f(4, 5)], False),
        "matmul.matmul": (k.matmul.matmul, [f(128, 128), f(128, 128), f(128), "gelu"], False),
        "matmul.matmul, add_to": (lambda a, b, c: k.matmul.matmul(a, b, add_to=c), [f(128, 128)] * 3, False),
        "matmul.packed": (k.matmul.packed, [f(5, 7)], False),
        "normalization.norm": (lambda x, w, b: k.normalization.norm(x, w, b, True, 1e-5), [f(4, 5), f(5), f(5)], False),
        "normalization.norm_backward": (
            lambda x, w, b, m, n, g: k.normalization.norm_backward(x, w, b, True, m, n, g),
            [f(4, 5), f(5), f(5), f(4), f(4), f(4, 5)],
            False,
        ),
        "optimizers.sgd": (lambda p, g: k.optimizers.sgd(p, g, 0.1), [f(9), f(9)], True),
        "optimizers.adamw": (adamw, adam, False),
        "newton_schulz.factors": (lambda x: k.newton_schulz.factors(x, 5, (3.4, -4.8, 2.0)), [f(2, 33, 40)], False),
        "optimizers.nesterov": (
            lambda p, q, g, h, m, n: k.optimizers.nesterov([p, q], [g, h], [m, n], 0.9, 0.99),
            [f(3, 4)] * 6,
            False,
        ),
        "optimizers.norm_of_all": (lambda *arrays: k.optimizers.norm_of_all(arrays), [f(7), f(2, 3)], False),
        "optimizers.scaled": (lambda *arrays: k.optimizers.scaled(arrays, 0.5), [f(7), f(2, 3)], False),
        "recurrent.recurrent": (
            lambda *arrays: k.recurrent.recurrent("lstm", *arrays),
            [f(5, 3, 4), f(5, 6), f(5, 6), f(4, 24), f(6, 24), f(24), f(24)],
            False,
        ),
        "recurrent.recurrent, gru": (
            lambda x, h, w, b: k.recurrent.recurrent("gru", x, h, None, None, w, None, b),
            [f(5, 3, 18), f(5, 6), f(6, 18), f(18)],
            False,
        ),
        "recurrent.recurrent_backward": (
            recurrent_backward,
            [f(5, 3, 4), f(5, 6), f(5, 6), f(4, 24), f(6, 24), f(5, 4, 6), f(5, 3, 24), f(5, 3, 6), f(5, 4, 6)],
            False,
        ),
        "recurrent.recurrent_backward, gru": (
            gru_backward,
            [f(5, 3, 18), f(5, 6), f(6, 18), f(5, 3, 6), f(5, 3, 18), f(5, 3, 6), f(5, 3, 6)],
            False,
        ),
        "residual_blocks.residual_blocks": (
            residual_blocks,
            [blocks.numbers, blocks.stages, f(2, 4), keys, values, 1],
            True,
        ),
        "rotary.rotate": (lambda x, c, s: k.rotary.rotate(x, 2, c, s, True, 1e-6), [f(2, 3, 12), f(3, 2), f(3, 2)], False),
        "rotary.rotate_backward": (
            lambda x, g, c, s, n: k.rotary.rotate_backward(x, g, 2, c, s, True, n),
            [f(2, 3, 12), f(2, 3, 12), f(3, 2), f(3, 2), f(6, 2)],
            False,
        ),
        "selective_scan.selective_scan": (k.selective_scan.selective_scan, [*scan, f(2, 70, 3)], False),
        "selective_scan.selective_scan_backward": (
            k.selective_scan.selective_scan_backward,
            [*scan, f(4, 2, 3, k.selective_scan.BLOCK), f(2, 20, 70)],
            False,
        ),
        "softmax.softmax": (k.softmax.softmax, [f(4, 5)], False),
        "softmax.softmax_backward": (k.softmax.softmax_backward, [f(4, 5), f(4, 5)], False),
    }


def distorted(rng, x, few_types):
    """Another array, or number, in place of x."""
    if isinstance(x, str):
        return rng.choice(["", "gelu\n", "tanh", "GELU"])
    if not isinstance(x, np.ndarray):
        return [-1, 5, 6, 2**31, -(2**63), 2**63 - 1][rng.integers(6)]
    kind = rng.integers(8)
    if kind == 0 and x.dtype.kind == "i":  # indices that lead elsewhere
        x = x.copy()
        if x.size == 0:
            return x
        x.flat[rng.integers(max(x.size, 1))] = [-1, -(2**40), -(2**63), 6, 2**40, 2**63 - 1, 5, 0][rng.integers(8)]
        return x
    if kind == 0:
        return x.astype(np.float64)
    if kind == 1 and not few_types:
        return x.astype(rng.choice(["i4", "i8", "f8", "?", ">f4", "f2", "c8", "u1"]))
    if kind == 1 and x.dtype.kind == "f":
        return x.astype(rng.choice(["f8", ">f4", "f2"]))
    if kind == 2 and not few_types:
        return [np.zeros((), x.dtype), x[None], x.reshape(-1), x[..., None], x.reshape(-1)[:0]][rng.integers(5)]
    if kind == 3 and x.ndim:  # with gaps, or the wrong way round
        return [x[::-1], x[..., ::-1], np.repeat(x, 2, -1)[..., ::2], x.T][rng.integers(4)]
    if kind == 4 and not few_types:
        x = x.copy()
        x.flags.writeable = False
        return x
    shape = [max(n + rng.integers(-2, 3), 0) for n in x.shape]
    if kind == 5:
        shape = [int(rng.choice([0, 1, n, 3 * n])) for n in shape]
    return np.resize(x, shape).astype(x.dtype)


def attempt(what, function, guarded):
    """Call it; returns whether it was refused."""
    try:
        with np.errstate(all="ignore"):
            function()
        refused = False
    except ALLOWED as error:
        assert "\n" not in str(error) and len(str(error)) < 500, (what, error)
        refused = True
    assert guarded.whole(), f"{what}: memory beside an array was written to"
    return refused


def knock(rng, name):
    """One attempt at a door."""
    function, arguments, few_types = doors(rng)[name]
    for i in rng.choice(len(arguments), min(len(arguments), rng.integers(1, 3)), replace=False):
        arguments[i] = distorted(rng, arguments[i], few_types)
    guarded = Guarded()

    def guard(x):
        if not isinstance(x, np.ndarray) or not x.flags.c_contiguous:
            return x
        y = guarded.array(x)
        y.flags.writeable = x.flags.writeable
        return y

    arguments = [guard(x) for x in arguments]
    told = [f"{x.dtype} {x.shape}" if isinstance(x, np.ndarray) else x for x in arguments]
    return attempt(f"{name} {told}", lambda: function(*arguments), guarded)


class Small(nn.Module):
    def __init__(self, rng):
        self.embedding = nn.Embedding(5, 3, rng=rng)
        self.lm_head = nn.Linear(3, 5, rng=rng)
        self.scale = nn.Parameter(np.ones((), F))


def state(rng, through_a_file):
    """One attempt to load a state of a model and its optimizer in which something is other than it was saved, and to go on."""
    model = Small(rng)
    make = [optim.AdamW, optim.Adam, lambda p: optim.SGD(p, 0.1, momentum=0.9), lambda p: optim.SGD(p, 0.1)][rng.integers(4)]
    optimizer = make(model.parameters())

    def step():
        loss = mt.cross_entropy(model.lm_head(model.embedding(np.array([0, 1, 4]))) * model.scale, np.array([1, 2, 3]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    saved = {f"model.{n}": a for n, a in model.state_dict().items()}
    saved |= {f"optimizer.{n}": a for n, a in optimizer.state_dict().items()}
    name = sorted(saved)[rng.integers(len(saved))]
    other = sorted(saved)[rng.integers(len(saved))]
    change = rng.integers(5)
    if change == 0:
        del saved[name]
    elif change == 1:
        saved[str(rng.choice([name + "x", "optimizer.99.mean", "optimizer.-1.mean", "optimizer.\u0661.mean", "model."]))] = (
            saved[name]
        )
    elif change == 2:
        saved[name] = saved[other]
    elif saved[name].dtype.kind == "i" and change == 3:
        saved[name] = np.array([-1, -(2**63), 2**63 - 1, 2**60][rng.integers(4)])
    else:
        while (new := distorted(rng, saved[name], False)).dtype.kind == "c":
            pass
        saved[name] = new
    if through_a_file:
        with tempfile.TemporaryDirectory() as folder:
            native = {n: a.astype(a.dtype.newbyteorder("=")) for n, a in saved.items()}
            save_safetensors(Path(folder) / "state.safetensors", native)
            saved = load_safetensors(Path(folder) / "state.safetensors")
    before = {**model.state_dict(), **optimizer.state_dict()}
    arrays = {p: {n: a.dtype.str + str(a.shape) for n, a in kept.items()} for p, kept in optimizer.state.items()}

    def load():
        model.load_state_dict({n[6:]: a for n, a in saved.items() if n.startswith("model.")})
        optimizer.load_state_dict({n[10:]: a for n, a in saved.items() if n.startswith("optimizer.")})

    refused = attempt(f"state {name}", load, Guarded())
    if refused:
        for key, array in optimizer.state_dict().items():
            np.testing.assert_array_equal(array, before[key])
    after = {p: {n: a.dtype.str + str(a.shape) for n, a in kept.items()} for p, kept in optimizer.state.items()}
    for p, kept in after.items():  # what was accepted is what could have been saved (a parameter without any hasn't moved yet)
        assert not kept or kept == arrays[p], (name, kept)
    for _ in range(2):
        step()
    return refused


def main(count, seed):
    names = list(doors(np.random.default_rng(0)))
    refused = {}
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        name = "state" if i % 5 == 0 else names[i % len(names)]
        try:
            bad = state(rng, i % 10 == 0) if name == "state" else knock(rng, name)
        except BaseException:
            print(f"attempt {i} of seed {seed}, at {name}", file=sys.stderr, flush=True)
            raise
        refused[name] = refused.get(name, 0) + bad
    print(count, sum(refused.values()), sum(n > 0 for n in refused.values()), len(names) + 1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
