"""python -m zoo.plot."""

import shutil

import pytest
from conftest import one_line_error


def test_the_losses_of_runs(small_gpt, python, tmp_path):
    pytest.importorskip("matplotlib")
    shutil.copytree(small_gpt, tmp_path / "one")
    shutil.copytree(small_gpt, tmp_path / "two")
    for out in ("losses.svg", "again.svg"):
        done = python(tmp_path, "zoo.plot", "losses", "one", "two", "--out", out)
        assert done.returncode == 0 and done.stdout == f"Drawn: {out}\n" and done.stderr == "", done.stderr
    picture = (tmp_path / "losses.svg").read_text()
    assert picture == (tmp_path / "again.svg").read_text()
    for text in ("training step", "nats", "one, held-out text", "two, learning"):
        assert text in picture
    assert python(tmp_path, "zoo.plot", "losses", "one", "--json").stdout == '{"file": "losses.png"}\n'
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_it_says_how_to_get_it(small_gpt, python, tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    done = python(tmp_path, "zoo.plot", "losses", small_gpt)
    one_line_error(done, "zoo.plot", "matplotlib", "pip install 'microtensor[plot]'", code=2)


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        ((), ["losses"], 2),
        (("loses", "run"), ["loses"], 2),
        (("losses",), ["RUN"], 2),
        (("losses", "run", "--out", "losses.pdf"), ["--out", ".png or .svg"], 2),
        (("losses", "nowhere/run"), ["no run folder", "nowhere"], 1),
        (("losses", "damaged"), ["damaged", "metrics.jsonl"], 1),
        (("losses", "empty"), ["no losses yet", "metrics.jsonl"], 1),
        (("losses", "list"), ["damaged", "metrics.jsonl"], 1),
        (("losses", "half"), ["damaged", "metrics.jsonl"], 1),
        (("losses", "word"), ["damaged", "metrics.jsonl"], 1),
        (("losses", "char_gpt"), ["come with the zoo", "python -m zoo.train char_gpt"], 1),
        (("losses", "list", "--out", "nowhere/x.png"), ["--out", "no folder nowhere"], 2),
    ],
)
def test_bad_input_is_one_line(small_gpt, python, tmp_path, arguments, words, code):
    for name, content in (
        ("damaged", "{"),
        ("empty", ""),
        ("list", "[1]"),
        ("half", '{"step": 1}'),
        ("word", '{"step": 1, "loss": "x"}'),
    ):
        shutil.copytree(small_gpt, tmp_path / name)
        (tmp_path / name / "metrics.jsonl").write_text(content)
    one_line_error(python(tmp_path, "zoo.plot", *arguments), "zoo.plot", *words, code=code)
