"""Questions and steps of tests with a fleet over ZeroTier: real processes, each with a node of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskmessenger.handle import Group, TaskDetail
from taskmessenger.net.zerotier import identity as identities
from taskmessenger.paths import private_directory, under
from taskmessenger.runtimes.payload import pack

from tests.support.namespaces import identity
from tests.support.processes import Fleet, until

OVERLAY = "zt://:7711"
FIRST = 4
"""Identities before it belong to nodes without a fleet."""
HOLD = """
import pathlib, time
DESCRIPTION = "leaves a mark, then waits until it is let go"
EXAMPLE = "/tmp"
def handle(payload):
    folder = pathlib.Path(payload)
    with (folder / "marks").open("a") as marks:
        marks.write("x")
    while not (folder / "go").exists():
        time.sleep(0.05)
    return "done"
"""
"""A kind whose runs are counted outside of the fleet."""


def over_zerotier(fleet: Fleet, *workers: str) -> None:
    """Its manager listens on the overlay; it and these workers have identities that this run has made.

    They are the same for all tests, for to make one takes longer than all else at a start.
    """
    fleet._listen = OVERLAY
    folders = [
        fleet.paths.node("manager"),
        *(under(fleet.worker_home(one)).node("worker") for one in workers),
    ]
    for number, folder in enumerate(folders, FIRST):
        private_directory(folder.parent)
        identities.keep(folder, identity(number))


def workers(fleet: Fleet) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in json.loads(fleet.run("worker", "ls", "--json").stdout)}


def row_of(fleet: Fleet, name: str = "fern") -> dict[str, Any]:
    return workers(fleet)[fleet.worker_id(name)]


def state_is(fleet: Fleet, state: str, name: str = "fern") -> Callable[[], bool]:
    """Asked again and again, so without a process for each question."""
    wanted = fleet.worker_id(name)
    return lambda: (
        state in {row.state for row in fleet.ask(lambda remote: remote.workers()) if row.id == wanted}
    )


def submit(fleet: Fleet, count: int, seconds: float) -> list[int]:
    group = Group("wait", [pack(seconds)] * count)
    return fleet.ask(lambda remote: remote.submit([group])).ids


def totals(fleet: Fleet) -> dict[str, int]:
    return fleet.ask(lambda remote: remote.status()).totals


def all_succeeded(fleet: Fleet, count: int) -> Callable[[], bool]:
    return lambda: totals(fleet).get("succeeded", 0) == count


def works(fleet: Fleet) -> None:
    assert fleet.run("submit", "reverse", "hello", "--wait").stdout.strip() == "olleh"


def cable(*, up: bool) -> None:
    """What goes from one address of a machine to another takes its loopback device."""
    subprocess.run(["ip", "link", "set", "lo", "up" if up else "down"], check=True, timeout=20)


@dataclass
class Held:
    """A task that runs until it is let go."""

    fleet: Fleet
    folder: Path
    number: int

    @classmethod
    def offered_by(cls, fleet: Fleet, folder: Path, name: str = "fern") -> None:
        """Before that worker starts."""
        kinds = under(fleet.worker_home(name)).kinds
        kinds.mkdir(parents=True, mode=0o700)
        (kinds / "hold.py").write_text(HOLD, encoding="utf-8")
        folder.mkdir()

    @classmethod
    def begun(cls, fleet: Fleet, folder: Path) -> Held:
        """Handed in, and running by now."""
        group = Group("hold", [pack(str(folder))])
        (number,) = fleet.ask(lambda remote: remote.submit([group])).ids
        held = cls(fleet, folder, number)
        until(lambda: held.runs == 1)
        return held

    @property
    def runs(self) -> int:
        """How often it was begun, which no one who is tested has counted."""
        marks = self.folder / "marks"
        return marks.stat().st_size if marks.exists() else 0

    def detail(self) -> TaskDetail:
        return self.fleet.ask(lambda remote: remote.detail(self.number))

    def let_go(self) -> None:
        """Have it end, and see that it was one attempt, run once."""
        (self.folder / "go").touch()
        until(lambda: self.detail().row.finished_at is not None)
        found = self.detail()
        assert found.error is None
        assert (found.row.attempt, found.attempts) == (1, ())
        assert self.runs == 1
