"""The folder of compiled kernels, whose pickles run as code: only where nobody else can write, and for the source as it is."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import microtensor
from microtensor.kernels.runtime.cache import Unusable, own_folder

PACKAGE = Path(microtensor.__file__).parent
SGD = """
import os, sys, numpy as np
os.umask(int(os.environ.get("MASK", "022"), 8))
from microtensor import kernels
p = np.ones(3)
kernels.optimizers.sgd(p, np.ones(3), 0.5)
print(p.tolist(), sum(kernels.optimizers.sgd.stats.cache_hits.values()))
"""
pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows")


def run(cwd, package=PACKAGE.parent, **env):
    environment = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "NUMBA_DISABLE_JIT")}
    environment |= {"PYTHONPATH": str(package), **env}
    done = subprocess.run([sys.executable, "-c", SGD], capture_output=True, text=True, env=environment, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def refused(cwd, why, **env):
    result, told = run(cwd, **env)
    assert result == "[0.5, 0.5, 0.5] 0" and why in told and told.count("\n") == 1
    assert told.startswith("microtensor: compiled kernels aren't kept, and every run compiles anew: ")


def test_what_is_made_is_the_users_alone_under_any_umask(tmp_path):
    result, told = run(tmp_path, XDG_CACHE_HOME=str(tmp_path / "new" / "cache"), MASK="0")
    assert result == "[0.5, 0.5, 0.5] 0" and told == ""
    made = [p for p in (tmp_path / "new", *(tmp_path / "new").rglob("*")) if p.is_dir()]
    assert len(made) == 4 and {p.stat().st_mode & 0o777 for p in made} == {0o700}
    assert run(tmp_path, XDG_CACHE_HOME=str(tmp_path / "new" / "cache"))[0] == "[0.5, 0.5, 0.5] 1"


def test_a_relative_folder_is_no_cache(tmp_path):
    refused(tmp_path, "XDG_CACHE_HOME is 'cache', which isn't an absolute path", XDG_CACHE_HOME="cache")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_others_can_write_to_is_no_cache(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    refused(tmp_path, f"other users can write to {str(shared)!r}", NUMBA_CACHE_DIR=str(shared / "mine"))


def test_who_owns_the_way(tmp_path, monkeypatch):
    """Which folders are trusted, without compiling anything."""
    assert own_folder(tmp_path / "a" / "b") == Path(os.path.realpath(tmp_path)) / "a" / "b"
    (tmp_path / "a").chmod(0o770)
    with pytest.raises(Unusable, match="other users can write to"):
        own_folder(tmp_path / "a" / "b")
    (tmp_path / "a").chmod(0o1777)  # like /tmp
    own_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "b").chmod(0o755)
    with pytest.raises(Unusable, match="is open to other users"):
        own_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match="is no folder"):
        own_folder(tmp_path / "file" / "b")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "a").chmod(0o777)
    with pytest.raises(Unusable, match="other users can write to"):
        own_folder(tmp_path / "link" / "b")
    (tmp_path / "a").chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(Unusable, match="belongs to another user"):
        own_folder(tmp_path / "a" / "c")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_is_no_cache(tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o755)
    os.chown(tmp_path / "theirs", 12345, 12345)
    refused(tmp_path, "belongs to another user", NUMBA_CACHE_DIR=str(tmp_path / "theirs"))


def test_kernels_in_a_zip_never_run_old_code(tmp_path):
    archive, cache = tmp_path / "all.zip", str(tmp_path / "cache")

    def pack(change):
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(PACKAGE.rglob("*.py")):
                text = path.read_text()
                if path.name == "optimizers.py":
                    changed = text.replace("parameter[i] -= rate * gradient[i]", f"parameter[i] -= {change}rate * gradient[i]")
                    assert text != changed or not change
                    text = changed
                file.writestr(path.relative_to(PACKAGE.parent).as_posix(), text)

    pack("")
    assert run(tmp_path, archive, NUMBA_CACHE_DIR=cache)[0] == "[0.5, 0.5, 0.5] 0"
    assert run(tmp_path, archive, NUMBA_CACHE_DIR=cache)[0] == "[0.5, 0.5, 0.5] 1"
    pack("2 * ")
    assert run(tmp_path, archive, NUMBA_CACHE_DIR=cache)[0] == "[0.0, 0.0, 0.0] 0"
