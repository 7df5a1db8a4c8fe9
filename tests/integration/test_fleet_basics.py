"""A fleet at work: tasks go in, results come out, whatever they are, however large they are."""

from __future__ import annotations

from itertools import pairwise

import anyio
import pytest
from taskmessenger.config.model import Leases
from taskmessenger.core.commit import Commit
from taskmessenger.core.errors import Conflict, NotFound
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Group
from taskmessenger.roles import acts
from taskmessenger.runtimes.base import SUCCEEDED, Ended, Job

from tests.support.fleet import Puppet, a_fleet, results, running, submit, unpacked
from tests.support.runtimes import until

FALSY = [0, "", b"", None, [], False, {}, 0.0]
LARGE = 5 * 1024 * 1024
CALM = Leases(ttl=8.0, heartbeat=0.4, dead_after=4.0)
"""For much that takes the processor of one process for both ends of all links."""


async def test_results_that_are_nothing_survive(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        await fleet.worker()
        ids = await submit(remote, "echo", *FALSY)
        found = await results(remote, ids)
        got = [unpacked(found[i]) for i in ids]
        assert got == FALSY
        assert [type(value) for value in got] == [type(value) for value in FALSY]
        direct = await remote.outcomes(ids)
        assert [unpacked(one) for one in direct] == FALSY


async def test_large_payloads_and_results_travel_while_heartbeats_keep_their_rhythm(tmp_path) -> None:
    async with a_fleet(tmp_path, leases=CALM) as fleet, fleet.operator() as remote:
        node = await fleet.worker(capacity=4)
        seen: list[float] = []
        original = fleet.manager.writer.inbox.beat

        def beat(session: int) -> None:
            seen.append(anyio.current_time())
            original(session)

        fleet.manager.writer.inbox.beat = beat
        bodies = [bytes([n]) * LARGE for n in range(6)]
        found = await results(remote, ids := await submit(remote, "echo", *bodies[:3]))
        more = await results(remote, others := await submit(remote, "echo", *bodies[3:]))
        assert [unpacked(found[i]) for i in ids] == bodies[:3]
        assert [unpacked(more[i]) for i in others] == bodies[3:]
        assert len(node.puppet.begun) == 6
        assert all(found[i].attempt == 1 for i in ids)
        await until(lambda: len(seen) >= 3)
        heartbeat = fleet.config.leases.heartbeat
        gaps = [later - earlier for earlier, later in pairwise(seen)]
        assert max(gaps) < fleet.config.leases.dead_after, (max(gaps), heartbeat)
        fetched = await remote.outcomes(ids)
        assert [unpacked(one) for one in fetched] == bodies[:3]


async def test_many_small_tasks_over_two_workers_run_once_each(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        one = await fleet.worker("w-one-0001", capacity=4, prefetch=64)
        two = await fleet.worker("w-two-0002", capacity=4, prefetch=64)
        ids = await submit(remote, "echo", *range(2_000))
        found = await results(remote, ids)
        assert [unpacked(found[i]) for i in ids] == list(range(2_000))
        runs = [task for task, _ in one.puppet.begun + two.puppet.begun]
        assert len(runs) == len(set(runs)) == 2_000
        await fleet.settled()
        status = await remote.status()
        assert status.totals["succeeded"] == status.accepted == 2_000
        assert (status.late, status.refused) == (0, 0)


async def test_results_are_told_even_when_they_overtake_a_long_answer(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        await fleet.worker(capacity=8, prefetch=1024)
        got: set[int] = set()
        remote.on_outcomes = lambda outcomes: got.update(one.id for one in outcomes)
        answer = await remote.submit([Group("echo", [b"\xc0"] * 15_000)], watch=True)
        await until(lambda: len(got) == 15_000)
        assert got == set(answer.ids)
        assert not remote._watched
        with anyio.fail_after(5):
            await remote.wait(answer.ids)


async def test_a_task_whose_kind_nobody_offers_waits_and_says_why(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker()
        (task,) = await submit(remote, "nobody", 1)
        status = await remote.status()
        assert status.waiting == {"nobody": "1 task waits: no worker offers `nobody`"}
        assert (await remote.detail(task)).waits_for == "no worker offers `nobody`"
        assert node.puppet.begun == []


async def test_keys_make_a_submission_safe_to_repeat_over_a_restart(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker()
        async with fleet.operator() as remote:
            ids = await submit(remote, "echo", "a", "b", keys=["k-1", "k-2"])
            await results(remote, ids)
        await fleet.kill()
        await fleet.start()
        async with fleet.operator() as remote:
            assert await submit(remote, "echo", "a", "b", keys=["k-1", "k-2"]) == ids
            with pytest.raises(Conflict):
                await submit(remote, "echo", "other", keys=["k-1"])
        await fleet.settled()
        assert len(node.puppet.begun) == 2


async def test_a_failed_task_that_had_a_key_can_be_retried_and_ends_once_more(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker()
        (task,) = await submit(remote, "raise", 1, keys=["k"], max_attempts=2)
        assert (await results(remote, [task]))[task].state == TaskState.FAILED
        assert len(node.puppet.begun) == 2
        assert await remote.command("retry", ids=[task]) == [task]
        assert (await results(remote, [task]))[task].state == TaskState.FAILED
        await until(lambda: len(node.puppet.begun) == 4)
        attempts = [attempt for _, attempt in node.puppet.begun]
        assert attempts == [1, 2, 3, 4], "attempt numbers only grow"
        assert await remote.command("retry", ids=[(await submit(remote, "nobody", 1))[0]]) == []


async def test_many_tasks_are_retried_part_by_part_or_none_when_one_is_unknown(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(acts, "SLICE", 2)
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker()
        ids = await submit(remote, "raise", 1, 2, 3, 4, 5, max_attempts=1)
        await results(remote, ids)
        with pytest.raises(NotFound, match="no task 999"):
            await remote.command("retry", ids=[*ids, 999])
        assert len(node.puppet.begun) == 5
        assert await remote.command("retry", ids=ids) == ids
        await results(remote, ids)
        assert len(node.puppet.begun) == 10


async def test_a_cancelled_task_ends_at_once_and_never_as_a_success(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker(capacity=1)
        held, waiting = await submit(remote, "hold", 1, 2)
        await running(fleet, held)
        assert sorted(await remote.command("cancel", ids=[held, waiting])) == [held, waiting]
        found = await results(remote, [held, waiting])
        assert {one.state for one in found.values()} == {TaskState.CANCELLED}
        await fleet.settled()
        assert node.puppet.cancelled == [held]
        assert node.puppet.begun == [(held, 1)]
        assert (await remote.status()).late == 0, "ending what was cancelled is nothing that came too late"


async def test_an_unknown_task_cannot_be_waited_for(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        with pytest.raises(NotFound, match="no task 77"), anyio.fail_after(5):
            await remote.wait([77])


async def test_outcomes_of_short_tasks_share_messages_and_commits(tmp_path) -> None:
    """Each has its own only where somebody may wait for it: a worker with other work has time."""

    class Short(Puppet):
        async def run(self, job: Job) -> Ended:
            await anyio.sleep(0.002)
            return Ended(SUCCEEDED, 0.002, job.payload)

    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        for name in ("w-one-0001", "w-two-0002"):
            await fleet.worker(name, capacity=1, prefetch=1_024, puppet=Short())
        await results(remote, await submit(remote, "echo", 1, 2))
        commits, commit = [], fleet.manager.store.commit

        async def counted(batch: Commit) -> None:
            commits.append(batch)
            await commit(batch)

        fleet.manager.store.commit = counted
        ids = await submit(remote, "echo", *range(300))
        found = await results(remote, ids)
        assert [unpacked(found[i]) for i in ids] == list(range(300))
        assert len(commits) <= 80, "of 300 outcomes on two workers, and of all their leases"
        assert sum(len(one.settled) for one in commits) == 300
