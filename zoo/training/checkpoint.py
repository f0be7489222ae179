"""Trained models on disk: finding them, and reading them with mistrust.

A checkpoint is a configuration (the model, its recipe, its tokenizer) and a file of parameters. Everything in both is compared
with what the model expects before anything is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from microtensor.serialize import LARGEST, count_numbers, from_safetensors
from zoo.chat.template import BOT, END, USER
from zoo.datasets.corpus import data_folder
from zoo.errors import DataError, UserError, quoted
from zoo.model import Model
from zoo.options import RENAMED as RENAMED_FIELDS
from zoo.recipe import Recipe, make_recipe
from zoo.registry import build_model, list_models, model_class
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.training.carried import carried_numbers, fitting
from zoo.training.manifest import MANIFEST, Files
from zoo.training.state import LONGEST_WINDOW, State, metrics_from_lines, within
from zoo.untrusted import from_json

#: Changes when a newer zoo could no longer read an older file.
FORMAT = 1
#: What a run folder holds; the state and the metrics are missing from what comes with the zoo.
FILES = ("config.json", "metrics.jsonl", "state.safetensors", "model.safetensors")
#: A larger configuration isn't read, nor larger metrics: 16 and 256 MB.
LARGEST_CONFIG, LARGEST_METRICS = 2**24, 2**28
#: A state has no more numbers for each of the model's: the parameter, and what an optimizer keeps for it.
NUMBERS_FOR_ONE = 8


def default_folder(model: str) -> Path:
    """Name the folder of a model's run, unless the user says otherwise."""
    return Path("runs") / model


