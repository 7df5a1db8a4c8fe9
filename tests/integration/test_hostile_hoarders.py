"""Workers that take work and do none: what they hold ends, and honest workers do it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from taskmessenger.config.model import Leases
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool.conduct import FIRST_ROOM
from taskmessenger.net import messages as m

from tests.support.fleet import BOUND, Fleet, a_fleet, results, submit
from tests.support.hostile import Peer, a_bad_worker
from tests.support.runtimes import until

SHORT = Leases(ttl=4.0, heartbeat=0.5, dead_after=2.0, start_within=3.0, grace=1.0)
TASKS = 2_000
HONEST_SHARE = 0.95
ALL_SECONDS = 60.0


@asynccontextmanager
async def a_liar(fleet: Fleet, peer_id: str, *, begins: bool) -> AsyncIterator[Peer]:
    """Offers more slots than there are tasks, gives signs of life, and ends nothing."""
    identity = await fleet.member("worker", peer_id)
    async with (
        a_bad_worker(fleet, identity, kinds=["echo"], capacity=60_000, limit=60_000) as peer,
        anyio.create_task_group() as tasks,
    ):

        async def beat() -> None:
            for number in range(1, 1_000_000):
                await peer.say(m.Beat(number))
                await anyio.sleep(0.2)

        async def begin() -> None:
            while True:
                assign = await peer.hear(m.Assign)
                got = [(task, attempt) for _, group in assign.leases for task, attempt, *_ in group]
                if begins:
                    await peer.say(m.Started([task for task, _ in got], [attempt for _, attempt in got]))

        tasks.start_soon(beat)
        with anyio.fail_after(BOUND):
            while (worker := fleet.pool.workers.get(peer_id)) is None or not worker.synced:
                await anyio.sleep(0.01)
        _hear_for_ever(peer)
        tasks.start_soon(begin)
        yield peer
        tasks.cancel_scope.cancel()


def _hear_for_ever(peer: Peer) -> None:
    """Its test has bounds of its own."""
    more = peer._more

    async def waiting() -> bool:
        if not await more():
            await anyio.sleep_forever()
        return True

    peer._more = waiting  # type: ignore[method-assign]


@pytest.mark.parametrize("begins", [False, True], ids=["only beats", "says that it has begun"])
async def test_a_liar_that_comes_first_and_takes_all_it_can_gets_little(tmp_path, begins: bool) -> None:
    async with (
        a_fleet(tmp_path, leases=SHORT) as fleet,
        fleet.operator() as remote,
        a_liar(fleet, "w-liar-0001", begins=begins),
    ):
        ids = await submit(remote, "echo", *range(TASKS), timeout=1.0)
        await until(lambda: len(fleet.pool.workers["w-liar-0001"].held) == FIRST_ROOM)
        honest = await fleet.worker("w-honest-01", capacity=4, prefetch=64)
        found = await results(remote, ids, ALL_SECONDS)
        assert {one.state for one in found.values()} == {TaskState.SUCCEEDED}
        assert {one.worker for one in found.values()} == {honest.id}
        once = sum(one.attempt == 1 for one in found.values())
        assert once >= HONEST_SHARE * TASKS
        assert sum(attempt == 1 for _, attempt in honest.puppet.begun) >= HONEST_SHARE * TASKS


async def test_a_liar_alone_does_not_keep_tasks_from_their_end(tmp_path) -> None:
    async with (
        a_fleet(tmp_path, leases=SHORT) as fleet,
        fleet.operator() as remote,
        a_liar(fleet, "w-liar-0001", begins=True),
    ):
        ids = await submit(remote, "echo", *range(10), timeout=0.5, max_attempts=1)
        found = await results(remote, ids)
        assert {one.state for one in found.values()} == {TaskState.TIMED_OUT}


async def test_a_worker_that_goes_on_lying_is_put_in_quarantine_and_shown(tmp_path) -> None:
    async with (
        a_fleet(tmp_path, leases=SHORT) as fleet,
        fleet.operator() as remote,
        a_liar(fleet, "w-liar-0001", begins=True),
    ):
        since = time.monotonic()
        while (row := (await remote.workers())[0]).state != "quarantined":
            assert time.monotonic() - since < ALL_SECONDS
            await submit(remote, "echo", 1, timeout=0.1, max_attempts=1)
            await anyio.sleep(0.2)
        assert row.limit == 0
        (task,) = await submit(remote, "echo", 1)
        assert "in quarantine" in (await remote.detail(task)).waits_for
        await fleet.worker("w-honest-01")
        assert (await results(remote, [task]))[task].worker == "w-honest-01"
