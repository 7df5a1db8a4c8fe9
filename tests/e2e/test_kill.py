"""Real processes are killed and stopped while they work: nothing accepted is lost, or counted twice."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
from anyio.to_thread import run_sync as in_thread
from taskmessenger.cli.connect import dialler
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Group, Outcome
from taskmessenger.paths import under
from taskmessenger.remote import Remote, attach

from tests.support.gate import Gate, offer_gates, until
from tests.support.processes import Fleet, Process
from tests.support.processes import fleet as running_fleet

WAIT_SECONDS = 40.0
PATIENCE = 40.0
LEAVE_SECONDS = 15.0
"""Well below the 30 s that running tasks get when nothing else is said."""
GROUP = 50


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "f") as one:
        yield one


class Watch:
    """A client that hears of every outcome, and never twice of a different one."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.outcomes: dict[int, Outcome] = {}
        self.submitted: dict[int, str] = {}
        self.act_at: tuple[int, Process, int] | None = None
        """At so many outcomes: this process gets that signal."""
        remote.on_outcomes = self._hear

    def _hear(self, outcomes: list[Outcome]) -> None:
        for one in outcomes:
            assert self.outcomes.setdefault(one.id, one) == one, "an outcome has changed"
        if self.act_at is not None and len(self.outcomes) >= self.act_at[0]:
            (_, process, number), self.act_at = self.act_at, None
            process.popen.send_signal(number)

    async def one(self, group: Group) -> int:
        return (await self.remote.submit([group], watch=True)).ids[0]

    async def many(self, count: int) -> None:
        """So many tasks, group after group, each with a key."""
        words = [f"word-{number}" for number in range(len(self.submitted), len(self.submitted) + count)]
        for start in range(0, count, GROUP):
            part = words[start : start + GROUP]
            payloads = [msgspec.msgpack.encode(word) for word in part]
            answer = await self.remote.submit([Group("reverse", payloads, part)], watch=True)
            self.submitted |= dict(zip(answer.ids, part, strict=True))

    async def all(self) -> None:
        with anyio.fail_after(WAIT_SECONDS):
            await self.remote.wait([i for i in self.submitted if i not in self.outcomes])

    async def the(self, task: int) -> Outcome:
        with anyio.fail_after(WAIT_SECONDS):
            await self.remote.wait([task] if task not in self.outcomes else [])
        return self.outcomes[task]

    def check(self) -> None:
        """Every submitted word came back reversed, each under an id of its own."""
        for task, word in self.submitted.items():
            one = self.outcomes[task]
            assert one.state == TaskState.SUCCEEDED
            assert one.result is not None
            assert msgspec.msgpack.decode(one.result) == word[::-1]

    async def endings(self) -> Counter[str]:
        """How the attempts ended that were not the last, of all tasks that needed more than one."""
        again = [one.id for one in self.outcomes.values() if one.attempt > 1]
        details = [await self.remote.detail(task) for task in again]
        return Counter(attempt.how for detail in details for attempt in detail.attempts)


@asynccontextmanager
async def watching(fleet: Fleet) -> AsyncIterator[Watch]:
    async with attach(dialler(fleet.paths), patience=PATIENCE) as remote:
        yield Watch(remote)


def a_worker(fleet: Fleet, name: str, *words: str) -> Process:
    offer_gates(fleet.worker_home(name))
    return fleet.worker(name, *words)


async def connected(remote: Remote, *ids: str) -> None:
    """Until these workers have a session."""
    with anyio.fail_after(WAIT_SECONDS):
        while not set(ids) <= {row.id for row in await remote.workers() if row.state == "connected"}:
            await anyio.sleep(0.02)


async def test_a_killed_manager_loses_nothing_and_its_workers_keep_what_they_run(
    fleet: Fleet, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    manager = await in_thread(fleet.manager)
    workers = [await in_thread(a_worker, fleet, name) for name in ("ash", "elm")]
    async with watching(fleet) as watch:
        held = await watch.one(gate.group())
        wait = await watch.one(Group("wait", [msgspec.msgpack.encode(3)]))
        await in_thread(gate.await_attempt, 1)
        watch.act_at = (1_000, manager, signal.SIGKILL)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.many, 3_000)
            assert await in_thread(manager.wait) == -signal.SIGKILL
            assert len(watch.outcomes) < 3_000
            assert await in_thread(fleet.manager)
        await watch.all()
        watch.check()
        assert len(watch.submitted) == 3_000
        assert gate.attempts() == [1]
        gate.open()
        through, waited = await watch.the(held), await watch.the(wait)
        assert (through.state, through.attempt) == (TaskState.SUCCEEDED, 1)
        assert (waited.state, waited.attempt) == (TaskState.SUCCEEDED, 1)
        status = await watch.remote.status()
    assert status.accepted == 3_002
    assert status.totals["succeeded"] == 3_002
    assert [worker.running for worker in workers] == [True, True]


