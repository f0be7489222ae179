"""Run folders that are damaged, or made to do harm: whatever is done to one, it is loaded and resumed, or refused in one line."""

import contextlib
import json
import os
import resource
import shutil
import struct
import sys
import time
import warnings

import numpy as np
from small import TEXT, fresh, make_trainer, train

from microtensor.serialize import load_safetensors, save_safetensors
from zoo.__main__ import _own_run
from zoo.errors import UserError
from zoo.plots.losses import read_metrics
from zoo.training.checkpoint import find
from zoo.training.run_folder import RunFolder

TENSORS = ("model.safetensors", "state.safetensors")
TEXTS = ("config.json", "metrics.jsonl", "manifest.json")
#: Values that no training writes.
STRANGE = (
    None, True, -1, 0, 10**12 + 1, 2**63, 10**400, 1e308, -1e308, 0.5, "", "x" * 10_000, "\x1b[2J", "\ud800", [], {}, [[]], [None],
    {"a": {}}, "NaN", float("nan"), float("inf"),
)  # fmt: skip
SHAPES = ((), (0,), (1,), (2, 2), (1, 1, 1), (1000,))
DTYPES = (np.float16, np.float32, np.float64, np.int8, np.int32, np.int64, np.uint64, np.bool_)


class Mutations:
    """Mutated copies of a run, and what came of loading them.

    Args:
        work: where they are made.
    """

    def __init__(self, work):
        self.work = work
        self.whole = work / "whole" / "run"
        self.trainer = train(make_trainer(self.whole))
        self.recipe = self.trainer.recipe

    def try_one(self, seed):
        """Mutate a run and load it in every way; returns what happened ("loaded", or the kind of refusal), and what is wrong with
        that, "" for nothing."""
        run = fresh(self.work / "mutated") / "run"
        shutil.copytree(self.whole, run)
        rng = np.random.default_rng(seed)
        for _ in range(rng.integers(1, 4)):
            mutate(run, rng)
        if rng.random() < 0.7:  # so that it is noticed by what it is
            with contextlib.suppress(OSError):
                os.unlink(run / "manifest.json")
        begun, outcome, wrong = time.monotonic(), "loaded", ""
        for way in (self.load, self.load_last, self.resume, self.read_metrics, self.list):
            try:
                with warnings.catch_warnings(record=True):
                    way(run)
            except UserError as error:
                outcome = "refused"
                if len(str(error)) > 480 or not str(error).isprintable():
                    wrong = wrong or f"{way.__name__}: {str(error)!r}"
            except BaseException as error:
                wrong = wrong or f"{way.__name__}: {type(error).__name__}: {error}"
        if time.monotonic() - begun > 5:
            wrong = wrong or "it takes longer than 5 seconds"
        return outcome, wrong

    def load(self, run):
        model, tokenizer = find(str(run)).load()
        logits = model(tokenizer.encode("the sea")[None]).data
        assert logits.shape == (1, 7, len(tokenizer.vocabulary))

    def load_last(self, run):
        find(str(run)).load(last=True)

    def resume(self, run):
        """Go on for a step: what is taken up is what the kernels then work with."""
        folder = RunFolder(run, "char_gpt")
        recipe = folder.checkpoint.recipe(folder.checkpoint.read_config())
        if recipe != self.recipe:
            return
        trainer = make_trainer(run, data=recipe.data, steps=9)
        trainer.folder.open_for_writing(True)
        try:
            trainer.resume()
            if trainer.step < trainer.steps:
                trainer._one_step()
        finally:
            trainer.folder.close()

    def read_metrics(self, run):
        read_metrics(str(run))

    def list(self, run):
        """As `python -m zoo` does, for what lies in runs/."""
        before = os.getcwd()
        fresh(self.work / "listed" / "runs")
        (self.work / "listed" / "runs" / "char_gpt").symlink_to(run)
        os.chdir(self.work / "listed")
        try:
            _own_run("char_gpt")
        finally:
            os.chdir(before)


def mutate(run, rng):
    """Change something in a run folder."""
    kinds = [flip, cut, extend, strange_value, strange_tensor, strange_header, special, rename, nest, swap]
    kind = kinds[rng.integers(len(kinds))]
    try:
        kind(run, rng)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError):
        pass  # what an earlier mutation left can't be changed so


def pick(rng, items):
    items = list(items)
    return items[rng.integers(len(items))]


def any_file(run, rng):
    return plain(run / pick(rng, TENSORS + TEXTS))


def plain(file):
    """A file that an earlier mutation has left as one that can be read."""
    if not file.is_file() or file.stat().st_size > 2**21:
        raise OSError("not to be read")
    return file


def flip(run, rng):
    file = any_file(run, rng)
    content = bytearray(file.read_bytes())
    for _ in range(rng.integers(1, 5)):
        content[rng.integers(min(len(content), pick(rng, [10, 1000, 10**9])))] ^= 1 << rng.integers(8)
    file.write_bytes(content)


