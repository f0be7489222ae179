"""Tensors in and out of safetensors files: a header that says names, dtypes and shapes, then plain numbers. Loading one runs no
code, unlike a pickle."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from microtensor.files import open_file, write_atomically
from microtensor.tensor import Tensor

#: No larger file is read: 16 GB.
LARGEST = 2**34
#: Nor one with a longer header: 10 MB, which is tens of thousands of tensors.
LONGEST_HEADER = 10**7


def save_safetensors(path: str | Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays or Tensors by name, whole or not at all. Raises OSError when the path can't be written."""
    write_atomically(path, to_safetensors(tensors, metadata))


def to_safetensors(tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a file with arrays or Tensors by name."""
    from safetensors.numpy import save

    # The format wants contiguous arrays, and would save others wrong without a word.
    arrays = {name: np.asarray(t.numpy() if isinstance(t, Tensor) else t, order="C") for name, t in tensors.items()}
    if "__metadata__" in arrays:
        raise ValueError("save_safetensors: a tensor can't be named __metadata__, which the format keeps for itself")
    return save(arrays, metadata=dict(metadata) if metadata else None)


def load_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name; bfloat16, which NumPy lacks, as float32.

    Raises ValueError when it is damaged, or holds a type that NumPy can't hold, and OSError when it can't be read.
    """
    with open_file(path, LARGEST) as file:
        count_numbers(file, path)
        file.seek(0)
        return from_safetensors(file.read(), path)


def from_safetensors(raw: bytes, path: str | Path) -> dict[str, np.ndarray]:
    """The arrays in the bytes of a file, as `load_safetensors` gives them; `path` is named in errors."""
    from safetensors import SafetensorError, deserialize

    try:
        _header(raw[8 : 8 + LONGEST_HEADER], int.from_bytes(raw[:8], "little"))
        entries = deserialize(raw)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None
    unreadable = sorted({f"{entry['dtype']} ({name})" for name, entry in entries if entry["dtype"] not in _TYPES})
    if unreadable:
        raise ValueError(f"{path} holds a type that can't be read: {unreadable[0]}; it can be one of {', '.join(_TYPES)}")
    return {name: _decoded(entry) for name, entry in entries}


def count_numbers(file: BinaryIO, path: str | Path) -> int:
    """Count the numbers in the tensors of a file that was just opened, from its header alone; `path` is named in errors.

    Raises ValueError for a file that isn't as long as its header says.
    """
    size, length = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(8), "little")
    raw = file.read(min(length, LONGEST_HEADER))
    try:
        tensors = [entry for name, entry in _header(raw, length).items() if name != "__metadata__"]
        if 8 + length + max((int(entry["data_offsets"][1]) for entry in tensors), default=0) != size:
            raise ValueError(f"it has {size:,} bytes, and not those that its header promises")
        return sum(math.prod(map(int, entry["shape"])) for entry in tensors)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None


def _header(raw: bytes, length: int) -> dict[str, Any]:
    """The header of so many bytes at the beginning of some. Raises ValueError where it can't be one."""
    if not 2 <= length <= min(len(raw), LONGEST_HEADER):
        raise ValueError(f"its header can't have {length:,} bytes")
    header = json.loads(raw[:length], object_pairs_hook=_without_duplicates)
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    return header


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
