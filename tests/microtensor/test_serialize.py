"""Files: whole or not at all, and nothing hostile gets in."""

import json
import os
import stat

import numpy as np
import pytest

from microtensor import Tensor
from microtensor.serialize import load_safetensors, save_safetensors, write_atomically


def test_round_trip(tmp_path):
    path = tmp_path / "x.safetensors"
    turned = np.arange(6.0).reshape(2, 3).T
    tensors = {"a": turned, "b": Tensor([1.0, 2.0], requires_grad=True), "c": np.array(3), "d": np.zeros((0, 2), np.float32)}
    save_safetensors(path, tensors, {"model": "m"})
    found = load_safetensors(path)
    np.testing.assert_array_equal(found["a"], turned)
    assert found["b"].tolist() == [1, 2] and found["c"].shape == () and found["d"].shape == (0, 2)
    assert all(array.flags.writeable for array in found.values())
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_umask()


def test_nothing_and_a_reserved_name(tmp_path):
    save_safetensors(tmp_path / "x", {})
    assert load_safetensors(tmp_path / "x") == {}
    with pytest.raises(ValueError, match="__metadata__"):
        save_safetensors(tmp_path / "y", {"__metadata__": np.ones(2)})
    assert os.listdir(tmp_path) == ["x"]


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def header(spec, data=b"\0" * 8):
    raw = spec if isinstance(spec, bytes) else json.dumps(spec).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def test_short_floats_and_a_type_that_numpy_lacks(tmp_path):
    path = tmp_path / "x.safetensors"
    halves = np.array([1.5, -2.0], np.float16)
    brains = (np.array([1.5, -np.inf], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    entries = {
        "half": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
        "brain": {"dtype": "BF16", "shape": [2, 1], "data_offsets": [4, 8]},
    }
    path.write_bytes(header(entries, halves.tobytes() + brains.tobytes()))
    found = load_safetensors(path)
    assert found["half"].dtype == np.float16 and found["half"].tolist() == [1.5, -2]
    assert found["brain"].dtype == np.float32 and found["brain"].tolist() == [[1.5], [-np.inf]]
    path.write_bytes(header({"odd": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}, b"12"))
    with pytest.raises(ValueError, match=r"a type that can't be read: F8_E4M3 \(odd\)"):
        load_safetensors(path)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HOSTILE = {
    "empty": b"",
    "no header": b"\xff" * 3,
    "huge header": (2**62).to_bytes(8, "little") + b"{}",
    "not JSON": header(b"{]"),
    "deep JSON": header(b"[" * 100_000),
    "truncated": header({"a": ENTRY})[:-3],
    "overlapping": header({"a": ENTRY, "b": ENTRY}),
    "past the end": header({"a": {**ENTRY, "data_offsets": [0, 800]}}),
    "wrong size": header({"a": {**ENTRY, "shape": [3]}}),
    "negative": header({"a": {**ENTRY, "shape": [-2]}}),
    "unknown dtype": header({"a": {**ENTRY, "dtype": "X9"}}),
    "twice": header(b'{"a":' + json.dumps(ENTRY).encode() + b',"a":' + json.dumps(ENTRY).encode() + b"}"),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_damaged_and_hostile_files_are_one_error(tmp_path, attack):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(HOSTILE[attack])
    with pytest.raises(ValueError, match=r"bad\.safetensors is not a whole safetensors file"):
        load_safetensors(path)


def test_every_truncation_is_noticed(tmp_path):
    path = tmp_path / "x.safetensors"
    save_safetensors(path, {"a": np.arange(4.0), "b": np.arange(3)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError):
            load_safetensors(path)


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, broken):
    path = tmp_path / "f"
    write_atomically(path, b"old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["f"]
