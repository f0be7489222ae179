"""The pool of threads: it shares work, it can't hang, and it changes no result."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import microtensor as mt
from microtensor import kernels, nn
from microtensor.kernels.runtime import config, threads
from microtensor.optim import AdamW, clip_grad_norm

ROOT = Path(mt.__file__).parent.parent


@pytest.fixture
def four_threads():
    before = kernels.runtime.config.get_num_threads()
    kernels.runtime.config.set_num_threads(4)
    yield
    kernels.runtime.config.set_num_threads(before)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 100])
def test_every_part_is_done_once(four_threads, n):
    done = []
    threads.share(done.append, n)
    assert sorted(done) == list(range(n))


def test_an_error_in_a_part_reaches_the_caller_and_the_pool_goes_on(four_threads):
    def fails(i):
        if i % 3 == 1:
            raise KeyError(i)

    for _ in range(20):
        with pytest.raises(KeyError):
            threads.share(fails, 50)
        done = []
        threads.share(done.append, 50)
        assert len(done) == 50


def test_work_within_work(four_threads):
    done = []
    threads.share(lambda i: threads.share(lambda j: done.append((i, j)), 5), 5)
    assert len(set(done)) == 25


def test_workers_that_slept_wake(four_threads):
    threads.share(int, 4)
    for worker in threads._workers:
        for _ in range(1000):
            if worker.asleep:
                break
            threading.Event().wait(0.01)
        assert worker.asleep
    done = []
    threads.share(done.append, 8)
    assert len(done) == 8


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2", True, None])
def test_a_wrong_number_of_threads_is_refused(bad):
    with pytest.raises(ValueError, match="must be an integer of at least 1"):
        mt.set_num_threads(bad)


def train(steps=4, dropout=0.1):
    """A small network with every threaded kernel in it; returns its losses and what it learned."""
    losses = []
    rng = np.random.default_rng(0)
    model = [nn.Embedding(50, 96, rng=rng), nn.LayerNorm(96), nn.Linear(96, 288, rng=rng),
             nn.Linear(96, 384, rng=rng, activation="gelu"), nn.Linear(384, 50, rng=rng)]  # fmt: skip
    embed, norm, qkv, up, down = model
    parameters = [p for module in model for p in module.parameters()]
    optimizer = AdamW(parameters, lr=1e-3)
    tokens = rng.integers(0, 50, (16, 128))
    for _ in range(steps):
        x = embed(tokens)
        x = x + mt.multi_head_attention(qkv(norm(x)), heads=3, causal=True)
        x = mt.dropout(x, dropout, rng)
        loss = mt.cross_entropy(down(up(x)), tokens)
        losses.append(loss.numpy())
        loss.backward()
        clip_grad_norm(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return losses + [p.numpy() for p in parameters]


def same_bits(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_gives_the_same_bits_every_time_and_with_any_number_of_threads():
    before = kernels.runtime.config.get_num_threads()
    found = []
    try:
        for n in (2, 2, 1, 3):
            mt.set_num_threads(n)
            found.append(train())
    finally:
        mt.set_num_threads(before)
    for other in found[1:]:
        same_bits(found[0], other)


def test_the_sum_of_the_losses_is_the_same_bits_with_any_number_of_threads():
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=5000 * 67), rng.integers(0, 67, 5000)
    before = kernels.runtime.config.get_num_threads()
    sums = set()
    try:
        for n in (1, 2, 3, 5):
            mt.set_num_threads(n)
            sums.add(
                float(kernels.cross_entropy.cross_entropy(logits, target, -1, 0.0, np.empty(5000), np.empty_like(logits))[0])
            )
    finally:
        mt.set_num_threads(before)
    assert len(sums) == 1


def test_python_threads_that_train_side_by_side(four_threads):
    alone = train()
    results = {}

    def run(i):
        results[i] = train()

    runners = [threading.Thread(target=run, args=(i,)) for i in range(3)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join(timeout=120)
        assert not runner.is_alive()
    for i in range(3):
        same_bits(alone, results[i])


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_that_is_forked_after_computing():
    code = """
import os, sys, numpy as np
from microtensor import kernels
kernels.runtime.config.set_num_threads(2)
a = np.random.default_rng(0).normal(size=(600, 300)).astype(np.float32)
before = kernels.matmul.matmul(a, a.T)
child = os.fork()
same = np.array_equal(before, kernels.matmul.matmul(a, a.T))
if child == 0:
    os._exit(0 if same else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) + 2 * (not same))
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_a_process_ends_while_its_workers_look_out():
    code = """
import numpy as np
from microtensor import kernels
kernels.runtime.config.set_num_threads(3)
kernels.softmax.softmax(np.ones((5000, 100), np.float32))
print("done")
"""
    for _ in range(3):
        done = run_python(code)
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_an_interrupt_leaves_the_pool_usable():
    code = """
import signal, threading, time, numpy as np
from microtensor import kernels
from microtensor.kernels.runtime import threads
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell's background job inherits is to ignore it
kernels.runtime.config.set_num_threads(2)
a = np.ones((3000, 3000), np.float32)
kernels.matmul.matmul(a[:50], a)
for delay in (0.001, 0.05, 0.2):
    timer = threading.Timer(delay, signal.raise_signal, (signal.SIGINT,))
    timer.start()
    try:
        while True:
            kernels.matmul.matmul(a, a)
    except KeyboardInterrupt:
        pass
    timer.join()
assert kernels.matmul.matmul(a[:50], a)[0, 0] == 3000
print("goes on")
"""
    done = run_python(code)
    assert (done.returncode, done.stdout) == (0, "goes on\n"), done.stderr


def test_the_number_of_threads_from_the_environment():
    code = "import microtensor as mt; print(mt.get_num_threads())"
    assert run_python(code, MICROTENSOR_NUM_THREADS="3").stdout == "3\n"
    done = run_python(code, MICROTENSOR_NUM_THREADS="many")
    assert "MICROTENSOR_NUM_THREADS is 'many'; it must be a number of threads, 1 to 1024" in done.stderr


def test_little_work_is_not_shared(monkeypatch):
    monkeypatch.setattr(threads, "share", None)
    assert threads.parts(10, 10) == 1
    kernels.softmax.softmax(np.ones((4, 10)))
    kernels.matmul.matmul(np.ones((8, 8)), np.ones((8, 8)))
    assert config.SMALL_PRODUCT > 8**3
