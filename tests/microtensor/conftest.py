"""Settings for the tests of the engine."""

import pytest

from microtensor.kernels.runtime import threads


@pytest.fixture(scope="module")
def all_work_is_shared():
    """Divide even the smallest work among the threads, so that small arrays test what large ones take."""
    before = threads.PART
    threads.PART = 1
    yield
    threads.PART = before
