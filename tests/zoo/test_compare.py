"""python -m zoo.compare: one setting, several values, a table."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from commands import ROOT, one_line_error


def rows(text):
    """A table's head, and its rows."""
    head, *lines = [re.split(r"\s{2,}", line.strip()) for line in text.strip().splitlines()]
    return head, lines


def test_each_value_is_trained_and_kept(python, tmp_path):
    done = python(tmp_path, "zoo.compare", "word_ngram", "--width", 8, 16, "--epochs", 3)
    assert done.returncode == 0, done.stderr
    head, lines = rows(done.stdout)
    assert head == ["width", "parameters", "loss", "held-out", "time"] and [line[0] for line in lines] == ["8", "16"]
    assert "Run 1 of 2: width 8" in done.stderr and "python -m zoo.plot losses runs/compare-word_ngram/width-8" in done.stderr
    alone = python(tmp_path, "zoo.train", "word_ngram", "--width", 16, "--epochs", 3, "--json")
    final = next(x["final_loss"] for x in map(json.loads, alone.stdout.splitlines()) if "final_loss" in x)
    assert lines[1][2] == f"{final:.4f}" and lines[1][3] == "-"
    again = python(tmp_path, "zoo.compare", "word_ngram", "--width", 8, 16, "--epochs", 3)
    assert again.stderr.count("trained before") == 2 and rows(again.stdout)[1] == lines
    assert python(tmp_path, "zoo.predict", "runs/compare-word_ngram/width-16_epochs-3", "the cat sat").returncode == 0


def test_a_grid_and_json(python, tmp_path):
    done = python(
        tmp_path, "zoo.compare", "char_meanpool", "--pooling", "mean", "concat", "--context", 3, 5, "--steps", 20, "--json",
        "--out", "grid",
    )  # fmt: skip
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(o["context"], o["pooling"]) for o in objects] == [(3, "mean"), (3, "concat"), (5, "mean"), (5, "concat")]
    assert [o["parameters"] for o in objects] == [1728, 3456, 1728, 5184] and all(o["loss"] > 0 for o in objects)
    assert sorted(path.name for path in (tmp_path / "grid").iterdir())[0] == "context-3_pooling-concat_steps-20"


@pytest.mark.parametrize(
    "model, experiment, more, column, values",
    [
        ("word_meanpool", "width", ["--steps", 5], "width", ["16", "32", "64"]),
        ("word_ngram", "context", ["--epochs", 1], "context", ["1", "3", "4"]),
        ("char_meanpool", "learning-rate", ["--epochs", 1], "learning rate", ["0.015", "0.05", "0.15"]),
        ("word_meanpool", "text", ["--steps", 5], "data fraction", ["0.25", "0.5", "1"]),
        ("word_ngram", "positions", ["--epochs", 1], "pooling", ["positions", "mean"]),
        ("word_ngram", "length", ["--epochs", 4], "epochs", ["2", "4", "8"]),
    ],
)
def test_experiments_that_come_ready(python, tmp_path, model, experiment, more, column, values):
    done = python(tmp_path, "zoo.compare", model, experiment, *more)
    assert done.returncode == 0, done.stderr
    head, lines = rows(done.stdout)
    assert head[0] == column and [line[0] for line in lines] == values


def test_held_out_text_is_the_same_for_every_share(python, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "text.txt").write_text(" ".join(rng.choice(["the", "sea", "is", "wide"], 3000)))
    done = python(
        tmp_path, "zoo.compare", "char_gpt", "text", "--data", "text.txt", "--width", 8, "--heads", 1, "--layers", 1,
        "--context", 8, "--steps", 4, "--evaluate-every", 2, "--json",
    )  # fmt: skip
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and [o["data_fraction"] for o in objects] == [0.25, 0.5, 1.0], done.stderr
    assert all(o["validation_loss"] > 0 for o in objects)


