"""Goals that were missed though the promises held are told at the end of a run."""

from __future__ import annotations

from typing import Any

MISSED = "over goal"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    passed = terminalreporter.stats.get("passed", [])
    lines = [
        f"{report.nodeid}: {what}"
        for report in passed
        for name, what in report.user_properties
        if name == MISSED
    ]
    if lines:
        terminalreporter.section("kept, but over a goal in seconds")
        for line in lines:
            terminalreporter.line(line)
