"""Settings for all tests."""

import os
import signal

from hypothesis import HealthCheck, settings

# No deadline: the first call of a kernel compiles it. The same examples every time, so that a red run can be repeated.
settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    max_examples=25,
    # A fixture that sets a threshold sets the same for every example.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
settings.register_profile("thorough", parent=settings.get_profile("default"), derandomize=False, max_examples=500)
# Ctrl-C and a closed terminal are tested, also where whoever started the tests ignores them (a shell's `&`, `nohup`).
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
