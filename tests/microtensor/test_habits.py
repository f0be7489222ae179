"""What users of PyTorch and NumPy write without thinking: it works, or the error says what to write instead."""

import subprocess
import sys

import numpy as np
import pytest

import microtensor as mt
from microtensor import hints, nn, optim


def test_nn_and_optim_come_with_the_package_and_only_when_asked_for():
    code = (
        "import sys, microtensor as mt; assert 'microtensor.nn' not in sys.modules;"
        "mt.optim.Adam(mt.nn.Linear(1, 1).parameters()); assert {'nn', 'optim', 'exp'} <= set(dir(mt))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_loss_is_formatted_and_rounded_as_a_number():
    loss = mt.Tensor(1.23456, requires_grad=True)
    assert f"{loss:.3f} {loss:8.2e}" == "1.235 1.23e+00" and round(loss, 3) == 1.235 and round(loss) == 1
    assert f"{mt.Tensor([1.0, 2.0])}" == "Tensor([1., 2.])"
    for call in (lambda: f"{mt.ones(2):.3f}", lambda: round(mt.ones(2), 3)):
        with pytest.raises(TypeError, match=r"shape \(2,\).*np\.round"):
            call()


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "sigmoid", "relu", "flatten"])
def test_a_method_is_its_op(name):
    t = mt.Tensor([[0.5, 1.0], [2.0, 3.0]], requires_grad=True)
    found = getattr(t, name)()
    assert found.tolist() == getattr(mt, name)(t).tolist() and found.requires_grad
    assert getattr(mt.Tensor, name).__doc__ == getattr(mt, name).__doc__


def test_shapes():
    t = mt.zeros(2, 3, 4)
    assert t.view(6, -1).shape == (6, 4) and t.flatten(1).shape == (2, 12) and t.flatten(0, 1).shape == (6, 4)
    assert t.flatten().shape == (24,) and mt.zeros().flatten().shape == (1,)
    with pytest.raises(ValueError, match="comes after"):
        t.flatten(2, 1)


@pytest.mark.parametrize("place", hints.HINTS)
def test_every_missing_name_says_what_to_write(place):
    owner = {
        "Tensor": mt.zeros(2), "Module": nn.Linear(2, 3), "Optimizer": optim.SGD([mt.zeros(2, requires_grad=True)], 0.1),
        "microtensor": mt, "microtensor.nn": nn, "microtensor.optim": optim,
    }[place]  # fmt: skip
    for name, hint in hints.HINTS[place].items():
        assert not hasattr(owner, name) and name not in dir(owner), name
        with pytest.raises(AttributeError) as caught:
            getattr(owner, name)
        assert str(caught.value).endswith(f"has no attribute {name!r}: {hint}")
    with pytest.raises(AttributeError, match="misspelt"):
        owner.misspelt
    with pytest.raises(TypeError, match=r"write mt\.Tensor\(data\)"):
        mt.tensor([1.0])


def test_a_name_that_is_missing_can_be_used_by_a_subclass_or_an_object():
    class Net(nn.Module):
        def children(self):
            return 2

    net = Net()
    net.buffers = 3
    assert net.children() == 2 and net.buffers == 3 and {"children", "buffers"} <= set(dir(net)) and "cuda" not in dir(net)


def test_what_the_hints_say_to_write_is_there():
    text = " ".join(hint for table in hints.HINTS.values() for hint in table.values())
    for package, known in ("mt", mt), ("nn", nn), ("optim", optim), ("np", np):
        for word in text.replace("(", " ").replace(",", " ").replace("`", " ").replace(":", " ").split():
            prefix, _, name = word.rstrip(".;)").partition(".")
            if prefix == package and name:
                assert hasattr(known, name.split(".")[0]), word


def test_a_float64_input_of_a_float32_layer_is_an_error():
    layers = [
        nn.Linear(2, 3),
        nn.LayerNorm(2),
        nn.RMSNorm(2),
        nn.Sequential(nn.ReLU(), nn.Linear(2, 3)),
        nn.TiedLinear(nn.Embedding(5, 2)),
    ]
    for layer in layers:
        for x in (np.ones((4, 2)), mt.Tensor(np.ones((4, 2))), np.ones((4, 2), int)):
            with pytest.raises(TypeError, match=rf"{x.dtype}.*float32; write x\.astype\(np\.float32\)"):
                layer(x)
        assert layer(np.ones((4, 2), np.float32)).dtype == np.float32
    assert nn.Linear(2, 3)([[1.0, 2.0]]).dtype == np.float32
    layer = nn.Linear(2, 3)
    layer.weight, layer.bias = layer.weight.astype(np.float64), layer.bias.astype(np.float64)
    assert layer(np.ones((4, 2))).dtype == np.float64


def test_a_notebook_shows_a_table():
    html = mt.arange(400).reshape(20, 20)._repr_html_()
    assert html.count("<tr>") == 13 and "…" in html and "<td>399</td>" in html and "Tensor 20x20, int64" in html
    assert "<td>0.3333</td>" in mt.Tensor([1 / 3], requires_grad=True)._repr_html_()
    for t in (mt.zeros(), mt.zeros(2, 2, 2), mt.zeros(0, 3)):
        assert t._repr_html_().startswith("<pre>Tensor ")
