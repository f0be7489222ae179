"""The graph as text, as a list, and drawn by graphviz or a stand-in for it."""

import sys

import numpy as np
import pytest

import microtensor as mt
from microtensor import Tensor, drawing


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


def loss():
    x, w = Tensor([[1.0, 2.0]]), Tensor([[1.0], [3.0]], requires_grad=True)
    return (np.tanh(x @ w) * 2.0).sum(axis=0).graph, {"x": x, 'w"': w}


DOT = r"""digraph {
  node [fontname=Helvetica, fontsize=11];
  n1 [label="x: constant\n1x2", shape=box];
  n2 [label="w\": leaf\n2x1", shape=box, style=filled, fillcolor=lightblue];
  n3 [label="matmul\n1x1", shape=ellipse];
  n1 -> n3;
  n2 -> n3;
  n4 [label="tanh\n1x1", shape=ellipse];
  n3 -> n4;
  n5 [label="multiply\n2\n1x1", shape=ellipse];
  n4 -> n5;
  n6 [label="sum\naxis=0\n1", shape=ellipse];
  n5 -> n6;
}
"""


def test_dot_text():
    graph, names = loss()
    assert graph("dot", **names) == DOT
    with pytest.raises(ValueError, match="'png'"):
        graph("png")


def graphviz(folder, monkeypatch, code):
    """A program called dot, first on the path."""
    program = folder / "dot"
    program.write_text(f"#!{sys.executable}\nimport sys, time\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script")
def test_a_picture_where_graphviz_is(tmp_path, monkeypatch):
    graphviz(tmp_path, monkeypatch, "assert sys.argv[1:] == ['-Tsvg']; print('<svg>' + sys.stdin.read().split()[0] + '</svg>')")
    graph, names = loss()
    picture = graph("svg", **names)
    assert picture.format == "svg" and str(picture) == "<svg>digraph</svg>\n" == picture._repr_svg_()
    assert picture._repr_html_() is None and repr(picture) == "a graph of 6 lines, as SVG"
    file = picture.save(tmp_path / "loss.png")
    assert file == tmp_path / "loss.svg" and file.read_text() == str(picture)


def test_the_text_where_graphviz_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    graph, names = loss()
    picture = graph("svg", **names)
    assert picture.format == "dot" and str(picture) == DOT and "isn't installed" in repr(picture)
    assert (
        picture._repr_svg_() is None
        and "isn&#x27;t installed" in picture._repr_html_()
        and "n1 -&gt; n3" in picture._repr_html_()
    )
    assert picture.save(tmp_path / "loss.svg") == tmp_path / "loss.dot"


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script")
@pytest.mark.parametrize(
    "code, why", [("sys.exit('bad label')", "refused it: bad label"), ("time.sleep(9)", "more than 1 seconds")]
)
def test_the_text_where_graphviz_fails(tmp_path, monkeypatch, code, why):
    monkeypatch.setattr(drawing, "TIMEOUT", 1)
    graphviz(tmp_path, monkeypatch, code)
    graph, names = loss()
    assert str(graph("svg", **names)) == DOT and why in repr(graph("svg", **names))