async def test_a_killed_worker_that_is_started_again_runs_its_tasks_again(
    fleet: Fleet, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    await in_thread(fleet.manager)
    worker = await in_thread(a_worker, fleet, "ash", "--capacity", "2")
    async with watching(fleet) as watch:
        held = await watch.one(gate.group())
        await in_thread(gate.await_attempt, 1)
        watch.act_at = (300, worker, signal.SIGKILL)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.many, 1_000)
            assert await in_thread(worker.wait) == -signal.SIGKILL
            await in_thread(a_worker, fleet, "ash", "--capacity", "2")
        gate.open()
        await watch.all()
        watch.check()
        through = await watch.the(held)
        assert through.state == TaskState.SUCCEEDED
        assert through.attempt > 1
        assert (await watch.remote.status()).totals["succeeded"] == 1_001


async def test_a_worker_that_is_told_to_leave_lets_its_tasks_end(fleet: Fleet, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    await in_thread(fleet.manager)
    leaving = await in_thread(a_worker, fleet, "ash", "--capacity", "2")
    await in_thread(a_worker, fleet, "elm", "--capacity", "2")
    async with watching(fleet) as watch:
        held = await watch.one(gate.group(worker=fleet.worker_id("ash")))
        await in_thread(gate.await_attempt, 1)
        watch.act_at = (500, leaving, signal.SIGTERM)
        await watch.many(2_000)
        await watch.all()
        watch.check()
        assert leaving.running
        gate.open()
        assert (await watch.the(held)).attempt == 1
        assert await in_thread(leaving.wait) == 0
        assert set(await watch.endings()) <= {"released"}


async def test_a_worker_that_is_told_twice_leaves_at_once_and_gives_back_what_it_ran(
    fleet: Fleet, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    await in_thread(fleet.manager)
    leaving = await in_thread(a_worker, fleet, "ash")
    async with watching(fleet) as watch:
        held = await watch.one(gate.group())
        await in_thread(gate.await_attempt, 1)
        leaving.popen.send_signal(signal.SIGTERM)
        await in_thread(until, lambda: "draining" in leaving.said(), "the worker drains")
        leaving.popen.send_signal(signal.SIGTERM)
        assert await in_thread(leaving.popen.wait, LEAVE_SECONDS) == 0
        await in_thread(a_worker, fleet, "elm")
        await in_thread(gate.await_attempt, 2)
        gate.open()
        assert (await watch.the(held)).attempt == 2
        assert await watch.endings() == {"released": 1}


async def test_a_manager_that_is_told_to_leave_does_so_and_its_workers_come_back(
    fleet: Fleet, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    config = fleet.paths.config_file("manager")
    config.parent.mkdir(parents=True, mode=0o700)
    config.write_text(json.dumps({"drain": {"deadline": 0.5}}), encoding="utf-8")
    manager = await in_thread(fleet.manager)
    worker = await in_thread(a_worker, fleet, "ash")
    async with watching(fleet) as watch:
        held = await watch.one(gate.group())
        await in_thread(gate.await_attempt, 1)
        manager.popen.send_signal(signal.SIGTERM)
        assert await in_thread(manager.popen.wait, LEAVE_SECONDS) == 0
        await in_thread(fleet.manager)
        await connected(watch.remote, fleet.worker_id("ash"))
        gate.open()
        assert (await watch.the(held)).attempt == 1
        assert worker.running


async def test_results_of_a_time_without_a_manager_arrive_when_it_is_back(
    fleet: Fleet, tmp_path: Path
) -> None:
    gates = [Gate(tmp_path, f"gate-{number}") for number in range(4)]
    manager = await in_thread(fleet.manager)
    await in_thread(a_worker, fleet, "ash", "--capacity", "4")
    spool = under(fleet.worker_home("ash")).spool
    async with watching(fleet) as watch:
        held = [await watch.one(gate.group()) for gate in gates]
        for gate in gates:
            await in_thread(gate.await_attempt, 1)
        manager.kill()
        for gate in gates:
            gate.open()
        kept = [b"through"] * len(gates)
        await in_thread(until, lambda: _found(spool, b"through") == len(kept), "the results are in the spool")
        await in_thread(fleet.manager)
        outcomes = [await watch.the(task) for task in held]
        assert [(one.state, one.attempt) for one in outcomes] == [(TaskState.SUCCEEDED, 1)] * 4
        assert [gate.attempts() for gate in gates] == [[1]] * 4


def _found(spool: Path, word: bytes) -> int:
    return sum(path.read_bytes().count(word) for path in spool.glob("*.spool"))


async def test_a_task_submitted_again_with_its_key_after_its_end_is_told_once_more(fleet: Fleet) -> None:
    await in_thread(fleet.manager)
    await in_thread(fleet.worker)
    group = Group("reverse", [msgspec.msgpack.encode("drawer")], ["a key"])
    async with watching(fleet) as watch:
        task = await watch.one(group)
        assert (await watch.the(task)).result == msgspec.msgpack.encode("reward")
        watch.outcomes.clear()
        answer = await watch.remote.submit([group], watch=True)
        assert (answer.ids, answer.duplicates) == ([task], 1)
        assert watch.outcomes[task].result == msgspec.msgpack.encode("reward")


def test_a_second_manager_of_one_home_is_refused_and_the_first_is_not_disturbed(fleet: Fleet) -> None:
    first = fleet.manager()
    done = fleet.run("--role", "manager", "--no-ui", "--listen", "tcp://127.0.0.1:0")
    assert done.returncode == 7
    assert str(first.pid) in done.stderr
    assert "error: " in done.stderr.splitlines()[-1]
    assert fleet.answers()
    assert first.running
    os.kill(first.pid, 0)