def cut(run, rng):
    file = any_file(run, rng)
    os.truncate(file, rng.integers(file.stat().st_size + 1))


def extend(run, rng):
    file = any_file(run, rng)
    if rng.random() < 0.3:
        os.truncate(file, int(pick(rng, [2**20, 2**30, 6 * 2**30])))  # (sparse: the disk holds nothing of it)
    else:
        with open(file, "ab") as opened:
            opened.write(pick(rng, [b"\0", b"{}", b"\xff" * 100, b"\n\n", b"[" * 100_000]))


def strange_value(run, rng):
    file = plain(run / pick(rng, TEXTS))
    lines = file.read_text().split("\n") if file.suffix == ".jsonl" else [file.read_text()]
    i = rng.integers(len(lines))
    value = json.loads(lines[i])
    inner, steps = value, rng.integers(1, 4)
    for _ in range(steps):
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = pick(rng, keys)
        if isinstance(inner[key], dict | list) and inner[key] and rng.random() < 0.7:
            inner = inner[key]
    if rng.random() < 0.2:
        del inner[key]
    else:
        inner[key] = pick(rng, STRANGE)
    lines[i] = json.dumps(value)
    file.write_text("\n".join(lines))


def strange_tensor(run, rng):
    file = plain(run / pick(rng, TENSORS))
    tensors = load_safetensors(file)
    name = pick(rng, tensors)
    array = tensors[name]
    what = rng.integers(6)
    if what == 0:
        del tensors[name]
    elif what == 1:
        tensors[pick(rng, ["evil", "optimizer.0.mean", "optimizer.99.mean", "\x1b]0;x\x07", "step"])] = array
    elif what == 2:
        tensors[name] = np.zeros(pick(rng, SHAPES), array.dtype)
    elif what == 3:
        with np.errstate(all="ignore"):
            tensors[name] = array.astype(pick(rng, DTYPES))
    elif what == 4:
        tensors[name] = np.full_like(array, pick(rng, [-1, 0, 1, np.iinfo(np.int32).max]))
        if array.dtype.kind == "f":
            tensors[name] = np.full_like(array, pick(rng, [np.nan, np.inf, -np.inf, -1, 1e25, 3e38]))
    else:
        tensors = {n: a for n, a in tensors.items() if not n.startswith("optimizer.")}
    save_safetensors(file, tensors)


def strange_header(run, rng):
    file = plain(run / pick(rng, TENSORS))
    raw = file.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    entry = header[pick(rng, header)]
    entry[pick(rng, entry)] = pick(rng, [*STRANGE, [2**40, 2**40], [-1], [0, 2**62], "F8", [8, 0]])
    text = json.dumps(header).encode()
    promised = pick(rng, [len(text), len(text), len(text), 2**62, 10**7 + 1, 0, 1])
    file.write_bytes(struct.pack("<Q", promised) + text + raw[8 + length :])


def special(run, rng):
    file = any_file(run, rng)
    file.unlink()
    what = rng.integers(6)
    if what == 0:
        os.mkfifo(file)
    elif what == 1:
        file.symlink_to(pick(rng, ["/dev/zero", "/dev/random", "/dev/full", "/dev/stdin"]))
    elif what == 2:
        file.mkdir()
    elif what == 3:
        file.symlink_to(file)
    elif what == 4:
        file.write_bytes(b"")


def rename(run, rng):
    one, other = any_file(run, rng), any_file(run, rng)
    os.rename(one, pick(rng, [other, run / f".{other.name}.new", run / f".{other.name}.abcdefgh"]))


def nest(run, rng):
    opening = pick(rng, [b"[", b'{"a":', b'[{"a":['])
    any_file(run, rng).write_bytes(opening * int(pick(rng, [50, 1000, 100_000])) + pick(rng, [b"", b"1"]))


def swap(run, rng):
    """Exchange two words of the vocabulary, or two bytes anywhere."""
    file = any_file(run, rng)
    content = bytearray(file.read_bytes())
    i, j = rng.integers(len(content), size=2)
    content[i], content[j] = content[j], content[i]
    file.write_bytes(content)


def main(arguments):
    """Try mutations in this process: from one seed to another. Prints a line for each that is wrong, and the sums at the end."""
    from pathlib import Path

    work, first, last = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    sys.stdin = open(os.devnull)  # noqa: SIM115
    mutations, sums = Mutations(work), {"loaded": 0, "refused": 0, "lost": 0}
    for seed in range(first, last):
        (work / "now").write_text(str(seed))
        outcome, wrong = mutations.try_one(seed)
        sums["lost" if wrong else outcome] += 1
        if wrong:
            print(json.dumps({"seed": seed, "wrong": wrong}), flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**sums, "memory": memory}), flush=True)


if __name__ == "__main__":
    assert TEXT
    main(sys.argv[1:])
