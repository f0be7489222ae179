"""Modules and layers."""

import copy
import pickle

import numpy as np
import pytest

import microtensor as mt
from microtensor import nn, optim
from microtensor.serialize import load_safetensors, save_safetensors


class Block(nn.Module):
    def __init__(self, width, rng):
        self.norm = nn.LayerNorm(width)
        self.layers = [nn.Linear(width, width, rng=rng), nn.Linear(width, width, bias=False, rng=rng)]
        self.drop = nn.Dropout(0.5, rng)
        self.extras = {"rms": nn.RMSNorm(width)}

    def forward(self, x):
        for layer in self.layers:
            x = mt.tanh(layer(self.norm(x)))
        return self.extras["rms"](self.drop(x))


class Net(nn.Module):
    def __init__(self, rng):
        self.table = nn.Embedding(5, 3, rng=rng)
        self.blocks = [Block(3, rng), Block(3, rng)]
        self.tied = self.table

    def forward(self, tokens):
        x = self.table(tokens)
        for block in self.blocks:
            x = block(x)
        return x @ self.table.weight.T


def net(seed=0):
    return Net(np.random.default_rng(seed))


def test_parameters_have_paths_for_names_and_come_once():
    names = [name for name, _ in net().named_parameters()]
    assert names[:3] == ["table.weight", "blocks.0.norm.weight", "blocks.0.norm.bias"]
    assert "blocks.1.layers.1.weight" in names and "blocks.0.extras.rms.weight" in names
    assert len(names) == len(set(names)) == 13
    assert net().num_parameters() == 15 + 2 * (6 + 12 + 9 + 3)


def test_train_and_eval_reach_every_module():
    model = net()
    tokens = np.array([[0, 1, 2]])
    assert not np.array_equal(model(tokens).data, model(tokens).data)
    model.eval()
    np.testing.assert_allclose(model(tokens).data, model(tokens).data, rtol=1e-5)
    assert not model.blocks[1].drop.training and model.train().blocks[1].drop.training


def test_state_dict_round_trip_and_refusals():
    a, b = net(0).eval(), net(1).eval()
    state = a.state_dict()
    b.load_state_dict(state)
    tokens = np.array([[0, 1, 2]])
    np.testing.assert_allclose(a(tokens).data, b(tokens).data, rtol=1e-5)
    before = b.state_dict()
    for change, message in [
        ({"table.weight": None}, "missing table.weight"),
        ({"other": np.zeros(1)}, "unknown other"),
        ({"table.weight": np.zeros((5, 4), np.float32)}, r"table.weight should be float32 \(5, 3\), but is float32 \(5, 4\)"),
        ({"table.weight": np.zeros((5, 3))}, "float64"),
    ]:
        bad = {k: v for k, v in {**state, "blocks.0.norm.bias": np.full(3, 9, np.float32), **change}.items() if v is not None}
        with pytest.raises(ValueError, match=message):
            b.load_state_dict(bad)
        for name, array in b.state_dict().items():
            np.testing.assert_array_equal(array, before[name])


def test_gradients_reach_every_parameter():
    model = net().eval()
    mt.cross_entropy(model(np.array([[0, 1], [2, 3]])), np.array([[1, 2], [3, 4]])).backward()
    assert all(p.grad is not None and np.any(p.grad.data) for name, p in model.named_parameters() if "1.norm.bias" not in name)
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_the_whole_network_has_the_right_gradient():
    model = net().eval()
    names, parameters = zip(*model.named_parameters(), strict=True)

    def loss(*values):
        originals = {}
        for name, value in zip(names, values, strict=True):
            owner, leaf = _resolve(model, name)
            originals[name] = getattr(owner, leaf)
            setattr(owner, leaf, value)
        try:
            return mt.cross_entropy(model(np.array([[0, 1], [2, 2]])), np.array([[1, 2], [3, -100]]))
        finally:
            for name, original in originals.items():
                owner, leaf = _resolve(model, name)
                setattr(owner, leaf, original)

    assert mt.gradcheck(loss, parameters, rtol=1e-4) and mt.gradcheck(loss, parameters, rtol=1e-4, fast=True)


def _resolve(model, name):
    *path, leaf = name.split(".")
    owner = model
    for part in path:
        owner = owner[int(part)] if part.isdigit() else owner[part] if isinstance(owner, dict) else getattr(owner, part)
    return owner, leaf


