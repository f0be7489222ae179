"""A fork while another thread imports, compiles or loads kernels: the child must get on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import microtensor

CODE = """
import os, signal, sys, threading, time
import numpy as np
from microtensor import kernels

first = threading.Event()

def compile_many():
    first.set()
    for dtype in (np.float32, np.float64):
        for name in ("gelu", "tanh"):
            kernels.activations.activate(name, np.ones(9, dtype))
        kernels.softmax.softmax(np.ones((2, 3), dtype))
        kernels.normalization.norm(np.ones((2, 3), dtype), None, None, True, 1e-5)

thread = threading.Thread(target=compile_many)
thread.start()
first.wait()
time.sleep(float(sys.argv[1]))
for _ in range(3):
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        x = np.ones(3)
        kernels.optimizers.sgd(x, np.ones(3), 0.5)
        kernels.softmax.softmax(np.ones((2, 3)))
        os._exit(0 if x[0] == 0.5 else 1)
    status = os.waitpid(child, 0)[1]
    if status:
        print("the child hung" if status == signal.SIGALRM else f"status {status}", flush=True)
        os._exit(1)
    time.sleep(0.05)
thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows")
def test_a_fork_while_kernels_are_compiled_or_loaded(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(microtensor.__file__).parent.parent)}
    for wait in ("0.0", "0.3", "0.0"):  # while the files are imported, while code is made, and when it is loaded
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CODE, wait], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr


LOGGING = """
import os, signal, threading, time
from microtensor import kernels

signal.alarm(60)
kernels.softmax
import logging
from numba.core.compiler_lock import global_compiler_lock

held = threading.Event()

def compile_something():
    with global_compiler_lock:
        held.set()
        time.sleep(0.5)
        logging.getLogger("numba.something")

thread = threading.Thread(target=compile_something)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
thread.join()
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows")
def test_a_fork_while_whoever_compiles_asks_for_a_logger():
    """The logging module takes its lock before a fork, too: in the wrong order, both would wait for each other."""
    environment = {**os.environ, "PYTHONPATH": str(Path(microtensor.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", LOGGING], capture_output=True, text=True, env=environment)
    assert done.stdout == "done\n", (done.returncode, done.stderr)
