"""What comes from outside: text with control sequences in it, JSON, archives, servers, pipes, streams that were closed."""

import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
from small import ROOT, make_trainer, train

import zoo
from microtensor.serialize import load_safetensors, save_safetensors
from zoo.chat.template import normalize
from zoo.datasets import shakespeare
from zoo.datasets.corpus import read_text
from zoo.errors import DataError
from zoo.inference.decoder import check_logits
from zoo.reporter import Reporter
from zoo.tokenizers.vocabulary import vocabulary_in
from zoo.training.checkpoint import find
from zoo.untrusted import from_json, in_one_line, shown, to_json

#: It clears the screen, sets a title, rewrites the line, turns the writing round, and is 8-bit; and half of a character.
EVIL = "\x1b[2J\x1b]0;gotcha\x07\r\x08\x9b1m\u202e\x7f"
HARMLESS = re.compile("[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]*")


@pytest.fixture(scope="module")
def command():
    def run(folder, module, *arguments, shell="{}", **env):
        """Run a command; `shell` is what is put around it."""
        quoted = " ".join("'" + str(a).replace("'", "'\\''") + "'" for a in (sys.executable, "-m", module, *arguments))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **env}
        return subprocess.run(
            ["bash", "-c", shell.format(quoted)], cwd=folder, env=environment, capture_output=True, text=True, timeout=120,
            encoding="utf-8", stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """A run whose text, vocabulary and path are full of control sequences."""
    folder = tmp_path_factory.mktemp("evil")
    text = folder / f"{EVIL[:-1].replace('/', '')}.txt"
    text.write_text(f"{EVIL} the sea is wide\n" * 60)
    from zoo.training_run import train_model

    run = folder / "runs" / "char_gpt"
    train_model("char_gpt", out=run, data=text, steps=4, width=8, heads=1, layers=1, context=8, batch_size=4, seed=1)
    return folder


def test_text_is_shown():
    assert shown("a\tb\nç 漢 👩‍👧") == "a\tb\nç 漢 👩‍👧"
    assert shown(EVIL) == r"\x1b[2J\x1b]0;gotcha\x07\r\x08\x9b1m\u202e\x7f" and HARMLESS.fullmatch(shown(EVIL + "\udcff"))
    long = in_one_line("a\n" * 10_000 + "end")
    assert len(long) == 450 and long.startswith("a\\na") and long.endswith("end") and "\n" not in long
    error = DataError(f"{EVIL}\n" * 1000)
    assert len(str(error)) == 450 and HARMLESS.fullmatch(str(error)) and "\n" not in str(error)


def test_planted_escapes_reach_no_terminal(evil, command):
    run = "runs/char_gpt"
    for module, *arguments in (
        ("zoo.train", "char_gpt", "--data", next(evil.glob("*.txt")).name, "--steps", 2, "--context", 8, "--out", f"o{EVIL}"),
        ("zoo.train", f"m{EVIL}"),
        ("zoo.train", "char_gpt", f"--x{EVIL}"),
        ("zoo.train", "char_gpt", "--data", f"missing{EVIL}"),
        ("zoo.generate", run, "--prompt", "the sea", "--tokens", 300, "--temperature", 100),
        ("zoo.generate", run, "--prompt", f"é{EVIL}"),
        ("zoo.generate", f"./{EVIL}", "--prompt", "a"),
        ("zoo.predict", run, "the sea", "--top", 50),
        ("zoo.evaluate", run),
        ("zoo.explain", run, EVIL, "--step", 1),
        ("zoo.plot", "losses", run, "--out", f"{EVIL}.svg"),
        ("zoo.verify", run),
        ("zoo",),
        ("zoo.generate", run, "--prompt", "the sea", "--tokens", 300, "--temperature", 100, "--json"),
        ("zoo.predict", run, "the sea", "--top", 50, "--json"),
    ):
        done = command(evil, module, *arguments)
        assert "Traceback" not in done.stderr, done.stderr
        assert HARMLESS.fullmatch(done.stdout + done.stderr), (module, arguments, done.stdout, done.stderr)
        if "--json" in arguments:
            assert done.returncode == 0 and all(json.loads(line) for line in done.stdout.splitlines())
    assert "\x1b" in zoo.load_model(evil / run).generate("the sea", tokens=300, temperature=100)  # the API gives what there is
    assert HARMLESS.fullmatch(repr(zoo.load_model(evil / run).generate("the sea", tokens=300, temperature=100)))


def test_names_in_a_file_are_shown(evil, tmp_path, command):
    for file in ("model.safetensors", "state.safetensors"):
        run = tmp_path / file.partition(".")[0]
        shutil.copytree(evil / "runs" / "char_gpt", run)
        (run / "manifest.json").unlink()
        save_safetensors(run / file, {**load_safetensors(run / file), f"model.{EVIL}": np.zeros(3, np.float32)})
        for last in ([], ["--last"]):
            done = command(tmp_path, "zoo.generate", run, "--prompt", "a", *last)
            assert HARMLESS.fullmatch(done.stdout + done.stderr) and "Traceback" not in done.stderr
        config = json.loads((run / "config.json").read_text())
        for change in (
            {"model": EVIL},
            {"recipe": {**config["recipe"], EVIL: EVIL}},
            {"recipe": {**config["recipe"], "data": EVIL}},
        ):
            (run / "config.json").write_text(json.dumps({**config, **change}))
            done = command(tmp_path, "zoo.evaluate", run)
            assert done.returncode == 1 and HARMLESS.fullmatch(done.stderr) and done.stderr.count("\n") <= 2, done.stderr


def test_json_is_json(capsys):
    Reporter(json=True).result(
        "", {"loss": float("nan"), "best": [float("inf"), 1.5], "text": f"\ud800{EVIL}", "n": 3, "\udc80": None}
    )
    line = capsys.readouterr().out
    assert HARMLESS.fullmatch(line)
    found = json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert found == {"loss": None, "best": [None, 1.5], "text": f"\ufffd{EVIL}", "n": 3, "\ufffd": None}
    line.encode()  # no lone surrogate
    assert from_json(b'{"a": NaN, "b": [1e999, -Infinity, 2]}') == {"a": None, "b": [None, None, 2]}
    for raw in (b"[" * 200_000, b'{"a":' * 200_000, b"1" * 5000, b"\xff", b"", b"{'a': 1}"):
        with pytest.raises(ValueError):
            from_json(raw)
    assert to_json("é") == '"é"'


def test_scores_that_are_no_numbers(tmp_path, command):
    run = tmp_path / "run"
    train(make_trainer(run))
    (run / "manifest.json").unlink()
    arrays = load_safetensors(run / "model.safetensors")
    with np.errstate(over="ignore"):
        large = {name: array if array.ndim < 2 else array * np.float32(1e25) for name, array in arrays.items()}
    save_safetensors(run / "model.safetensors", large)
    for arguments in (
        ("zoo.generate", run, "--prompt", "the", "--temperature", 0), ("zoo.generate", run, "--prompt", "the", "--beams", 2),
        ("zoo.generate", run, "--prompt", "the"), ("zoo.predict", run, "the"), ("zoo.explain", run, "the"),
    ):  # fmt: skip
        done = command(tmp_path, *arguments)
        assert done.returncode == 1 and "the model's logits are no numbers" in done.stderr, (arguments, done.stderr)
        assert done.stderr.count("\n") <= 2 and "Traceback" not in done.stderr  # (a note, and the error)
    check_logits(np.array([0.0, -np.inf]))
    for logits in ([np.nan, 0], [np.inf, 0], [-np.inf, -np.inf]):
        with pytest.raises(DataError):
            check_logits(np.array(logits))


@pytest.mark.parametrize("module, arguments", [("zoo.chat", ()), ("zoo.explain", ("char_meanpool", "the c", "--untrained"))])
@pytest.mark.parametrize("shell, code", [("{} <&-", 0), ("{} <&- >&- 2>&-", 0), ("{} 0>written", None)])
def test_streams_that_were_closed(tmp_path, command, module, arguments, shell, code):
    done = command(tmp_path, module, *arguments, shell=shell)
    assert "Traceback" not in done.stderr and done.returncode in ((0, 1) if code is None else (code,)), done.stderr
    if code is None and module == "zoo.chat":
        assert done.returncode == 1 and "can't read what you say: stdin: Bad file descriptor" in done.stderr
    assert "can't write the output" not in done.stderr


def test_no_threads_to_be_had(monkeypatch):
    """As with `ulimit -u 1`, which doesn't count for root."""
    from microtensor.kernels.runtime import threads

    monkeypatch.setattr(threads, "_workers", [])
    monkeypatch.setattr(threads, "get_num_threads", lambda: 3)
    monkeypatch.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("can't start new thread")))
    done = []
    threads.share(done.append, 5)
    assert sorted(done) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["fifo", "zero", "sparse", "folder"])
