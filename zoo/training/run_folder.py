"""A run folder: everything a training run leaves behind.

config.json          the model, its recipe, its vocabulary
model.safetensors    the parameters
state.safetensors    the optimizer, the step, the latest losses: what resuming needs
metrics.jsonl        the loss as it went, a JSON object a line
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from microtensor.serialize import load_safetensors, save_safetensors, write_atomically
from zoo.errors import DataError, UserError
from zoo.model import Model
from zoo.recipe import make_recipe
from zoo.registry import list_models, model_class
from zoo.text.words import WordTokenizer

#: Changes when a newer zoo could no longer read an older folder.
FORMAT = 1


def default_folder(model: str) -> Path:
    """Where a model's run is kept unless the user says otherwise."""
    return Path("runs") / model


class RunFolder:
    """The folder of one run.

    Args:
        path: the folder; made by `prepare`.
        name: the model it is for.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        self.path = Path(path)
        self.name = name

    def prepare(self) -> Path | None:
        """Make sure, before training, that a new run can be written here. An earlier run is moved aside, and where it went is
        returned. Raises DataError."""
        moved = None
        if self.path.exists() and not self.path.is_dir():
            raise DataError(f"can't write a run folder: {self.path} is a file; choose another folder with --out")
        try:
            if self.path.is_dir() and any(self.path.iterdir()):
                if not (self.path / "config.json").is_file():
                    raise DataError(
                        f"can't write a run folder: {self.path} holds other files; choose another folder with --out"
                    )
                moved = next(p for i in range(1, 10**6) if not (p := self.path.with_name(f"{self.path.name}-{i}")).exists())
                self.path.rename(moved)
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                return moved
        except OSError as error:
            raise DataError(
                f"can't write a run folder: {self.path}: {error.strerror}; choose another folder with --out"
            ) from None

    def discard_if_empty(self) -> None:
        """Leave no empty folder behind when nothing came of a run."""
        try:
            self.path.rmdir()
        except OSError:
            pass

    def save(self, model: Model, tokenizer: WordTokenizer, state: dict[str, np.ndarray], metrics: list[dict[str, Any]]) -> None:
        """Write all of a run's files, the parameters last. Raises DataError when the disk refuses."""
        config = {
            "format": FORMAT,
            "model": self.name,
            "recipe": model.recipe.to_dict(),
            "vocabulary": tokenizer.vocabulary,
        }
        try:
            write_atomically(self.path / "config.json", json.dumps(config, ensure_ascii=False, indent=1).encode())
            lines = "".join(json.dumps(m) + "\n" for m in metrics)
            write_atomically(self.path / "metrics.jsonl", lines.encode())
            save_safetensors(self.path / "state.safetensors", state)
            save_safetensors(self.path / "model.safetensors", model.state_dict(), {"model": self.name})
        except OSError as error:
            raise DataError(f"can't save the run: {self.path}: {error.strerror}") from None

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
        wanted = {"format": int, "model": str, "recipe": dict, "vocabulary": list}
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

    def load(self) -> tuple[Model, WordTokenizer]:
        """The trained model and its tokenizer. Raises DataError, naming the file and what is wrong."""
        config = self.read_config()
        kind = model_class(self.name)
        try:
            recipe = make_recipe(kind.recipe_class, config["recipe"])
        except UserError as error:
            raise DataError(f"damaged: the recipe in {self.path / 'config.json'}: {error}; train again") from None
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
        """What resuming needs: the state and the metrics so far. Raises DataError."""
        state = self._read_tensors("state.safetensors")
        try:
            lines = (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            return state, [json.loads(line) for line in lines]
        except (OSError, ValueError) as error:
            raise DataError(f"damaged: {self.path / 'metrics.jsonl'}: {error}; train again") from None

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
