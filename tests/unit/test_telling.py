"""A worker's news: together while there is other work, at once when there is none, and on disk before."""

from __future__ import annotations

from contextlib import asynccontextmanager

import anyio
import pytest
from taskmessenger.net import messages as m
from taskmessenger.roles import outbox as outboxes
from taskmessenger.roles import telling
from taskmessenger.roles.outbox import Outbox
from taskmessenger.roles.slots import Slots
from taskmessenger.roles.spool import Spool
from taskmessenger.roles.telling import tell
from taskmessenger.runtimes.base import SUCCEEDED, Ended, Job

from tests.support.runtimes import until

AGES = 3_600.0


class Steady:
    """A runtime whose jobs all take as long; what is held runs until the test is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ended = 0

    async def run(self, job: Job) -> Ended:
        if job.kind == "hold":
            await anyio.sleep_forever()
        await anyio.sleep(self.seconds)
        self.ended += 1
        return Ended(SUCCEEDED, self.seconds, job.payload)

    def cancel(self, task: int) -> None:
        raise AssertionError(f"nobody cancels {task}")

    def lingering(self, task: int) -> None:
        return None

    async def aclose(self) -> None:
        return


class Bench:
    def __init__(self, slots: Slots, outbox: Outbox, runtime: Steady, spool: Spool) -> None:
        self.slots, self.outbox, self.runtime, self.spool = slots, outbox, runtime, spool
        self.said: list[m.Message] = []
        outbox.send = self.said.append

    def lease(self, first: int, last: int, kind: str = "steady", payload: bytes = b"\xc0") -> None:
        self.slots.assign(kind, [(task, 1, None, payload) for task in range(first, last + 1)])

    @property
    def finished(self) -> list[m.Finished]:
        return [one for one in self.said if isinstance(one, m.Finished)]

    @property
    def told(self) -> list[int]:
        return [task for one in self.finished for task in one.tasks]


@asynccontextmanager
async def a_bench(tmp_path, seconds: float = 0.001, capacity: int = 1):
    spool = Spool(tmp_path / "spool", 1 << 30)
    outbox, runtime = Outbox(spool), Steady(seconds)
    slots = Slots(runtime, outbox, capacity, prefetch=1_000)
    async with anyio.create_task_group() as group:
        group.start_soon(slots.run)
        group.start_soon(tell, outbox, slots, lambda: None)
        yield Bench(slots, outbox, runtime, spool)
        group.cancel_scope.cancel()


async def test_a_hundred_outcomes_in_a_row_make_few_messages(tmp_path) -> None:
    async with a_bench(tmp_path) as bench:
        bench.lease(1, 1)
        await until(lambda: bench.told == [1])
        bench.said.clear()
        bench.lease(2, 201)
        await until(lambda: len(bench.told) >= 100)
        assert len(bench.finished) <= 34, "three travel together, and more on a machine that is not busy"
        await until(lambda: len(bench.told) == 200)
        assert bench.told == list(range(2, 202))


async def test_what_ends_soon_is_not_told_to_have_begun(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(telling, "COMPANY_SECONDS", AGES)
    async with a_bench(tmp_path) as bench:
        for task in range(1, 21):
            bench.lease(task, task)
            await until(lambda task=task: len(bench.told) == task)
        assert [type(one) for one in bench.said] == [m.Finished] * 20


async def test_what_runs_for_a_while_is_told_to_have_begun(tmp_path) -> None:
    async with a_bench(tmp_path) as bench:
        bench.lease(1, 1, "hold")
        await until(lambda: bench.said == [m.Started([1], [1])])


@pytest.mark.parametrize("capacity", [1, 4])
async def test_a_lone_outcome_waits_for_nobody(tmp_path, monkeypatch, capacity) -> None:
    """However long it might wait, also when other slots are busy and when tasks have been short before."""
    monkeypatch.setattr(telling, "COMPANY_SECONDS", AGES)
    async with a_bench(tmp_path, capacity=capacity) as bench:
        bench.lease(1_001, 1_000 + capacity - 1, "hold")
        for task in range(1, 11):
            bench.lease(task, task)
            await until(lambda task=task: bench.told == list(range(1, task + 1)))


async def test_the_last_of_a_row_wait_for_nobody(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(telling, "COMPANY_SECONDS", AGES)
    async with a_bench(tmp_path) as bench:
        bench.lease(1, 100)
        await until(lambda: len(bench.told) == 100)


async def test_outcomes_leave_while_there_is_still_work_to_do(tmp_path, monkeypatch) -> None:
    """Otherwise the slots would stand still while new leases are on their way."""
    monkeypatch.setattr(telling, "COMPANY_SECONDS", AGES)
    monkeypatch.setattr(telling, "COMPANY", 1_000)
    async with a_bench(tmp_path, seconds=0.002) as bench:
        bench.lease(1, 1)
        await until(lambda: bench.told == [1])
        left: list[int] = []
        send = bench.said.append

        def heard(message: m.Message) -> None:
            left.append(bench.slots.waiting)
            send(message)

        bench.outbox.send = heard
        bench.lease(2, 31)
        await until(lambda: len(bench.told) == 31)
        assert left[0] * 0.002 > telling.REFILL_SECONDS / 2


async def test_outcomes_that_come_too_seldom_do_not_wait(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(telling, "COMPANY_SECONDS", 0.03)
    async with a_bench(tmp_path, seconds=0.05) as bench:
        bench.lease(1, 1)
        await until(lambda: bench.told == [1])
        bench.lease(2, 6)
        for task in range(2, 7):
            await until(lambda task=task: bench.runtime.ended == task)
            await until(lambda task=task: len(bench.told) == task)
        assert [len(one.tasks) for one in bench.finished] == [1] * 6


async def test_an_outcome_that_waits_is_on_disk(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(telling, "COMPANY_SECONDS", AGES)
    async with a_bench(tmp_path) as bench:
        bench.lease(1, 1)
        await until(lambda: bench.told == [1])
        bench.lease(2, 201)
        await until(lambda: len(bench.outbox.held) > 1)
        survivor = Spool(tmp_path / "spool", 1 << 30)
        assert set(bench.outbox.held) <= set(survivor.keys)


async def test_leases_that_go_back_take_what_waits_along(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(telling, "COMPANY_SECONDS", AGES)
    async with a_bench(tmp_path) as bench:
        bench.lease(1, 201)
        await until(lambda: len(bench.outbox.held) > 1)
        bench.slots.give_back()
        await until(lambda: any(isinstance(one, m.Broke) for one in bench.said))
        assert not bench.outbox.held


async def test_much_to_hold_is_not_held(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(telling, "COMPANY_SECONDS", AGES)
    monkeypatch.setattr(outboxes, "HELD_BYTES", 1_000)
    async with a_bench(tmp_path) as bench:
        bench.lease(1, 1)
        await until(lambda: bench.told == [1])
        bench.lease(2, 101, payload=b"\xc4\xff" + bytes(255))
        await until(lambda: len(bench.told) == 101)
        assert max(len(one.tasks) for one in bench.finished) <= 5


async def test_what_waits_of_a_life_that_is_over_is_nobodys(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(telling, "COMPANY_SECONDS", AGES)
    async with a_bench(tmp_path) as bench:
        bench.lease(1, 1)
        await until(lambda: bench.told == [1])
        bench.lease(2, 101)
        await until(lambda: len(bench.outbox.held) > 1)
        waiting = [task for task, _ in bench.outbox.held]
        bench.outbox.forget()
        await until(lambda: 101 in bench.told)
        assert not set(waiting) & set(bench.told)


async def test_what_is_acknowledged_while_it_waits_is_not_sent(tmp_path, monkeypatch) -> None:
    """The manager wanted it ended, and learned of its end by that."""
    monkeypatch.setattr(telling, "COMPANY_SECONDS", AGES)
    async with a_bench(tmp_path) as bench:
        bench.lease(1, 1)
        await until(lambda: bench.told == [1])
        bench.lease(2, 101)
        await until(lambda: len(bench.outbox.held) > 1)
        task = next(iter(bench.outbox.held))[0]
        bench.outbox.acknowledged([task], [1])
        await until(lambda: len(bench.told) == 100)
        assert task not in bench.told
        bench.outbox.acknowledged(bench.told, [1] * 100)
        assert bench.outbox.unacknowledged == 0
        assert bench.outbox._on_the_way == 0


async def test_what_has_ended_is_on_disk_before_the_next_one_begins(tmp_path) -> None:
    """The next one may take the process along, and only the disk says who it was."""
    kept: list[list[int]] = []
    async with a_bench(tmp_path, seconds=0.002) as bench:
        run = bench.runtime.run

        async def watched(job: Job) -> Ended:
            kept.append([task for task, _ in bench.spool.keys])
            return await run(job)

        bench.runtime.run = watched
        bench.lease(1, 20)
        await until(lambda: len(bench.told) == 20)
    assert kept == [list(range(1, count + 1)) for count in range(20)]