def test_what_a_module_remembers_is_no_parameter():
    model = nn.Linear(2, 2)
    model.last = model(np.ones((1, 2), np.float32))
    assert model.num_parameters() == 6 and list(model.state_dict()) == ["weight", "bias"]


def test_layers_refuse_what_they_cannot_be():
    with pytest.raises(ValueError, match="below 1"):
        nn.Dropout(1.0)
    with pytest.raises(TypeError, match="forward"):
        nn.Module()(1)


def test_a_sequence_of_layers():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(2, 3, rng=rng), nn.ReLU(), lambda x: x * 2, nn.Linear(3, 1, rng=rng))
    x = np.ones((4, 2), np.float32)
    np.testing.assert_array_equal(model(x).data, model[3](2 * mt.relu(model[0](x))).data)
    assert list(model.state_dict()) == ["0.weight", "0.bias", "3.weight", "3.bias"] and len(model) == 4
    assert model[-1] is list(model)[3] and nn.Sequential()(3) == 3
    assert not model.eval()[1].training
    with pytest.raises(TypeError, match=r"layer 0 is a list.*Sequential\(\*layers\)"):
        nn.Sequential([nn.ReLU()])
    with pytest.raises(TypeError, match="layer 1 is a int, not a module"):
        nn.Sequential(nn.ReLU(), 3)


@pytest.mark.parametrize(
    "layer, op",
    [
        (nn.ReLU(), mt.relu), (nn.GELU(), mt.gelu), (nn.GELU("tanh"), lambda x: mt.gelu(x, "tanh")), (nn.SiLU(), mt.silu),
        (nn.Tanh(), mt.tanh), (nn.Sigmoid(), mt.sigmoid),
    ],
)  # fmt: skip
def test_activations_as_layers(layer, op):
    x = mt.Tensor([-1.0, 0.5, 2.0], requires_grad=True)
    np.testing.assert_array_equal(layer(x).data, op(x).data)
    assert layer(x).requires_grad and not layer.parameters()


def test_a_parameter_is_a_tensor_to_be_learned():
    class Scale(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter([1.0, 2.0])
            self.frozen = nn.Parameter([1.0], requires_grad=False)

    module = Scale()
    assert (
        type(module.weight) is mt.Tensor
        and isinstance(module.weight, nn.Parameter)
        and list(module.state_dict()) == ["weight", "frozen"]
    )
    assert isinstance(module.frozen, nn.Parameter) and not isinstance(module.weight * 2, nn.Parameter)
    assert not isinstance(3, nn.Parameter)


def test_a_frozen_parameter_is_saved_and_loaded_and_not_trained(tmp_path):
    model = net().eval()
    names = [name for name, _ in model.named_parameters()]
    count, before = model.num_parameters(), model.state_dict()
    model.mask = mt.ones(2)  # no parameter: it was never to be learned
    for p in model.blocks[0].layers[0].parameters():
        p.requires_grad = False
    assert [name for name, _ in model.named_parameters()] == names == list(model.state_dict())
    assert model.num_parameters() == count and "weight 3x3 (frozen)" in repr(model)
    for make in (lambda ps: optim.SGD(ps, 0.1, 0.9), lambda ps: optim.AdamW(ps, 0.1)):
        optimizer = make(model.parameters())
        for _ in range(2):
            mt.cross_entropy(model(np.array([[0, 1], [2, 3]])), np.array([[1, 2], [3, 4]])).backward()
            optimizer.step()
            optimizer.zero_grad()
    for name, array in model.state_dict().items():
        assert np.array_equal(array, before[name]) == name.startswith("blocks.0.layers.0")

    save_safetensors(tmp_path / "model.safetensors", model.state_dict())
    other = net(1).eval()
    other.load_state_dict(load_safetensors(tmp_path / "model.safetensors"))
    tokens = np.array([[0, 1, 2]])
    np.testing.assert_allclose(other(tokens).data, model(tokens).data, rtol=1e-5)
    model.load_state_dict(before)  # a whole file, into a model that is partly frozen
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert list(twin.state_dict()) == names
        assert [p.requires_grad for p in twin.parameters()] == [p.requires_grad for p in model.parameters()]
    for p in model.parameters():
        p.requires_grad = True
    assert "frozen" not in repr(model)
