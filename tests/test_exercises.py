"""The exercises: starters fail with a friendly line, the project's own solutions pass, and typical mistakes are told what is wrong."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import microtensor as mt
from microtensor import nn
from microtensor.ops.reduction import largest_or_zero
from zoo.inference.sampling import Sampling

ROOT = Path(__file__).parent.parent

#: The solution of each exercise: where the project has what the starter of the same name asks for.
SOLUTIONS = {
    "softmax": "microtensor.ops.softmax.softmax",
    "lstm_cell": "microtensor.nn.recurrent.LSTMCell",
    "attention": "microtensor.ops.attention.scaled_dot_product_attention",
    "byte_pairs": "zoo.tokenizers.bpe.learn_merges",
    "sampling": "zoo.inference.sampling.Sampling",
}


@pytest.fixture
def folder(tmp_path):
    """A copy of the exercises, and of what they read."""
    shutil.copytree(ROOT / "exercises", tmp_path / "exercises", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    return tmp_path


def run(folder, *arguments):
    """What `python -m pytest ARGUMENTS` says in a copy, and its exit code."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout + done.stderr, done.returncode


def complaint(monkeypatch, exercise, attempt):
    """What the first check that fails says to an attempt, put in the starter's place; None if all pass."""
    checks = importlib.import_module(f"exercises.test_{exercise}")
    starter = importlib.import_module(f"exercises.{exercise}")
    name = next(name for name, value in vars(checks).items() if getattr(value, "__module__", "") == starter.__name__)
    monkeypatch.setattr(checks, name, attempt)
    for name, check in vars(checks).items():
        if name.startswith("test_"):
            try:
                check()
            except Exception as error:
                return f"{name}: {type(error).__name__}: {error}"
    return None


def test_untouched_starters_fail_in_a_few_friendly_lines(folder):
    said, code = run(folder, "exercises")
    assert code == 1 and f"{len(SOLUTIONS)} failed" in said, said
    for exercise in SOLUTIONS:
        assert re.search(rf"^exercises/{exercise}\.py, line \d+: this is yours to write: .+\.$", said, re.M), said
    assert "Traceback" not in said and len(said.splitlines()) < 3 * len(SOLUTIONS) + 5, said


def test_the_projects_own_functions_solve_them(folder):
    for exercise, solution in SOLUTIONS.items():
        module, _, name = solution.rpartition(".")
        starter = folder / "exercises" / f"{exercise}.py"
        assert re.search(rf"^(def|class) {name}\b", starter.read_text(encoding="utf-8"), re.M), f"{exercise} asks for {name}"
        starter.write_text(f"from {module} import {name} as {name}\n", encoding="utf-8")
    said, code = run(folder, "exercises")
    assert code == 0 and re.search(r"^\d+ passed", said, re.M) and "skipped" not in said, said


@pytest.mark.parametrize("exercise", SOLUTIONS)
def test_the_readme_tells_how_to_check_and_where_the_solution_is(exercise):
    module, _, name = SOLUTIONS[exercise].rpartition(".")
    readme = (ROOT / "exercises" / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in readme.splitlines() if line.startswith(f"| [`{exercise}.py`]({exercise}.py)")]
    assert f"../{module.replace('.', '/')}.py)" in row and f"`{name}`" in row, row
    assert f"python -m pytest exercises/test_{exercise}.py" in (ROOT / "exercises" / f"{exercise}.py").read_text(
        encoding="utf-8"
    )
    chapter = re.search(r"(\d+)\. ", row)[1]
    course = (ROOT / "docs" / "course.md").read_text(encoding="utf-8")
    assert f"../exercises/{exercise}.py)" in re.search(rf"^## {chapter}\. .*?(?=^## |\Z)", course, re.M | re.S)[0]


def test_an_error_of_the_students_shows_the_line_it_is_in(folder):
    bodies = {
        "attention": ("return query @ key", "ValueError"),
        "softmax": ("return x + np.zeros(7), None", "ValueError"),  # which the engine explains by another error
        "lstm_cell": ("return h, (c", "SyntaxError"),
    }
    for exercise, (body, _) in bodies.items():
        starter = folder / "exercises" / f"{exercise}.py"
        text = starter.read_text(encoding="utf-8")
        starter.write_text(re.sub(r"raise NotImplementedError.*", body, text), encoding="utf-8")
    said, code = run(folder, "exercises", "--continue-on-collection-errors")
    for exercise, (body, error) in bodies.items():
        place = rf"^exercises/{exercise}\.py, line \d+: {error}: .+\n\n    {re.escape(body)}$"
        assert code == 1 and re.search(place, said, re.M), said
    assert len(said.splitlines()) < 40, said
    said, _ = run(folder, "exercises/test_attention.py", "--tb=long")
    assert "def scaled_dot_product_attention" in said


