"""Checkpoints that are broken, hostile or another model's: one clear line, and nothing is loaded."""

import json
import os
import shutil
import struct

import numpy as np
import pytest
from commands import copy_run, one_line_error, seal

import zoo
from microtensor.serialize import load_safetensors, save_safetensors
from zoo.errors import DataError
from zoo.options import RENAMED as RENAMED_FIELDS
from zoo.training.checkpoint import RENAMED, found_text, kept_text, shipped

WEIGHTS = "model.safetensors"


def copy(small_gpt, run):
    """A run without a manifest, which would tell all of this at once: what is left must be noticed by what it is."""
    copy_run(small_gpt, run)
    (run / "manifest.json").unlink()


def change(run, edit):
    tensors = load_safetensors(run / WEIGHTS)
    edit(tensors)
    save_safetensors(run / WEIGHTS, tensors)


def tokenize(run, data):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "tokenizer": data}))


def configure(run, **recipe):
    config = json.loads((run / "config.json").read_text())
    config["recipe"].update(recipe)
    (run / "config.json").write_text(json.dumps(config))
    if (run / "manifest.json").exists():
        seal(run)


def raw(run, content):
    (run / WEIGHTS).write_bytes(content)


def header(content, promised=None):
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text) if promised is None else promised) + text


ATTACKS = {
    "empty": (lambda run: raw(run, b""), ["damaged", WEIGHTS]),
    "truncated": (lambda run: os.truncate(run / WEIGHTS, 3000), ["damaged", WEIGHTS]),
    "a byte short": (lambda run: os.truncate(run / WEIGHTS, (run / WEIGHTS).stat().st_size - 1), ["damaged", WEIGHTS]),
    "a huge header": (lambda run: raw(run, header({}, promised=2**62)), ["damaged", WEIGHTS]),
    "not a header": (lambda run: raw(run, struct.pack("<Q", 4) + b"\xff\xfe{]"), ["damaged", WEIGHTS]),
    "a deep header": (lambda run: raw(run, struct.pack("<Q", 200_000) + b"[" * 200_000), ["damaged", WEIGHTS]),
    "a shape that overflows": (
        lambda run: raw(run, header({"x": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 0]}})),
        ["far more than the recipe's model has", WEIGHTS],
    ),
    "offsets outside": (
        lambda run: raw(run, header({"x": {"dtype": "F32", "shape": [4], "data_offsets": [2**40, 2**40 + 16]}})),
        ["damaged", WEIGHTS],
    ),
    "a pickle": (lambda run: raw(run, b"\x80\x04cos\nsystem\n(S'echo'\ntR."), ["damaged", WEIGHTS]),
    "a folder": (lambda run: ((run / WEIGHTS).unlink(), (run / WEIGHTS).mkdir()), ["can't be read", WEIGHTS]),
    "a name missing": (lambda run: change(run, lambda t: t.pop("norm.bias")), ["another model", "missing norm.bias"]),
    "a name too many": (lambda run: change(run, lambda t: t.update(evil=np.zeros(3, np.float32))), ["another model", "unknown evil"]),
    "another shape": (
        lambda run: change(run, lambda t: t.update({"norm.bias": np.zeros(3, np.float32)})),
        ["another model", "norm.bias", "(3,)"],
    ),
    "turned": (
        lambda run: change(run, lambda t: t.update({"token_embedding.weight": t["token_embedding.weight"].T.copy()})),
        ["another model", "token_embedding.weight"],
    ),
    "doubles": (
        lambda run: change(run, lambda t: t.update({"norm.bias": t["norm.bias"].astype(np.float64)})),
        ["another model", "norm.bias", "float64"],
    ),
    "integers": (
        lambda run: change(run, lambda t: t.update({"norm.bias": t["norm.bias"].astype(np.int32)})),
        ["another model", "norm.bias", "int32"],
    ),
    "NaN": (lambda run: change(run, lambda t: t["norm.bias"].fill(np.nan)), ["damaged", "norm.bias", "NaN"]),
    "infinity": (lambda run: change(run, lambda t: t["norm.bias"].fill(np.inf)), ["damaged", "norm.bias", "infinity"]),
    "an enormous model": (
        lambda run: configure(run, width=16384, layers=1000, heads=2),
        ["another model", WEIGHTS, "fewer than the recipe's model"],
    ),
    "more layers": (lambda run: configure(run, layers=3), ["another model", WEIGHTS]),
    "fewer layers": (lambda run: configure(run, layers=1), ["another model", "unknown blocks.1"]),
    "a text as width": (lambda run: configure(run, width="16"), ["damaged", "width", "whole number"]),
    "a negative width": (lambda run: configure(run, width=-16), ["damaged", "width"]),
    "heads that don't fit": (lambda run: configure(run, heads=5), ["damaged", "heads"]),
    "a long token": (
        lambda run: (run / "config.json").write_text((run / "config.json").read_text().replace('"a"', '"ab"')),
        ["damaged", "vocabulary"],
    ),
    "a tokenizer that is a list": (lambda run: tokenize(run, ["a"]), ["damaged", "no tokenizer"]),
    "a tokenizer of nothing": (lambda run: tokenize(run, {}), ["damaged", "no vocabulary"]),
    "a vocabulary that is a text": (lambda run: tokenize(run, {"vocabulary": "abc"}), ["damaged", "vocabulary"]),
    "numbers as tokens": (lambda run: tokenize(run, {"vocabulary": ["a", 3]}), ["damaged", "has 3 at 1"]),
    "a token twice": (lambda run: tokenize(run, {"vocabulary": ["a", "a"]}), ["damaged", "more than once"]),
    "a smaller vocabulary": (lambda run: tokenize(run, {"vocabulary": ["a", "b"]}), ["another model", WEIGHTS]),
    "an enormous vocabulary": (
        lambda run: tokenize(run, {"vocabulary": [chr(i) for i in range(1000, 50_000)]}),
        ["another model", WEIGHTS, "fewer than the recipe's model"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ATTACKS)
def test_an_attack_is_one_line(tmp_path, small_gpt, python, kind):
    attack, words = ATTACKS[kind]
    run = tmp_path / "run"
    copy(small_gpt, run)
    attack(run)
    with pytest.raises(DataError) as caught:
        zoo.load_model(str(run))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, (word, message)
    if kind in ("a huge header", "an enormous model"):  # as a user meets it; the others would take a second each
        one_line_error(python(tmp_path, "zoo.generate", run, "--prompt", "a"), "zoo.generate", *words, code=1)


def test_an_earlier_run_has_its_vocabulary_elsewhere(tmp_path, small_gpt, python):
    run = tmp_path / "run"
    copy(small_gpt, run)
    config = json.loads((run / "config.json").read_text())
    config["vocabulary"] = config.pop("tokenizer")["vocabulary"]
    (run / "config.json").write_text(json.dumps(config))
    loaded = zoo.load_model(str(run))
    model, tokenizer = loaded.model, loaded.tokenizer
    before = zoo.load_model(str(small_gpt))
    expected, same = before.model, before.tokenizer
    assert tokenizer.to_dict() == same.to_dict() == {"vocabulary": config["vocabulary"]}
    tokens = tokenizer.encode("the sea")[None]
    np.testing.assert_array_equal(model(tokens).data, expected(tokens).data)
    (run / "config.json").write_text(json.dumps({**config, "vocabulary": ["a", "a"]}))
    done = python(tmp_path, "zoo.explain", run, "a", "--untrained")
    one_line_error(done, "zoo.explain", "damaged", "more than once", code=1)


def test_a_state_that_was_attacked_cannot_be_resumed(tmp_path, small_gpt, python):
    for name, edit in {
        "truncated": lambda run: os.truncate(run / "state.safetensors", 3000),
        "no step": lambda run: rewrite(run, lambda t: t.pop("step")),
        "an unknown optimizer": lambda run: rewrite(run, lambda t: t.update({"optimizer.0.evil": np.zeros(3)})),
        "another shape": lambda run: rewrite(run, lambda t: t.update({"optimizer.0.mean": np.zeros(3, np.float32)})),
        "NaN": lambda run: rewrite(run, lambda t: t["model.norm.bias"].fill(np.nan)),
    }.items():
        run = tmp_path / name.replace(" ", "-")
        copy(small_gpt, run)
        edit(run)
        done = python(tmp_path, "zoo.train", "char_gpt", "--resume", "--out", run, "--steps", 1000)
        one_line_error(done, "zoo.train", "damaged", "state.safetensors", code=1)


def rewrite(run, edit):
    tensors = load_safetensors(run / "state.safetensors")
    edit(tensors)
    save_safetensors(run / "state.safetensors", tensors)


def test_half_precision_is_read_as_float32(tmp_path, small_gpt):
    run = tmp_path / "run"
    copy(small_gpt, run)
    whole = load_safetensors(run / WEIGHTS)
    save_safetensors(run / WEIGHTS, {name: array.astype(np.float16) for name, array in whole.items()})
    model = zoo.load_model(str(run)).model
    for name, array in model.state_dict().items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, whole[name].astype(np.float16).astype(np.float32))


