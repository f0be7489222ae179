"""Tensors in and out of safetensors files: a header that says names, dtypes and shapes, then plain numbers. Loading one runs no
code, unlike a pickle."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from microtensor.tensor import Tensor


def save_safetensors(path: str | Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays or Tensors by name, whole or not at all. Raises OSError when the path can't be written."""
    from safetensors.numpy import save

    # The format wants contiguous arrays, and would save others wrong without a word.
    arrays = {name: np.asarray(t.numpy() if isinstance(t, Tensor) else t, order="C") for name, t in tensors.items()}
    if "__metadata__" in arrays:
        raise ValueError("save_safetensors: a tensor can't be named __metadata__, which the format keeps for itself")
    write_atomically(path, save(arrays, metadata=dict(metadata) if metadata else None))


def load_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name; bfloat16, which NumPy lacks, as float32.

    Raises ValueError when it is damaged, or holds a type that NumPy can't hold, and OSError when it can't be read.
    """
    from safetensors import SafetensorError, deserialize

    raw = Path(path).read_bytes()
    try:
        length = int.from_bytes(raw[:8], "little")
        json.loads(raw[8 : 8 + length], object_pairs_hook=_without_duplicates)
        entries = deserialize(raw)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None
    unreadable = sorted({f"{entry['dtype']} ({name})" for name, entry in entries if entry["dtype"] not in _TYPES})
    if unreadable:
        raise ValueError(f"{path} holds a type that can't be read: {unreadable[0]}; it can be one of {', '.join(_TYPES)}")
    return {name: _decoded(entry) for name, entry in entries}


#: NumPy's types by the names of the format.
_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def _decoded(entry: Mapping[str, Any]) -> np.ndarray:
    array = np.frombuffer(entry["data"], _TYPES[entry["dtype"]]).reshape(entry["shape"])
    if entry["dtype"] == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return array.astype(array.dtype.newbyteorder("="))


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, refused if it names something twice (of two tensors, which one would count?)."""
    header = dict(pairs)
    if len(header) < len(pairs):
        raise ValueError("its header names something twice")
    return header


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half: under a temporary name in the same folder,
    flushed to the disk, then renamed. Raises OSError."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
