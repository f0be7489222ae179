"""Few rows that aren't recorded: NumPy computes what the kernels compute, and no compiler is loaded for it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawing import DTYPES, SEEDS
from hypothesis import given
from hypothesis import strategies as st

import microtensor as mt
from microtensor import kernels
from microtensor.kernels.runtime import config

FORWARDS = {
    "embedding": lambda x, w, b: mt.embedding(np.array([[1, 0], [1, 2]]), x.reshape((-1, x.shape[-1]))),
    "embedding_bag": lambda x, w, b: mt.embedding_bag(np.array([[1, 0], [1, 2]]), x.reshape((-1, x.shape[-1]))),
    "linear": lambda x, w, b: mt.linear(x, w),
    "linear with a bias": lambda x, w, b: mt.linear(x, w, b),
    "linear with gelu": lambda x, w, b: mt.linear(x, w, b, "gelu"),
    "linear with gelu_tanh": lambda x, w, b: mt.linear(x, w, None, "gelu_tanh"),
    "linear with silu": lambda x, w, b: mt.linear(x, w, b, "silu"),
    "linear with tanh": lambda x, w, b: mt.linear(x, w, None, "tanh"),
    "linear with relu": lambda x, w, b: mt.linear(x, w, b, "relu"),
    "layer_norm": lambda x, w, b: mt.layer_norm(x, w[:, 0], w[:, 1]),
    "layer_norm without a weight": lambda x, w, b: mt.layer_norm(x),
    "rms_norm": lambda x, w, b: mt.rms_norm(x, w[:, 0]),
    "softmax": lambda x, w, b: mt.softmax(x),
    "softmax of another axis": lambda x, w, b: mt.softmax(x, axis=0),
    "log_softmax": lambda x, w, b: mt.log_softmax(x),
    "gelu": lambda x, w, b: mt.gelu(x),
    "gelu_tanh": lambda x, w, b: mt.gelu(x, "tanh"),
    "silu": lambda x, w, b: mt.silu(x),
    "tanh": lambda x, w, b: mt.tanh(x),
    "relu": lambda x, w, b: mt.relu(x),
    "squared_relu": lambda x, w, b: mt.squared_relu(x),
    "erf": lambda x, w, b: mt.erf(x),
    "matmul": lambda x, w, b: mt.matmul(x, w),
    "attention_weights": lambda x, w, b: mt.attention_weights(x, x, causal=True),
    "attention": lambda x, w, b: mt.scaled_dot_product_attention(x, x, x, causal=True, scale=0.3),
    "attention with a mask": lambda x, w, b: mt.scaled_dot_product_attention(x, x, x, mask=np.tri(x.shape[-2], dtype=bool)),
    "multi_head_attention": lambda x, w, b: mt.multi_head_attention(x, heads=2, causal=True),
    "multi_head_attention with shared keys": lambda x, w, b: mt.multi_head_attention(x, heads=4, causal=True, kv_heads=1),
    "rotary": lambda x, w, b: mt.rotary(x, heads=2, first=3),
    "rotary of normalised heads": lambda x, w, b: mt.rotary(x, heads=4, kv_heads=1, normalise=True),
}
every_forward = pytest.mark.parametrize("name", FORWARDS)


def inputs(seed, dtype, lead=(2, 7)):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype(dtype) for s in ((*lead, 12), (12, 30), 30)]


@every_forward
@given(seed=SEEDS, dtype=DTYPES, lead=st.sampled_from([(2, 7), (3, 1), (1, 1, 5), (4,)]))
def test_they_agree_with_the_kernels(name, seed, dtype, lead):
    arrays = inputs(seed, dtype, lead)
    before = [x.copy() for x in arrays]
    forward = FORWARDS[name]
    few = forward(*arrays)
    with mt.no_grad():
        tensor = forward(*(mt.Tensor(x, requires_grad=True) for x in arrays))
    recorded = forward(*(mt.Tensor(x, requires_grad=True) for x in arrays))

    assert type(few) is np.ndarray and few.dtype == tensor.dtype == dtype
    assert recorded.requires_grad and not tensor.requires_grad
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(few, recorded.data, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(tensor.data, few, rtol=tolerance, atol=tolerance)
    for x, was in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(x, was, err_msg="it changed its input")
        assert not np.shares_memory(few, x)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu", "tanh", "relu", "squared_relu"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_agree_to_the_stated_errors_and_far_out(name, dtype):
    near = np.linspace(-10, 10, 20_001).astype(dtype)
    far = np.array([200.0, -200.0, 1e30, -1e30, np.inf, -np.inf, np.nan], dtype)
    f = FORWARDS[name]
    with np.errstate(all="raise", under="ignore", over="ignore" if name == "squared_relu" else "raise"):
        np.testing.assert_allclose(
            f(near, 0, 0), kernels.activations.activate(name, near)[0], rtol=1e-6 if name == "squared_relu" else 0,
            atol=2e-6 if dtype == np.float32 else 5e-15,
        )  # fmt: skip
        np.testing.assert_allclose(f(far, 0, 0), kernels.activations.activate(name, far)[0], atol=1e-30)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("f", [mt.softmax, mt.log_softmax])
def test_softmax_of_odd_rows(f, dtype):
    x = np.array([[-np.inf] * 3, [0, -np.inf, 1], [1e30, -1e30, 1e30], [0, np.nan, 1], [-1e30, -1e30, -1e30]], dtype)
    np.testing.assert_allclose(f(x), f(mt.Tensor(x, requires_grad=True)).data, rtol=1e-6)
    with pytest.raises(TypeError, match="floats"):
        f(np.array([[1, 2]]))


def test_norms_of_a_constant_row_are_finite():
    x = np.full((2, 5), 3.0, np.float32)
    np.testing.assert_allclose(mt.layer_norm(x), 0, atol=1e-3)
    assert np.isfinite(mt.rms_norm(np.zeros((2, 5), np.float32))).all()


@pytest.mark.parametrize("bad", [-1, 3, 2**40])
@pytest.mark.parametrize("f", [mt.embedding, mt.embedding_bag])
def test_indices_outside_the_table_are_errors(f, bad):
    table = np.ones((3, 4), np.float32)
    with mt.no_grad():
        for t in (table, mt.Tensor(table, requires_grad=True)):
            with pytest.raises(IndexError, match=rf"index {bad} is outside the table's rows 0\.\.2"):
                f(np.array([[0, bad]]), t)
    assert f(np.zeros((0, 2), int), table).shape in ((0, 2, 4), (0, 4))


def test_the_shapes_of_errors_are_the_same():
    with mt.no_grad():
        with pytest.raises(ValueError, match=r"matmul.*\(2, 3\).*\(4, 5\).*must be equal"):
            mt.matmul(mt.Tensor(np.ones((2, 3))), np.ones((4, 5)))
        with pytest.raises(ValueError, match="softmax"):
            mt.softmax(np.ones((2, 3)), axis=2)


def test_training_and_many_rows_are_the_kernels(monkeypatch):
    class KernelUsed(Exception):
        pass

    def used(*args):
        raise KernelUsed

    for module, name in [
        (kernels.softmax, "softmax"),
        (kernels.matmul, "matmul"),
        (kernels.normalization, "norm"),
        (kernels.attention, "attention"),
    ]:
        monkeypatch.setattr(module, name, used)
    few, many = np.ones((4, 6, 12), np.float32), np.ones((config.FEW_ROWS + 1, 12), np.float32)
    w = np.ones((12, 3), np.float32)
    for f in (mt.softmax, mt.layer_norm, lambda x: mt.linear(x, w), lambda x: mt.multi_head_attention(x, 2)):
        f(few)
        with pytest.raises(KernelUsed):
            f(many)
        t = mt.Tensor(few, requires_grad=True)
        with pytest.raises(KernelUsed):
            f(t)
        with mt.no_grad():
            f(t)
    long = np.ones((1, config.FEW_ROWS, 4), np.float32)
    mt.scaled_dot_product_attention(long, long, long)
    with pytest.raises(KernelUsed):
        mt.scaled_dot_product_attention(long, *[np.ones((1, config.FEW_NUMBERS // config.FEW_ROWS + 1, 4), np.float32)] * 2)


def test_nothing_is_compiled_or_even_imported():
    code = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(mt.__file__).parent.parent)!r}]
import numpy as np
import microtensor as mt
from microtensor import nn
rng = np.random.default_rng(0)
FORWARDS = {{}}
source = open({__file__!r}).read()
exec(source[source.index("FORWARDS = {{"):source.index("every_forward")])
for dtype in (np.float32, np.float64):
    for lead in ((1, 1), (2, 7), (1, 256), (4,)):
        arrays = [rng.normal(size=s).astype(dtype) for s in ((*lead, 12), (12, 30), 30)]
        for name, forward in FORWARDS.items():
            if lead == (4,) and "embedding" in name or lead == (1, 1) and "embedding" in name:
                continue
            forward(*arrays)
            with mt.no_grad():
                forward(*(mt.Tensor(x, requires_grad=True) for x in arrays))
            assert "numba" not in sys.modules, name
with mt.no_grad():
    model = [nn.Embedding(9, 12, rng=rng), nn.LayerNorm(12), nn.Linear(12, 36, rng=rng, activation="gelu")]
    x = np.array([[1, 2, 3]])
    for layer in model:
        x = layer(x)
    x = x + x * 2 - x
    mt.softmax(mt.multi_head_attention(x, heads=3, causal=True)[:, -1]).argmax()
print("numba" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