def test_it_goes_on_where_it_was_stopped(python, tmp_path):
    command = [sys.executable, "-m", "zoo.compare", "word_meanpool", "--width", "16", "32", "--steps", "150000"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    assert "Run 1 of 2" in process.stderr.readline()
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "the same command goes on" in rest and "Traceback" not in rest, rest
    done = python(tmp_path, "zoo.compare", *command[3:])
    assert done.returncode == 0 and "Run 1 of 2: width 16, from step " in done.stderr, done.stderr


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        ((), ["MODEL"], 2),
        (("--width", "16", "word_ngram"), ["--width"], 2),
        (("wrod_ngram", "width"), ["unknown model", "word_ngram"], 2),
        (("word_ngram",), ["nothing to compare", "--width 16 32 64"], 2),
        (("word_ngram", "--width", "16"), ["nothing to compare"], 2),
        (("word_ngram", "--width", "16", "x"), ["--width", "a whole number", "'x'"], 2),
        (("word_ngram", "--width", "16", "0"), ["--width", "at least 1"], 2),
        (("word_ngram", "--width", "16", "16"), ["--width", "given twice"], 2),
        (("word_ngram", "--wdith", "16", "32"), ["unknown option --wdith", "--width"], 2),
        (("word_ngram", "--width", "1", "2", "--hidden", "1", "2", "--context", "1", "2"), ["two options"], 2),
        (("word_ngram", "widht"), ["unknown experiment 'widht'", "width"], 2),
        (("word_meanpool", "positions"), ["no setting", "--pooling"], 2),
        (("word_ngram", "width", "--width", "1", "2"), ["values of its own"], 2),
        (("char_gpt", "width", "--preset", "tiny"), ["unknown preset 'tiny'"], 2),
        (("word_ngram", "width", "--data", "missing.txt"), ["no such file"], 1),
        (("bigram", "char_mpl"), ["unknown model 'char_mpl'", "char_mlp"], 2),
        (("bigram", "char_mlp", "width"), ["unknown model 'width'"], 2),
        (("bigram", "bigram"), ["named twice"], 2),
        (("bigram", "char_mlp:widht=3"), ["unknown setting 'widht'", "width"], 2),
        (("bigram", "char_mlp:width=x"), ["--width", "a whole number"], 2),
        (("bigram", "char_mlp:nano"), ["unknown preset 'nano'"], 2),
        (("char_gpt", "bigram", "--preset", "nano"), ["unknown preset 'nano'"], 2),
        (("bigram", "word_ngram"), ["different texts", "names.txt", "sentences.txt", "--corpus"], 2),
        (("bigram", "char_mlp", "--seed", "1", "2"), ["--seed", "one value"], 2),
        (("bigram", "char_mlp", "--hidden", "8"), ["unknown option --hidden"], 2),
        (("bigram", "char_mlp", "--minutes", "0"), ["--minutes", "at least 0.01"], 2),
        (("bigram", "char_mlp", "--minutes", "nan"), ["--minutes", "finite"], 2),
        (("bigram", "char_mlp", "--minutes", "1", "--tokens", "9"), ["--minutes and --tokens", "one of the two"], 2),
        (("bigram", "char_mlp", "--steps", "1", "--tokens", "9"), ["--tokens and --steps", "one of the two"], 2),
        (("word_ngram", "length", "--minutes", "1"), ["length", "same time"], 2),
    ],
)
def test_bad_input(python, tmp_path, arguments, words, code):
    done = python(tmp_path, "zoo.compare", *arguments)
    lines = done.stderr.strip().splitlines()
    if arguments[-1:] == ("missing.txt",):
        assert done.returncode == code and words[0] in lines[-1] and "Traceback" not in done.stderr
    else:
        one_line_error(done, "zoo.compare", *words, code=code)
    assert list(tmp_path.iterdir()) == []


def test_another_recipe_in_the_folder(python, tmp_path):
    assert python(tmp_path, "zoo.train", "word_ngram", "--epochs", 1, "--out", "all/width-8_epochs-1").returncode == 0
    done = python(tmp_path, "zoo.compare", "word_ngram", "--width", 8, 16, "--epochs", 1, "--out", "all")
    assert done.returncode == 1 and "another recipe" in done.stderr and "Traceback" not in done.stderr


