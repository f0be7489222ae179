"""The graph as text, and as a list."""

import numpy as np
import pytest

import microtensor as mt
from microtensor import Tensor


def test_each_step_names_what_it_was_computed_from():
    x, w = Tensor([[1.0, 2.0]]), Tensor([[1.0], [3.0]], requires_grad=True)
    loss = (np.tanh(x @ w) * 2.0 + w[0]).mean(axis=0).sum()
    assert loss.graph(x=x, w=w).split("\n") == [
        "#1  constant  1x2                 x",
        "#2  leaf      2x1                 w",
        "#3  matmul    1x1     #1, #2",
        "#4  tanh      1x1     #3",
        "#5  multiply  1x1     #4, 2",
        "#6  getitem   1       #2, key=0",
        "#7  add       1x1     #5, #6",
        "#8  mean      1       #7, axis=0",
        "#9  sum       number  #8",
    ]


def test_what_is_used_twice_is_listed_once():
    w = Tensor([1.0, 2.0], requires_grad=True)
    y = w * w
    assert [step.op for step in mt.trace(y + y * y)] == ["multiply", "multiply", "add"]


def test_the_trace_holds_the_values_themselves():
    w = Tensor([1.0, 2.0], requires_grad=True)
    y = np.exp(w)
    z = y * np.array([3.0, 4.0], np.float32)
    first, second = mt.trace(z)
    assert first.output is y and first.inputs == (w,) and second.output is z and second.inputs[0] is y
    assert second.inputs[1].tolist() == [3, 4]
    (g,) = mt.grad(z, y, gradient=np.ones(2))
    assert g.tolist() == [3, 4]


def test_a_leaf_a_constant_and_what_was_not_recorded():
    w = Tensor([1.0], requires_grad=True)
    assert w.graph(w=w) == "#1  leaf  1    w"
    assert Tensor(2.0).graph() == "#1  constant  number"
    with mt.no_grad():
        assert (w * 2).graph() == "#1  constant  1"


def test_a_freed_graph_is_refused():
    w = Tensor(1.0, requires_grad=True)
    y = w * w
    y.backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        y.graph()


def test_a_deep_graph_needs_no_recursion():
    t = Tensor(1.0, requires_grad=True)
    for _ in range(20_000):
        t = t * 1.0
    assert t.graph().count("\n") == 20_000


def test_arrays_and_lists_among_the_inputs():
    w = Tensor(np.ones((2, 3)), requires_grad=True)
    y = mt.concatenate([w, np.zeros((1, 3))])
    assert "array 1x3" in y.graph()
    assert "cross_entropy  number" in mt.cross_entropy(y, np.array([0, 1, 2])).graph()
