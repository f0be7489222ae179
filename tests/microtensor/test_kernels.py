"""Every kernel against its plain NumPy specification, and the cache that must never run old code or stop the program."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import microtensor
from microtensor import kernels

SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from([np.float32, np.float64])
SIZES = st.sampled_from([0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33])
PACKAGE = Path(microtensor.__file__).parent


@given(seed=SEEDS, dtype=DTYPES, rows=SIZES, width=SIZES, n=SIZES)
def test_gather_and_scatter_add(seed, dtype, rows, width, n):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, width)).astype(dtype)
    indices = rng.integers(0, max(rows, 1), n if rows else 0)
    out = np.full((len(indices), width), np.nan, dtype)
    assert kernels.embedding.gather(table, indices, out) == -1
    np.testing.assert_array_equal(out, table[indices])

    total, expected = np.ones_like(table), np.ones_like(table)
    kernels.embedding.scatter_add(out, indices, total)
    np.add.at(expected, indices, out)
    np.testing.assert_allclose(total, expected, rtol=1e-5)


@given(seed=SEEDS, dtype=DTYPES, width=SIZES, n=SIZES, bag=st.integers(1, 9))
def test_gather_mean_and_scatter_mean(seed, dtype, width, n, bag):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(5, width)).astype(dtype)
    indices = rng.integers(0, 5, (n, bag))
    out = np.full((n, width), np.nan, dtype)
    assert kernels.embedding.gather_mean(table, indices, out) == -1
    np.testing.assert_allclose(out, table[indices].mean(axis=1), rtol=1e-4, atol=1e-5)

    total, expected = np.ones_like(table), np.ones_like(table)
    kernels.embedding.scatter_mean(out, indices, total)
    np.add.at(expected, indices, np.repeat(out[:, None] / bag, bag, axis=1))
    np.testing.assert_allclose(total, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bad", [-1, 5])
def test_indices_outside_the_table_are_found(bad):
    table, out = np.zeros((5, 2)), np.zeros((3, 2))
    assert kernels.embedding.gather(table, np.array([0, 4, bad]), out) == 2
    assert kernels.embedding.gather_mean(table, np.array([[0, 4], [1, bad], [0, 0]]), out) == 3


@given(seed=SEEDS, dtype=DTYPES, rows=SIZES, classes=SIZES.filter(bool), scale=st.sampled_from([0.0, 1.0, 50.0, 1e4]),
       smoothing=st.sampled_from([0.0, 0.2]))  # fmt: skip
def test_cross_entropy(seed, dtype, rows, classes, scale, smoothing):
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(rows, classes)) * scale).astype(dtype)
    logits[rng.random(logits.shape) < 0.1] = -np.inf
    target = rng.integers(0, classes, rows)
    target[rng.random(rows) < 0.2] = -7
    losses, slope = np.full(rows, np.nan, dtype), np.full(logits.shape, np.nan, dtype)
    with np.errstate(all="ignore"):
        total, count, bad = kernels.cross_entropy.cross_entropy(
            logits.reshape(-1), target, -7, smoothing, losses, slope.reshape(-1)
        )

    assert bad == -1 and count == (target != -7).sum()
    for i in range(rows):
        if target[i] == -7:
            assert losses[i] == 0 and not slope[i].any()
            continue
        x = logits[i].astype(np.float64)
        shifted = x - (x.max() if np.isfinite(x.max()) else 0)
        weight = np.exp(shifted).sum() or 1.0
        wanted = np.full(classes, smoothing / classes)
        wanted[target[i]] += 1 - smoothing
        with np.errstate(invalid="ignore"):
            log_p = shifted - np.log(weight)
            expected = -np.sum(np.where(wanted > 0, wanted * log_p, 0))
        np.testing.assert_allclose(losses[i], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(slope[i], np.exp(shifted) / weight - wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(total, losses.astype(np.float64).sum(), rtol=1e-6)


def test_cross_entropy_reports_a_bad_target_and_keeps_nan():
    losses, slope = np.zeros(2), np.zeros((2, 3))
    logits = np.array([[0.0, np.nan, 1.0], [0.0, 1.0, 2.0]])
    assert kernels.cross_entropy.cross_entropy(logits.reshape(-1), np.array([0, 3]), -1, 0.0, losses, slope.reshape(-1))[2] == 1
    assert np.isnan(losses[0]) and np.isnan(slope[0]).all()


@given(seed=SEEDS, dtype=DTYPES, n=SIZES)
def test_sgd_and_erf(seed, dtype, n):
    import math

    rng = np.random.default_rng(seed)
    p, g = rng.normal(size=n).astype(dtype), rng.normal(size=n).astype(dtype)
    expected = p - dtype(0.1) * g
    kernels.optimizers.sgd(p, g, dtype(0.1))
    np.testing.assert_allclose(p, expected, rtol=1e-5, atol=1e-6)
    kernels.activations.erf(g, p)
    np.testing.assert_allclose(p, [math.erf(v) for v in g], rtol=1e-5)


def test_unknown_kernels_are_refused():
    with pytest.raises(AttributeError, match="no file 'softmaxx'"):
        kernels.softmaxx
    assert "softmax" in dir(kernels)


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
