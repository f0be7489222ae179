"""Rotary positions: what they promise about queries and keys, and what is refused. (The op itself is in `cases`.)"""

import numpy as np
import pytest
from drawing import DTYPES, SEEDS
from hypothesis import given
from hypothesis import strategies as st

import microtensor as mt

pytestmark = pytest.mark.usefixtures("all_work_is_shared")


def scores(packed, heads, first):
    query, key, _ = mt.split_heads(mt.rotary(packed, heads, first=first), heads)
    return query @ key.swapaxes(-1, -2)


@given(seed=SEEDS, first=st.integers(0, 1000))
def test_scores_depend_on_the_distance_alone(seed, first):
    packed = np.random.default_rng(seed).normal(size=(2, 9, 3 * 2 * 4))
    np.testing.assert_allclose(scores(packed, 2, first), scores(packed, 2, 0), atol=1e-10)


@given(seed=SEEDS, dtype=DTYPES)
def test_turning_keeps_lengths_and_leaves_values(seed, dtype):
    packed = np.random.default_rng(seed).normal(size=(301, 3 * 2 * 6)).astype(dtype)
    before = packed.copy()
    turned = mt.rotary(packed, 2, first=7)
    parts, given_parts = (np.stack(mt.split_heads(x, 2)) for x in (turned, packed))
    np.testing.assert_allclose(np.linalg.norm(parts, axis=-1), np.linalg.norm(given_parts, axis=-1), rtol=1e-5)
    np.testing.assert_array_equal(parts[2], given_parts[2])
    np.testing.assert_array_equal(packed, before)
    normalised = np.stack(mt.split_heads(mt.rotary(packed, 2, normalise=True), 2))
    np.testing.assert_allclose(np.linalg.norm(normalised[:2], axis=-1), np.sqrt(6), rtol=1e-3)


@given(seed=SEEDS, dtype=DTYPES, split=st.integers(1, 8))
def test_a_text_read_in_two_parts_is_turned_as_a_whole(seed, dtype, split):
    packed = np.random.default_rng(seed).normal(size=(2, 9, (4 + 2) * 4)).astype(dtype)
    whole = mt.rotary(packed, 4, 1, first=5)
    parts = [mt.rotary(packed[:, :split], 4, 1, first=5), mt.rotary(packed[:, split:], 4, 1, first=5 + split)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape, heads, kv_heads", [((4, 18), 2, None), ((18,), 3, None), ((4, 24), 0, None), ((4, 24), 4, 0)])
def test_what_does_not_fit_is_refused(shape, heads, kv_heads):
    with pytest.raises(ValueError, match="heads of an even width"):
        mt.rotary(mt.Tensor(np.ones(shape)), heads, kv_heads)


def test_heads_that_do_not_share_keys_evenly_are_refused():
    with pytest.raises(ValueError, match="can't serve"):
        mt.multi_head_attention(mt.Tensor(np.ones((4, 10))), 3, kv_heads=2)


def test_pytorch_gives_the_same_values_and_gradients():
    torch = pytest.importorskip("torch")
    heads, kv_heads, width, time = 6, 2, 8, 70
    rng = np.random.default_rng(0)
    array = rng.normal(size=(3, time, (heads + 2 * kv_heads) * width)).astype(np.float32)
    g = rng.normal(size=(3, time, heads * width)).astype(np.float32)

    packed = mt.Tensor(array, requires_grad=True)
    turned = mt.rotary(packed, heads, kv_heads, normalise=True)
    y = mt.multi_head_attention(turned, heads, causal=True, kv_heads=kv_heads)
    y.backward(g)

    theirs = torch.tensor(array, requires_grad=True)
    apart = theirs.reshape(3, time, heads + 2 * kv_heads, width).transpose(1, 2)
    query, key, value = apart[:, :heads], apart[:, heads : heads + kv_heads], apart[:, heads + kv_heads :]
    angles = torch.arange(time)[:, None] / 10000 ** (torch.arange(width // 2) / (width // 2))

    def turn(x):
        x = torch.nn.functional.rms_norm(x, (width,), eps=1e-6)
        a, b = x.chunk(2, -1)
        return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)

    z = torch.nn.functional.scaled_dot_product_attention(turn(query), turn(key), value, is_causal=True, enable_gqa=True)
    z = z.transpose(1, 2).reshape(3, time, heads * width)
    z.backward(torch.tensor(g))
    np.testing.assert_allclose(y.data, z.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(packed.grad.data, theirs.grad.numpy(), atol=1e-5)
