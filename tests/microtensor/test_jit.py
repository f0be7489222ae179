"""How kernels are compiled: lazily, and with a cache that must never run old code or stop the program."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import microtensor
from microtensor import kernels

PACKAGE = Path(microtensor.__file__).parent


def test_unknown_kernels_are_refused():
    with pytest.raises(AttributeError, match="no file 'softmaxx'"):
        kernels.softmaxx
    assert "softmax" in dir(kernels)


def test_an_array_that_is_not_contiguous_is_refused():
    p = np.ones((6, 4))
    for gaps in (p[:, 0], p[::-1, 0], p.T):
        with pytest.raises(
            ValueError, match=r"sgd: gradient, of shape .*, isn't contiguous; give np.asarray\(gradient, order='C'\)"
        ):
            kernels.optimizers.sgd(p.reshape(-1), gaps, 0.5)


# The cache, each time in a process of its own

SGD = """
import numpy as np
from microtensor import kernels
p = np.ones(3)
kernels.optimizers.sgd(p, np.ones(3), 0.5)
print(p.tolist(), sum(kernels.optimizers.sgd.stats.cache_hits.values()))
"""


def run(cache, package=PACKAGE.parent, code=SGD, **env):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(package), **env}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_compiles_nothing_and_leaves_numba_alone():
    assert run("/nonexistent", code="import sys, microtensor; print('numba' in sys.modules)") == "False"


def test_the_second_process_finds_the_code(tmp_path):
    assert run(tmp_path) == "[0.5, 0.5, 0.5] 0"
    assert run(tmp_path) == "[0.5, 0.5, 0.5] 1"


def test_an_edited_file_never_runs_old_code(tmp_path):
    import shutil

    copy = tmp_path / "microtensor"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    # The kernel's arithmetic moves to a helper in another file, which is then edited.
    (copy / "kernels" / "helper.py").write_text("import numba\n@numba.njit\ndef scale(x):\n    return 1.0 * x\n")
    updates = (copy / "kernels" / "optimizers.py").read_text()
    changed = updates.replace("rate * gradient[i]", "scale(rate * gradient[i])").replace(
        "from microtensor.kernels.runtime.jit",
        "from microtensor.kernels.helper import scale\nfrom microtensor.kernels.runtime.jit",
    )
    assert changed != updates
    (copy / "kernels" / "optimizers.py").write_text(changed)
    cache = tmp_path / "cache"
    assert run(cache, tmp_path) == "[0.5, 0.5, 0.5] 0"
    assert run(cache, tmp_path) == "[0.5, 0.5, 0.5] 1"
    (copy / "kernels" / "helper.py").write_text("import numba\n@numba.njit\ndef scale(x):\n    return 2.0 * x\n")
    assert run(cache, tmp_path) == "[0.0, 0.0, 0.0] 0"


def test_another_cpu_gets_code_of_its_own(tmp_path):
    assert run(tmp_path) == "[0.5, 0.5, 0.5] 0"
    other = "haswell" if os.environ.get("NUMBA_CPU_NAME") == "generic" else "generic"
    assert run(tmp_path, NUMBA_CPU_NAME=other) == "[0.5, 0.5, 0.5] 0"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("package", ["numba", "llvmlite"])
def test_another_version_of_the_compiler_gets_code_of_its_own(tmp_path, package):
    assert run(tmp_path) == "[0.5, 0.5, 0.5] 0"
    assert run(tmp_path, code=f"import {package}\n{package}.__version__ += '.1'\n" + SGD) == "[0.5, 0.5, 0.5] 0"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_read_only_installation_works(tmp_path):
    import shutil

    shutil.copytree(PACKAGE, tmp_path / "microtensor", ignore=shutil.ignore_patterns("__pycache__"))
    folders = [tmp_path / "microtensor", *(p for p in (tmp_path / "microtensor").rglob("*") if p.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert run(tmp_path / "microtensor" / "cache", tmp_path) in ("[0.5, 0.5, 0.5] 0",)
        assert run(tmp_path / "cache", tmp_path).startswith("[0.5, 0.5, 0.5]")
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", [b"", b"garbage", "half"])
def test_damaged_files_are_replaced(tmp_path, suffix, damage):
    run(tmp_path)
    files = [f for f in tmp_path.rglob("*") if f.suffix == suffix]
    assert files
    for f in files:
        raw = f.read_bytes()
        f.write_bytes(raw[: len(raw) // 2] if damage == "half" else damage)
    assert run(tmp_path) == "[0.5, 0.5, 0.5] 0"
    assert run(tmp_path) in ("[0.5, 0.5, 0.5] 0", "[0.5, 0.5, 0.5] 1")


def test_without_a_place_to_write_it_still_runs(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert run(tmp_path / "file") == "[0.5, 0.5, 0.5] 0"


def test_processes_that_start_together(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent)}
    together = [
        subprocess.Popen([sys.executable, "-c", SGD], stdout=subprocess.PIPE, env=environment, cwd="/") for _ in range(3)
    ]
    for process in together:
        assert process.communicate()[0].startswith(b"[0.5, 0.5, 0.5]") and process.returncode == 0


def test_without_the_compiler_kernels_are_plain_python(tmp_path):
    code = SGD.replace(", sum(kernels.optimizers.sgd.stats.cache_hits.values())", "")
    assert run(tmp_path, code=code, NUMBA_DISABLE_JIT="1") == "[0.5, 0.5, 0.5]"