def test_files_that_never_end(tmp_path, kind, monkeypatch):
    file = tmp_path / shakespeare.FILE
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "zero":
        file.symlink_to("/dev/zero")
    elif kind == "sparse":
        file.write_bytes(b"")
        os.truncate(file, 6 * 2**30)
    else:
        file.mkdir()
    begun = time.monotonic()
    with pytest.raises(DataError):
        read_text(file)
    monkeypatch.setenv("ZOO_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match="can't be read"):
        shakespeare.find()
    assert time.monotonic() - begun < 5


def archive(path, content=b"x" * 1000, **changes):
    with zipfile.ZipFile(path, "w", changes.get("compression", zipfile.ZIP_DEFLATED)) as made:
        made.writestr(changes.get("name", shakespeare.FILE_IN_WHEEL), content)
    raw = bytearray(path.read_bytes())
    central = raw.index(b"PK\x01\x02")
    for at, value in changes.get("patch", {}).items():
        raw[at] = value
        if at in (6, 8):  # the flags, and how it is packed, are said twice
            raw[central + at + 2] = value
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    "changes",
    [{"patch": {6: 1}}, {"patch": {8: 97}}, {"patch": {8: 12}}, {"patch": {8: 14}}, {"patch": {52: 255, 53: 255, 54: 255}},
     {"name": "other.txt"}, {"content": b"\0" * 10**8}, {"patch": {0: 0}}],
)  # fmt: skip
def test_archives_that_cannot_be_opened(tmp_path, changes):
    with pytest.raises(OSError):
        shakespeare._out_of_archive(archive(tmp_path / "x.whl", **changes))


