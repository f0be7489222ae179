"""The models to compare, as the command line names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from zoo.options import check_names, parse_field, preset
from zoo.registry import model_class

if TYPE_CHECKING:
    from zoo.recipe import Recipe


@dataclass(frozen=True)
class Contestant:
    """A model with its recipe, or with some of that changed.

    Args:
        word: how it is written: `MODEL`, or `MODEL:PRESET,SETTING=VALUE,...`.
        name: of the model.
        kind: of its recipe.
        settings: what the word changes in that.
    """

    word: str
    name: str
    kind: type[Recipe]
    settings: dict[str, Any]

    @classmethod
    def parse(cls, word: str) -> Contestant:
        """Read a word. Raises UsageError for what no model, preset or setting is called, and for values of another type."""
        name, _, rest = word.partition(":")
        kind = model_class(name).recipe_class
        settings: dict[str, Any] = {}
        for part in rest.split(",") if rest else []:
            field, given, value = part.partition("=")
            if given:
                field = field.replace("-", "_")
                check_names(kind, [field])
                settings[field] = parse_field(kind, field, value)
            else:
                settings.update(preset(kind, part))
        return cls(word, name, kind, settings)

    def with_preset(self, named: str) -> Contestant:
        """The same with the settings of a preset, as if it stood in the word. Raises UsageError for an unknown one."""
        settings = {**preset(self.kind, named), **self.settings}
        return Contestant(f"{self.name}:{named}{self.word[len(self.name) :].replace(':', ',')}", self.name, self.kind, settings)


def common_settings(contestants: Sequence[Contestant]) -> list[str]:
    """The names of the settings that each of them has, in the first one's order."""
    first, *others = [[f.name for f in fields(contestant.kind)] for contestant in contestants]
    return [name for name in first if all(name in other for other in others)]
