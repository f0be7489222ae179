"""Settings as fields of a dataclass, which are options of the commands too: each has its help and its limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, ClassVar

from zoo.errors import UsageError, did_you_mean, quoted, shortened


def option(
    default: Any,
    help: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A field of some settings: its default, what it means, and which values it can take."""
    limits = {"at_least": at_least, "above": above, "at_most": at_most, "below": below, "choices": choices}
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings whose fields are made by `option`; all are validated when they are made.

    Raises UsageError for a value of the wrong type or outside its limits.
    """

    #: Settings that go together, by name: `--preset NAME`.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __post_init__(self) -> None:
        self._check(filled_in=False)  # (before anything is derived from the fields)
        self.fill_in()
        self._check(filled_in=True)

    def _check(self, filled_in: bool) -> None:
        """Raises UsageError for a field that can't be what it is; None is what can be left open until they are filled in."""
        for f in fields(self):
            value = getattr(self, f.name)
            kind = type_name(f)
            if value is None and (kind.endswith("None") or not filled_in):
                continue
            kind = kind.partition(" ")[0]
            kinds: Any = {"int": int, "float": (int, float)}.get(kind, str)
            if isinstance(value, bool) or not isinstance(value, kinds) or (kinds is not str and not abs(value) < math.inf):
                wanted = {"int": "a whole number", "float": "a finite number"}.get(kind, "a text")
                raise UsageError(f"--{dashed(f.name)}: must be {wanted}, not {quoted(value)}")
            for name, holds, words in (
                ("at_least", lambda v, limit: v >= limit, "at least"),
                ("above", lambda v, limit: v > limit, "above"),
                ("at_most", lambda v, limit: v <= limit, "at most"),
                ("below", lambda v, limit: v < limit, "below"),
                ("choices", lambda v, limit: v in limit, "one of"),
            ):
                limit = f.metadata.get(name)
                if limit is not None and not holds(value, limit):
                    limit = ", ".join(limit) if isinstance(limit, tuple) else limit
                    raise UsageError(f"--{dashed(f.name)}: must be {words} {limit}, not {shortened(str(value))}")

    def fill_in(self) -> None:
        """Derive the fields that were left open; a class with such fields says how, with `default`."""

    def default(self, name: str, value: Any) -> None:
        """Set a field that is None. For `fill_in` only: the settings are otherwise frozen."""
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON takes them."""
        return asdict(self)


#: The names that fields had in earlier runs, and have now.
RENAMED = {
    "share": "data_fraction",
    "accumulate": "grad_accumulation",
    "clip": "grad_clip",
    "final_rate": "min_learning_rate_ratio",
    "vocabulary_size": "vocab_size",
}


def type_name(field: Any) -> str:
    """Write a field's type as its annotation does: "int", "float | None". (It is a string already where annotations are.)"""
    return field.type.__name__ if isinstance(field.type, type) else str(field.type)


def dashed(name: str) -> str:
    """A field's name as an option: batch_size is --batch-size."""
    return name.replace("_", "-")


def parse_field(kind: type[Options], name: str, text: str) -> Any:
    """An option's text as a value of the field's type. Raises UsageError when it isn't one."""
    type_ = next(type_name(f) for f in fields(kind) if f.name == name)
    try:
        if type_.startswith("int"):
            return int(text)
        if type_.startswith("float"):
            return float(text)
    except ValueError:
        wanted = "a whole number" if type_.startswith("int") else "a number"
        raise UsageError(f"--{dashed(name)}: must be {wanted}, not {quoted(text)}") from None
    return text


def check_names(kind: type[Options], names: Iterable[str]) -> None:
    """Raises UsageError for a name that isn't a field's."""
    known = [f.name for f in fields(kind)]
    for name in names:
        if name not in known:
            raise UsageError(f"unknown setting {quoted(name)}{did_you_mean(name, known)}")


def preset(kind: type[Options], name: str) -> Mapping[str, Any]:
    """The settings of a preset. Raises UsageError for an unknown one."""
    if name not in kind.presets:
        known = ", ".join(kind.presets)
        advice = did_you_mean(name, kind.presets) or (f"; there are {known}" if known else "; this model has none")
        raise UsageError(f"--preset: unknown preset {quoted(name)}{advice}")
    return kind.presets[name]


def default_of(kind: type[Options], name: str) -> Any:
    """The default of a field."""
    default = next(f.default for f in fields(kind) if f.name == name)
    return None if default is MISSING else default
