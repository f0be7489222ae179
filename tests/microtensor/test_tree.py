"""A module as a tree of text, and as a table."""

import numpy as np

import microtensor as mt
from microtensor import nn


class Block(nn.Module):
    def __init__(self, width):
        self.norm = nn.LayerNorm(width)
        self.layers = [nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width, bias=False)]
        self.extras = {"drop": nn.Dropout(0.5)}


class Net(nn.Module):
    def __init__(self):
        self.table = nn.Embedding(5, 8)
        self.blocks = [Block(8) for _ in range(3)]
        self.head = nn.TiedLinear(self.table)
        self.scale = nn.Parameter(1.0)


def test_a_line_for_each_module_and_one_for_those_that_are_alike():
    assert repr(Net()).split("\n") == [
        "Net: 713 parameters  (scale number)",
        "  table: Embedding               40  weight 5x8",
        "  blocks.0-2: 3 x Block     3 x 224",
        "    norm: LayerNorm              16  weight 8, bias 8, eps=1e-05",
        "    layers.0-1: 2 x Linear   2 x 72  weight 8x8, bias 8",
        "    layers.2: Linear             64  weight 8x8",
        "    extras.drop: Dropout             p=0.5",
        "  head: TiedLinear",
        "    embedding: Embedding             the same as table",
    ]


def test_blocks_that_differ_within_are_shown_apart():
    net = Net()
    net.blocks[1].extras["drop"].p = 0.25
    text = repr(net)
    assert "blocks.0: Block" in text and "blocks.1: Block" in text and "blocks.2: Block" in text
    net.blocks[0].extras["drop"].p = 0.25
    assert "blocks.0-1: 2 x Block" in repr(net) and "blocks.2: Block" in repr(net)


def test_a_parameter_used_twice_counts_once():
    layer = nn.Linear(2, 2)
    layer.weight2 = layer.weight
    assert repr(layer) == "Linear: 6 parameters  (weight 2x2, bias 2, weight2 2x2 (the same as weight))"
    assert repr(nn.ReLU()) == "ReLU: 0 parameters"


def test_the_count_is_the_modules():
    for module in (Net(), Block(4), nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))):
        assert f": {module.num_parameters()} parameters" in repr(module)


def test_what_holds_itself_is_shown_once():
    net = Net()
    net.blocks[0].owner = net
    assert "owner: Net" in repr(net) and "the same as the whole" in repr(net)
    assert net.num_parameters() == 713 and len(list(net.named_modules())) == len(list(Net().named_modules()))


def test_deep_and_wide_modules():
    deep = nn.Linear(1, 1)
    for _ in range(5000):
        deep = nn.Sequential(deep)
    assert deep.num_parameters() == 2 and "and 4,988 modules within" in repr(deep)
    assert len(repr(deep).split("\n")) == 13
    wide = nn.Module()
    wide.layers = [nn.Linear(1, 1) for _ in range(2000)]
    assert repr(wide) == "Module: 4,000 parameters\n  layers.0-1999: 2000 x Linear  2000 x 2  weight 1x1, bias 1"


def test_a_notebook_shows_a_table():
    net = Net()
    net.kind = "<b>"
    html = net._repr_html_()
    assert html.count("<tr>") == 10 and "3 x 224" in html and "&lt;b&gt;" in html and "<b>" not in html


def test_sequential_with_functions():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(2, 3, rng=rng), mt.tanh, nn.Linear(3, 1, rng=rng))
    assert repr(model).split("\n") == [
        "Sequential: 13 parameters",
        "  0: Linear    9  weight 2x3, bias 3",
        "  1: Function     name='tanh'",
        "  2: Linear    4  weight 3x1, bias 1",
    ]