class Checkpoint:
    """A trained model's files.

    Args:
        name: the model's name.
        folder: where the files are; named in errors.
        config, parameters: the names of two of them.
        state, metrics: those of the run's last step, and of its losses, if there are any.
    """

    def __init__(
        self, name: str, folder: Path, config: str, parameters: str, state: str | None = None, metrics: str | None = None
    ) -> None:
        self.name = name
        self.folder = folder
        self.config = folder / config
        self.parameters = folder / parameters
        self.state = None if state is None else folder / state
        self.metrics = None if metrics is None else folder / metrics
        self.files = Files(folder, tuple(name for name in (config, metrics, state, parameters) if name is not None))

    def note(self) -> str | None:
        """A remark about these files, that nothing tells if they are as they were saved; None where there is none to make."""
        if self.files.has_manifest():
            return None
        return f"{self.folder} has no {MANIFEST}, so nothing tells if it is as it was saved"

    def read_config(self, any_model: bool = False) -> dict[str, Any]:
        """The configuration, checked; of this model, unless any will do. Raises DataError."""
        if not os.path.isdir(self.folder):
            raise DataError(f"no run folder: {self.folder}; train first: python -m zoo.train {self.name}")
        try:
            config = from_json(self.files.read(self.config.name, LARGEST_CONFIG))
        except FileNotFoundError:
            raise DataError(
                f"not a run folder: {self.folder} has no {self.config.name}; train first: python -m zoo.train {self.name}"
            ) from None
        except OSError as error:
            raise DataError(f"can't be read: {self.config}: {error.strerror}") from None
        except ValueError as error:
            raise DataError(f"damaged: {self.config}: {error}; train again") from None
        if isinstance(config, dict) and "vocabulary" in config:  # an earlier run's, whose tokenizer was nothing else
            config.setdefault("tokenizer", {"vocabulary": config.pop("vocabulary")})
        wanted = {"format": int, "model": str, "recipe": dict, "text": str, "tokenizer": dict}
        for key, kind in wanted.items():
            if not isinstance(config, dict) or not isinstance(config.get(key), kind):
                raise DataError(f"damaged: {self.config} has no {key}; train again")
        if config["format"] != FORMAT:
            raise DataError(
                f"another format: {self.config} has format {config['format']}, and this zoo reads {FORMAT}; train again"
            )
        if config["model"] != self.name and not any_model:
            raise DataError(
                f"another model: {self.folder} holds {config['model']}, not {self.name}; name its own model or another folder"
            )
        config["recipe"] = {RENAMED_FIELDS.get(name, name): value for name, value in config["recipe"].items()}
        return config

    def recipe(self, config: dict[str, Any]) -> Recipe:
        """The recipe in a configuration, checked. Raises DataError."""
        try:
            settings = {**config["recipe"], "data": found_text(config["recipe"].get("data"), self.folder)}
            return make_recipe(model_class(self.name).recipe_class, settings)
        except UserError as error:
            reason = re.sub(r"--(?=\w)", "", str(error))  # (what is no option of most commands)
            raise DataError(f"damaged: the recipe in {self.config}: {reason}; train again") from None

    def tokenizer(self, config: dict[str, Any]) -> Tokenizer:
        """The tokenizer in a configuration. Raises DataError for data that its class can't have written."""
        kind = self.recipe(config).tokenizer_kind
        try:
            return kind.from_dict(config["tokenizer"])
        except ValueError as error:
            reason = str(error)
        except (LookupError, TypeError, AttributeError, ArithmeticError) as error:  # from a class that expects no evil
            reason = f"{type(error).__name__}: {error}"
        raise DataError(f"damaged: the tokenizer in {self.config}: {reason}; train again")

    def check_text(self, text: str) -> None:
        """Raises DataError when this isn't the text that the model learned from."""
        if self.read_config()["text"] != text_digest(text):
            raise DataError(f"another text: the model in {self.folder} learned from a text that has changed since; train again")

    def load(self, last: bool = False) -> tuple[Model, Tokenizer]:
        """The trained model and its tokenizer; with `last`, as it was after the last step.

        Raises DataError, naming the file and what is wrong.
        """
        if last and self.state is None:
            raise DataError(f"--last: what comes with the zoo has no last step; train first: python -m zoo.train {self.name}")
        return self.files.consistently(lambda: self._load(last))

    def _load(self, last: bool) -> tuple[Model, Tokenizer]:
        config = self.read_config()
        recipe, tokenizer = self.recipe(config), self.tokenizer(config)
        file = self.state if last and self.state is not None else self.parameters
        made: list[Model] = []

        def make(opened: BinaryIO) -> None:
            """Make the model, if the file has the numbers for it, and no more than it can need."""
            blank: Any = _Blank(count_numbers(opened, file))
            with self._of_this_model(file):
                made[:] = [build_model(self.name, recipe, len(tokenizer.vocabulary), blank)]
                _check_count(blank.numbers, most_numbers(made[0]))

        parameters = self.read_tensors(file, make)
        if last:
            parameters = within(parameters, "model.")
        # Half the precision is enough on disk; computing wants all of it.
        parameters = {n: a.astype(np.float32) if a.dtype == np.float16 else a for n, a in parameters.items()}
        with self._of_this_model(file):
            made[0].load_state_dict(parameters)
        for name, array in parameters.items():
            if not np.isfinite(array).all():
                raise DataError(f"damaged: {name} in {file} holds NaN or infinity; train again")
        made[0].eval()
        made[0].chat, made[0].boundary = is_chat(config, tokenizer), recipe.boundary(tokenizer)
        return made[0], tokenizer

    @contextlib.contextmanager
    def _of_this_model(self, file: Path) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise DataError(
                f"another model: {file}: {error}; its code has changed since, or the file is another's: train again"
            ) from None

    def read_tensors(self, file: Path, check: Callable[[BinaryIO], object]) -> dict[str, np.ndarray]:
        """The arrays of one of the files; `check` looks into it before it is read. Raises DataError, naming it."""
        try:
            raw = self.files.read(file.name, LARGEST, check)
            return {_current_name(name): array for name, array in from_safetensors(raw, file).items()}
        except FileNotFoundError:
            raise DataError(f"incomplete run folder: {self.folder} has no {file.name}; train again") from None
        except OSError as error:
            raise DataError(f"can't be read: {file}: {error.strerror}") from None
        except ValueError as error:
            raise DataError(f"damaged: {error}; train again") from None

    def digest(self) -> str:
        """Compute the SHA-256 of the file of parameters. Raises DataError when it can't be read."""
        try:
            return hashlib.sha256(self.files.read(self.parameters.name, LARGEST)).hexdigest()
        except (OSError, ValueError) as error:
            raise DataError(f"can't be read: {self.parameters}: {error}; train again") from None

    def read_metrics(self) -> list[dict[str, Any]]:
        """The losses as they went; none where they weren't kept. Raises DataError."""
        if self.metrics is None:
            return []
        try:
            return metrics_from_lines(self.files.read(self.metrics.name, LARGEST_METRICS))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DataError(f"can't be read: {self.metrics}: {error.strerror}") from None
        except ValueError as error:
            raise DataError(f"damaged: {self.metrics}: {error}; train again") from None

    def read_state(self, at_most: int) -> State:
        """The state that training resumes from, of at most so many numbers. Raises DataError."""
        file = self.folder / FILES[2]
        try:
            return State.from_arrays(self.read_tensors(file, lambda opened: _check_count(count_numbers(opened, file), at_most)))
        except ValueError as error:
            raise DataError(f"damaged: {file}: {error}; train again") from None

    def verify(self) -> dict[str, str | None]:
        """Read everything, as loading and resuming do.

        Returns the SHA-256 of each file, as the manifest has it; None for each where there is no manifest. Raises DataError,
        naming the first file that is wrong.
        """
        model, _ = self.load()
        if self.state is not None:
            self.load(last=True)
            state, metrics = self.read_state(most_numbers(model)), self.read_metrics()
            try:
                optimizer = model.recipe.optimizer(model)
                optimizer.load_state_dict(state.optimizer)
                if state.carried:
                    fitting(model, state.carried)
            except ValueError as error:
                raise DataError(f"damaged: {self.state}: {error}; train again") from None
            if metrics and metrics[-1]["step"] > state.step:
                raise DataError(f"damaged: {self.metrics} goes to step {metrics[-1]['step']} of {state.step}; train again")
        digests = self.files.digests() or {}
        return {name: digests.get(name) for name in self.files.names}