def test_a_run_that_diverges_is_a_row_like_others(python, tmp_path):
    done = python(tmp_path, "zoo.compare", "char_meanpool", "--learning-rate", 0.05, 1e20, "--epochs", 5)
    assert done.returncode == 0 and "became" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert [line[2] for line in rows(done.stdout)[1]][1] == "diverged"
    done = python(tmp_path, "zoo.compare", "char_meanpool", "--learning-rate", 0.05, 1e20, "--epochs", 5, "--json")
    assert [json.loads(line)["loss"] is None for line in done.stdout.splitlines()] == [False, True]


def test_files_of_one_name_and_numbers_that_look_alike(python, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.txt").write_text("the cat sat on the mat\n" * 3)
    done = python(tmp_path, "zoo.compare", "word_ngram", "--data", "a/t.txt", "b/t.txt", "--epochs", 1)
    one_line_error(done, "zoo.compare", "--data", "same name", code=2)
    done = python(tmp_path, "zoo.compare", "word_ngram", "--learning-rate", 0.1, 0.10000001, "--epochs", 1)
    assert done.returncode == 0 and [line[0] for line in rows(done.stdout)[1]] == ["0.1", "0.10000001"], done.stderr


def test_models_on_as_many_tokens(python, tmp_path):
    command = ("zoo.compare", "bigram", "char_mlp:hidden=8", "--corpus", "names", "--tokens", 40960)
    done = python(tmp_path, *command)
    head, lines = rows(done.stdout)
    assert done.returncode == 0 and head == [
        "model", "parameters", "held-out", "bits per byte", "time", "tokens",
    ], done.stderr  # fmt: skip
    assert [line[0] for line in lines] == ["bigram", "char_mlp:hidden=8"]
    assert "model bigram, 10 steps" in done.stderr and "hidden=8, 80 steps" in done.stderr
    for line in lines:
        assert abs(float(line[3]) - float(line[2]) / np.log(2)) < 2e-4  # (names are ASCII: a character is a byte)
    alone = python(tmp_path, "zoo.train", "bigram", "--steps", 10, "--json")
    losses = [json.loads(line).get("best_validation_loss") for line in alone.stdout.splitlines()]
    assert lines[0][2] in [f"{loss:.4f}" for loss in losses if loss is not None]
    again = python(tmp_path, *command)
    assert again.stderr.count("trained before") == 2 and rows(again.stdout)[1] == lines
    if importlib.util.find_spec("matplotlib"):
        assert "<svg" in (tmp_path / "runs/compare-models/ladder.svg").read_text()
        assert "Drawn: runs/compare-models/ladder.svg" in again.stderr
    else:
        assert "No picture: drawing needs matplotlib" in again.stderr


def test_models_for_the_same_time(python, tmp_path):
    command = ("zoo.compare", "word_meanpool", "char_mlp:epochs=3", "--corpus", "verses", "--minutes", 0.02, "--json")
    done = python(tmp_path, *command)
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and [o["model"] for o in objects] == ["word_meanpool", "char_mlp:epochs=3"], done.stderr
    # How long it took depends on what else the machine does; it is neither one step nor the recipe's own length.
    assert objects[0]["steps"] > 500 and objects[1]["steps"] > 1 and all(o["seconds"] > 0.05 for o in objects)
    again = python(tmp_path, *command)  # what a time buys is found once
    assert [json.loads(line) for line in again.stdout.splitlines()] == objects and again.stderr.count("trained before") == 2


def test_a_budget_for_the_values_of_a_setting(python, tmp_path):
    done = python(tmp_path, "zoo.compare", "word_ngram", "--width", 4, 8, "--tokens", 320)
    assert done.returncode == 0 and done.stderr.count(", 40 steps") == 2, done.stderr
    assert (tmp_path / "runs/compare-word_ngram/width-8_tokens-320").is_dir()


def test_a_preset_of_several_models(python, tmp_path):
    small = ("--corpus", "verses", "--context", 8, "--width", 8, "--layers", 1, "--heads", 1, "--steps", 2)
    done = python(tmp_path, "zoo.compare", "char_gpt", "modern_gpt", "--preset", "nano", *small)
    assert done.returncode == 0, done.stderr
    assert [line[0] for line in rows(done.stdout)[1]] == ["char_gpt:nano", "modern_gpt:nano"]
