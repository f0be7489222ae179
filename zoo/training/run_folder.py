"""A run folder: everything a training run leaves behind.

config.json          the model, its recipe, its vocabulary
model.safetensors    the parameters
state.safetensors    the optimizer, the step, the latest losses: what resuming needs
metrics.jsonl        the loss as it went, a JSON object a line
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from microtensor.serialize import load_safetensors, save_safetensors, write_atomically
from zoo.errors import DataError, UserError
from zoo.model import Model
from zoo.recipe import Recipe, make_recipe
from zoo.registry import list_models, model_class
from zoo.text.words import WordTokenizer

#: Changes when a newer zoo could no longer read an older folder.
FORMAT = 1

#: What a run folder holds.
FILES = ("config.json", "metrics.jsonl", "state.safetensors", "model.safetensors")


def default_folder(model: str) -> Path:
    """Where a model's run is kept unless the user says otherwise."""
    return Path("runs") / model


class RunFolder:
    """The folder of one run.

    Args:
        path: the folder; made by `open_for_writing`.
        name: the model it is for.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        self.path = Path(path)
        self.name = name
        self._lock: int | None = None
        self._replaces_earlier_run = False

    def open_for_writing(self, resuming: bool) -> None:
        """Make sure, before training, that the run can be written here, and that no other training does. Raises DataError."""
        try:
            if self.path.exists() and not self.path.is_dir():
                raise DataError(f"can't write a run folder: {self.path} is a file; choose another folder with --out")
            if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / "config.json").is_file():
                raise DataError(f"can't write a run folder: {self.path} holds other files; choose another folder with --out")
            self._replaces_earlier_run = not resuming and (self.path / "config.json").is_file()
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise DataError(
                f"can't write a run folder: {self.path}: {error.strerror}; choose another folder with --out"
            ) from None
        self._take_lock()

    def _take_lock(self) -> None:
        """Refuse a second training in the same folder. The system lets go of the lock when the process ends."""
        try:
            import fcntl
        except ImportError:  # not on Windows, where nothing is locked
            return
        self._lock = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            self._lock = None
            raise DataError(
                f"another training is writing to {self.path}; wait for it, or choose another folder with --out"
            ) from None

    def discard_if_empty(self) -> None:
        """Leave no empty folder behind when nothing came of a run."""
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def save(
        self, model: Model, tokenizer: WordTokenizer, text: str, state: dict[str, np.ndarray], metrics: list[dict[str, Any]]
    ) -> Path | None:
        """Write all of a run's files. `text` is the digest of the text it learns from. Raises DataError when the disk refuses.

        Each file is whole at any moment, and resuming needs `state.safetensors` alone of what changes: it holds the parameters
        too. An earlier run is moved aside before the first file is written; returns where to.
        """
        config = {
            "format": FORMAT,
            "model": self.name,
            "recipe": model.recipe.to_dict(),
            "text": text,
            "vocabulary": tokenizer.vocabulary,
        }
        parameters = model.state_dict()
        try:
            moved = self._move_earlier_run() if self._replaces_earlier_run else None
            # A path in the recipe may hold bytes that aren't text; they become escapes, which JSON reads back.
            raw = json.dumps(config, ensure_ascii=False, indent=1).encode(errors="backslashreplace")
            write_atomically(self.path / "config.json", raw)
            write_atomically(self.path / "metrics.jsonl", "".join(json.dumps(m) + "\n" for m in metrics).encode())
            everything = {**state, **{f"model.{name}": array for name, array in parameters.items()}}
            save_safetensors(self.path / "state.safetensors", everything)
            save_safetensors(self.path / "model.safetensors", parameters, {"model": self.name})
        except OSError as error:
            raise DataError(f"can't save the run: {self.path}: {error.strerror}") from None
        return moved

    def _move_earlier_run(self) -> Path:
        """Move the files of an earlier run to a new folder beside this one."""
        here = self.path.resolve()
        aside = next(p for i in range(1, 10**6) if not (p := here.with_name(f"{here.name}-{i}")).exists())
        aside.mkdir()
        for name in FILES:
            if (here / name).exists():
                (here / name).rename(aside / name)
        self._replaces_earlier_run = False
        return Path(os.path.relpath(aside))

    def read_config(self) -> dict[str, Any]:
        """The configuration, checked. Raises DataError."""
        path = self.path / "config.json"
        if not self.path.is_dir():
            raise DataError(f"no run folder: {self.path}; train first: python -m zoo.train {self.name}")
        try:
            config = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise DataError(
                f"not a run folder: {self.path} has no config.json; train first: python -m zoo.train {self.name}"
            ) from None
        except OSError as error:
            raise DataError(f"can't be read: {path}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"damaged: {path}: {error}; train again") from None
        wanted = {"format": int, "model": str, "recipe": dict, "text": str, "vocabulary": list}
        for key, kind in wanted.items():
            if not isinstance(config, dict) or not isinstance(config.get(key), kind):
                raise DataError(f"damaged: {path} has no {key}; train again")
        if config["format"] != FORMAT:
            raise DataError(f"another format: {path} has format {config['format']}, and this zoo reads {FORMAT}; train again")
        if config["model"] != self.name:
            raise DataError(
                f"another model: {self.path} holds {config['model']}, not {self.name}; name its own model or another folder"
            )
        words = config["vocabulary"]
        if not words or not all(isinstance(w, str) for w in words) or len(set(words)) < len(words):
            raise DataError(f"damaged: the vocabulary in {path} isn't a list of distinct words; train again")
        return config

    def saved_recipe(self, config: dict[str, Any]) -> Recipe:
        """The recipe in a configuration, checked. Raises DataError."""
        try:
            return make_recipe(model_class(self.name).recipe_class, config["recipe"])
        except UserError as error:
            raise DataError(f"damaged: the recipe in {self.path / 'config.json'}: {error}; train again") from None

    def load(self) -> tuple[Model, WordTokenizer]:
        """The trained model and its tokenizer. Raises DataError, naming the file and what is wrong."""
        config = self.read_config()
        kind = model_class(self.name)
        recipe = self.saved_recipe(config)
        tokenizer = kind.tokenizer_class(config["vocabulary"])
        model = kind(recipe, len(tokenizer.vocabulary), np.random.default_rng(0))
        parameters = self._read_tensors("model.safetensors")
        try:
            model.load_state_dict(parameters)
        except ValueError as error:
            raise DataError(f"another model: {self.path / 'model.safetensors'}: {error}; train again") from None
        for name, array in parameters.items():
            if not np.isfinite(array).all():
                raise DataError(f"damaged: {name} in {self.path / 'model.safetensors'} holds NaN or infinity; train again")
        return model, tokenizer

    def load_state(self) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
        """What resuming needs: the state, and the metrics so far (none if they can't be read). Raises DataError."""
        state = self._read_tensors("state.safetensors")
        try:
            lines = (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            metrics = [json.loads(line) for line in lines]
        except (OSError, ValueError):
            metrics = []
        return state, [m for m in metrics if isinstance(m, dict)]

    def _read_tensors(self, file: str) -> dict[str, np.ndarray]:
        try:
            return load_safetensors(self.path / file)
        except FileNotFoundError:
            raise DataError(f"incomplete run folder: {self.path} has no {file}; train again") from None
        except OSError as error:
            raise DataError(f"can't be read: {self.path / file}: {error.strerror}") from None
        except ValueError as error:
            raise DataError(f"damaged: {error}; train again") from None


def load_model(name_or_run_folder: str) -> tuple[Model, WordTokenizer]:
    """A trained model and its tokenizer, by the model's name (from `runs/`) or from a run folder."""
    return find_run(name_or_run_folder).load()


def find_run(name_or_run_folder: str) -> RunFolder:
    """The run folder that is meant. Raises UsageError for what is neither a model nor a folder, and DataError."""
    if name_or_run_folder in list_models():
        return RunFolder(default_folder(name_or_run_folder), name_or_run_folder)
    path = Path(name_or_run_folder)
    if not path.is_dir() and os.sep not in name_or_run_folder:
        model_class(name_or_run_folder)  # raises, saying which models there are
    config = RunFolder(path, "MODEL")
    try:
        name = json.loads((path / "config.json").read_bytes())["model"]
    except (OSError, ValueError, KeyError, TypeError):
        config.read_config()  # raises, saying what is wrong
        raise DataError(f"damaged: {path / 'config.json'} names no model; train again") from None
    if name not in list_models():
        raise DataError(f"another model: {path} holds {name!r}, which this zoo doesn't have")
    return RunFolder(path, name)
