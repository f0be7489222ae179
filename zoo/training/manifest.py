"""Files that change together. A manifest says which content of each is valid, by its SHA-256; when it is replaced, all of them
change at once.

    .NAME.new       a new file, whole and on the disk, but not valid yet
    manifest.json   replaced when all of them are: the point of commitment
    NAME            what the new file is called afterwards

So the valid content of a file is under its own name, or else, where a crash came in between, still under the temporary one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar

from microtensor.files import open_file, read_file, sync_folder, write_file
from zoo.errors import UserError
from zoo.untrusted import from_json

MANIFEST = "manifest.json"
#: Whoever reads while a run is saved again and again gives up after so many times.
MOST_READINGS = 100
#: Changes when a newer zoo could no longer read an older manifest.
FORMAT = 1
#: A temporary file: one that waits for its name, or one of an earlier zoo's, whose names were random.
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(new|[a-z0-9_]{8})")
_DIGEST = re.compile("[0-9a-f]{64}")
Found = TypeVar("Found")


class Files:
    """The files of a folder that belong together.

    Args:
        folder: where they are.
        names: what they are called; a temporary file for one of them is known as ours.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.folder = folder
        self.names = names

    def exist(self) -> bool:
        """Tell if there are files to read: a manifest, or the first of the names."""
        return any((self.folder / name).is_file() for name in (MANIFEST, self.names[0]))

    def has_manifest(self) -> bool:
        """Tell if there is a manifest. (A run of an earlier zoo has none.)"""
        return os.path.lexists(self.folder / MANIFEST)

    def digests(self) -> dict[str, str] | None:
        """The SHA-256 of each file, as the manifest has it; None without one. Raises ValueError, and OSError."""
        try:
            raw = read_file(self.folder / MANIFEST, 2**20)
        except FileNotFoundError:
            return None
        try:
            manifest = from_json(raw)
            if manifest["format"] != FORMAT:
                raise ValueError(f"it has another format than {FORMAT}")
            digests: dict[str, str] = manifest["sha256"]
            for name, digest in digests.items():
                if not _DIGEST.fullmatch(digest) or os.path.basename(name) != name:
                    raise ValueError(f"it can't hold {name!r}")
            return digests
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{self.folder / MANIFEST} is no manifest: {error}") from None

    def read(self, name: str, at_most: int, check: Callable[[BinaryIO], object] = lambda file: None) -> bytes:
        """The valid content of a file of at most so many bytes.

        Args:
            name: which one.
            at_most: what it may have.
            check: looks into the opened file before it is read, and raises ValueError where that isn't worth while.

        Raises FileNotFoundError when it isn't there, another OSError when it can't be read, and ValueError when it isn't what
        the manifest says. Where a save comes in between, it reads again.
        """
        for _ in range(MOST_READINGS):
            before = self._manifest()
            try:
                return self._read(name, at_most, check)
            except (OSError, ValueError):
                if self._manifest() == before:
                    raise
        return self._read(name, at_most, check)

    def _read(self, name: str, at_most: int, check: Callable[[BinaryIO], object]) -> bytes:
        digests = self.digests()
        if digests is not None and name not in digests:
            raise FileNotFoundError(name)
        # (Under its name again: it may have been renamed just now.)
        places = [name] if digests is None else [name, _temporary(name), name]
        problem: Exception = FileNotFoundError(name)
        for place in places:
            try:
                with open_file(self.folder / place, at_most) as file:
                    check(file)
                    file.seek(0)
                    raw = file.read(at_most)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                problem = error
                continue
            if digests is None or digests[name] == _digest(raw):
                return raw
            problem = ValueError(f"{self.folder / name} has another SHA-256 than {MANIFEST} says: it was changed")
        raise problem

    def consistently(self, read: Callable[[], Found]) -> Found:
        """What `read` gives, which may read several files: again, if they were replaced meanwhile."""
        for _ in range(MOST_READINGS):
            before = self._manifest()
            try:
                found = read()
            except UserError:
                if self._manifest() == before:
                    raise
            else:
                if self._manifest() == before:
                    return found
        return read()

    def _manifest(self) -> tuple[int, int] | None:
        """What tells one manifest from the next, be they the same to the letter; None where there is none."""
        try:
            found = os.stat(self.folder / MANIFEST)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Replace some files, all at once; the others stay. Raises OSError; then there is what was there, or all of the new."""
        try:
            digests = self.digests()
        except (ValueError, OSError):  # damaged while we hold the folder: what is written now mends it
            digests = None
        if digests is None:
            kept = [name for name in self.names if name not in contents and (self.folder / name).is_file()]
            digests = {name: self._digest_of(name) for name in kept}
        digests = {**digests, **{name: _digest(content) for name, content in contents.items()}}
        manifest = json.dumps({"format": FORMAT, "sha256": digests}, indent=1).encode()
        try:
            for name, content in {**contents, MANIFEST: manifest}.items():
                write_file(self.folder / _temporary(name), content)
            sync_folder(self.folder)
            os.replace(self.folder / _temporary(MANIFEST), self.folder / MANIFEST)
            sync_folder(self.folder)
            for name in contents:
                os.replace(self.folder / _temporary(name), self.folder / name)
            sync_folder(self.folder)
        except BaseException:
            with contextlib.suppress(OSError, ValueError):
                self.mend()
            raise

    def mend(self) -> None:
        """After a crash: give new files that are valid their names, and remove the others.

        Raises OSError, and ValueError for a manifest that is damaged.
        """
        for name, digest in (self.digests() or {}).items():
            new = self.folder / _temporary(name)
            if new.is_file() and self._digest_of(new.name) == digest != self._digest_of(name):
                os.replace(new, self.folder / name)
        for name in os.listdir(self.folder):
            if self.is_temporary(name):
                with contextlib.suppress(OSError):
                    os.unlink(self.folder / name)

    def is_temporary(self, name: str) -> bool:
        """Tell if a name is one that a save leaves behind which was killed."""
        found = _TEMPORARY.fullmatch(name)
        return found is not None and found["name"] in (*self.names, MANIFEST)

    def _digest_of(self, name: str) -> str:
        """The SHA-256 of a file; "" of one that can't be read."""
        digest = hashlib.sha256()
        try:
            with open_file(self.folder / name, 2**40) as file:
                while piece := file.read(2**20):
                    digest.update(piece)
        except OSError:
            return ""
        return digest.hexdigest()


def _temporary(name: str) -> str:
    return f".{name}.new"


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
