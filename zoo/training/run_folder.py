"""A run folder: everything a training run leaves behind.

config.json          the model, its recipe, its tokenizer
model.safetensors    the parameters: those that did best on the validation split, or the last (see `Trainer`)
state.safetensors    the last parameters, the optimizer, the step, the latest losses: what resuming needs
metrics.jsonl        the losses as they went, a JSON object a line
manifest.json        the SHA-256 of each; it is replaced last, and with it all of them (see `zoo.training.manifest`)
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from microtensor.files import read_file, sync_folder
from microtensor.serialize import to_safetensors
from zoo.errors import DataError
from zoo.model import Model
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.training.checkpoint import FILES, FORMAT, in_run_folder, kept_text
from zoo.training.manifest import MANIFEST
from zoo.training.state import State, metrics_to_lines


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
        #: Of a run that began with trained parameters: whose they were, by name and digest (see `zoo.training.fine_tuning`).
        self.init_from: dict[str, Any] | None = None
        self._lock: int | None = None
        self._replaces_earlier_run = False

    def open_for_writing(self, resuming: bool) -> None:
        """Make sure, before training, that the run can be written here, and that no other training does; and clean up after one
        that was killed. Raises DataError."""
        files = self.checkpoint.files
        try:
            if self.path.exists() and not self.path.is_dir():
                raise DataError(f"can't write a run folder: {self.path} is a file; choose another folder with --out")
            others = not files.exist() and self.path.is_dir() and not all(map(files.is_temporary, os.listdir(self.path)))
            if others:
                raise DataError(f"can't write a run folder: {self.path} holds other files; choose another folder with --out")
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
            self._take_lock()
            self._clean_up()
        except OSError as error:
            self.close()
            raise DataError(
                f"can't write a run folder: {self.path}: {error.strerror}; choose another folder with --out"
            ) from None
        self._replaces_earlier_run = not resuming and files.exist()

    def _clean_up(self) -> None:
        """Finish or undo what a training that was killed had begun."""
        with contextlib.suppress(ValueError):  # a manifest that is damaged tells nothing; a new run sets it aside
            self.checkpoint.files.mend()
        self._settle_earlier_run()

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
            self.close()
            raise DataError(
                f"another training is writing to {self.path}; wait for it, or choose another folder with --out"
            ) from None

    def _follow(self) -> None:
        """Write where the folder is now, if somebody has moved it meanwhile; and if it is gone, to a new one. (The lock is on
        the folder, and what is written to is a path.)"""
        if self._lock is None or _is(self.path, self._lock):
            return
        moved = Path(os.path.realpath(f"/proc/self/fd/{self._lock}"))
        if not _is(moved, self._lock):
            self.close()
            moved = self._free_name() if self.path.exists() else self.path
            moved.mkdir(parents=True)
        self.path = moved
        self.checkpoint = in_run_folder(moved, self.name)
        if self._lock is None:
            self._take_lock()

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
        state: State,
        metrics: list[dict[str, Any]],
        for_use: bool = True,
    ) -> Path | None:
        """Write all of a run's files at once: whatever happens meanwhile, there is what was there, or all of the new.

        Args:
            model, tokenizer, state, metrics: the run.
            text: the digest of the text it learns from.
            for_use: whether the parameters are those to keep in `model.safetensors`.

        An earlier run is kept beside this one; returns where. Raises DataError when the disk refuses.
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
        if self.init_from is not None:
            config["init_from"] = self.init_from
        contents = {
            # A path in the recipe may hold bytes that aren't text; they become escapes, which JSON reads back.
            "config.json": json.dumps(config, ensure_ascii=False, indent=1).encode(errors="backslashreplace"),
            "metrics.jsonl": metrics_to_lines(metrics),
            "state.safetensors": to_safetensors(state.to_arrays()),
        }
        if for_use:
            contents["model.safetensors"] = to_safetensors(state.model, {"model": self.name})
        try:
            self._follow()
            if self._replaces_earlier_run:
                self._set_earlier_run_aside()
            self.checkpoint.files.write(contents)
            moved = self._settle_earlier_run() if self._replaces_earlier_run else None
            self._replaces_earlier_run = False
        except OSError as error:
            with contextlib.suppress(OSError):
                self._settle_earlier_run()
            raise DataError(f"can't save the run: {self.path}: {error.strerror}") from None
        return moved

    # An earlier run in the folder: it is set aside before the new one takes its place, and gets its name afterwards.

    def _aside(self) -> Path:
        """Where the files of an earlier run wait."""
        here = self.path.resolve()
        return here.with_name(f".{here.name}.earlier")

    def _set_earlier_run_aside(self) -> None:
        """Give the files of the earlier run a second name, in a hidden folder beside this one."""
        aside = self._aside()
        aside.mkdir()
        for name in (MANIFEST, *FILES):  # (by the manifest, which comes first, one sees if it has been replaced since)
            if (self.path / name).is_file():
                try:
                    os.link(self.path / name, aside / name)
                except OSError:  # a file system without
                    shutil.copy2(self.path / name, aside / name)
        sync_folder(aside)

    def _settle_earlier_run(self) -> Path | None:
        """Name the folder of an earlier run that has been replaced, and return it; remove it where the earlier run is still
        there, as a training was killed before it could replace it."""
        aside = self._aside()
        if not aside.is_dir():
            return None
        manifests = [folder / MANIFEST for folder in (self.path, aside)]
        replaced, earlier = (read_file(file, 2**20) if file.is_file() else None for file in manifests)
        if replaced == earlier or not os.listdir(aside):
            shutil.rmtree(aside)
            return None
        name = self._free_name()
        os.rename(aside, name)
        sync_folder(name.parent)
        return Path(os.path.relpath(name))

    def _free_name(self) -> Path:
        """A folder beside this one that isn't there yet."""
        here = self.path.resolve()
        return next(p for i in range(1, 10**6) if not (p := here.with_name(f"{here.name}-{i}")).exists())


def _is(path: Path, handle: int) -> bool:
    """Tell if a path still names what was opened."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except OSError:
        return False