def test_a_run_from_before_the_names_changed(small_gpt, tmp_path, python):
    """Fields of its recipe, and parameters, that were called otherwise."""
    run = tmp_path / "run"
    copy(small_gpt, run)
    config = json.loads((run / "config.json").read_text())
    old = {new: name for name, new in RENAMED_FIELDS.items()}
    config["recipe"] = {old.get(name, name): value for name, value in config["recipe"].items()}
    assert {"share", "clip", "accumulate", "final_rate"} <= set(config["recipe"])
    (run / "config.json").write_text(json.dumps(config))
    back = {new: name for name, new in RENAMED.items()}
    for file in ("model.safetensors", "state.safetensors"):
        arrays = load_safetensors(run / file)
        prefix = "model." if file.startswith("state") else ""
        renamed = {prefix + back[n.removeprefix(prefix)] if n.removeprefix(prefix) in back else n: a for n, a in arrays.items()}
        assert renamed.keys() != arrays.keys()
        save_safetensors(run / file, renamed)
    for command, *arguments in (
        ("generate", run, "--prompt", "the "),
        ("train", "char_gpt", "--out", run, "--resume", "--steps", 110),
    ):
        done = python(tmp_path, f"zoo.{command}", *arguments)
        assert done.returncode == 0, done.stderr
    bad = python(tmp_path, "zoo.train", "char_gpt", "--clip", 1)
    one_line_error(bad, "zoo.train", "unknown option --clip", "it is --grad-clip now", code=2)


