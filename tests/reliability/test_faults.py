"""A save that is killed, or that the disk refuses, at any of its file operations leaves the old state or the new one."""

import pytest
from faults import BEFORE, FAULTS, Faults


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    return Faults(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("before", BEFORE)
def test_every_operation_of_a_save(faults, before):
    count = faults.count(before)
    assert count > 20
    lost = {(fault, i): faults.lost(before, fault, i) for fault in FAULTS for i in range(1, count + 1)}
    assert not any(lost.values()), {key: why for key, why in lost.items() if why}
