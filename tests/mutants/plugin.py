"""A part of pytest: says which tests failed, and which test ran which line of the package.

The variables below ask for it; the lines that a process ran go into a file of its own in the folder named.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LINES = "MUTANTS_LINES"
FAILED = "MUTANTS_FAILED"
LIMITS = "MUTANTS_LIMITS"
"""A file that says how many seconds each test may take."""
CHILDREN = "MUTANTS_CHILDREN"
"""A file that says how coverage measures the processes that tests start."""
TEST = "MUTANTS_TEST"
"""In the environment of such a process: the test that started it."""


def lines_of(root: Path, data: Any) -> dict[str, dict[str, list[str]]]:
    """The tests by file and line, as coverage tells them."""
    return {
        Path(path).relative_to(root).as_posix(): {
            str(line): sorted(set(tests) - {""}) for line, tests in data.contexts_by_lineno(path).items()
        }
        for path in data.measured_files()
    }


class _Watch:
    """Lines by test, and how long each test took."""

    def __init__(self, folder: str) -> None:
        import coverage

        self.folder = Path(folder)
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self.root = Path.cwd()
        self.coverage = coverage.Coverage(data_file=None, source=[str(self.root / "app")], config_file=False)
        self.coverage.start()
        if CHILDREN in os.environ:  # where coverage looks when Python starts
            os.environ["COVERAGE_PROCESS_START"] = os.environ[CHILDREN]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        self.coverage.switch_context(item.nodeid)
        os.environ[TEST] = item.nodeid
        yield
        self.coverage.switch_context("")

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if not report.passed:
            self.failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self.coverage.stop()
        lines = lines_of(self.root, self.coverage.get_data())
        told = {"lines": lines, "seconds": self.seconds, "passed": sorted(self.seconds.keys() - self.failed)}
        (self.folder / f"{os.getpid()}.json").write_text(json.dumps(told))


class _Failures:
    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            with self.path.open("a") as file:
                file.write(f"{report.nodeid}\n")


class _Limits:
    def __init__(self, path: str) -> None:
        self.seconds: dict[str, float] = json.loads(Path(path).read_text())

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        for item in items:
            if item.nodeid in self.seconds:
                item.add_marker(pytest.mark.timeout(self.seconds[item.nodeid]), append=False)


def pytest_configure(config: Any) -> None:
    folder = os.environ.get(LINES)
    # Who hands tests out to others runs none.
    if folder and (hasattr(config, "workerinput") or not config.getoption("numprocesses", None)):
        config.pluginmanager.register(_Watch(folder))
    failed = os.environ.get(FAILED)
    if failed and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Failures(failed))
    limits = os.environ.get(LIMITS)
    if limits:
        config.pluginmanager.register(_Limits(limits))
