"""Shows of each exercise the first check that fails, in a line or two; the checks after it wait until it passes.

(With `--tb=long` pytest shows all that it knows of an error.)
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
WAITING = pytest.StashKey[set[Path]]()


def pytest_configure(config: pytest.Config) -> None:
    """Leave out pytest's summary, which would say everything once more."""
    config.option.reportchars = ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a check after one that failed."""
    if item.path in item.session.stash.setdefault(WAITING, set()):
        pytest.skip("a check before it fails")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Show what a check says, and of other errors the student's line that they come from."""
    report = yield
    if report.failed and call.excinfo is not None:
        item.session.stash[WAITING].add(item.path)
        if item.config.option.tbstyle == "auto":
            report.longrepr = _in_short(call.excinfo, item.path)
    return report


def _in_short(error: pytest.ExceptionInfo[BaseException], checks: Path) -> str:
    said = str(error.value).partition("\nassert ")[0]  # (what follows is what pytest adds)
    if error.errisinstance(AssertionError):
        return said
    lines = [entry for entry in error.traceback if Path(entry.path).parent == FOLDER and Path(entry.path) != checks]
    if not lines:
        return f"{error.typename}: {said}"
    where = f"exercises/{Path(lines[-1].path).name}, line {lines[-1].lineno + 1}"
    if error.errisinstance(NotImplementedError):
        return f"{where}: this is yours to write: {said}."
    return f"{where}: {error.typename}: {said}\n\n    {str(lines[-1].statement).strip()}"
