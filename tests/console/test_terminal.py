"""A console on a real terminal: whatever happens to that, it is left in order, and the node goes on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from taskmessenger.paths import under

from tests.support.processes import COMMAND, Fleet, environment, fleet, until
from tests.support.terminal import Terminal, catches, streams_of

pytestmark = pytest.mark.slow

STORM = 100
BROKEN = """
from taskmessenger.screens.views.kinds import KindsView
def broken(self, frame):
    raise RuntimeError("a bug in a screen")
KindsView.draw = broken
from taskmessenger.cli.main import main
main()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "x"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path / "f") as one:
        yield one


def quiet(terminal: Terminal) -> None:
    """Nothing of a failure has been written."""
    assert "Traceback" not in terminal.words()


def demo(home: Path) -> Terminal:
    terminal = Terminal([*COMMAND, "--demo"], environment(home))
    terminal.until("Overview")
    return terminal


def test_a_storm_of_sizes_leaves_a_console_that_fits_the_last_one(home: Path) -> None:
    with demo(home) as terminal:
        for number in range(STORM):
            terminal.resize(20 + number * 7 % 180, 5 + number * 3 % 50)
            terminal.read(0.01)
        start = len(terminal.raw)
        terminal.resize(90, 28)
        terminal.press("3")
        terminal.until("match", since=start)
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.is_restored()
        quiet(terminal)


def test_a_suspended_console_gives_the_terminal_back_and_comes_back(home: Path) -> None:
    with demo(home) as terminal:
        process = psutil.Process(terminal.popen.pid)
        terminal.signal(signal.SIGTSTP)
        terminal.until(lambda: process.status() == psutil.STATUS_STOPPED)
        terminal.read(0.1)
        assert terminal.is_restored()
        start = len(terminal.raw)
        terminal.signal(signal.SIGCONT)
        terminal.until("Tasks", since=start)
        assert 1049 in terminal.modes
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.is_restored()
        quiet(terminal)


def test_a_manager_outlives_the_terminal_of_its_console(running: Fleet) -> None:
    with a_manager(running, COMMAND) as terminal:
        terminal.hang_up()
        until(lambda: streams_of(terminal.popen.pid) == {os.devnull})
        until(lambda: catches(terminal.popen.pid, signal.SIGTERM))  # it goes on without a console
        assert running.answers()
        assert terminal.popen.poll() is None
        terminal.signal(signal.SIGTERM)
        assert terminal.popen.wait(30) == 0
        assert not report(running.home).exists()


def test_a_console_whose_terminal_is_lost_ends_and_leaves_the_manager_alone(running: Fleet) -> None:
    running.manager()
    with Terminal([*COMMAND, "--attach"], environment(running.home)) as terminal:
        terminal.until("Overview")
        terminal.hang_up()
        assert terminal.popen.wait(30) == 0
    assert running.answers()
    assert not report(running.home).exists()


def test_a_bug_in_a_screen_costs_the_console_and_nothing_else(running: Fleet) -> None:
    with a_manager(running, [sys.executable, "-W", "error", "-c", BROKEN]) as terminal:
        terminal.press("5")
        terminal.until("the manager goes on without its console")
        assert terminal.is_restored()
        assert "error: the console has failed" in terminal.words()
        quiet(terminal)
        kept = report(running.home)
        assert "a bug in a screen" in kept.read_text()
        assert kept.stat().st_mode & 0o777 == 0o600
        assert running.answers()
        terminal.signal(signal.SIGTERM)
        assert terminal.ended() == 0


def a_manager(running: Fleet, command: list[str]) -> Terminal:
    """A manager in a console of its own."""
    words = ["--role", "manager", "--listen", "tcp://127.0.0.1:0"]
    terminal = Terminal([*command, *words], environment(running.home))
    terminal.until("Overview")
    assert running.answers()
    return terminal


def report(home: Path) -> Path:
    return under(home).state / "console-failure.txt"