def kept_text(path: str, folder: Path) -> str:
    """A text's path as a run's files hold it: from the run's folder, so that both can be moved together, and nobody who is
    given the run learns where it was made. A text that has nothing but the root in common with the folder is named from the
    user's home, or else by its whole path."""
    text, here = (os.path.abspath(os.path.expanduser(p)) for p in (path, folder))
    try:
        if os.path.dirname(common := os.path.commonpath([text, here])) != common:
            return Path(os.path.relpath(text, here)).as_posix()
        home = os.path.abspath(os.path.expanduser("~"))
        if os.path.commonpath([text, home]) == home and os.path.dirname(home) != home:
            return "~/" + Path(os.path.relpath(text, home)).as_posix()
    except ValueError:  # on different drives
        pass
    return text


def found_text(path: Any, folder: Path) -> Any:
    """Where the text of a run is: as `kept_text` wrote it, or an earlier version, whose paths were absolute. Where there is
    nothing any more, as the folder was moved, a file of that name here is meant."""
    if not isinstance(path, str):
        return path
    found = os.path.abspath(os.path.join(folder, os.path.expanduser(path)))
    here = os.path.abspath(os.path.basename(path))
    return here if not os.path.exists(found) and os.path.exists(here) else found


def is_chat(config: dict[str, Any], tokenizer: Tokenizer) -> bool:
    """Tell if a run's text was a conversation; of an earlier run, that didn't record it, if it could have been one."""
    return bool(config.get("chat", {USER, BOT, END} <= set(tokenizer.vocabulary)))


class _Blank:
    """Takes the place of the random generator where a model's first numbers don't matter, as they will be loaded. It gives
    zeros, and no more of them than the file holds: a configuration that lies about sizes can't take all memory."""

    def __init__(self, numbers: int) -> None:
        self.numbers = self.left = numbers

    def standard_normal(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Zeros. Raises ValueError when there would be too many."""
        self.left -= math.prod(shape)
        if self.left < 0:
            raise ValueError(f"it holds {self.numbers:,} numbers, fewer than the recipe's model has")
        return np.zeros(shape, dtype)


def most_numbers(model: Model) -> int:
    """How many numbers a run keeps of a model at most."""
    return NUMBERS_FOR_ONE * model.num_parameters() + carried_numbers(model) + LONGEST_WINDOW + 10


def _check_count(numbers: int, at_most: int) -> None:
    """Raises ValueError for more numbers than a run keeps of the model."""
    if numbers > at_most:
        raise ValueError(f"it holds {numbers:,} numbers, far more than the recipe's model has")


def text_digest(text: str) -> str:
    """Compute the digest that a text is known by."""
    return hashlib.sha256(text.encode()).hexdigest()


#: The names that parameters had in earlier runs, and have now.
RENAMED = {
    "characters.weight": "token_embedding.weight",
    "places.weight": "position_embedding.weight",
    "head.weight": "lm_head.weight",
}


def _current_name(name: str) -> str:
    prefix = "model." if name.startswith("model.") else ""
    return prefix + RENAMED.get(name.removeprefix(prefix), name.removeprefix(prefix))


def in_run_folder(path: Path, name: str) -> Checkpoint:
    """The checkpoint in a run folder."""
    config, metrics, state, parameters = FILES
    return Checkpoint(name, path, config, parameters, state, metrics)


def shipped(name: str) -> Checkpoint:
    """The checkpoint of that name that comes with the zoo, if there is one: `data/pretrained/NAME.safetensors`."""
    return Checkpoint(name, data_folder() / "pretrained", f"{name}.json", f"{name}.safetensors")


def find(name_or_run_folder: str) -> Checkpoint:
    """The checkpoint that is meant: by a model's name its run in `runs/`, or else what comes with the zoo; or by a run folder.

    Raises UsageError for what is neither a model nor a folder, and DataError.
    """
    if name_or_run_folder in list_models():
        ours, own = shipped(name_or_run_folder), in_run_folder(default_folder(name_or_run_folder), name_or_run_folder)
        return own if own.files.exist() or not ours.config.is_file() else ours
    path = Path(os.path.expanduser(name_or_run_folder))
    if not os.path.isdir(path) and os.sep not in name_or_run_folder:
        model_class(name_or_run_folder)  # raises, saying which models there are
    name = in_run_folder(path, "MODEL").read_config(any_model=True)["model"]
    if name not in list_models():
        raise DataError(f"another model: {path} holds {quoted(name)}, which this zoo doesn't have")
    return in_run_folder(path, name)
