"""The map of a model's embeddings. Where it has learned enough, tokens that are used alike lie close together."""

from __future__ import annotations

import textwrap
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import DataError, UsageError
from zoo.explain.trace import Trace
from zoo.model import Model
from zoo.plots.style import COLOURS, NOTHING, below, choose_fonts, drawing, label
from zoo.tokenizers.tokenizer import Tokenizer

NAMES = {"pca": "PCA", "tsne": "t-SNE"}
#: The kinds of characters, each with a colour of its own where it occurs.
KINDS = ("vowel", "consonant", "capital", "ideograph", "other letter", "other character")
#: Of more tokens, only the commonest are labelled.
LABELLED = 100


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
        raise UsageError('this map needs scikit-learn, which isn\'t installed: pip install "microtensor[plot]"') from None
    if len(table) < 3 or table.shape[1] < 2:
        raise DataError(f"too small: a map needs three tokens and two numbers each, not {len(table)} and {table.shape[1]}")
    if method == "pca":
        pca = PCA(2, svd_solver="full").fit(table)
        shares = [f"{share:.0%} of the variance" for share in pca.explained_variance_ratio_]
        return pca.transform(table), f"first principal component ({shares[0]})", f"second principal component ({shares[1]})"
    tsne = TSNE(2, perplexity=min(15.0, (len(table) - 1) / 3), init="pca", random_state=seed)
    return tsne.fit_transform(table), "first t-SNE dimension (no unit)", "second t-SNE dimension (no unit)"


def draw_embeddings(name: str, model: Model, tokenizer: Tokenizer, method: str, out: Path) -> None:
    """A panel for each table of token embeddings. Characters are drawn at their places; words have a point there and a label
    beside it, of many words the commonest. Raises UsageError for a model without embeddings."""
    tables = Trace(model, [0] * model.recipe.context).token_tables
    if not tables:
        raise UsageError(f"{name} has no table of token embeddings")
    vocabulary = tokenizer.vocabulary
    places = [flatten(table.data, method) for table in tables]
    characters = all(len(token) == 1 for token in vocabulary)
    kinds = [_kind(token) for token in vocabulary] if characters else []
    present = [kind for kind in KINDS if kind in kinds]
    colours = [COLOURS[present.index(kind)] for kind in kinds] or [COLOURS[0]] * len(vocabulary)
    labelled, says = _to_label(model, tokenizer)
    names = {j: label(vocabulary[j]) for j in labelled}
    at_point = [j for j in labelled if characters and len(names[j]) == 1]  # (not those that must be named)
    few = len(vocabulary) < LABELLED
    size, letters = (7.0, 12) if few else (10.0, 9)
    unit = tokenizer.unit.removesuffix("s")
    with drawing(out, 1, len(tables), (size * len(tables), size)) as (figure, axes):
        for i, (axis, (points, across, upwards)) in enumerate(zip(np.ravel(axes), places, strict=True), 1):
            dots = [j for j in range(len(vocabulary)) if j not in at_point]
            quiet = [colours[j] if j in labelled else NOTHING for j in dots]
            if dots:
                axis.scatter(*points[dots].T, s=10, c=quiet, alpha=0.7, linewidths=0)
            axis.update_datalim(points)
            axis.autoscale_view()
            axis.margins(0.06)
            axis.set_xlabel(across)
            axis.set_ylabel(upwards)
            if len(tables) > 1:
                axis.set_title(f"position {i} of {len(tables)}")
            if len(present) > 1:
                handles = [axis.plot([], [], "o", color=COLOURS[k], label=kind)[0] for k, kind in enumerate(present)]
                axis.legend(handles=handles, frameon=False, loc="best")
        what = f"{len(vocabulary):,} {unit} embeddings of {tables[0].shape[1]} numbers ({NAMES[method]})"
        figure.suptitle(textwrap.fill(f"{name}: {what}", int(size * len(tables) * 9)), fontsize=13)
        if says:
            below(figure, f"Labelled are {says}; grey points are the other {tokenizer.unit}.")
        choose_fonts(figure)
        figure.draw_without_rendering()  # (which settles where the axes are)
        for axis, (points, _, _) in zip(np.ravel(axes), places, strict=True):
            for j in at_point:
                weight = "bold" if kinds[j] == KINDS[-1] else "normal"  # (a comma is small enough)
                axis.text(*points[j], names[j], ha="center", va="center", color=colours[j], fontsize=letters, weight=weight)
            rest = [j for j in labelled if j not in at_point]
            _write(
                axis,
                points[rest],
                [names[j] for j in rest],
                [colours[j] for j in rest],
                min(letters, 9) if characters else letters,
            )


def _to_label(model: Model, tokenizer: Tokenizer) -> tuple[list[int], str]:
    """The tokens to label, the commonest first, and which they are; "" where all are labelled."""
    count = len(tokenizer.vocabulary)
    if count <= LABELLED:
        return list(range(count)), ""
    try:
        text = model.recipe.read_text()
        found = np.concatenate([tokenizer.encode(part) for part in model.recipe.documents(text)])
    except (DataError, ValueError):  # a text that can't be had any more, or is another now
        return np.linspace(0, count - 1, LABELLED).astype(int).tolist(), f"{LABELLED} {tokenizer.unit} of the vocabulary"
    counts = np.bincount(found, minlength=count)
    commonest = [i for i in np.argsort(-counts, kind="stable")[:LABELLED].tolist() if counts[i]]
    return commonest, f"the {len(commonest)} commonest {tokenizer.unit} of the training text"


def _write(axis: Any, points: np.ndarray, labels: list[str], colours: list[str], size: int) -> None:
    """Each label close to its point, where no earlier one is in the way; a thin line leads from one that is further off."""
    scale = 72 / axis.figure.dpi  # from pixels to the points in which letters are measured
    back = axis.transData.inverted().transform
    taken: list[tuple[float, float, float]] = []
    for (x, y), text, colour in zip(axis.transData.transform(points) * scale, labels, colours, strict=True):
        half = 0.31 * size * len(text) + 1
        near = [(0.0, 0.8 * size), (half + 3, 0.0), (-half - 3, 0.0), (0.0, -0.8 * size)]
        rings = [(dx * half, dy * size) for dy in (1.6, -1.6, 2.5, -2.5, 3.4, -3.4, 4.5, -4.5) for dx in (0, 1, -1, 2, -2)]
        free = [
            (dx, dy)
            for dx, dy in near + rings
            if all(abs(x + dx - a) > half + h or abs(y + dy - b) > 1.15 * size for a, b, h in taken)
        ]
        dx, dy = (free or near)[0]
        taken.append((x + dx, y + dy, half))
        if (dx, dy) not in near:
            ends = [back((x / scale, y / scale)), back(((x + dx) / scale, (y + dy - np.sign(dy) * 0.5 * size) / scale))]
            axis.plot(*np.transpose(ends), "-", color=colour, alpha=0.4, linewidth=0.6)
        place = back(((x + dx) / scale, (y + dy) / scale))
        axis.annotate(text, place, ha="center", va="center", color=colour, fontsize=size)


def _kind(token: str) -> str:
    name = unicodedata.name(token, "")
    if "IDEOGRAPH" in name and token.isalpha():
        return "ideograph"
    if not token.isalpha():
        return "other character"
    if token != token.lower():
        return "capital"
    letter = unicodedata.normalize("NFD", token)[0]
    return "vowel" if letter in "aeiou" else "consonant" if name.startswith("LATIN") else "other letter"
