"""A recipe says how a model is built and trained. Each field is an option of `zoo.train`, with its help and its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from zoo.errors import UsageError, did_you_mean


def option(
    default: Any, help: str, *, at_least: float | None = None, above: float | None = None, at_most: float | None = None
) -> Any:
    """A field of a recipe: its default, what it means, and which values it can take."""
    return field(default=default, metadata={"help": help, "at_least": at_least, "above": above, "at_most": at_most})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What every model's recipe has. A model adds fields of its own; all are validated when a recipe is made.

    Raises UsageError for a value of the wrong type or outside its limits.
    """

    data: str | None = option(None, "a plain text to learn from, instead of the model's own")
    seed: int = option(0, "chooses all random numbers: the same seed gives the same bits", at_least=0, at_most=2**63 - 1)
    context: int = option(4, "how many tokens the model sees before it guesses the next", at_least=1, at_most=10**6)
    batch_size: int = option(1, "how many examples each step learns from", at_least=1, at_most=10**9)
    steps: int = option(1000, "how many times the parameters are changed", at_least=1, at_most=10**12)
    learning_rate: float = option(0.1, "how far the parameters move along the gradient", above=0, at_most=1e30)

    def __post_init__(self) -> None:
        self.fill_in()
        for f in fields(self):
            value = getattr(self, f.name)
            kind = str(f.type)  # annotations are strings here
            if value is None and kind.endswith("None"):
                continue
            kinds: Any = {"int": int, "float": (int, float)}.get(kind, str)
            if isinstance(value, bool) or not isinstance(value, kinds) or (kinds is not str and not math.isfinite(value)):
                wanted = {"int": "a whole number", "float": "a finite number"}.get(kind, "a text")
                raise UsageError(f"--{dashed(f.name)}: must be {wanted}, not {value!r}")
            for name, holds, words in (
                ("at_least", lambda v, limit: v >= limit, "at least"),
                ("above", lambda v, limit: v > limit, "above"),
                ("at_most", lambda v, limit: v <= limit, "at most"),
            ):
                limit = f.metadata.get(name)
                if limit is not None and not holds(value, limit):
                    raise UsageError(f"--{dashed(f.name)}: must be {words} {limit}, not {value}")

    def fill_in(self) -> None:
        """Derive the fields that were left to the recipe; a model with such fields says how, with `default`."""

    def default(self, name: str, value: Any) -> None:
        """Set a field that is None. For `fill_in` only: a recipe is otherwise frozen."""
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON takes them."""
        return asdict(self)


def dashed(name: str) -> str:
    """A field's name as an option: batch_size is --batch-size."""
    return name.replace("_", "-")


def parse_field(recipe: type[Recipe], name: str, text: str) -> Any:
    """An option's text as a value of the field's type. Raises UsageError when it isn't one."""
    kind = next(f.type for f in fields(recipe) if f.name == name)
    try:
        if kind.startswith("int"):
            return int(text)
        if kind.startswith("float"):
            return float(text)
    except ValueError:
        wanted = "a whole number" if kind.startswith("int") else "a number"
        raise UsageError(f"--{dashed(name)}: must be {wanted}, not {text!r}") from None
    return text


def make_recipe(recipe: type[Recipe], values: Mapping[str, Any]) -> Recipe:
    """A recipe with some fields set. Raises UsageError for an unknown field or a bad value."""
    known = [f.name for f in fields(recipe)]
    for name in values:
        if name not in known:
            raise UsageError(f"unknown setting {name!r}{did_you_mean(name, known)}")
    return recipe(**values)


def default_of(recipe: type[Recipe], name: str) -> Any:
    """The default of a field."""
    default = next(f.default for f in fields(recipe) if f.name == name)
    return None if default is MISSING else default
