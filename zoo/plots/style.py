"""One style for all pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.errors import UsageError
from zoo.inference.generation import visible
from zoo.plots.fonts import families, nameable
from zoo.untrusted import shown

#: Colours that colour-blind readers can tell apart (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: What is said in passing, and what has no value.
QUIET = "0.35"
NOTHING = "0.55"
#: Of the text under a picture.
CHARACTERS_IN_AN_INCH = 13
#: From little to much: the darker, the more.
SHADES = "Blues"


def label(token: str) -> str:
    """A token as a picture shows it, blanks and ends of lines too."""
    return nameable(visible({" ": "\u2423", "\n": "\u21b5"}.get(token, token)))


def below(figure: Any, text: str) -> None:
    """A few sentences under a picture."""
    wide, high = figure.get_size_inches()
    lines = textwrap.wrap(text, int(wide * CHARACTERS_IN_AN_INCH))
    share = (len(lines) * 0.19 + 0.12) / high
    figure.get_layout_engine().set(rect=(0, share, 1, 1 - share))
    figure.text(0.1 / wide, 0.08 / high, "\n".join(lines), fontsize=9.5, color=QUIET, va="bottom", linespacing=1.35)


def check_matplotlib() -> None:
    """Raises UsageError, saying how to install it, when matplotlib isn't there."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError('drawing needs matplotlib, which isn\'t installed: pip install "microtensor[plot]"') from None


@contextmanager
def drawing(out: Path, rows: int = 1, columns: int = 1, size: tuple[float, float] = (8, 4.5)) -> Iterator[tuple[Any, Any]]:
    """A figure of that size in inches, and its axes (an array of them if there are several); saved as `out` at the end."""
    check_matplotlib()
    import matplotlib
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
        choose_fonts(figure)
        figure.savefig(out, dpi=150, metadata={"Date": None} if out.suffix.lower() == ".svg" else None)


def choose_fonts(figure: Any) -> None:
    """Draw each text in a font that has its letters. (Names of runs and files may hold any.)"""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_text(shown(text.get_text()))
        text.set_parse_math(False)  # ("$" is a letter like others)
        if not text.get_text().isascii():
            text.set_text(nameable(text.get_text()))
            text.set_fontfamily(families(text.get_text()))
