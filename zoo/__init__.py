"""zoo: tiny language models on microtensor, each a lesson to read, train and look inside.

    import zoo

    model = zoo.train_model("char_gpt", preset="nano", data="my.txt", steps=200)
    print(model.generate("The "))
    print(model.predict("The "))

A model that is trained, or loaded with `zoo.load_model`, generates, predicts, evaluates, explains, plots and chats, by methods
with the commands' names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from zoo.language_model import LanguageModel
    from zoo.model import Model

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


def load_model(name_or_run_folder: str | os.PathLike[str], last: bool = False) -> LanguageModel:
    """A trained model, from a run folder or by name: from `runs/`, or else what comes with the zoo. `.model` is the network and
    `.tokenizer` its tokenizer; the methods do what the commands do.

    Args:
        name_or_run_folder: which model.
        last: as it was after the last step of its training, rather than when it did best.

    Raises DataError, and loads nothing, when the folder is missing, damaged, or holds another model; and UsageError for an
    unknown name.
    """
    from zoo.language_model import load_model

    return load_model(name_or_run_folder, last)


def train_model(
    name: str,
    *,
    preset: str | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    checkpoint_every: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    init_from: str | os.PathLike[str] | None = None,
    **recipe: Any,
) -> LanguageModel:
    """Train a model, showing how it goes, and keep it in a run folder.

    Args:
        name: the model.
        preset: a recipe by name to begin with.
        out: the run folder; `runs/NAME` if None. An earlier run there is kept beside it.
        resume: go on with the run in the folder.
        checkpoint_every: save after every so many steps; once a minute if None.
        data_dir: where tiny Shakespeare is looked for first.
        init_from: fine-tune: begin with the parameters of a trained model, by its name or its run folder, whose recipe and
            tokenizer hold unless something else is given.
        recipe: fields of the model's recipe: data="my.txt", steps=200, learning_rate=0.01 and so on; `python -m zoo.train NAME
            --help` lists them.

    Ctrl-C, or a notebook's stop button, raises KeyboardInterrupt when what was learned is saved; in a thread, which no signal
    reaches, nothing stops it. Raises UsageError for a setting that can't be meant, and DataError for a text that can't be used,
    or when the loss is no longer a number.
    """
    from zoo.training_run import train_model

    return train_model(
        name,
        preset=preset,
        out=out,
        resume=resume,
        checkpoint_every=checkpoint_every,
        data_dir=data_dir,
        init_from=init_from,
        **recipe,
    )