# Typical mistakes: each is an attempt that falls short of the solution in one thing, and the words that tell the student so.


def softmax(shift=largest_or_zero, total=np.sum, gradient_sum=np.sum, keep=True):
    @mt.differentiable
    def softmax(x, /, axis=-1):
        if not keep:
            x -= x.max()
        e = np.exp(x - shift(x, axis) if shift else x)
        y = e / total(e, axis=axis, keepdims=True)
        return y, lambda g: (y * (g - (gradient_sum(g * y, axis=axis, keepdims=True) if gradient_sum else 0)),)

    return softmax


def over_everything(values, axis, keepdims):
    return np.sum(values, keepdims=keepdims)


def over_the_last_axis(values, axis, keepdims):
    return np.sum(values, axis=-1, keepdims=keepdims)


def cell(order="ifgo", both_biases=True, shown="new", bend=mt.tanh, zeros=True):
    class LSTMCell(nn.LSTMCell):
        def forward(self, x, state=None):
            h, c = (self.start(x), self.start(x) if zeros else self.start(x) + 1) if state is None else state
            y = x @ self.weight_ih + self.bias_ih + h @ self.weight_hh + (self.bias_hh if both_biases else 0)
            parts = dict(zip(order, mt.split(y, 4, axis=-1), strict=True))
            i, f, o = (mt.sigmoid(parts[gate]) for gate in "ifo")
            new = f * c + i * bend(parts["g"])
            return o * mt.tanh(new if shown == "new" else c), new

    return LSTMCell


def by_arrays(cell):
    class Detached(cell):
        def forward(self, x, state=None):
            h, c = super().forward(x, state)
            return mt.Tensor(h.numpy()), mt.Tensor(c.numpy())

    return Detached


def attention(masked="scores", divisor=np.sqrt, axis=-1, aligned=True):
    def attend(query, key, value, causal=False):
        queries, keys = query.shape[-2], key.shape[-2]
        scores = query @ key.swapaxes(-1, -2) / divisor(query.shape[-1])
        seen = np.tri(queries, keys, keys - queries if aligned else 0, dtype=bool)
        if causal and masked == "scores":
            scores = np.where(seen, scores, -np.inf)
        weights = mt.softmax(scores, axis=axis)
        if causal and masked == "weights":
            weights = np.where(seen, weights, 0.0)
        return weights @ value

    return attend


def merges(replace="left", by_word=False, once=False, smallest=True, to_numbers=str.encode):
    def merged(tokens, pair, new):
        if replace == "overlapping":
            around = list(pairwise([None, *tokens, None]))
            return [new if after == pair else after[0] for before, after in pairwise(around) if after == pair or before != pair]
        if replace == "one of the two":
            return [new if after == pair else after[0] for after in pairwise([*tokens, None])]
        if replace == "right":
            tokens, pair = tokens[::-1], pair[::-1]
        result = []
        for token in tokens:
            result.append(token)
            if tuple(result[-2:]) == pair:
                result[-2:] = [new]
        return result[::-1] if replace == "right" else result

    def learn_merges(words):
        words = [(list(to_numbers(word)), 1 if by_word else times) for word, times in words.items()]
        fresh = 256
        while True:
            counts = Counter()
            for tokens, times in words:
                for pair in pairwise(tokens):
                    counts[pair] += times
            if not counts:
                return
            pair = max(counts, key=lambda pair: (counts[pair], -pair[0] if smallest else pair[0], -pair[1]))
            if counts[pair] < (1 if once else 2):
                return
            yield *pair, counts[pair]
            words = [(merged(tokens, pair, fresh), times) for tokens, times in words]
            fresh += 1

    return learn_merges


def merges_counted_once(words):
    """All pairs by their counts at the start."""
    counts = Counter()
    for word, times in words.items():
        for pair in pairwise(word.encode()):
            counts[pair] += times
    return [(*pair, counts[pair]) for pair in sorted(counts, key=lambda pair: (-counts[pair], pair)) if counts[pair] >= 2]


def sampling(scale=np.divide, order=1, passes=True, divided=True, shift=True, top_k=True, top_p=True, colder=True):
    class Attempt(Sampling):
        def probabilities(self, logits):
            if self.temperature == 0 and colder:
                return np.eye(len(logits))[logits.argmax()]
            x = scale(logits.astype(float), self.temperature)
            e = np.exp(x - x.max() if shift else x)
            p = e / e.sum()
            likeliest_first = np.argsort(-order * p)
            if self.top_k is not None and top_k:
                p[likeliest_first[self.top_k :]] = 0
            if top_p:
                sums = (e / e.sum())[likeliest_first].cumsum()
                before = sums - (e / e.sum())[likeliest_first] if passes else sums
                p[likeliest_first[before >= self.top_p]] = 0 if self.top_p < 1 else p[likeliest_first[before >= self.top_p]]
            return p / p.sum() if divided else p

    return Attempt