def test_any_flipped_byte_of_an_archive(tmp_path):
    whole, rng = archive(tmp_path / "x.whl").read_bytes(), np.random.default_rng(0)
    for _ in range(500):
        raw = bytearray(whole)
        raw[rng.integers(len(raw))] ^= 1 << rng.integers(8)
        (tmp_path / "x.whl").write_bytes(raw)
        try:
            shakespeare._out_of_archive(tmp_path / "x.whl")
        except OSError:
            pass


def test_a_server_that_sends_a_byte_at_a_time(tmp_path, monkeypatch):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"a")
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                pass

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("ZOO_SHAKESPEARE_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(shakespeare, "DEADLINE", 1)
    begun = time.monotonic()
    with pytest.raises(OSError, match="too slow"):
        shakespeare._from_url()
    server.shutdown()
    assert time.monotonic() - begun < 15


def test_many_different_characters():
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 50_000)))
    begun = time.monotonic()
    said, unknown = normalize(text)
    assert len(said) < 100 and len(unknown) > 20_000 and time.monotonic() - begun < 4
    assert len(in_one_line("I don't know " + " ".join(unknown))) == 450
    with pytest.raises(ValueError, match="more than once"):
        vocabulary_in({"vocabulary": [*text, text[-1]]})
    assert time.monotonic() - begun < 4


def test_what_is_verified(evil, command):
    checkpoint = find(str(evil / "runs" / "char_gpt"))
    for name, digest in checkpoint.verify().items():
        assert hashlib.sha256((checkpoint.folder / name).read_bytes()).hexdigest() == digest