def test_a_run_without_a_manifest_still_loads_with_a_note(tmp_path, small_gpt, python):
    run = tmp_path / "run"
    copy(small_gpt, run)
    done = python(tmp_path, "zoo.generate", run, "--prompt", "the ", "--tokens", 3)
    assert done.returncode == 0 and "has no manifest.json" in done.stderr and done.stderr.count("\n") == 1
    one_line_error(python(tmp_path, "zoo.verify", run, "--json"), "zoo.verify", "no manifest", code=1, results=4)
    resumed = python(tmp_path, "zoo.train", "char_gpt", "--out", run, "--resume", "--steps", 110)
    assert resumed.returncode == 0 and "has no manifest.json" in resumed.stderr
    done = python(tmp_path, "zoo.verify", run)
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout.splitlines()) == 4


def test_what_was_changed_since_it_was_saved(tmp_path, small_gpt, python):
    run = tmp_path / "run"
    for name in ("config.json", "metrics.jsonl", "model.safetensors", "state.safetensors"):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(small_gpt, run)
        content = bytearray((run / name).read_bytes())
        content[len(content) // 2] ^= 1
        (run / name).write_bytes(content)
        one_line_error(python(tmp_path, "zoo.verify", run), "zoo.verify", "damaged", name, code=1)
    with pytest.raises(DataError, match="state.safetensors.*another SHA-256.*was changed"):
        zoo.load_model(run, last=True)


@pytest.mark.parametrize("name", zoo.list_models())
def test_what_comes_with_the_zoo_is_verified(name):
    checkpoint = shipped(name)
    assert not checkpoint.config.exists() or all(checkpoint.verify().values())


def test_a_run_names_its_text_from_its_own_folder(tmp_path, small_gpt, python):
    config = json.loads((small_gpt / "config.json").read_text())
    assert config["recipe"]["data"] == "../../lines.txt" and str(tmp_path) not in (small_gpt / "config.json").read_text()
    project = shutil.copytree(small_gpt.parent.parent, tmp_path / "moved")
    there = python(tmp_path, "zoo.evaluate", project / "runs" / "char_gpt", "--json")
    assert there.returncode == 0 and "the held-out end of moved/lines.txt" in there.stdout, there.stderr
    configure(project / "runs" / "char_gpt", data=str(project / "lines.txt"))  # as earlier versions did
    (project / "runs" / "char_gpt").rename(tmp_path / "run")
    assert python(tmp_path, "zoo.evaluate", "run", "--json").stdout == there.stdout
    configure(tmp_path / "run", data="../gone/lines.txt")
    assert "no such file" in python(tmp_path, "zoo.evaluate", "run").stderr
    assert python(project, "zoo.evaluate", tmp_path / "run").returncode == 0  # a file of that name here
    done = python(project, "zoo.train", "char_gpt", "--resume", "--out", tmp_path / "run", "--steps", 102)
    assert done.returncode == 0, done.stderr


def test_where_a_text_is(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    for path, folder, kept in (
        ("/work/my.txt", "/work/runs/a", "../../my.txt"),
        ("/work/runs/a/my.txt", "/work/runs/a", "my.txt"),
        ("/home/somebody/my.txt", "/home/somebody/p/runs/a", "../../../my.txt"),
        ("/home/somebody/texts/my.txt", "/tmp/run", "~/texts/my.txt"),
        ("/data/my.txt", "/tmp/run", "/data/my.txt"),
    ):
        assert kept_text(path, folder) == kept and found_text(kept, folder) == path
    assert found_text("/old/my.txt", "/tmp/run") == "/old/my.txt" and found_text(None, "/tmp/run") is None
