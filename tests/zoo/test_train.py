"""python -m zoo.train."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from commands import ROOT, one_line_error

from microtensor.serialize import load_safetensors

TEXT = "the sun came up and the moon went down and the stars came out and all was well " * 3
FAST = ("--steps", 200)


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_word_meanpool_learns_its_verses_one_example_at_a_time(tmp_path, python):
    done = python(tmp_path, "zoo.train", "word_meanpool")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    steps = [
        re.fullmatch(r"Step (\d+) \| Input: (\S+ ){4}\| Target: \S+ \| Pred: \S+ \| Loss: (\d+\.\d{4})", line)
        for line in lines[:11]
    ]
    assert [int(m[1]) for m in steps] == [1, *range(10_000, 100_001, 10_000)]
    assert float(steps[0][3]) > 4
    assert float(steps[-1][3]) < 0.1
    assert lines[11].startswith("Mean loss of the last 1000 steps: 0.0")
    right, contexts = map(int, re.search(r"(\d+) of (\d+) distinct contexts", lines[12]).groups())
    assert right / contexts >= 0.95
    assert lines[14].startswith("Generated: ") and len(lines[14].split()) == 1 + 4 + 12
    assert files(tmp_path / "runs") == [
        f"word_meanpool/{f}"
        for f in ("config.json", "manifest.json", "metrics.jsonl", "model.safetensors", "state.safetensors")
    ]


def test_batches_reach_the_same_loss_in_fewer_steps(trained):
    folder, done = trained
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"last 1000 steps: (\S+)", done.stdout)[1]) < 0.1
    assert json.loads((folder / "runs/word_meanpool/config.json").read_text())["recipe"]["steps"] == 1563
    right, contexts = map(int, re.search(r"(\d+) of (\d+) distinct contexts", done.stdout).groups())
    assert right / contexts >= 0.95
    assert "16,128 parameters" in done.stderr and "Saved in" in done.stderr


def test_the_command_it_suggests_works(trained, python):
    folder, done = trained
    prompt = re.search(r'--prompt "(.*)"', done.stderr)[1]
    again = python(folder, "zoo.generate", "word_meanpool", "--prompt", prompt)
    assert again.returncode == 0 and again.stdout.startswith(prompt)


def test_the_same_seed_gives_the_same_bits(tmp_path, python):
    for out, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert python(tmp_path, "zoo.train", "word_meanpool", *FAST, "--seed", seed, "--out", out).returncode == 0
    a, b, c = ((tmp_path / out / "model.safetensors").read_bytes() for out in "abc")
    assert a == b != c


def test_an_own_text_and_json(tmp_path, python):
    (tmp_path / "my.txt").write_text("\ufeffÜber" + TEXT.replace(" ", "\r\n"), encoding="utf-8")
    done = python(tmp_path, "zoo.train", "word_meanpool", "--data", "my.txt", *FAST, "--json", "--width", 8, "--context", 2)
    assert done.returncode == 0, done.stderr
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [o["step"] for o in objects[:11]] == [1, *range(20, 201, 20)] and objects[0].keys() == {
        "step", "input", "target", "pred", "loss", "learning_rate", "tokens_per_second", "seconds",
    }  # fmt: skip
    assert "generated" in objects[-1]
    config = json.loads((tmp_path / "runs/word_meanpool/config.json").read_text(encoding="utf-8"))
    assert "überthe" in config["tokenizer"]["vocabulary"] and config["recipe"]["width"] == 8
    assert load_safetensors(tmp_path / "runs/word_meanpool/model.safetensors")["embeddings"].shape[1] == 8


def test_an_earlier_run_is_kept(tmp_path, python):
    for i in range(3):
        done = python(tmp_path, "zoo.train", "word_meanpool", *FAST, "--seed", i)
        assert done.returncode == 0
    assert sorted(os.listdir(tmp_path / "runs")) == ["word_meanpool", "word_meanpool-1", "word_meanpool-2"]
    assert "word_meanpool-2" in done.stderr


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        ((), ["MODEL"], 2),
        (("word_meanpol",), ["unknown model 'word_meanpol'", "did you mean word_meanpool"], 2),
        (("gpt9",), ["unknown model 'gpt9'", "the models are: bigram, char_meanpool, word_meanpool"], 2),
        (("word_meanpool", "--learing-rate", "1"), ["unknown option --learing-rate", "did you mean --learning-rate"], 2),
        (("word_meanpool", "extra"), ["unexpected argument 'extra'"], 2),
        (("--json", "word_meanpool"), ["the model comes first"], 2),
        (("word_meanpool", "--steps"), ["--steps"], 2),
        (("word_meanpool", "--steps", "-5"), ["--steps", "at least 1", "-5"], 2),
        (("word_meanpool", "--steps", "1.5"), ["--steps", "whole number", "1.5"], 2),
        (("word_meanpool", "--width", "0"), ["--width", "at least 1"], 2),
        (("word_meanpool", "--learning-rate", "nan"), ["--learning-rate", "finite", "nan"], 2),
        (("word_meanpool", "--learning-rate", "0"), ["--learning-rate", "above 0"], 2),
        (("word_meanpool", "--learning-rate", "inf"), ["--learning-rate", "finite"], 2),
        (("word_meanpool", "--batch-size", "two"), ["--batch-size", "two"], 2),
        (("word_meanpool", "--seed", "-1"), ["--seed"], 2),
        (("word_meanpool", "--data", "missing.txt"), ["no such file", "missing.txt"], 1),
        (("word_meanpool", "--data", "."), ["folder"], 1),
        (("word_meanpool", "--data", ""), ["--data", "text file"], 2),
        (("word_meanpool", "--out", ""), ["--out", "folder"], 2),
        (("word_meanpool", "--data", "/dev/zero"), ["not a file", "/dev/zero", "device"], 1),
        (("word_meanpool", "--data", "empty.txt"), ["empty", "empty.txt"], 1),
        (("word_meanpool", "--data", "binary.txt"), ["zero byte at 3"], 1),
        (("word_meanpool", "--data", "latin.txt"), ["not UTF-8", "0xe9 at 3"], 1),
        (("word_meanpool", "--data", "short.txt"), ["too short", "1 word", "longer text"], 1),
        (("word_meanpool", "--data", "dots.txt"), ["too short", "no words"], 1),
        (("word_meanpool", "--out", "short.txt"), ["short.txt is a file", "--out"], 1),
        (("word_meanpool", "--out", "short.txt/run"), ["short.txt/run", "--out"], 1),
        (("word_meanpool", "--out", "others"), ["holds other files", "--out"], 1),
        (("word_meanpool", "--out", "/proc/run"), ["/proc/run", "--out"], 1),
        (("word_meanpool", "--resume"), ["no run folder", "runs/word_meanpool"], 1),
        (("word_meanpool", "--learning-rate", "1e30", "--steps", "500"), ["loss became", "smaller --learning-rate"], 1),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, python, arguments, words, code):
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "binary.txt").write_bytes(b"abc\0def")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "short.txt").write_text("one")
    (tmp_path / "dots.txt").write_text("... !!")
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "mine").write_text("precious")
    before = files(tmp_path)
    done = python(tmp_path, "zoo.train", *arguments)
    if "loss became" in words:
        assert done.returncode == 1
        done.stderr, done.stdout = done.stderr.splitlines()[-1], ""
    one_line_error(done, "zoo.train", *words, code=code)
    assert files(tmp_path) == before and not (tmp_path / "runs" / "word_meanpool").exists()


def test_debug_shows_the_traceback(tmp_path, python):
    done = python(tmp_path, "zoo.train", "word_meanpool", "--data", "missing.txt", "--debug")
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_help_lists_every_field_with_its_default(tmp_path, python):
    done = python(tmp_path, "zoo.train", "word_meanpool", "--help")
    assert done.returncode == 0
    for option in (
        "--data",
        "--seed",
        "--context",
        "--batch-size",
        "--steps",
        "--learning-rate",
        "--width",
        "--out",
        "--resume",
        "--json",
    ):
        assert option in done.stdout
    assert "default: 32" in done.stdout
    assert python(tmp_path, "zoo.train", "--help").returncode == 0


def test_a_run_that_fails_leaves_the_earlier_one_in_place(tmp_path, python):
    assert python(tmp_path, "zoo.train", "word_meanpool", *FAST).returncode == 0
    before = (tmp_path / "runs/word_meanpool/model.safetensors").read_bytes()
    assert python(tmp_path, "zoo.train", "word_meanpool", "--learning-rate", "1e30").returncode == 1
    assert os.listdir(tmp_path / "runs") == ["word_meanpool"]
    assert (tmp_path / "runs/word_meanpool/model.safetensors").read_bytes() == before


def test_in_this_folder_twice(tmp_path, python):
    for _ in range(2):
        done = python(tmp_path, "zoo.train", "word_meanpool", *FAST, "--out", ".")
        assert done.returncode == 0, done.stderr
    aside = tmp_path.with_name(tmp_path.name + "-1")
    assert files(aside) == files(tmp_path)
    shutil.rmtree(aside)


def test_a_batch_larger_than_the_text(tmp_path, python):
    done = python(tmp_path, "zoo.train", "word_meanpool", "--batch-size", 466)
    one_line_error(done, "zoo.train", "--batch-size", "466 is more than the 465 examples", code=2)


def test_a_long_text_is_summarized_in_parts(tmp_path, python):
    rng = np.random.default_rng(0)
    (tmp_path / "book.txt").write_text(" ".join(f"w{i}" for i in rng.integers(0, 5000, 60_000)))
    done = python(tmp_path, "zoo.train", "word_meanpool", "--data", "book.txt", "--steps", 50)
    assert done.returncode == 0 and "of 20000 distinct contexts" in done.stdout, done.stderr


def test_output_that_cannot_be_written(tmp_path):
    command = f"{sys.executable} -m zoo.train word_meanpool --steps 200"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for redirection, code in ((">/dev/full", 1), (">&-", 0), ("2>&-", 0), ("2>/dev/full", 0), ("2>&1 | true", 0)):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{command} {redirection}"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code and "Traceback" not in done.stderr + done.stdout, (redirection, done.stderr)
        assert (tmp_path / "runs/word_meanpool/model.safetensors").exists()
        shutil.rmtree(tmp_path / "runs")


# Stopping and going on

LONG = ("--steps", "3000000", "--context", "3")


def start(folder, *arguments, **kwargs):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "zoo.train", "word_meanpool", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs
    )


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_saves_says_where_and_resuming_goes_on(tmp_path, python, number, code):
    process = start(tmp_path, *LONG)
    assert "examples" in process.stderr.readline()
    time.sleep(3)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert re.search(r"Stopped at step \d+ of 3000000, saved in runs/word_meanpool", err) and "Traceback" not in err
    step = int(load_safetensors(tmp_path / "runs/word_meanpool/state.safetensors")["step"])
    assert step > 0
    done = python(tmp_path, "zoo.train", "word_meanpool", "--resume", "--steps", step + 10)
    assert done.returncode == 0, done.stderr
    assert int(load_safetensors(tmp_path / "runs/word_meanpool/state.safetensors")["step"]) == step + 10


def test_resuming_is_as_if_never_stopped(tmp_path, python):
    rest = ("--batch-size", 7, "--learning-rate", 0.5)
    assert python(tmp_path, "zoo.train", "word_meanpool", *rest, "--steps", 150, "--out", "straight").returncode == 0
    assert python(tmp_path, "zoo.train", "word_meanpool", *rest, "--steps", 67, "--out", "pieces").returncode == 0
    for until in (68, 133, 150):
        done = python(tmp_path, "zoo.train", "word_meanpool", "--resume", "--out", "pieces", "--steps", until)
        assert done.returncode == 0, done.stderr
    for file in ("model.safetensors", "state.safetensors"):
        straight, pieces = (load_safetensors(tmp_path / out / file) for out in ("straight", "pieces"))
        assert straight.keys() == pieces.keys()
        for name in straight:
            np.testing.assert_array_equal(straight[name], pieces[name])


def test_what_cannot_be_resumed(tmp_path, trained, python):
    run = tmp_path / "run"
    shutil.copytree(trained[0] / "runs/word_meanpool", run)
    one_line_error(
        python(tmp_path, "zoo.train", "word_meanpool", "--resume", "--out", run), "zoo.train", "1563 steps", "--steps", code=2
    )
    changed = python(tmp_path, "zoo.train", "word_meanpool", "--resume", "--out", run, "--width", 64)
    one_line_error(changed, "zoo.train", "--width", "32, not 64", code=2)
    (tmp_path / "other.txt").write_text(TEXT * 9)
    other = python(tmp_path, "zoo.train", "word_meanpool", "--resume", "--out", run, "--data", "other.txt", "--steps", 2000)
    assert other.returncode == 1 and "another text" in other.stderr


def test_two_trainings_in_one_folder(tmp_path, python):
    first = start(tmp_path, *LONG)
    assert "examples" in first.stderr.readline()
    one_line_error(python(tmp_path, "zoo.train", "word_meanpool", *FAST), "zoo.train", "another training", code=1)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert first.returncode == 130


def test_ctrl_c_again_and_again(tmp_path, python):
    process = start(tmp_path, *LONG)
    assert "examples" in process.stderr.readline()
    for _ in range(20):
        time.sleep(0.03)
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err, err
    assert python(tmp_path, "zoo.generate", "word_meanpool", "--prompt", "see the lights burn").returncode == 0


@pytest.mark.parametrize("library", ["_multiarray_umath", "_pcg64", "llvmlite"])
def test_ctrl_c_while_it_starts(tmp_path, library):
    process = start(tmp_path, *LONG)
    maps = Path(f"/proc/{process.pid}/maps")
    while library not in maps.read_text():  # it is importing just now
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err, err


def test_a_closed_pipe_is_no_error(tmp_path):
    process = start(tmp_path, "--steps", 20_000)
    assert process.stdout.readline().startswith("Step 1 ")
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=60) == 0 and "Traceback" not in err and "rror" not in err
    assert (tmp_path / "runs/word_meanpool/model.safetensors").exists()


@pytest.mark.parametrize("columns", ["100", "0"])  # (0: nobody knows)
def test_a_terminal_gets_a_bar_with_speed_and_time_left(tmp_path, columns):
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": columns, "LINES": columns}
    command = [sys.executable, "-m", "zoo.train", "word_meanpool", "--steps", "20000"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=slave, stderr=slave, stdin=slave)
    os.close(slave)
    screen = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        screen += chunk
    os.close(master)
    text = screen.decode()
    assert process.wait() == 0
    for part in ("tokens/s", "step ", "of 20,000", "left", "Step 20000 | Input:", "Generated: "):
        assert part in text, part


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("MICROTENSOR_NUM_THREADS", "many", "'many'"),
        ("MICROTENSOR_MATMUL", "nmpy", "'nmpy'"),
        ("NUMBA_DISABLE_JIT", "1", "unset it"),
    ],
)
@pytest.mark.parametrize("model", ["char_meanpool", "char_gpt"])
def test_a_setting_that_cannot_be_meant_is_named(python, tmp_path, name, value, words, model):
    (tmp_path / "my.txt").write_text("the sea is wide\n" * 9)
    done = python(tmp_path, "zoo.train", model, "--data", "my.txt", **{name: value})
    one_line_error(done, "zoo.train", name, words, code=2)
    assert os.listdir(tmp_path) == ["my.txt"]


@pytest.mark.parametrize(
    "model, text, says",
    [
        ("char_meanpool", None, "1,728 parameters, 96 examples from 126 characters (26 distinct; too short to hold any out: under 10,000)"),
        ("char_meanpool", "anna\njo\n\nmaria\nvalentina\n", "12 examples from 20 characters (11 distinct; too short to hold any out: under 10,000)"),
        ("char_meanpool", "anna sees the sea\n" * 700, "the last tenth is held out)"),
        ("word_meanpool", None, "465 examples from 469 words (252 distinct, without capitals, punctuation and symbols; too short to hold any out: under 10,000)"),
        ("word_ngram", "The sea is wide.\nAnd so am I!\nSo?\n" * 4, "8 examples from 36 words (8 distinct, without capitals, punctuation and symbols; 4 of 12 lines left out, with fewer than 2 words; "),
        ("char_gpt --width 6 --layers 1 --context 9", "the sea is wide\n" * 700, "from 11,200 characters (10 distinct; the last tenth is held out)"),
        ("char_gpt --width 6 --layers 1 --context 9 --data-fraction 0.5", "the sea is wide\n" * 700, "; only the first 0.5 of what is for training is read; the last tenth is held out)"),
        ("char_gpt --width 6 --context 2000 --layers 1 --batch-size 1", "the sea is wide\n" * 700, "5 sequences from 11,200 characters (10 distinct; the last tenth is held out)"),
    ],
)  # fmt: skip
def test_the_first_line_says_what_was_read_and_what_was_left_out(tmp_path, python, model, text, says):
    options = [] if text is None else ["--data", "my.txt"]
    (tmp_path / "my.txt").write_text(text or "")
    done = python(tmp_path, "zoo.train", *model.split(), "--steps", 1, *options)
    first = done.stderr.splitlines()[0]
    assert done.returncode == 0 and first.startswith(f"{model.split()[0]}: ") and says in first, done.stderr


def test_a_forgotten_activation_is_one_line(tmp_path, python):
    for name, arguments in (
        ("numpy", ["zoo"]),
        ("numpy", ["zoo.train", "word_ngram"]),
        ("numba", ["zoo.compare", "word_ngram", "positions"]),
    ):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}', name='{name}')")
        one_line_error(
            python(tmp_path, *arguments), arguments[0], f"{name} isn't installed in {sys.executable}", "activate", code=2
        )
        (tmp_path / f"{name}.py").unlink()


def test_a_command_without_its_dot_is_told_so(tmp_path, python):
    one_line_error(python(tmp_path, "zoo", "train", "word_ngram"), "zoo", "write python -m zoo.train", code=2)
