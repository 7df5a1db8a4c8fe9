"""The console end to end, in a terminal: found a fleet, let a worker join, work, steer, leave."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskmessenger.paths import HOME_VARIABLE

from tests.support.processes import COMMAND, Fleet, fleet, until
from tests.support.tmux import TMUX, Terminal, terminal

pytestmark = [
    pytest.mark.skipif(TMUX is None, reason="tmux is not installed; the package `tmux` has it"),
    pytest.mark.slow,
    pytest.mark.timeout(240),
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Fleet]:
    """The processes beside the terminal, and the home of the manager in it."""
    with fleet(tmp_path / "lab") as one:
        one.home.mkdir(mode=0o700)
        yield one
        if (left := manager_of(one)) is not None:  # a role outlives its terminal: not a test, though
            os.kill(left, signal.SIGKILL)


@pytest.fixture
def window(tmp_path: Path, lab: Fleet) -> Iterator[Terminal]:
    """Ends before what runs in it is looked for."""
    with terminal(tmp_path) as one:
        yield one


def open_console(window: Terminal, lab: Fleet, *words: str) -> None:
    window.start(
        [*COMMAND, *words], {HOME_VARIABLE: str(lab.home), "TERM": "tmux-256color", "LC_ALL": "C.UTF-8"}
    )


def manager_of(lab: Fleet) -> int | None:
    """Its process, if it runs."""
    for folder in Path("/proc").iterdir():
        try:
            line = (folder / "cmdline").read_bytes() if folder.name.isdecimal() else b""
            environ = (folder / "environ").read_bytes() if b"taskmessenger" in line else b""
        except OSError:
            continue
        mine = f"{HOME_VARIABLE}={lab.home}".encode() in environ.split(b"\0")
        if mine and b"-m\0taskmessenger" in line and b"/sh" not in line.split(b"\0")[0]:
            return int(folder.name)
    return None


def test_a_fleet_from_nothing_to_its_end(window: Terminal, lab: Fleet) -> None:
    # What is waited for stands on the screen that is meant and on no other, or a key would come too early.
    open_console(window, lab)
    window.until("What is this machine to be?", "a new fleet on this machine")
    window.keys("Enter")
    window.until("A fleet on this machine", "Reached from")
    # Only this machine, at a port of the system's choice: what a test may listen on.
    window.keys("Tab", "Enter")
    window.until("this machine only", "this network, by TCP")
    window.keys("Up", "Enter")
    window.until("this machine only", gone=["this network, by TCP"])
    window.keys("Tab", "C-u")
    window.until(gone=["7711"])
    window.type("0")
    window.until("Port         0 ", gone=["7711"])
    window.keys("Enter")
    window.until("Shown this once", "tm1-", "It leads to tcp://127.0.0.1:")
    window.keys("Escape")
    window.until(
        "Invites", gone=["Shown this once"]
    )  # a key at the heels of Escape would be Alt and that key

    worker = lab.worker("fern")
    window.keys("4")
    window.until("SLOTS", "fern", "● connected")

    done = lab.run("submit", "reverse", "hello", "--wait")
    assert "olleh" in done.stdout
    window.keys("3")
    window.until("SUBMITTED", "reverse", "✓ succeeded")

    window.keys("1")
    window.until("listens ", "nothing")
    window.keys("p")
    window.until("Pause the whole fleet?")
    window.keys("y")
    window.until("listens ", "the fleet", gone=["nothing", "Pause the"])
    waits = lab.run("submit", "reverse", "later")
    assert waits.returncode == 0
    window.keys("3")
    window.until("SUBMITTED", "○ queued")
    window.keys("1")
    window.until("listens ", gone=["nothing"])
    window.keys("p")
    window.until("listens ", "nothing")
    window.keys("3")
    window.until("SUBMITTED", "✓ succeeded", gone=["○ queued"])

    window.keys("4")
    window.until("SLOTS", "● connected")
    window.keys("d")
    window.until("Deadline for what it runs")
    window.keys("Enter")
    assert worker.wait() == 0
    window.until("offline", gone=["Draining"])  # the dialog closes when there is nothing left to see

    window.keys("q")
    window.until("Leave", "Stop the manager")
    window.keys("Down", "Enter")
    window.until("stopping the manager", "EXIT=0")
    assert not lab.answers()


def test_a_manager_whose_console_was_closed_outlives_its_terminal(window: Terminal, lab: Fleet) -> None:
    open_console(window, lab, "--role", "manager", "--listen", "tcp://127.0.0.1:0")
    window.until("Overview")
    window.keys("q")
    window.until("goes on here")
    window.keys("Enter")
    window.until("the manager goes on without its console")
    assert lab.answers()
    pid = manager_of(lab)
    assert pid is not None
    try:
        window.end()
        until(lambda: Path(f"/proc/{pid}/fd/0").readlink() == Path(os.devnull))
        assert lab.answers()
    finally:
        os.kill(pid, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_the_terminal_is_left_as_it_was(window: Terminal, lab: Fleet) -> None:
    open_console(window, lab, "--demo")
    window.until("Overview")
    window.keys("2")
    window.keys("q")
    seen = window.until("EXIT=0")
    assert not re.search(r"Overview|Traceback", seen)