def in_place(self, logits):
    logits /= self.temperature or 1
    return Sampling(1.0 if self.temperature else 0, self.top_k, self.top_p).probabilities(logits)


RIGHT = {
    "softmax": softmax(),
    "lstm_cell": cell(),
    "attention": attention(),
    "byte_pairs": merges(),
    "sampling": sampling(),
}
WRONG = [
    ("softmax", softmax(total=lambda e, axis, keepdims: 1), "not [1. 1. 1. 1.]"),
    ("softmax", softmax(total=over_everything), "sum along the axis"),
    ("softmax", softmax(total=over_the_last_axis), "with axis=0 each column adds up to 1"),
    ("softmax", softmax(shift=None), "subtract the largest first"),
    ("softmax", softmax(keep=False), "writes to its input"),
    ("softmax", softmax(gradient_sum=None), "your pullback forgets that each logit changes all probabilities"),
    ("softmax", softmax(gradient_sum=np.mean), "for g = [1, 0, 0] your pullback gives"),
    ("softmax", softmax(gradient_sum=over_the_last_axis), "the pullback has to sum along that axis, too"),
    ("lstm_cell", cell(order="figo"), "are the quarters in the order i, f, g, o?"),
    ("lstm_cell", cell(order="ifog"), "new content lies between -1 and 1"),
    ("lstm_cell", cell(bend=mt.sigmoid), "it is bent by tanh"),
    ("lstm_cell", cell(shown="old"), "you have shown the memory before the step"),
    ("lstm_cell", cell(both_biases=False), "do x, h and both biases take part in every gate?"),
    ("lstm_cell", cell(zeros=False), "from an h and a c of zeros"),
    ("lstm_cell", by_arrays(cell()), "was it lost?"),
    ("attention", attention(masked=None), "row 0 attends to position 1, which comes after it, with the weight"),
    ("attention", attention(masked="weights"), "mask the scores before the softmax"),
    ("attention", attention(divisor=lambda width: 1), "the scores aren't divided by anything"),
    ("attention", attention(divisor=lambda width: width), "not by its square root"),
    ("attention", attention(axis=-2), "softmax is along the last axis, the keys"),
    ("attention", attention(aligned=False), "two queries with four keys are those of the last two positions"),
    ("byte_pairs", merges(replace="one of the two"), "the new token stands for both"),
    ("byte_pairs", merges(replace="overlapping"), "your merges of a+a overlap"),
    ("byte_pairs", merges(replace="right"), "from left to right it becomes aa, a"),
    ("byte_pairs", merges(by_word=True), "the word occurs three times"),
    ("byte_pairs", merges(once=True), "what occurs once isn't frequent"),
    ("byte_pairs", merges(smallest=False), "of equally frequent pairs the smaller is merged first"),
    ("byte_pairs", merges(to_numbers=lambda word: map(ord, word)), "in UTF-8 é is the two bytes 195 and 169"),
    ("byte_pairs", merges_counted_once, "he (104, 101) is token 256"),
    ("byte_pairs", lambda words: None, "learn_merges gave None"),
    ("sampling", sampling(scale=np.multiply), "divide, don't multiply"),
    ("sampling", sampling(order=-1), "top_k=1 keeps the tokens [2]"),
    ("sampling", sampling(top_k=False), "top_k=1 keeps the tokens [2]"),
    ("sampling", sampling(passes=False), "the token that passes p belongs to them"),
    ("sampling", sampling(top_p=False), "top_p=0.7 keeps the tokens [0, 2]"),
    ("sampling", sampling(divided=False), "and should to 1"),
    ("sampling", sampling(colder=False), "no number can be divided by 0"),
    ("sampling", sampling(shift=False), "subtract the largest logit first"),
    ("sampling", type("Attempt", (Sampling,), {"probabilities": in_place}), "your sampler writes to the logits"),
]


@pytest.mark.parametrize("exercise", SOLUTIONS)
def test_a_students_own_solution_passes(monkeypatch, exercise):
    assert complaint(monkeypatch, exercise, RIGHT[exercise]) is None


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[f"{exercise}: {words}" for exercise, _, words in WRONG])
def test_a_typical_mistake_is_told(monkeypatch, number):
    exercise, attempt, words = WRONG[number]
    said = complaint(monkeypatch, exercise, attempt)
    assert said is not None and words in said, said
