"""A task that takes its worker's process with it: what is left of a fleet that nobody starts again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Group, TaskDetail
from taskmessenger.paths import under

from tests.support.processes import Fleet, Process, until
from tests.support.processes import fleet as running_fleet

POISON = """
import os

RUNTIME = "thread"


def handle(payload):
    os._exit(3)
"""
SETTINGS = {"leases": {"ttl": 2.0, "heartbeat": 0.5, "dead_after": 1.0}, "tasks": {"max_crashes": 3}}
END_SECONDS = 90.0


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "f") as one:
        yield one


def a_worker(fleet: Fleet, name: str) -> Process:
    kinds = under(fleet.worker_home(name)).kinds
    kinds.mkdir(parents=True, mode=0o700)
    (kinds / "poison.py").write_text(POISON, encoding="utf-8")
    (kinds / "poison.py").chmod(0o600)
    return fleet.worker(name, "--capacity", "3")


def test_a_task_that_kills_its_workers_ends_with_evidence_and_its_neighbours_lose_nothing(
    fleet: Fleet,
) -> None:
    config = fleet.paths.config_file("manager")
    config.parent.mkdir(parents=True, mode=0o700)
    config.write_text(json.dumps(SETTINGS), encoding="utf-8")
    fleet.manager()
    workers = {name: a_worker(fleet, name) for name in ("ash", "elm", "fir", "oak")}
    groups = [
        Group("wait", [msgspec.msgpack.encode(8)] * 4),
        Group("poison", [msgspec.msgpack.encode(None)], max_attempts=20),
    ]
    *good, poison = fleet.ask(lambda remote: remote.submit(groups)).ids

    def detail(task: int) -> TaskDetail:
        found = fleet.ask(lambda remote: remote.detail(task))
        assert found is not None
        return found

    until(lambda: detail(poison).row.state == TaskState.FAILED, within=END_SECONDS)
    dead = [worker for worker in workers.values() if not worker.running]
    assert {worker.popen.returncode for worker in dead} == {3}
    assert len(dead) <= 3
    error = detail(poison).error
    assert error is not None
    assert error.code == "crashed"
    told = str(error.evidence["deaths"])
    assert all(fleet.worker_id(name) in told for name, worker in workers.items() if not worker.running)
    until(lambda: all(detail(i).row.state == TaskState.SUCCEEDED for i in good), within=END_SECONDS)
    assert [detail(i).row.spent for i in good] == [0] * len(good)


KINDS = {
    "thread": ("import time\ndef handle(payload):\n    time.sleep(0.002)\n", POISON),
    "async": (
        "import asyncio\nasync def handle(payload):\n    await asyncio.sleep(0.002)\n",
        "import os\nasync def handle(payload):\n    os._exit(3)\n",
    ),
}
"""A short task and one that takes its worker along, by runtime."""


@pytest.mark.parametrize("runtime", KINDS)
def test_in_a_row_of_short_tasks_the_one_that_kills_is_found_and_the_others_lose_nothing(
    fleet: Fleet, runtime: str
) -> None:
    """Ends are told together and beginnings of short tasks not at all: the disk tells who it was."""
    config = fleet.paths.config_file("manager")
    config.parent.mkdir(parents=True, mode=0o700)
    config.write_text(json.dumps(SETTINGS), encoding="utf-8")
    fleet.manager()
    kinds = under(fleet.worker_home("yew")).kinds
    kinds.mkdir(parents=True, mode=0o700)
    for name, text in zip(("short", "poison"), KINDS[runtime], strict=True):
        (kinds / f"{name}.py").write_text(text, encoding="utf-8")
    words = ("--capacity", "1")
    worker = fleet.worker("yew", *words)
    fleet.ask(lambda remote: remote.submit([Group("short", [msgspec.msgpack.encode(0)] * 50)]))
    row = [msgspec.msgpack.encode(number) for number in range(40)]
    groups = [
        Group("short", row),
        Group("poison", [msgspec.msgpack.encode(None)], max_attempts=20),
        Group("short", row),
    ]
    ids = fleet.ask(lambda remote: remote.submit(groups)).ids
    good, poison = [*ids[:40], *ids[41:]], ids[40]

    def detail(task: int) -> TaskDetail:
        found = fleet.ask(lambda remote: remote.detail(task))
        assert found is not None
        return found

    def over() -> bool:
        nonlocal worker, deaths
        if not worker.running:
            deaths += 1
            assert deaths <= 3, "the poison takes down no more than its crashes"
            worker = fleet.worker("yew", *words)
        return detail(poison).row.state == TaskState.FAILED

    deaths = 0
    until(over, within=END_SECONDS)
    error = detail(poison).error
    assert error is not None
    assert error.code == "crashed"
    if not worker.running:
        fleet.worker("yew", *words)
    until(lambda: all(detail(i).row.state == TaskState.SUCCEEDED for i in good[-1:]), within=END_SECONDS)
    until(lambda: all(detail(i).row.state == TaskState.SUCCEEDED for i in good), within=END_SECONDS)
    assert [detail(i).row.spent for i in good] == [0] * len(good)
