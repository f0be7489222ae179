"""Shows of each exercise the first check that fails, in a line or two; the checks after it wait until it passes.

(With `--tb=long` pytest shows all that it knows of an error.)
"""

import traceback
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
FAILED = pytest.StashKey[set[Path]]()


def pytest_configure(config: pytest.Config) -> None:
    """Leave out pytest's summary, which would say everything once more."""
    config.option.reportchars = ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a check after one that failed."""
    if item.path in item.session.stash.setdefault(FAILED, set()):
        pytest.skip("a check before it fails")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Say what a check says, or where the student's code has an error."""
    report = yield
    if report.failed and call.excinfo is not None:
        item.session.stash[FAILED].add(item.path)
        if item.config.option.tbstyle == "auto":
            report.longrepr = _in_short(call.excinfo.value)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Say where a file is that Python can't read."""
    report = yield
    error = report.call.excinfo.value.__cause__ if report.failed else None
    if error is not None and collector.config.option.tbstyle == "auto":
        report.longrepr = _in_short(error)
    return report


def _in_short(error: BaseException) -> str:
    """What an error says, with the last line of the starters that it came through."""
    said = str(error).partition("\nassert ")[0]  # (what follows is what pytest adds)
    if isinstance(error, AssertionError):
        return said
    where, line = _origin(error)
    if isinstance(error, NotImplementedError):
        return f"{where}this is yours to write: {said}."
    kind = type(error).__name__
    return f"{where}{kind}: {error.msg if isinstance(error, SyntaxError) else said}\n\n    {line}".rstrip()


def _origin(error: BaseException) -> tuple[str, str]:
    """The place in a starter that an error came from, maybe through another error, and its line; empty if there is none."""
    places = []
    cause: BaseException | None = error
    while cause is not None:  # (the engine explains an error by another one)
        places += [(entry.filename, entry.lineno, entry.line) for entry in traceback.extract_tb(cause.__traceback__)]
        if isinstance(cause, SyntaxError):
            places.append((cause.filename or "", cause.lineno, cause.text))
        cause = cause.__cause__
    for name, number, line in reversed(places):
        path = Path(name)
        if path.parent == FOLDER and not path.name.startswith("test_") and path != Path(__file__):
            return f"exercises/{path.name}, line {number}: ", (line or "").strip()
    return "", ""
