"""The other kernels of a network, each against PyTorch's own: softmax, attention, normalisation, loss, activation, AdamW."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import Row, compared, has_torch, interleaved, share_of_bandwidth, share_of_peak

import microtensor as mt
from microtensor import kernels
from microtensor.optim import AdamW

Work = Callable[[], Any]


def run(quick: bool) -> list[Row]:
    """The rows of the table."""
    rows = []
    cases = [softmax(4096, 65), softmax(98304, 256), attention(256), attention(1024), loss(), layer_norm(), gelu(), adamw()]
    for case, ours, rival, nbytes, operations in cases:
        contestants = {"microtensor": ours}
        if rival is not None:
            contestants["PyTorch"] = rival
        repeats = 20 if operations == 0 and nbytes < 2**24 else 5
        seconds = interleaved(contestants, rounds=3 if quick else 15, repeats=repeats, rest=0.02)
        row = compared(case, "us", 1e6, seconds, "PyTorch")
        median = statistics.median(seconds["microtensor"])
        row.share = share_of_peak(operations, median) if operations else share_of_bandwidth(nbytes, median)
        rows.append(row)
    return rows


def torch_threads() -> Any:
    """PyTorch with two threads, or None."""
    if not has_torch():
        return None
    import torch

    torch.set_num_threads(2)
    return torch


Case = tuple[str, Work, Work | None, int, int]


def softmax(rows: int, width: int) -> Case:
    """Softmax over the last axis."""
    torch = torch_threads()
    x = np.random.default_rng(0).standard_normal((rows, width), dtype=np.float32)
    rival = None
    if torch:
        rival = functools.partial(torch.softmax, torch.from_numpy(x), -1)
    return f"softmax of {rows} x {width}", lambda: kernels.softmax.softmax(x), rival, 2 * x.nbytes, 0


def attention(time: int) -> Case:
    """Causal attention, forward and backward: batch 16, 6 heads, 32 wide."""
    q, k, v, g = (np.random.default_rng(i).standard_normal((16, 6, time, 32), dtype=np.float32) for i in range(4))

    def ours() -> Any:
        _, logs = kernels.attention.attention(q, k, v, True, 32**-0.5)
        return kernels.attention.attention_backward(q, k, v, g, logs, True, 32**-0.5)

    def in_torch(torch: Any, *inputs: Any) -> Any:
        return torch.nn.functional.scaled_dot_product_attention(*inputs, is_causal=True)

    # Seven products of a matrix of scores, half of which is masked.
    operations = 7 * 2 * 16 * 6 * time * time * 32 // 2
    case = f"causal attention, forward + backward, {time} long"
    return case, ours, both_ways(in_torch, (q, k, v), g), 0, operations


def both_ways(function: Callable[..., Any], inputs: tuple[np.ndarray, ...], cotangent: np.ndarray | None = None) -> Work | None:
    """A function of PyTorch, and its gradients."""
    torch = torch_threads()
    if torch is None:
        return None
    leaves = [torch.from_numpy(x).requires_grad_() for x in inputs]
    gradient = None if cotangent is None else torch.from_numpy(cotangent)
    return lambda: torch.autograd.grad(function(torch, *leaves), leaves, gradient)


def loss() -> Case:
    """Cross-entropy of 4,096 x 65 logits, forward and backward."""
    rng = np.random.default_rng(0)
    logits, target = rng.standard_normal((4096, 65), dtype=np.float32), rng.integers(0, 65, 4096)
    leaf = mt.Tensor(logits, requires_grad=True)

    def in_torch(torch: Any, x: Any) -> Any:
        return torch.nn.functional.cross_entropy(x, torch.from_numpy(target))

    ours = lambda: mt.grad(mt.cross_entropy(leaf, target), leaf)  # noqa: E731
    return "cross-entropy of 4096 x 65, both ways", ours, both_ways(in_torch, (logits,)), 3 * logits.nbytes, 0


def layer_norm() -> Case:
    """LayerNorm of 4,096 x 192, forward and backward."""
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 4096, 192), dtype=np.float32)
    weight, bias = rng.standard_normal((2, 192), dtype=np.float32)

    def ours() -> Any:
        _, means, factors = kernels.normalization.norm(x, weight, bias, True, 1e-5)
        return kernels.normalization.norm_backward(x, weight, bias, True, means, factors, g)

    def in_torch(torch: Any, x: Any, weight: Any, bias: Any) -> Any:
        return torch.nn.functional.layer_norm(x, (192,), weight, bias)

    return "LayerNorm of 4096 x 192, both ways", ours, both_ways(in_torch, (x, weight, bias), g), 5 * x.nbytes, 0


def gelu() -> Case:
    """GELU of 4,096 x 768, forward and backward."""
    x, g = np.random.default_rng(0).standard_normal((2, 4096, 768), dtype=np.float32)

    def ours() -> Any:
        _, derivatives = kernels.activations.activate("gelu", x)
        return kernels.arithmetic.multiply(g, derivatives)

    def in_torch(torch: Any, x: Any) -> Any:
        return torch.nn.functional.gelu(x)

    return "GELU of 4096 x 768, both ways", ours, both_ways(in_torch, (x,), g), 5 * x.nbytes, 0


def adamw() -> Case:
    """An update of the GPT's 2.7 million parameters, in arrays of its sizes."""
    rng = np.random.default_rng(0)
    shapes = [(192, 576), (192, 192), (192, 768), (768, 192), (192,), (576,), (768,), (192,)] * 6
    values = [rng.standard_normal(s, dtype=np.float32) for s in shapes]
    torch = torch_threads()
    rival = None
    if torch:
        tensors = [torch.from_numpy(v.copy()).requires_grad_() for v in values]
        for t in tensors:
            t.grad = t.detach().clone()
        rival = torch.optim.AdamW(tensors, lr=1e-3, fused=True).step
    parameters = [mt.Tensor(v, requires_grad=True) for v in values]
    for p in parameters:
        p.grad = p.detach()
    # Read: parameter, gradient, two means; written: all but the gradient.
    nbytes = 7 * sum(v.nbytes for v in values)
    return "AdamW, 2.7 million parameters", AdamW(parameters, lr=1e-3).step, rival, nbytes, 0
