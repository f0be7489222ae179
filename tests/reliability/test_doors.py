"""The doors of the kernels and of what loads a state: whatever is given, a result or one line, and nothing written beside."""

import os
import subprocess
import sys

import doors
import numpy as np
import pytest

import microtensor as mt
from microtensor import kernels, optim
from microtensor.kernels.runtime.jit import numba_config

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def test_nothing_gets_past_a_door():
    """In a process of its own, as it may not survive; 2,000 attempts, or 12,000 others."""
    count, seed = ("12000", "1") if THOROUGH else ("2000", "0")
    done = subprocess.run([sys.executable, "-X", "faulthandler", doors.__file__, count, seed], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    attempts, refused, refusing, all_doors = map(int, done.stdout.split())
    assert attempts == int(count) and refused > attempts // 3 and refusing == all_doors


def test_every_door_is_tried():
    tried = {name.partition(",")[0] for name in doors.doors(np.random.default_rng(0))}
    harmless = {  # they only make new arrays, or take numbers
        "activations.kind_of", "residual_blocks.lanes_of", "residual_blocks.padded", "residual_blocks.pack_blocks",
        "residual_blocks.empty_cache", "matmul.by_numpy", "matmul.readable", "matmul.batch_offsets",
        "softmax.padded", "softmax.rows_together", "softmax.total", "softmax.scale_in_place",
    }  # fmt: skip
    found = set()
    for file in set(dir(kernels)) - {"runtime", "math"}:
        room = getattr(kernels, file)
        for name, value in vars(room).items():
            ours = callable(value) and getattr(value, "__module__", "") == room.__name__ and not isinstance(value, type)
            if ours and not name.startswith("_") and type(value).__name__ not in ("_Inner", "_Intrinsic"):
                found.add(f"{file}.{name}")
    assert found - harmless == tried


@pytest.mark.skipif(bool(numba_config.DISABLE_JIT), reason="without the compiler all is Python")
def test_a_kernel_for_kernels_is_closed():
    with pytest.raises(TypeError, match="dot is for other kernels to call"):
        kernels.softmax.dot(np.ones(3), np.ones(1))


def test_the_state_that_wrote_outside_its_memory():
    p = mt.Tensor(np.ones(1000, np.float32), requires_grad=True)
    optimizer = optim.AdamW([p])
    (p * p).sum().backward()
    optimizer.step()
    for bad in (np.zeros((), np.float32), np.zeros(1000, np.int32), np.zeros(1000), np.zeros((10, 100), np.float32)):
        with pytest.raises(ValueError, match=r"'0.mean' doesn't belong .* should be float32 \(1000,\), but is "):
            optimizer.load_state_dict({**optimizer.state_dict(), "0.mean": bad})
        kept, optimizer.state[p]["mean"] = optimizer.state[p]["mean"], bad  # past load_state_dict
        with pytest.raises(ValueError, match=r"adamw: mean must be float32 \(1000,\), contiguous and writable, not "):
            optimizer.step()
        optimizer.state[p]["mean"] = kept
    for count in (-1, 2**63 - 1):
        with pytest.raises(ValueError, match="is a count, and can't be"):
            optimizer.load_state_dict({**optimizer.state_dict(), "0.updates": np.array(count)})
    with pytest.raises(ValueError, match="'0.momentum' .* doesn't belong"):
        optim.SGD([p], 0.1).load_state_dict({"0.momentum": np.zeros(1000, np.float32)})


def test_indices_that_change_between_forward_and_backward():
    for look_up, indices in ((mt.embedding, np.arange(300)), (mt.embedding_bag, np.arange(300)[:, None])):
        table = mt.Tensor(np.ones((300, 4), np.float32), requires_grad=True)
        y = look_up(indices, table).sum()
        indices += 10**9
        y.backward()
        np.testing.assert_array_equal(table.grad.data, np.ones((300, 4)))  # those of the forward pass were kept


@pytest.mark.parametrize("n", [0, -1, 2**20, True, "3"])
def test_numbers_of_threads(n):
    with pytest.raises(ValueError, match="the number of threads"):
        mt.set_num_threads(n)
