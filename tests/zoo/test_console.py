"""The command `zoo`."""

import os
import re
import subprocess
import sys

import pytest
from commands import ROOT

from zoo import console
from zoo.__main__ import COMMANDS


@pytest.fixture
def zoo(tmp_path):
    """Runs `zoo ARGUMENTS` in a folder, as the script that pip installs does."""

    def run(*arguments, **env):
        script = "import sys; from zoo.console import main; sys.argv[0] = 'zoo'; main()"
        return subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env}, stdin=subprocess.DEVNULL, encoding="utf-8", timeout=120,
        )  # fmt: skip

    return run


def test_every_command_is_one_of_zoo(zoo):
    listed = [re.match(r"python -m zoo\.(\w+)", command)[1] for command, _ in COMMANDS]
    assert sorted([*listed, "dialogue"]) == sorted(console.COMMANDS)
    for path in (ROOT / "zoo").rglob("*.py"):  # whatever can be run, that is
        name = path.parent.name if path.name == "__main__.py" else path.stem
        if re.search(r'^    run\w*\("\w+", main\)$', path.read_text(), re.M):
            assert name in console.COMMANDS, path
    for name in console.COMMANDS:
        done = zoo(name, "--help")
        assert done.returncode == 0 and done.stdout.startswith(f"usage: zoo {name}"), done.stderr
        assert "python -m" not in done.stdout


def test_alone_it_lists_models_and_commands(zoo, python, tmp_path):
    done, module = zoo(), python(tmp_path, "zoo")
    assert done.returncode == 0 and done.stdout == module.stdout.replace("python -m zoo.", "zoo ")
    assert zoo("--json").stdout == python(tmp_path, "zoo", "--json").stdout


def test_it_names_itself_as_it_was_called(zoo, tmp_path):
    done = zoo("train", "word_meanpool", "--steps", 100)
    assert done.returncode == 0 and "Try: zoo generate word_meanpool --prompt" in done.stderr and "python" not in done.stderr
    prompt = re.search(r'--prompt "(.*)"', done.stderr)[1]
    done = zoo("generate", "word_meanpool", "--prompt", prompt, "--tokens", 3)
    assert done.returncode == 0 and done.stdout.startswith(prompt)
    compared = zoo("compare", "word_ngram", "--width", 4, 8, "--steps", 5)
    assert "Draw them: zoo plot losses runs/" in compared.stderr


@pytest.mark.parametrize(
    "arguments, message, code",
    [
        (["trian"], "zoo: error: unknown command 'trian'; did you mean train?", 2),
        (["gpt"], "zoo: error: unknown command 'gpt'; the commands are train, generate, ", 2),
        (["--jsn"], "zoo: error: unknown option --jsn; did you mean --json?; see zoo --help", 2),
        (["train"], "zoo train: error: the following arguments are required: MODEL; see zoo train --help", 2),
        (["train", "--json"], "zoo train: error: the following arguments are required: MODEL", 2),
        (["train", "char_gtp"], "zoo train: error: unknown model 'char_gtp'; did you mean", 2),
        (
            ["train", "word_ngram", "--widht", "2"],
            "unknown option --widht; did you mean --width or --data?; see zoo train word_ngram --h",
            2,
        ),
        (["predict", "word_meanpool", "a"], "no run folder: runs/word_meanpool; train first: zoo train word_meanpool", 1),
        (["--print-completion"], "zoo: error: --print-completion: name a shell, one of bash, zsh, tcsh", 2),
        (["--print-completion", "fsh"], "name a shell", 2),
    ],
)
def test_refusals_are_one_line(zoo, tmp_path, arguments, message, code):
    done = zoo(*arguments)
    assert done.returncode == code and done.stdout == "" and done.stderr.count("\n") == 1 and message in done.stderr, (
        done.stderr
    )
    assert not os.listdir(tmp_path)


def test_debug_shows_the_traceback(zoo):
    assert "Traceback" in zoo("predict", "word_meanpool", "a", "--debug").stderr
    assert "Traceback" not in zoo("predict", "word_meanpool", "a").stderr


# Completion

COMPLETE = """
source zoo.bash
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_shtab_zoo zoo "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
echo "${COMPREPLY[*]}"
"""


@pytest.mark.parametrize(
    "typed, completed",
    [
        (["tr"], "train"),
        (["train", "char_"], "char_meanpool char_mlp char_rnn char_gpt"),
        (["train", "char_gpt", "--wid"], "--width"),
        (["train", "char_gpt", "--preset", "n"], "names nano"),
        (["train", "char_meanpool", "--pooling", "c"], "concat"),
        (["compare", "word_ngram", "le"], "learning-rate length"),
        (["predict", "char_g"], "char_gpt"),
        (["predict", "ru"], "runs"),
        (["plot", "los"], "losses"),
        (["plot", "losses", "word_n"], "word_ngram"),
    ],
)
def test_bash_completes(zoo, tmp_path, typed, completed):
    script = tmp_path / "zoo.bash"
    script.write_text(zoo("--print-completion", "bash").stdout)
    (tmp_path / "runs").mkdir()
    done = subprocess.run(["bash", "-c", COMPLETE, "-", "zoo", *typed], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == completed, done.stderr


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_have_the_models(zoo, shell):
    done = zoo(f"--print-completion={shell}", ZOO_MODELS=str(ROOT / "tests" / "zoo" / "models"))
    assert done.returncode == 0 and "char_gpt" in done.stdout and "rotary_gpt" in done.stdout and "width" in done.stdout
    assert "python -m" not in done.stdout


def test_without_shtab_it_says_what_to_install(zoo, tmp_path):
    (tmp_path / "shtab.py").write_text("raise ImportError")
    done = zoo("--print-completion", "bash", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode == 2 and "pip install shtab" in done.stderr and "Traceback" not in done.stderr
