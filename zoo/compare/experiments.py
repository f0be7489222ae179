"""Experiments that come ready: a setting, and the values that are worth comparing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.compare.contestants import Contestant

#: Of each, the setting, and by what its default is multiplied, or the values.
EXPERIMENTS: dict[str, tuple[tuple[str, ...], tuple[Any, ...]]] = {
    "width": (("width",), (0.5, 1, 2)),
    "context": (("context",), (0.5, 1, 1.5)),
    "learning-rate": (("learning_rate",), (0.3, 1, 3)),
    "text": (("data_fraction",), (0.25, 0.5, 1)),
    "positions": (("pooling",), ()),
    "length": (("epochs", "steps"), (0.5, 1, 2)),
}


def experiment_values(contestant: Contestant, name: str, given: Mapping[str, list[Any]]) -> tuple[str, list[Any]]:
    """The setting of an experiment, and its values for a contestant, with other settings given.

    Raises UsageError where the model has no such setting, or its values are given as well.
    """
    from zoo.options import dashed
    from zoo.recipe import override

    settings, factors = EXPERIMENTS[name]
    default = contestant.make_recipe(override(contestant.settings, {field: values[0] for field, values in given.items()}))
    field = next((f for f in settings if getattr(default, f, None) is not None), None)
    if field is None:
        raise UsageError(f"{name}: this model has no setting for it (--{dashed(settings[0])})")
    if len(given.get(field, [])) > 1:
        raise UsageError(f"--{dashed(field)}: the experiment {name} has values of its own")
    if not factors:
        return field, list(next(f for f in fields(default) if f.name == field).metadata["choices"])
    value = getattr(default, field)
    if name == "text":
        return field, list(factors)
    if isinstance(value, int):
        return field, [max(int(value * factor), 1) for factor in factors]
    return field, [float(f"{value * factor:.6g}") for factor in factors]
