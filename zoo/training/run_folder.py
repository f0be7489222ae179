"""A run folder: everything a training run leaves behind.

config.json          the model, its recipe, its tokenizer
model.safetensors    the parameters: those that did best on the validation split, or the last (see `Trainer`)
state.safetensors    the last parameters, the optimizer, the step, the latest losses: what resuming needs
metrics.jsonl        the losses as they went, a JSON object a line
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from microtensor.serialize import save_safetensors, write_atomically
from zoo.errors import DataError
from zoo.model import Model
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.training.checkpoint import FORMAT, in_run_folder, kept_text, read_tensors

#: What a run folder holds.
FILES = ("config.json", "metrics.jsonl", "state.safetensors", "model.safetensors")


class RunFolder:
    """The folder of one run.

    Args:
        path: the folder; made by `open_for_writing`.
        name: the model it is for.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        self.path = Path(os.path.expanduser(path))
        self.name = name
        self.checkpoint = in_run_folder(self.path, name)
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

    def close(self) -> None:
        """Let another training write here: in a notebook, the process goes on."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def discard_if_empty(self) -> None:
        """Leave no empty folder behind when nothing came of a run."""
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def save(
        self,
        model: Model,
        tokenizer: Tokenizer,
        text: str,
        state: dict[str, np.ndarray],
        metrics: list[dict[str, Any]],
        for_use: bool = True,
    ) -> Path | None:
        """Write all of a run's files. `text` is the digest of the text it learns from, and `for_use` says whether the
        parameters are those to keep in `model.safetensors`. Raises DataError when the disk refuses.

        Each file is whole at any moment, and resuming needs `state.safetensors` alone of what changes: it holds the parameters
        too. The parameters for use are written before it: a run that is killed in between does the steps again, which lead to
        the same. An earlier run is moved aside before the first file is written; returns where to.
        """
        recipe = model.recipe.to_dict()
        if recipe["data"] is not None:
            recipe["data"] = kept_text(recipe["data"], self.path)
        config = {
            "format": FORMAT,
            "model": self.name,
            "recipe": recipe,
            "text": text,
            "chat": model.chat,
            "tokenizer": tokenizer.to_dict(),
        }
        parameters = model.state_dict()
        try:
            moved = self._move_earlier_run() if self._replaces_earlier_run else None
            # A path in the recipe may hold bytes that aren't text; they become escapes, which JSON reads back.
            raw = json.dumps(config, ensure_ascii=False, indent=1).encode(errors="backslashreplace")
            write_atomically(self.path / "config.json", raw)
            write_atomically(self.path / "metrics.jsonl", "".join(json.dumps(m) + "\n" for m in metrics).encode())
            if for_use:
                save_safetensors(self.path / "model.safetensors", parameters, {"model": self.name})
            everything = {**state, **{f"model.{name}": array for name, array in parameters.items()}}
            save_safetensors(self.path / "state.safetensors", everything)
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

    def load_state(self) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
        """Read what resuming needs: the state, and the metrics so far (none if they can't be read). Raises DataError."""
        state = read_tensors(self.path, self.path / "state.safetensors")
        try:
            lines = (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            metrics = [json.loads(line) for line in lines]
        except (OSError, ValueError):
            metrics = []
        return state, [m for m in metrics if isinstance(m, dict)]
