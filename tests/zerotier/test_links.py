"""A link that is cut, and a worker whose address changes, with a task in hand: nothing runs twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from taskmessenger.net.transport import SILENT_DEAD_AFTER
from taskmessenger.paths import private_directory

from tests.support import processes
from tests.support.processes import Fleet, until
from tests.support.processes import fleet as running_fleet
from tests.support.zerotier_fleet import Held, cable, over_zerotier, row_of, state_is, works
from tests.support.zerotier_nodes import ROOT_PORT

pytestmark = [pytest.mark.zerotier, pytest.mark.timeout(180)]
DETECTED_SECONDS = 15.0
"""Within which both ends have to know that the link is gone; half of a lease."""
BACK_SECONDS = 24.0
"""Within which a worker has to be back to keep its tasks: 80 % of a lease."""
OURS, THEIRS, THEIRS_NEXT = "10.89.0.1", "10.89.0.2", "10.89.0.3"
TURN = "no root answers; the next try"
LOST = "is lost"
"""What a worker says of its link."""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "f") as one:
        over_zerotier(one, "fern")
        yield one


def seconds_until(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    until(condition, within=DETECTED_SECONDS)
    return time.monotonic() - began


def test_a_link_that_was_cut_is_noticed_at_both_ends_and_its_task_goes_on_once(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.manager()
    Held.offered_by(fleet, tmp_path / "held")
    worker = fleet.worker()
    held = Held.begun(fleet, tmp_path / "held")
    cable(up=False)
    began = time.monotonic()
    seconds_until(lambda: not state_is(fleet, "connected")())
    seconds_until(lambda: LOST in worker.said())
    assert SILENT_DEAD_AFTER / 2 < time.monotonic() - began <= DETECTED_SECONDS
    cable(up=True)
    until(state_is(fleet, "connected"), within=BACK_SECONDS)
    held.let_go()
    assert worker.running
    works(fleet)


class House:
    """Another network namespace, joined to that of the test by a cable of its own."""

    def __init__(self, pid: int) -> None:
        self.enter = ["nsenter", "-t", str(pid), "-n"]

    def run(self, *words: str) -> None:
        subprocess.run([*self.enter, *words], check=True, timeout=20)

    def has_route(self, network: str, through: str) -> None:
        self.run("ip", "route", "add", network, "via", through)

    def move(self, before: str, after: str) -> None:
        """The machine there has another address from now on, as after a router has got another one."""
        self.run("ip", "addr", "del", f"{before}/24", "dev", "w1")
        self.run("ip", "addr", "add", f"{after}/24", "dev", "w1")


@contextmanager
def a_house() -> Iterator[House]:
    words = [sys.executable, "-c", "print('ready', flush=True); input()"]
    with subprocess.Popen(
        ["unshare", "-n", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as inhabitant:
        assert inhabitant.stdin is not None
        assert inhabitant.stdout is not None
        assert inhabitant.stdout.readline() == b"ready\n"
        house = House(inhabitant.pid)
        for command in (
            "ip link add w0 type veth peer name w1",
            f"ip link set w1 netns {inhabitant.pid}",
            f"ip addr add {OURS}/24 dev w0",
            "ip link set w0 up",
        ):
            subprocess.run(command.split(), check=True, timeout=20)
        house.run("ip", "link", "set", "lo", "up")
        house.run("ip", "addr", "add", f"{THEIRS}/24", "dev", "w1")
        house.run("ip", "link", "set", "w1", "up")
        try:
            yield house
        finally:
            inhabitant.kill()


def test_a_worker_in_another_network_whose_address_changes_comes_back_and_runs_nothing_twice(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_house() as house:
        fleet.manager()
        Held.offered_by(fleet, tmp_path / "held")
        with monkeypatch.context() as there:
            there.setattr(processes, "COMMAND", [*house.enter, *processes.COMMAND])
            worker = fleet.worker("fern", "--capacity", "2")
        held = Held.begun(fleet, tmp_path / "held")
        for before, after in ((THEIRS, THEIRS_NEXT), (THEIRS_NEXT, THEIRS)):
            house.move(before, after)
            began = time.monotonic()
            works(fleet)  # what leads there now can only be the new address
            assert time.monotonic() - began <= BACK_SECONDS, worker.said()
            assert held.runs == 1
        held.let_go()
        assert worker.running
        assert row_of(fleet)["transport"] == "zt"
        works(fleet)


def test_a_worker_finds_a_manager_that_is_not_at_the_first_of_its_addresses_without_waiting_for_chance(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody has the nearest one, nor the farthest, and there is a route to each.
    named = [f"{host}:{ROOT_PORT}" for host in (THEIRS_NEXT, "10.87.0.1", OURS)]
    file = fleet.paths.config_file("manager")
    private_directory(file.parent)
    file.write_text(json.dumps({"zerotier": {"port": ROOT_PORT, "advertise": named}}), encoding="utf-8")
    with a_house() as house, monkeypatch.context() as there:
        house.has_route("10.87.0.0/24", OURS)
        fleet.manager()
        there.setattr(processes, "COMMAND", [*house.enter, *processes.COMMAND])
        worker = fleet.worker()
        turns = [line for line in worker.said().splitlines() if TURN in line]
        assert f"at {OURS}/{ROOT_PORT}" in turns[0]
