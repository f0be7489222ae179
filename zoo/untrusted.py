"""What comes from outside: text, shown so that it can't do anything to a terminal, and JSON, read and written so that it is
nothing else."""

from __future__ import annotations

import json
import math
import re
from typing import Any

#: What an error says has no more characters.
LONGEST_LINE = 450
#: Control characters but the end of a line and the tab, what turns the direction of writing, and halves of characters.
_ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_HALF = re.compile("[\ud800-\udfff]")


def shown(text: str) -> str:
    """A text as it can be shown anywhere: what would act on a terminal is escaped, as Python writes it (\\x1b)."""
    return _ACTS.sub(lambda found: repr(found[0])[1:-1], text)


def in_one_line(text: str, at_most: int = LONGEST_LINE) -> str:
    """A text as one line of at most so many characters: of a longer one, the middle is left out."""
    text = shown(text).replace("\n", "\\n").replace("\t", "\\t")
    if len(text) <= at_most:
        return text
    end = at_most // 3
    return f"{text[: at_most - end - 5]} ... {text[len(text) - end :]}"


def to_json(value: Any) -> str:
    """A value as JSON, in a line that can be shown anywhere. NaN and infinity, which JSON lacks, become null, and half of a
    character becomes U+FFFD."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
    return _ACTS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_plain(name): _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def from_json(raw: bytes) -> Any:
    """The value that JSON stands for. A number that isn't finite is None: earlier runs wrote NaN. Raises ValueError."""
    try:
        return json.loads(raw, parse_constant=lambda _: None, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
