"""Letters that the usual font lacks: another installed font that has them, or their names."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

#: A longer name of a character is hard to place in a picture.
LONGEST_NAME = 16
#: Fonts whose glyphs stand for missing ones.
PLACEHOLDERS = ("Last Resort", "LastResort")


def families(text: str) -> list[str]:
    """The fonts in which a text can be drawn: the usual one, and others for what it lacks."""
    found = [_usual()]
    found += sorted({family for c in set(text) if (family := _font_with(c)) is not None and family != found[0]})
    return found


def nameable(text: str) -> str:
    """A text with each character that no installed font has replaced by its Unicode name, or by U+ and its number."""
    missing = {c for c in text if c != "\n" and _font_with(c) is None}
    if not missing:
        return text
    pieces = [_name(c) if c in missing else c for c in text]
    return " ".join(p for p in pieces if p.strip()) if len(text) <= 4 else "".join(pieces)


@cache
def _font_with(character: str) -> str | None:
    """The family of an installed font that has a character: the usual one if it can; None where none has."""
    if character.isspace() or ord(character) in _characters(_usual_path()):
        return _usual()
    for path, family in _installed():
        if ord(character) in _characters(path):
            return family
    return None


def _usual() -> str:
    from matplotlib import font_manager

    return str(font_manager.get_font(_usual_path()).family_name)


@cache
def _usual_path() -> str:
    from matplotlib import font_manager

    return str(font_manager.findfont("DejaVu Sans"))


@cache
def _installed() -> list[tuple[str, str]]:
    """The upright fonts of the system, each as a file and its family."""
    from matplotlib import font_manager

    fonts: list[Any] = font_manager.fontManager.ttflist
    upright = sorted({(f.name, str(f.fname)) for f in fonts if f.style == "normal" and not f.name.startswith(PLACEHOLDERS)})
    return [(path, family) for family, path in upright]


@cache
def _characters(path: str) -> frozenset[int]:
    """The Unicode numbers of the characters that a font can draw; none for one that can't be read, or has only bitmaps."""
    from matplotlib import font_manager

    try:
        font = font_manager.get_font(path)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError):
        return frozenset()


def _name(character: str) -> str:
    name = unicodedata.name(character, "").lower()
    number = f"U+{ord(character):04X}"
    return number if not name or len(name) > LONGEST_NAME or number[2:].lower() in name else name
