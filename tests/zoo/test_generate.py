"""python -m zoo.generate."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from commands import ROOT, one_line_error, seal

COMMAND = ("word_meanpool", "--prompt", "see the lights burn")


def test_it_continues_a_text(trained, python):
    folder, _ = trained
    done = python(folder, "zoo.generate", *COMMAND, "--tokens", 20, "--temperature", 0.8)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("see the lights burn ") and len(done.stdout.split()) == 24 and done.stdout.endswith("\n")


def test_greedy_knows_the_verses(trained, python):
    folder, _ = trained
    done = python(
        folder, "zoo.generate", "runs/word_meanpool", "--prompt", "Down by the harbour", "--temperature", 0, "--tokens", 5
    )
    assert done.stdout == "down by the harbour where the old boats sleep\n"


def test_the_seed_decides(trained, python):
    folder, _ = trained
    a, b, c = (python(folder, "zoo.generate", *COMMAND, "--temperature", 3, "--seed", s).stdout for s in (1, 1, 2))
    assert a == b != c


def test_json_and_no_tokens(trained, python):
    folder, _ = trained
    done = python(folder, "zoo.generate", *COMMAND, "--json", "--tokens", 3)
    assert json.loads(done.stdout)["text"].startswith("see the lights burn ")
    assert python(folder, "zoo.generate", *COMMAND, "--tokens", 0).stdout == "see the lights burn\n"


def test_beams_and_stop_strings(trained, python):
    folder, _ = trained
    greedy, one, four = (
        python(folder, "zoo.generate", *COMMAND, "--tokens", 9, *options).stdout
        for options in (("--temperature", 0), ("--beams", 1), ("--beams", 4))
    )
    assert greedy == one and four.startswith("see the lights burn ") and len(four.split()) == 13
    third = greedy.split()[6]
    stopped = python(folder, "zoo.generate", *COMMAND, "--temperature", 0, "--stop", third, "--stop", "zzz").stdout
    assert stopped == " ".join(greedy.split()[:6]) + " \n" and third not in stopped
    narrow = python(folder, "zoo.generate", *COMMAND, "--tokens", 9, "--temperature", 5, "--top-k", 1).stdout
    assert narrow == greedy
    for options in (("--top-p", 0.001), ("--min-p", 1)):
        assert python(folder, "zoo.generate", *COMMAND, "--tokens", 9, "--temperature", 5, *options).stdout == greedy
    penalised = python(folder, "zoo.generate", *COMMAND, "--tokens", 9, "--temperature", 0, "--repetition-penalty", 100).stdout
    assert len(set(penalised.split())) == 13


def test_characters_go_on_without_blanks_between(small_gpt, python):
    done = python(small_gpt, "zoo.generate", small_gpt, "--prompt", "the sea", "--tokens", 100, "--temperature", 0.5)
    assert done.returncode == 0 and done.stdout.startswith("the sea") and len(done.stdout) == 7 + 100 + 1, done.stderr
    again = json.loads(
        python(
            small_gpt, "zoo.generate", small_gpt, "--prompt", "the sea", "--tokens", 100, "--temperature", 0.5, "--json"
        ).stdout
    )
    assert again["text"] + "\n" == done.stdout == again["prompt"] + again["continuation"] + "\n"
    last = python(small_gpt, "zoo.generate", small_gpt, "--prompt", "the sea", "--last", "--tokens", 5)
    assert last.returncode == 0


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        ((), ["MODEL"], 2),
        ((*COMMAND, "--top-k", "0"), ["--top-k", "at least 1"], 2),
        ((*COMMAND, "--top-p", "2"), ["--top-p", "at most 1"], 2),
        ((*COMMAND, "--min-p", "1.5"), ["--min-p", "from 0 to 1"], 2),
        ((*COMMAND, "--repetition-penalty", "0.5"), ["--repetition-penalty", "at least 1"], 2),
        ((*COMMAND, "--beams", "3", "--temperature", "1"), ["--beams", "--temperature"], 2),
        ((*COMMAND, "--beams", "3", "--seed", "1"), ["--beams", "--seed"], 2),
        ((*COMMAND, "--beams", "0"), ["--beams", "at least 1"], 2),
        ((*COMMAND, "--stop", ""), ["--stop", "text"], 2),
        (("word_meanpool",), ["--prompt"], 2),
        (("word_meanpol", "--prompt", "x"), ["did you mean word_meanpool"], 2),
        ((*COMMAND, "--temprature", "1"), ["did you mean --temperature"], 2),
        ((*COMMAND, "--temperature", "-1"), ["--temperature", "at least 0"], 2),
        ((*COMMAND, "--temperature", "nan"), ["--temperature", "finite"], 2),
        ((*COMMAND, "--tokens", "many"), ["--tokens", "many"], 2),
        (("word_meanpool", "--prompt", "see the lanturn"), ["unknown word 'lanturn'", "did you mean lantern"], 1),
        (("word_meanpool", "--prompt", "zzzzzz"), ["unknown word 'zzzzzz'", "252 words"], 1),
        (("word_meanpool", "--prompt", " ... "), ["no words"], 1),
        (("runs/other", "--prompt", "x"), ["no run folder", "runs/other"], 1),
        ((".", "--prompt", "x"), ["no config.json"], 1),
    ],
)
def test_bad_input_is_one_line(trained, python, arguments, words, code):
    folder, _ = trained
    one_line_error(python(folder, "zoo.generate", *arguments), "zoo.generate", *words, code=code)


def test_before_any_training(tmp_path, python):
    one_line_error(
        python(tmp_path, "zoo.generate", *COMMAND), "zoo.generate", "no run folder", "python -m zoo.train word_meanpool", code=1
    )


def edit(run, **changes):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, **changes}))
    seal(run)


DAMAGE = {
    "no parameters": (lambda run: (run / "model.safetensors").unlink(), ["no model.safetensors"]),
    "truncated parameters": (lambda run: os.truncate(run / "model.safetensors", 5000), ["damaged", "model.safetensors"]),
    "another state": (
        lambda run: (shutil.copy(run / "state.safetensors", run / "model.safetensors"), seal(run)),
        ["another model", "missing embeddings"],
    ),
    "another width": (lambda run: edit(run, recipe={"width": 8}), ["another model", "(252, 8)", "(252, 32)"]),
    "another model": (lambda run: edit(run, model="word_ngram"), ["another model"]),
    "truncated config": (lambda run: os.truncate(run / "config.json", 100), ["damaged", "config.json"]),
    "no tokenizer": (lambda run: edit(run, tokenizer=[]), ["damaged", "no tokenizer"]),
    "no vocabulary": (lambda run: edit(run, tokenizer={"vocabulary": []}), ["damaged", "vocabulary"]),
    "a hostile recipe": (lambda run: edit(run, recipe={"width": -1}), ["damaged", "width"]),
    "an unknown field": (lambda run: edit(run, recipe={"widht": 1}), ["damaged", "widht"]),
    "a later format": (lambda run: edit(run, format=99), ["another format", "99"]),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_run_folder_is_one_line(tmp_path, trained, python, kind):
    damage, words = DAMAGE[kind]
    run = tmp_path / "runs" / "word_meanpool"
    shutil.copytree(trained[0] / "runs" / "word_meanpool", run)
    damage(run)
    for name in ("word_meanpool", "runs/word_meanpool"):
        one_line_error(python(tmp_path, "zoo.generate", name, "--prompt", "see"), "zoo.generate", *words, code=1)


def test_nan_parameters_are_refused(tmp_path, trained, python):
    from microtensor.serialize import load_safetensors, save_safetensors

    run = tmp_path / "runs" / "word_meanpool"
    shutil.copytree(trained[0] / "runs" / "word_meanpool", run)
    parameters = load_safetensors(run / "model.safetensors")
    parameters["projection"][0, 0] = float("nan")
    save_safetensors(run / "model.safetensors", parameters)
    seal(run)
    one_line_error(python(tmp_path, "zoo.generate", *COMMAND), "zoo.generate", "projection", "NaN", code=1)


def test_a_closed_pipe_is_no_error(trained):
    folder, _ = trained
    command = f"{sys.executable} -m zoo.generate word_meanpool --prompt see --tokens 20000 | head -c 10"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout) == 10
