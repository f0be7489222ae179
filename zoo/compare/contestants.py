"""The models to compare, as the command line names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from zoo.options import check_names, parse_field, preset
from zoo.recipe import make_recipe, override
from zoo.registry import model_class

if TYPE_CHECKING:
    from zoo.recipe import Recipe
    from zoo.training.fine_tuning import Source


@dataclass(frozen=True)
class Contestant:
    """A model with its recipe, or with some of that changed.

    Args:
        word: how it is written: `MODEL`, or `MODEL:PRESET,SETTING=VALUE,...`.
        name: of the model.
        kind: of its recipe.
        settings: what the word changes in that.
        source: the trained parameters that it begins with; None for random ones.
    """

    word: str
    name: str
    kind: type[Recipe]
    settings: dict[str, Any]
    source: Source | None = None

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
                settings = override(settings, {field: parse_field(kind, field, value)})
            else:
                settings = override(settings, preset(kind, part))
        return cls(word, name, kind, settings)

    def with_preset(self, named: str) -> Contestant:
        """The same with the settings of a preset, as if it stood in the word. Raises UsageError for an unknown one."""
        word = f"{self.name}:{named}{self.word[len(self.name) :].replace(':', ',')}"
        return replace(self, word=word, settings=override(preset(self.kind, named), self.settings))

    def with_source(self, run: str) -> Contestant:
        """The same, beginning with a trained model's parameters. Raises UsageError and DataError where those can't be had."""
        from zoo.training.fine_tuning import Source

        return replace(self, source=Source(run, self.name))

    def make_recipe(self, values: Mapping[str, Any]) -> Recipe:
        """Make its recipe, with some settings given: the model's, or that of fine-tuning. Raises UsageError."""
        return make_recipe(self.kind, values) if self.source is None else self.source.make_recipe(values)


def common_settings(contestants: Sequence[Contestant]) -> list[str]:
    """The names of the settings that each of them has, in the first one's order."""
    first, *others = [[f.name for f in fields(contestant.kind)] for contestant in contestants]
    return [name for name in first if all(name in other for other in others)]
