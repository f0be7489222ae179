"""A recipe says how a model is built and trained. Each field is an option of `zoo.train`, with its help and its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, ClassVar

from zoo.errors import UsageError, did_you_mean


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
    """A field of a recipe: its default, what it means, and which values it can take."""
    limits = {"at_least": at_least, "above": above, "at_most": at_most, "below": below, "choices": choices}
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings that every model's recipe has. A model adds fields of its own; all are validated when a recipe is made.

    Raises UsageError for a value of the wrong type or outside its limits.
    """

    #: Settings that go together, by name: `--preset NAME`.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    data: str | None = option(None, "a plain text to learn from, instead of the model's own")
    data_fraction: float = option(1.0, "the fraction of the training text that is learned from", above=0, at_most=1)
    seed: int = option(0, "chooses all random numbers: the same seed gives the same bits", at_least=0, at_most=2**63 - 1)
    context: int = option(4, "how many tokens the model sees before it guesses the next", at_least=1, at_most=2**16)
    batch_size: int = option(1, "how many examples are learned from at a time", at_least=1, at_most=10**9)
    steps: int | None = option(None, "how many times the parameters are changed", at_least=1, at_most=10**12)
    epochs: int | None = option(None, "how many times the text is gone through, instead of --steps", at_least=1, at_most=10**9)
    learning_rate: float = option(0.1, "how far the parameters move along the gradient", above=0, at_most=1e30)
    grad_accumulation: int = option(1, "parts in which a batch is learned from, to save memory", at_least=1, at_most=10**9)
    grad_clip: float | None = option(
        None, "the greatest norm of the gradient: a longer one is scaled down", above=0, at_most=1e30
    )

    def __post_init__(self) -> None:
        self.fill_in()
        for f in fields(self):
            value = getattr(self, f.name)
            kind = type_name(f)
            if value is None and kind.endswith("None"):
                continue
            kind = kind.partition(" ")[0]
            kinds: Any = {"int": int, "float": (int, float)}.get(kind, str)
            if isinstance(value, bool) or not isinstance(value, kinds) or (kinds is not str and not math.isfinite(value)):
                wanted = {"int": "a whole number", "float": "a finite number"}.get(kind, "a text")
                raise UsageError(f"--{dashed(f.name)}: must be {wanted}, not {value!r}")
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
                    raise UsageError(f"--{dashed(f.name)}: must be {words} {limit}, not {value}")

    def total_steps(self, examples: int) -> int:
        """Count the steps of training, where a pass over the text has so many examples."""
        if self.steps is not None:
            return self.steps
        return (self.epochs or 1) * max(examples // self.batch_size, 1)

    def fill_in(self) -> None:
        """Derive the fields that were left to the recipe; a model with such fields says how, with `default`."""

    def default(self, name: str, value: Any) -> None:
        """Set a field that is None. For `fill_in` only: a recipe is otherwise frozen."""
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
}


def type_name(field: Any) -> str:
    """Write a field's type as its annotation does: "int", "float | None". (It is a string already where annotations are.)"""
    return field.type.__name__ if isinstance(field.type, type) else str(field.type)


def dashed(name: str) -> str:
    """A field's name as an option: batch_size is --batch-size."""
    return name.replace("_", "-")


def parse_field(recipe: type[Recipe], name: str, text: str) -> Any:
    """An option's text as a value of the field's type. Raises UsageError when it isn't one."""
    kind = next(type_name(f) for f in fields(recipe) if f.name == name)
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
    """A recipe with some fields set. Raises UsageError for an unknown field or a bad value.

    Its length is given in steps or in epochs: setting one unsets the other's default.
    """
    known = [f.name for f in fields(recipe)]
    for name in values:
        if name not in known:
            raise UsageError(f"unknown setting {name!r}{did_you_mean(name, known)}")
    if values.get("steps") is not None and values.get("epochs") is not None:
        raise UsageError("--steps and --epochs: give one of the two")
    for name, other in (("steps", "epochs"), ("epochs", "steps")):
        if values.get(name) is not None:
            values = {**values, other: None}
    return recipe(**values)


def preset(recipe: type[Recipe], name: str) -> Mapping[str, Any]:
    """The settings of a preset. Raises UsageError for an unknown one."""
    if name not in recipe.presets:
        known = ", ".join(recipe.presets)
        advice = did_you_mean(name, recipe.presets) or (f"; there are {known}" if known else "; this model has none")
        raise UsageError(f"--preset: unknown preset {name!r}{advice}")
    return recipe.presets[name]


def default_of(recipe: type[Recipe], name: str) -> Any:
    """The default of a field."""
    default = next(f.default for f in fields(recipe) if f.name == name)
    return None if default is MISSING else default
