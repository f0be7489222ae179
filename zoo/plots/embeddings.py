"""The map of a model's embeddings. Where it has learned enough, tokens that are used alike lie close together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import DataError, UsageError
from zoo.explain.trace import Trace
from zoo.model import Model
from zoo.plots.style import COLOURS, drawing, label
from zoo.tokenizers.tokenizer import Tokenizer

NAMES = {"pca": "PCA", "tsne": "t-SNE"}
#: The kinds of characters, each with a colour of its own.
KINDS = ("vowel", "consonant", "capital", "other")


def flatten(table: np.ndarray, method: str, seed: int = 0) -> tuple[np.ndarray, str, str]:
    """A table of embeddings (tokens, width) in two dimensions: places (tokens, 2), and what the two axes are.

    Args:
        method: "pca" looks from where the points are spread widest (Pearson 1901); "tsne" keeps neighbours together, distances
            don't matter (van der Maaten and Hinton 2008).
        seed: for t-SNE, which begins somewhere.

    Raises UsageError when scikit-learn isn't installed, and DataError for a table of fewer than three tokens.
    """
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    except ImportError:
        raise UsageError("this map needs scikit-learn, which isn't installed: pip install 'microtensor[plot]'") from None
    if len(table) < 3 or table.shape[1] < 2:
        raise DataError(f"too small: a map needs three tokens and two numbers each, not {len(table)} and {table.shape[1]}")
    if method == "pca":
        pca = PCA(2, svd_solver="full").fit(table)
        shares = [f"{share:.0%} of the spread" for share in pca.explained_variance_ratio_]
        return pca.transform(table), f"first component ({shares[0]})", f"second component ({shares[1]})"
    tsne = TSNE(2, perplexity=min(15.0, (len(table) - 1) / 3), init="pca", random_state=seed)
    return tsne.fit_transform(table), "t-SNE, no unit", "t-SNE, no unit"


def draw_embeddings(name: str, model: Model, tokenizer: Tokenizer, method: str, out: Path) -> None:
    """A panel for each table of token embeddings, every token at its place. Raises UsageError for a model without any."""
    tables = Trace(model, [0] * model.recipe.context).token_tables
    if not tables:
        raise UsageError(f"{name} has no table of token embeddings")
    vocabulary = tokenizer.vocabulary
    places = [flatten(table.data, method) for table in tables]
    characters = all(len(token) == 1 for token in vocabulary)
    colours = [COLOURS[KINDS.index(_kind(token))] if characters else COLOURS[0] for token in vocabulary]
    size, letters = (7.0, 12) if len(vocabulary) < 100 else (12.0, 9)
    with drawing(out, 1, len(tables), (size * len(tables), size)) as (figure, axes):
        for i, (axis, (points, across, upwards)) in enumerate(zip(np.ravel(axes), places, strict=True), 1):
            axis.scatter(*points.T, s=8, c=colours, alpha=0.5, linewidths=0)
            axis.margins(0.06)
            axis.set_xlabel(across)
            axis.set_ylabel(upwards)
            if len(tables) > 1:
                axis.set_title(f"position {i} of {len(tables)}")
            if characters:
                present = [kind for kind in KINDS if kind in map(_kind, vocabulary)]
                handles = [axis.plot([], [], "o", color=COLOURS[KINDS.index(kind)], label=kind)[0] for kind in present]
                axis.legend(handles=handles, frameon=False, loc="best")
        figure.suptitle(
            f"{name}: {len(vocabulary)} embeddings of {tables[0].shape[1]} numbers, in two dimensions by {NAMES[method]}"
        )
        figure.draw_without_rendering()  # (which settles where the axes are)
        for axis, (points, _, _) in zip(np.ravel(axes), places, strict=True):
            _write(axis, points, [label(token) for token in vocabulary], colours, letters)


def _write(axis: Any, points: np.ndarray, labels: list[str], colours: list[str], size: int) -> None:
    """Each label close to its point, where no earlier one is in the way."""
    scale = 72 / axis.figure.dpi  # from pixels to the points in which letters are measured
    taken: list[tuple[float, float, float]] = []
    for (x, y), text, colour in zip(axis.transData.transform(points) * scale, labels, colours, strict=True):
        half = 0.33 * size * len(text) + 1
        ways = [(0.0, 0.75 * size), (half + 3, 0.0), (-half - 3, 0.0), (0.0, -0.75 * size)]
        ways += [(dx * half, dy * size) for dy in (1.6, -1.6, 2.5, -2.5, 3.4, -3.4) for dx in (0, 1, -1, 2, -2)]
        free = [
            (dx, dy) for dx, dy in ways if all(abs(x + dx - a) > half + h or abs(y + dy - b) > 1.1 * size for a, b, h in taken)
        ]
        dx, dy = (free or ways)[0]
        taken.append((x + dx, y + dy, half))
        axis.annotate(
            text, axis.transData.inverted().transform(((x + dx) / scale, (y + dy) / scale)),
            ha="center", va="center", color=colour, fontsize=size,
        )  # fmt: skip


def _kind(token: str) -> str:
    if token.isalpha() and token != token.lower():
        return "capital"
    return "vowel" if token in "aeiou" else "consonant" if token.isalpha() else "other"
