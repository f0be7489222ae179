"""The pictures that can be drawn, and the files they can be drawn into."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.errors import UsageError, did_you_mean, quoted

#: What can be drawn, and what that needs.
PICTURES = {"losses": "RUN ...", "embeddings": "MODEL", "attention": "MODEL TEXT", "probabilities": "MODEL TEXT"}

#: How embeddings are flattened, what losses can be drawn over, and which of their axes can be logarithmic.
METHODS, AXES, LOGS = ("pca", "tsne"), ("steps", "share", "seconds"), ("", "x", "y", "xy")


def check_picture(what: str) -> str:
    """What a picture needs. Raises UsageError for one that can't be drawn."""
    if what not in PICTURES:
        raise UsageError(f"can't draw {quoted(what)}{did_you_mean(what, PICTURES)}; there are {', '.join(PICTURES)}")
    return PICTURES[what]


def picture_file(out: str | os.PathLike[str]) -> Path:
    """The file for a picture. Raises UsageError for another kind, and where there is no such folder."""
    file = Path(os.path.expanduser(out))
    if file.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"--out: needs a name that ends in .png or .svg, not {quoted(str(file))}")
    if not os.path.isdir(file.parent):
        raise UsageError(f"--out: there is no folder {file.parent}")
    return file
