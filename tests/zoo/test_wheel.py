"""The package as others get it: a wheel, without the checkout around it."""

import os
import subprocess
import sys
import zipfile

from commands import ROOT


def test_a_wheel_in_an_empty_folder_trains(tmp_path):
    wheels, installed, empty = tmp_path / "wheels", tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, cwd=tmp_path)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "zoo/data/verses.txt" in names and "microtensor/py.typed" in names
    assert "zoo/data/pretrained/char_gpt.safetensors" in names and "zoo/data/pretrained/ship.py" not in names
    # (An editable install would find in the checkout what is missing here.)
    files = [str(file.relative_to(ROOT)) for package in ("microtensor", "zoo") for file in (ROOT / package).rglob("*.py")]
    assert not sorted(set(files) - set(names))
    assert not [n for n in names if n.startswith(("tests", "benchmarks", "data/"))]

    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(installed), str(wheel)]
    subprocess.run(install, check=True, cwd=tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "zoo.train", "word_meanpool", "--steps", "100"]
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Generated: " in done.stdout and (empty / "runs/word_meanpool/model.safetensors").exists()
    command = [sys.executable, "-m", "zoo.generate", "char_gpt", "--prompt", "ROMEO:", "--tokens", "20"]
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and len(done.stdout) == 27, done.stderr
    command = [sys.executable, "-m", "zoo.chat"]
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, input="Hello!\n")
    assert (done.returncode, done.stdout) == (0, "Hi there! How can I help you today?\n"), done.stderr
    command = [sys.executable, "-m", "zoo.dialogue", "--length", "100"]
    assert subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True).stdout.startswith(">")
    where = [sys.executable, "-c", "import zoo, microtensor; print(zoo.__file__, microtensor.__file__)"]
    assert subprocess.run(where, cwd=empty, env=environment, capture_output=True, text=True).stdout.count(str(installed)) == 2
    # The command `zoo`, from the script that pip made
    zoo = [sys.executable, installed / "bin" / "zoo"]
    done = subprocess.run([*zoo, "generate", "word_meanpool", "--prompt", "down by the", "--tokens", "3"], cwd=empty,
                          env=environment, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0 and done.stdout.startswith("down by the ") and len(done.stdout.split()) == 6, done.stderr
    done = subprocess.run([*zoo, "trian"], cwd=empty, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == "zoo: error: unknown command 'trian'; did you mean train?\n"
    done = subprocess.run([*zoo, "--print-completion", "bash"], cwd=empty, env=environment, capture_output=True, text=True)
    assert "char_gpt" in done.stdout, done.stderr
    # From Python
    script = "import zoo; print(zoo.train_model('word_ngram', steps=20).predict('the cat sat', top=1)[0]['token'])"
    done = subprocess.run([sys.executable, "-c", script], cwd=empty, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and len(done.stdout.splitlines()[-1].split()) == 1, done.stderr
