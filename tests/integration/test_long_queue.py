"""A queue that is longer than what a manager keeps in memory, in use and over kill -9."""

from __future__ import annotations

from contextlib import asynccontextmanager
from time import time

from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Depth
from taskmessenger.handle import Act, Group, TaskQuery
from taskmessenger.handle.acting import act_on_all
from taskmessenger.handle.filters import query_of
from taskmessenger.store.large import LARGE

from tests.support.fleet import Fleet, a_fleet, packed, results, submit, unpacked
from tests.support.runtimes import until

SHALLOW = Depth(in_full=10, shallow=5)


@asynccontextmanager
async def a_shallow_fleet(tmp_path):
    """Its manager keeps ten tasks as objects."""
    async with a_fleet(tmp_path) as fleet:
        fleet.depth = SHALLOW
        await fleet.kill()
        await fleet.start()
        yield fleet


async def killed(fleet: Fleet) -> None:
    await fleet.kill()
    await fleet.start()


async def counted(remote, text: str) -> int:
    return (await remote.count(query_of(text, time()), 10_000)).number


async def test_every_task_of_a_long_queue_runs_once_with_its_payload(tmp_path) -> None:
    async with a_shallow_fleet(tmp_path) as fleet:
        async with fleet.operator() as remote:
            texts = [f"{n}:" + "x" * (n % 7 * 400) for n in range(300)]
            texts[250] = "y" * (LARGE + 10)
            ids = await submit(remote, "echo", *texts)
            assert len(fleet.pool.tasks) <= SHALLOW.in_full
        await killed(fleet)
        assert not fleet.pool.tasks
        async with fleet.operator() as remote:
            node = await fleet.worker(capacity=4, prefetch=8)
            found = await results(remote, ids)
            assert [unpacked(found[i]) for i in ids] == texts
            assert sorted(node.puppet.begun) == [(i, 1) for i in ids]


async def test_a_long_queue_is_served_by_priority_then_age_after_a_kill(tmp_path) -> None:
    """G10."""
    async with a_shallow_fleet(tmp_path) as fleet:
        async with fleet.operator() as remote:
            low = await submit(remote, "echo", *range(60), priority=-1)
            high = await submit(remote, "echo", *range(60), priority=9)
            usual = await submit(remote, "echo", *range(60))
        await killed(fleet)
        async with fleet.operator() as remote:
            node = await fleet.worker(capacity=1)
            await results(remote, [*low, *high, *usual])
            assert [i for i, _ in node.puppet.begun] == [*high, *usual, *low]


async def test_waiting_tasks_are_listed_counted_cancelled_and_moved_after_a_kill(tmp_path) -> None:
    async with a_shallow_fleet(tmp_path) as fleet:
        async with fleet.operator() as remote:
            ids = await submit(remote, "echo", *range(100), batch="x")
            others = await submit(remote, "echo", *range(50), batch="y")
        await killed(fleet)
        async with fleet.operator() as remote:
            assert (await remote.status()).totals["queued"] == 150
            assert await counted(remote, "state:queued") == 150
            assert await counted(remote, "batch:y state:queued") == 50
            page = await remote.page(TaskQuery(states=(TaskState.QUEUED.value,), limit=20))
            assert [row.id for row in page.rows] == others[:-21:-1]
            wish = Act("cancel", query=query_of("batch:x state:queued", time()))
            assert (await act_on_all(remote.act, wish)).count == 100
            assert await counted(remote, "state:cancelled") == await counted(remote, "batch:x") == 100
            assert (await remote.act(Act("cancel", ids=tuple(ids[:3])))).count == 0
            raised = others[30:33]
            await remote.act(Act("set_priority", ids=tuple(raised), number=7))
            assert {row.priority for row in (await remote.page(TaskQuery(ids=tuple(raised)))).rows} == {7}
            detail = await remote.detail(others[0])
            assert "no worker offers `echo`" in detail.waits_for
        await killed(fleet)  # the new priorities are stored, too
        async with fleet.operator() as remote:
            node = await fleet.worker(capacity=1)
            await results(remote, others)
            left = [i for i in others if i not in raised]
            assert [i for i, _ in node.puppet.begun] == [*raised, *left]


async def test_a_key_of_a_waiting_task_leads_to_it_after_a_kill(tmp_path) -> None:
    async with a_shallow_fleet(tmp_path) as fleet:
        keys = [f"k{n}" for n in range(60)]
        group = Group("echo", [packed(n) for n in range(60)], keys=keys)
        async with fleet.operator() as remote:
            first = await remote.submit([group])
            again = await remote.submit([group])
            assert (again.ids, again.duplicates) == (first.ids, 60)
        await killed(fleet)
        async with fleet.operator() as remote:
            again = await remote.submit([group])
            assert (again.ids, again.duplicates) == (first.ids, 60)
            await fleet.worker(capacity=4)
            await results(remote, first.ids)
            again = await remote.submit([group])
            assert (again.ids, again.duplicates) == (first.ids, 60)


async def test_a_long_queue_is_worked_off_over_several_kills(tmp_path) -> None:
    async with a_shallow_fleet(tmp_path) as fleet:
        async with fleet.operator() as remote:
            ids = await submit(remote, "echo", *range(400))
        node = await fleet.worker(capacity=2, prefetch=4)
        for number in range(1, 4):
            await until(lambda number=number: len(node.puppet.begun) > number * 80)
            await killed(fleet)
            await node.connected()
        async with fleet.operator() as remote:
            found = await results(remote, ids)
        assert {one.state for one in found.values()} == {TaskState.SUCCEEDED}
        assert [unpacked(found[i]) for i in ids] == list(range(400))
        assert fleet.pool.totals[TaskState.SUCCEEDED] == 400
        assert fleet.pool.pending == 0
