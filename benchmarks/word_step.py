"""One training step of word_meanpool, an example at a time: where the cost is the engine's own, not arithmetic.

Every contestant starts from the same parameters, sees the same examples in the same order, computes the loss as a Python
number, and changes the parameters by plain SGD. That they did the same work is checked by comparing what they learned.
"""

from __future__ import annotations

import functools
import statistics
from typing import Any

import numpy as np
from measure import Row, interleaved, median_ratio

from microtensor import cross_entropy
from microtensor.optim import SGD
from zoo.datasets.batches import WindowDataset
from zoo.models.word_meanpool import Recipe, WordMeanPool

RATE = 0.1


class Microtensor:
    """The zoo's own model, as the trainer runs it."""

    def __init__(self, model: WordMeanPool) -> None:
        self.model = model
        self.optimizer = SGD(model.parameters(), lr=RATE)

    def steps(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """Train on each example; returns the sum of the losses."""
        total = 0.0
        for i in range(len(targets)):
            loss = cross_entropy(self.model(inputs[i : i + 1]), targets[i : i + 1])
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            total += float(loss)
        return total

    def parameters(self) -> list[np.ndarray]:
        """Return what it learned."""
        return [self.model.embeddings.numpy(), self.model.projection.numpy()]


class HandWritten:
    """The same model by hand: NumPy, the gradients derived on paper, in the fewest and fastest calls we know."""

    def __init__(self, embeddings: np.ndarray, projection: np.ndarray) -> None:
        self.embeddings = embeddings
        self.projection = projection

    def steps(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """Train on each example; returns the sum of the losses."""
        embeddings, projection = self.embeddings, self.projection
        rate, share = np.float32(RATE), np.float32(1 / inputs.shape[1])
        total = 0.0
        for words, target in zip(inputs, targets, strict=True):
            context = np.add.reduce(embeddings[words], 0)
            context *= share
            p = context @ projection
            p -= np.maximum.reduce(p)
            np.exp(p, out=p)
            p /= np.add.reduce(p)
            total -= float(np.log(p[target]))
            p[target] -= 1
            gradient = projection @ p
            p *= rate
            projection -= np.multiply.outer(context, p)
            gradient *= rate * share
            for word in words:  # one at a time: a word may come twice
                embeddings[word] -= gradient
        return total

    def parameters(self) -> list[np.ndarray]:
        """Return what it learned."""
        return [self.embeddings, self.projection]


class PyTorch:
    """The same model in PyTorch's own modules (its EmbeddingBag was slower here than Embedding and mean)."""

    def __init__(self, embeddings: np.ndarray, projection: np.ndarray) -> None:
        import torch

        torch.set_num_threads(2)
        self.torch = torch
        self.table = torch.nn.Embedding.from_pretrained(torch.from_numpy(embeddings), freeze=False)
        self.projection = torch.nn.Linear(projection.shape[0], projection.shape[1], bias=False)
        with torch.no_grad():
            self.projection.weight.copy_(torch.from_numpy(projection.T))
        self.optimizer = torch.optim.SGD([*self.table.parameters(), *self.projection.parameters()], lr=RATE)

    def steps(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """Train on each example; returns the sum of the losses."""
        x, y = self.torch.from_numpy(inputs), self.torch.from_numpy(targets)
        cross_entropy = self.torch.nn.functional.cross_entropy
        total = 0.0
        for i in range(len(y)):
            loss = cross_entropy(self.projection(self.table(x[i : i + 1]).mean(dim=1)), y[i : i + 1])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total

    def parameters(self) -> list[np.ndarray]:
        """Return what it learned."""
        return [self.table.weight.detach().numpy(), self.projection.weight.detach().numpy().T]


def run(quick: bool) -> list[Row]:
    """The rows of the table."""
    recipe = Recipe()
    tokenizer = recipe.make_tokenizer(recipe.read_text)
    model = WordMeanPool(recipe, len(tokenizer.vocabulary), np.random.default_rng(0))
    dataset = recipe.dataset([tokenizer.encode(recipe.read_text())], tokenizer, every_token=False)
    assert isinstance(dataset, WindowDataset)
    inputs, targets = dataset.inputs, dataset.targets
    order = np.random.default_rng(0).permutation(len(targets))
    inputs, targets = inputs[order], targets[order]

    contestants: dict[str, Any] = {"microtensor": Microtensor(model)}
    start = contestants["microtensor"].parameters()
    contestants["hand-written NumPy"] = HandWritten(*(a.copy() for a in start))
    missing = ""
    try:
        contestants["PyTorch"] = PyTorch(*(a.copy() for a in start))
    except ImportError:
        missing = "PyTorch is not installed (pip install torch)"

    work = {name: functools.partial(c.steps, inputs, targets) for name, c in contestants.items()}
    seconds = interleaved(work, rounds=5 if quick else 31)
    learned = {name: c.parameters() for name, c in contestants.items()}
    micros = {name: 1e6 * statistics.median(s) / len(targets) for name, s in seconds.items()}
    rows = []
    for rival in ("hand-written NumPy", "PyTorch"):
        row = Row("word_meanpool step, batch 1", "us", micros["microtensor"], rival)
        if rival in seconds:
            for ours, theirs in zip(learned["microtensor"], learned[rival], strict=True):
                if not np.allclose(ours, theirs, rtol=1e-2, atol=1e-3):
                    row.note = f"learned something else: the largest difference is {np.abs(ours - theirs).max():.3g}"
            row.rival, row.ratio = micros[rival], median_ratio(seconds[rival], seconds["microtensor"])
        else:
            row.note = missing
        rows.append(row)
    return rows
