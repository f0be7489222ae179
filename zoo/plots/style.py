"""One style for all pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.errors import UsageError
from zoo.inference.generation import visible

#: Colours that colour-blind readers can tell apart (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: From little to much: the darker, the more.
SHADES = "Blues"


def label(token: str) -> str:
    """A token as a picture shows it, blanks and ends of lines too."""
    return visible({" ": "\u2423", "\n": "\u21b5"}.get(token, token))


@contextmanager
def drawing(out: Path, rows: int = 1, columns: int = 1, size: tuple[float, float] = (8, 4.5)) -> Iterator[tuple[Any, Any]]:
    """A figure of that size in inches, and its axes (an array of them if there are several); saved as `out` at the end.

    Raises UsageError, saying how to install it, when matplotlib isn't there."""
    try:
        import matplotlib
    except ImportError:
        raise UsageError("drawing needs matplotlib, which isn't installed: pip install 'microtensor[plot]'") from None
    from matplotlib.figure import Figure

    # (Text as text, and no date: the same figures give the same file.)
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "zoo",
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    # (Without pyplot, whose backend and open figures belong to a notebook's user.)
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        yield figure, figure.subplots(rows, columns, squeeze=rows * columns == 1)
        figure.savefig(out, dpi=150, metadata={"Date": None} if out.suffix.lower() == ".svg" else None)
