"""wavenet and mamba: how far they look back, what they keep while they write, and the same models in PyTorch."""

import importlib

import numpy as np
import pytest
from commands import ROOT

import microtensor as mt
import zoo
from zoo.cache import LastInputs
from zoo.inference.beam_search import beam_search
from zoo.inference.decoder import Decoder

SMALL = {
    "wavenet": {"cycles": 2, "doublings": 3, "width": 12, "skip_width": 10, "context": 20},
    "mamba": {"layers": 2, "width": 12, "states": 5, "context": 20},
}


def model(name, **settings):
    """A small model whose logits are far apart."""
    made = zoo.create_model(name, **{**SMALL[name], **settings}).eval()
    rng = np.random.default_rng(1)
    for p in made.parameters():
        p.data = p.data + 0.2 * rng.standard_normal(p.shape, dtype=np.float32)
    return made


def seen_by_the_last(made, time):
    """The places of the tokens on which the last guess depends."""
    tokens = np.random.default_rng(2).integers(0, 65, (1, time))
    with mt.no_grad():
        before = made(tokens).data
        found = []
        for place in range(time):
            changed = tokens.copy()
            changed[0, place] = (changed[0, place] + 1) % 65
            after = made(changed).data
            np.testing.assert_array_equal(after[:, :place], before[:, :place], err_msg="a guess depends on what comes after it")
            if (after[0, -1] != before[0, -1]).any():
                found.append(place)
    return found


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_how_far_a_wavenet_looks_back(kernel_size):
    made = model("wavenet", kernel_size=kernel_size)
    far = made.receptive_field()
    assert far == 1 + 2 * (1 + 2 + 4) * (kernel_size - 1)
    assert seen_by_the_last(made, far + 5) == list(range(5, far + 5))


def test_mamba_looks_back_to_the_start():
    assert seen_by_the_last(model("mamba"), 30) == list(range(30))


def test_mamba_without_selection_has_one_rhythm_for_all_characters():
    made = model("mamba", selective="no")
    assert seen_by_the_last(made, 20) == list(range(20))
    x = mt.Tensor(np.random.default_rng(0).normal(size=(1, 3, 24)).astype(np.float32))
    for chosen in made.blocks[0].selection.choices(x):
        np.testing.assert_array_equal(chosen.data[:, 1:], chosen.data[:, :-1])
    for chosen in model("mamba").blocks[0].selection.choices(x):
        assert (chosen.data[:, 1:] != chosen.data[:, :-1]).all()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("batch", [1, 3])
def test_writing_with_a_cache_is_the_whole_forward(name, batch):
    made = model(name)
    tokens = np.random.default_rng(3).integers(0, 65, (batch, 300))
    with mt.no_grad():
        whole = made(tokens).data
    cache, found = made.new_cache(batch), []
    for start, stop in [(0, 1), (1, 2), (2, 30), (30, 200), *((i, i + 1) for i in range(200, 300))]:
        found.append(made(tokens[:, start:stop], cache).data)
    np.testing.assert_allclose(np.concatenate(found, axis=1), whole, rtol=1e-5, atol=1e-5 * np.abs(whole).max())
    assert cache.length == 300 and cache.capacity is None


@pytest.mark.parametrize("name", SMALL)
def test_a_copied_cache_goes_its_own_way(name):
    decoder = Decoder(model(name))
    decoder.read([1, 2, 3])
    other = decoder.copy()
    other.read([7, 8, 9])
    np.testing.assert_array_equal(decoder.read([4]), Decoder(decoder.model).read([1, 2, 3, 4]))
    assert len(list(beam_search(Decoder(decoder.model), [1, 2, 3], 12, 3))) == 12


def numbers_kept(cache):
    return sum(
        array.size
        for layer in cache.layers
        for array in (getattr(layer, "array", None), getattr(layer, "state", None))
        if array is not None
    )


@pytest.mark.parametrize("name", SMALL)
def test_a_long_text_needs_no_more_memory_than_a_short_one(name):
    made = model(name)
    cache = made.new_cache()
    sizes = []
    for _ in range(400):
        made(np.ones((1, 1), int), cache)
        sizes.append(numbers_kept(cache))
    assert len(set(sizes[100:])) == 1


def test_a_queue_gives_what_was_kept_and_what_is_new():
    rng = np.random.default_rng(0)
    for count in (0, 1, 5, 200):
        queue, steps = LastInputs(count), rng.normal(size=(2, 700, 3))
        end = 0
        for new in [1, 1, 7, 1, 300, *[1] * 390]:
            found = queue.extend(steps[:, end : end + new])
            np.testing.assert_array_equal(found, steps[:, max(end - count, 0) : end + new])
            end += new


@pytest.mark.parametrize("name", SMALL)
def test_it_is_the_same_model_in_pytorch(name, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    state_space = importlib.import_module("state_space")
    made = zoo.create_model(name, dropout=0.0)  # its own size: the benchmark's
    theirs = state_space.torch_model(made)
    text = np.random.default_rng(0).integers(0, 65, (3, 41))
    logits, expected = made(text[:, :-1]), theirs(torch.from_numpy(text[:, :-1]))
    np.testing.assert_allclose(logits.data, expected.detach(), rtol=1e-5, atol=1e-5)
    mt.cross_entropy(logits, text[:, 1:]).backward()
    torch.nn.functional.cross_entropy(expected.reshape(-1, 65), torch.from_numpy(text[:, 1:]).reshape(-1)).backward()
    gradients, parameters = state_space.gradients(theirs), dict(made.named_parameters())
    assert gradients.keys() == parameters.keys()
    for key, gradient in gradients.items():
        np.testing.assert_allclose(parameters[key].grad.data, gradient, rtol=1e-5, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", SMALL)
def test_a_resumed_run_has_the_same_bits(name, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog. " * 40)
    settings = {**SMALL[name], "data": str(text), "batch_size": 4, "dropout": 0.2, "evaluate_every": 4}
    settings |= {"warmup": 0, "min_learning_rate_ratio": 1.0}  # the same rate, whatever the length
    for out, steps, resume in (("whole", 9, False), ("parts", 4, False), ("parts", 9, True)):
        zoo.train_model(name, out=tmp_path / out, resume=resume, steps=steps, **settings)
    assert (tmp_path / "whole/model.safetensors").read_bytes() == (tmp_path / "parts/model.safetensors").read_bytes()
