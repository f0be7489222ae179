"""modern_gpt: its size, its parts against PyTorch's, its cache, and what its options refuse."""

import numpy as np
import pytest

import microtensor as mt
from zoo.cache import LayerKV
from zoo.errors import UsageError
from zoo.inference.decoder import Decoder
from zoo.models.modern_gpt import ModernGPT, Recipe


def small(**settings):
    settings = {"layers": 2, "heads": 4, "width": 32, "context": 16, "dropout": 0.0, **settings}
    model = ModernGPT(Recipe(**settings), 11, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for p in model.parameters():  # some begin as zeros
        p.data = rng.normal(size=p.shape) * 0.2
    return model


def test_it_has_the_stated_size():
    model = ModernGPT(Recipe(), 65, np.random.default_rng(0))
    assert sum(p.size for p in model.parameters()) == 2_679_168
    assert sum(p.size for p in ModernGPT(Recipe(feed_forward="swiglu"), 65, np.random.default_rng(0)).parameters()) == 2_679_168


def test_it_begins_without_an_opinion_and_logits_are_capped():
    tokens = np.arange(10)[None]
    assert not ModernGPT(Recipe(layers=1), 11, np.random.default_rng(0))(tokens).data.any()
    model = small()
    model.lm_head.weight.data = 1e4 * model.lm_head.weight.data
    assert 14.9 < np.abs(model(tokens).data).max() <= 15


@pytest.mark.parametrize("settings", [{}, {"kv_heads": 1}, {"kv_heads": 2, "feed_forward": "swiglu"}])
def test_the_block_is_pytorchs(settings):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    model = small(**settings)
    block = model.blocks[0]
    heads, kv_heads, width, time = 4, model.recipe.kv_heads, 8, 16
    rng = np.random.default_rng(2)
    array, g = (rng.normal(size=(3, time, 32)).astype(np.float32) for _ in range(2))

    x = mt.Tensor(array, requires_grad=True)
    y = block(x)
    y.backward(g)

    theirs = torch.tensor(array, requires_grad=True)
    weights = {name: torch.tensor(p.data.copy(), requires_grad=True) for name, p in block.named_parameters()}
    packed = F.rms_norm(theirs, (32,), eps=1e-6) @ weights["attention.qkv.weight"]
    apart = packed.reshape(3, time, heads + 2 * kv_heads, width).transpose(1, 2)
    query, key, value = apart[:, :heads], apart[:, heads : heads + kv_heads], apart[:, heads + kv_heads :]
    angles = torch.arange(time)[:, None] / 10000 ** (torch.arange(width // 2) / (width // 2))

    def turn(x):
        a, b = F.rms_norm(x, (width,), eps=1e-6).chunk(2, -1)
        return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)

    mixed = F.scaled_dot_product_attention(turn(query), turn(key), value, is_causal=True, enable_gqa=True)
    z = theirs + mixed.transpose(1, 2).reshape(3, time, 32) @ weights["attention.out.weight"]
    n = F.rms_norm(z, (32,), eps=1e-6)
    if "feed_forward" in settings:
        hidden = F.silu(n @ weights["feed_forward.gate.weight"]) * (n @ weights["feed_forward.up.weight"])
    else:
        hidden = F.relu(n @ weights["feed_forward.up.weight"]) ** 2
    z = z + hidden @ weights["feed_forward.down.weight"]
    z.backward(torch.tensor(g))
    np.testing.assert_allclose(y.data, z.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(x.grad.data, theirs.grad.numpy(), atol=1e-5)
    for name, p in block.named_parameters():
        np.testing.assert_allclose(p.grad.data, weights[name].grad.numpy(), atol=2e-5, rtol=1e-5, err_msg=name)


def test_the_cache_gives_the_logits_of_the_whole():
    model = small(kv_heads=2)
    tokens = np.random.default_rng(0).integers(0, 11, (2, 16))
    whole, cache = model(tokens).data, model.new_cache(2)
    parts = [model(tokens[:, i:j], cache).data for i, j in ((0, 5), (5, 6), (6, 16))]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)


def test_a_long_text_slides_without_being_read_again():
    model = small(layers=1)
    model.eval()
    tokens = np.random.default_rng(0).integers(0, 11, 50).tolist()
    decoder, rows = Decoder(model), []
    forward = model.forward
    model.forward = lambda tokens, cache=None: rows.append(tokens.shape[1]) or forward(tokens, cache)
    for token in tokens:
        logits = decoder.read([token])
    assert rows == [1] * 50
    # With one layer, what is seen of the last 16 tokens is all there is.
    np.testing.assert_allclose(logits, model(np.array([tokens[-16:]])).data[0, -1], atol=1e-5)
    assert np.isfinite(Decoder(model).read(tokens * 10)).all() and max(rows) == 16


def test_a_layer_keeps_its_window():
    layer, numbers = LayerKV(window=4), np.arange(200.0).reshape(1, 100, 2)
    for i in range(100):
        keys, values = layer.extend(numbers[:, i : i + 1], -numbers[:, i : i + 1])
        np.testing.assert_array_equal(keys, numbers[:, max(i - 3, 0) : i + 1])
        np.testing.assert_array_equal(values, -keys)
    assert layer.length == 100 and layer.keys.shape[-2] <= 64


@pytest.mark.parametrize(
    "settings, words", [({"heads": 5}, "--heads: 5"), ({"width": 18}, "even width"), ({"kv_heads": 4}, "--kv-heads: 4")]
)
def test_heads_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        Recipe(**settings)
