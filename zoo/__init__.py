"""zoo: tiny language models on microtensor, each a lesson to read, train and look inside.

>>> import zoo
>>> zoo.list_models()
['word_meanpool']
>>> zoo.create_model("word_meanpool").num_parameters()
16128
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.model import Model
    from zoo.tokenizers.tokenizer import Tokenizer

# What they need is imported when they are called: a command that only refuses a typo should answer at once.


def list_models() -> list[str]:
    """The names of the models."""
    from zoo.registry import list_models

    return list_models()


def create_model(name: str, **config: Any) -> Model:
    """An untrained model; `config` sets fields of its recipe. `.num_parameters()` says how large it is.

    Raises UsageError for an unknown name or a bad setting.
    """
    from zoo.registry import create_model

    return create_model(name, **config)


def load_model(name_or_run_folder: str) -> tuple[Model, Tokenizer]:
    """A trained model and its tokenizer, from a run folder or by name: from `runs/`, or else what comes with the zoo.

    Raises DataError, and loads nothing, when the folder is missing, damaged, or holds another model; and UsageError for an
    unknown name.
    """
    from zoo.training.checkpoint import load_model

    return load_model(name_or_run_folder)
