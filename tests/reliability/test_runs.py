"""Runs that are moved, replaced, stopped and spoilt while they are written or read."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from small import FILES, ROOT, content, make_trainer, names, train

import zoo
from microtensor.files import write_atomically
from zoo.errors import DataError, UserError
from zoo.recipe import make_recipe
from zoo.registry import model_class
from zoo.training.checkpoint import find
from zoo.training.run_folder import RunFolder
from zoo.training.state import MOST_STEPS, State
from zoo.training.trainer import Diverged, Interrupted


def test_debris_of_a_first_save_is_cleaned_up(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in (".config.json.new", ".state.safetensors.new", ".model.safetensors.abcd1234", ".manifest.json.new"):
        (run / name).write_text("half")
    with pytest.raises(UserError, match="no config.json"):
        find(str(run)).load()
    train(make_trainer(run))
    assert names(run) == FILES


def test_files_of_others_are_left_alone(tmp_path):
    for name in (".bashrc", ".config.yaml.new", "notes.txt.new", ".other.abcd1234"):
        run = tmp_path / name.replace(".", "_")
        run.mkdir()
        (run / name).write_text("precious")
        with pytest.raises(DataError, match="holds other files"):
            RunFolder(run, "char_gpt").open_for_writing(False)
        assert names(run) == {name}


def test_a_folder_that_moves_is_followed(tmp_path):
    first = make_trainer(tmp_path / "x")
    first.folder.open_for_writing(False)
    first.save()
    (tmp_path / "x").rename(tmp_path / "y")
    second = train(make_trainer(tmp_path / "x", seed=1))
    first.step = 1
    first.save()
    assert first.folder.path == tmp_path / "y" and find(str(tmp_path / "y")).read_state(10**6).step == 1
    assert find(str(tmp_path / "x")).read_state(10**6).step == second.step
    with pytest.raises(DataError, match="another training"):
        RunFolder(tmp_path / "y", "char_gpt").open_for_writing(True)
    first.folder.close()


@pytest.mark.parametrize("taken", [False, True])
def test_a_folder_that_is_removed_is_made_again(tmp_path, taken):
    made = make_trainer(tmp_path / "x")
    made.folder.open_for_writing(False)
    shutil.rmtree(tmp_path / "x")
    if taken:
        (tmp_path / "x").mkdir()
    made.save()
    made.folder.close()
    assert made.folder.path == tmp_path / ("x-1" if taken else "x") and names(made.folder.path) == FILES


def test_readers_see_the_old_run_or_the_new_one(tmp_path):
    first, second = (train(make_trainer(tmp_path / name / "run", seed=seed)) for seed, name in ((0, "a"), (1, "b")))
    run = tmp_path / "c" / "run"
    shutil.copytree(tmp_path / "a" / "run", run)
    wanted = {
        hashlib.sha256(b"".join(p.data.tobytes() for p in trainer.model.parameters())).hexdigest()
        for trainer in (first, second)
    }
    stop, found, problems = threading.Event(), set(), []

    def read():
        while not stop.is_set():
            try:
                model, _ = find(str(run)).load(last=True)
                found.add(hashlib.sha256(b"".join(p.data.tobytes() for p in model.parameters())).hexdigest())
            except Exception as error:
                problems.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(40):
        trainer = (first, second)[i % 2]
        trainer.folder, trainer._saved = RunFolder(run, "char_gpt"), -1
        trainer.folder.open_for_writing(bool(i % 3))
        trainer.save(best=True)
        trainer.folder.close()
    stop.set()
    reader.join()
    assert not problems, problems[:3]
    assert found == wanted


def test_what_is_spoilt_replaces_nothing(tmp_path):
    made = make_trainer(tmp_path / "run")
    made._checkpoint_every = 1
    step = made._one_step

    def spoil():
        done = step()
        if made.step == 4:
            parameter = made.model.parameters()[0]
            parameter.data = np.full_like(parameter.data, np.inf)
        return done

    made._one_step = spoil
    with pytest.raises(Diverged, match="holds NaN or infinity after step 5; try a smaller .* as it was at step 4"):
        train(made)
    found = find(str(tmp_path / "run"))
    assert found.read_state(10**6).step == 4 and found.load() and names(tmp_path / "run") == FILES


def test_a_closed_terminal_is_a_stop(tmp_path):
    made = make_trainer(tmp_path / "run")
    step = made._one_step

    def hang_up():
        if made.step == 2:
            os.kill(os.getpid(), signal.SIGHUP)
        return step()

    made._one_step = hang_up
    made.folder.open_for_writing(False)
    with pytest.raises(Interrupted) as stop:
        made.run(lambda line, figures: None)
    made.folder.close()
    assert stop.value.number == signal.SIGHUP and find(str(tmp_path / "run")).read_state(10**6).step == 3


def test_nohup_goes_on(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        made = make_trainer(tmp_path / "run")
        step = made._one_step
        made._one_step = lambda: (os.kill(os.getpid(), signal.SIGHUP), step())[1]
        assert train(made).step == 8
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_umask_is_nobodys_business(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask belongs to all threads"))
    write_atomically(tmp_path / "f", b"x")
    monkeypatch.undo()
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "g", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "g").stat().st_mode & 0o777 == 0o640


def test_the_folder_is_synced_after_each_rename(tmp_path, monkeypatch):
    made, done = make_trainer(tmp_path / "run"), []
    made.folder.open_for_writing(False)
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append(Path(b).name), replace(a, b)))
    monkeypatch.setattr(
        os, "fsync", lambda h: (done.append("folder" if os.path.isdir(f"/proc/self/fd/{h}") else "file"), fsync(h))
    )
    made.save()
    made.folder.close()
    assert done == [
        *["file"] * 5, "folder", "manifest.json", "folder",
        "config.json", "metrics.jsonl", "state.safetensors", "model.safetensors", "folder",
    ]  # fmt: skip


STATE = {"step": 3, "best": 1.0, "best_step": 2, "recent_losses": [1.0], "model": {}, "optimizer": {}}


@pytest.mark.parametrize(
    "change",
    [{"step": -1}, {"step": MOST_STEPS + 1}, {"best": float("nan")}, {"best": -float("inf")}, {"best_step": 4}, {"best_step": -1},
     {"recent_losses": [float("nan")]}, {"recent_losses": [1.0] * 10_001}, {"model": {"a": np.array([np.nan])}},
     {"optimizer": {"0.mean": np.array([np.inf])}}, {"optimizer": {"0.updates": np.array(-1)}},
     {"optimizer": {"0.updates": np.array(4)}}, {"carried": {"0.h": np.array([np.nan])}}],
)  # fmt: skip
def test_no_state_is_like_this(change):
    arrays = State(**STATE).to_arrays()
    assert State.from_arrays(arrays) == State(**STATE)
    with pytest.raises(ValueError):
        State(**{**STATE, **change})


@pytest.mark.parametrize("name", zoo.list_models())
def test_limits_come_before_work(name):
    kind = model_class(name).recipe_class
    begun = time.monotonic()
    with pytest.raises(UserError):
        make_recipe(kind, {"width": 10**12 + 1, "context": 10**15})
    recipe = make_recipe(kind, {"steps": 10**12, "batch_size": 7})
    assert recipe.evaluates_after(10**12, 10**12, 3) and time.monotonic() - begun < 2


def test_an_enormous_file_is_refused_unread(tmp_path):
    """6 GB that the disk doesn't hold, and whose header is right."""
    run = tmp_path / "run"
    train(make_trainer(run))
    (run / "manifest.json").unlink()
    header = json.dumps({"a": {"dtype": "F32", "shape": [1_500_000_000], "data_offsets": [0, 6_000_000_000]}}).encode()
    for name in ("model.safetensors", "state.safetensors"):
        (run / name).write_bytes(len(header).to_bytes(8, "little") + header)
        os.truncate(run / name, 8 + len(header) + 6_000_000_000)
    begun = time.monotonic()
    for read in (lambda: find(str(run)).load(), lambda: find(str(run)).read_state(1000)):
        with pytest.raises(DataError, match="far more than the recipe's model has"):
            read()
    assert time.monotonic() - begun < 5


def test_the_command_says_what_a_signal_did(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "zoo.train", "word_meanpool", "--steps", "3000000"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().startswith("Step 1 ")
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 129 and "saved in runs/word_meanpool" in err
    assert content(tmp_path / "runs" / "word_meanpool")
