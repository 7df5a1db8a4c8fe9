"""Links that break, stall or lie half open; nodes that die: nothing is lost, nothing is recorded twice."""

from __future__ import annotations

import os

import anyio
import psutil
import pytest
from taskmessenger.config.model import Leases
from taskmessenger.core.errors import TaskMessengerError, Unreachable
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.net.faulty import FaultyTransport, Way
from taskmessenger.net.tcp import TcpTransport
from taskmessenger.roles import outbox

from tests.support.fleet import a_fleet, results, running, submit, unpacked
from tests.support.runtimes import until

PATIENT = Leases(ttl=6.0, heartbeat=0.2, dead_after=0.6)
"""A link is given up long before a lease is."""
STEP = int(os.environ.get("LINK_STEP", "133"))
"""Bytes between the places at which a link breaks, while a handshake may be under way."""
LONG = Leases(ttl=60.0, heartbeat=0.2, dead_after=0.6)
"""However busy the machine is, no lease ends meanwhile."""
BRIEF = Leases(ttl=1.0, heartbeat=0.2, dead_after=0.6)


async def test_a_link_that_breaks_at_any_byte_loses_nothing(tmp_path) -> None:
    async with (
        a_fleet(tmp_path, leases=PATIENT) as fleet,
        fleet.operator() as remote,
        FaultyTransport(TcpTransport(), seed=20) as bad,
    ):
        offsets = [*range(0, 2_000, STEP), *range(2_000, 60_000, 38 * STEP)]
        sockets = _open_sockets()
        node = await fleet.worker(capacity=4, prefetch=16, through=bad, connected=False)
        ids = await submit(remote, "echo", *(bytes(500) + bytes([n % 256]) for n in range(400)))
        for place, offset in enumerate(offsets):
            bad.change(Way.OUT if place % 2 else Way.IN, reset_after=offset)
            made = bad._made
            await until(lambda made=made: bad._made > made or not fleet.pool.tasks)
            for link in list(bad.links):
                link.reset()
        bad.change(reset_after=None)
        for link in list(bad.links):
            link.reset()
        found = await results(remote, ids)
        assert {one.state for one in found.values()} == {TaskState.SUCCEEDED}
        assert bad._made > len(offsets) // 2
        await fleet.settled()
        status = await remote.status()
        assert status.totals["succeeded"] == status.accepted == len(ids)
        assert status.refused == 0
        await until(lambda: len(bad.links) == 1)
        assert node.worker.outbox.unacknowledged == 0
        await until(lambda: _open_sockets() <= sockets + 2)  # both ends of the link that stands


def _open_sockets() -> int:
    """Of this process: what a broken link leaves open would be among them."""
    return len(psutil.Process().net_connections("tcp"))


@pytest.mark.parametrize("way", [None, Way.OUT, Way.IN])
async def test_a_partition_shorter_than_the_lease_repeats_nothing(tmp_path, way) -> None:
    async with (
        a_fleet(tmp_path, leases=LONG) as fleet,
        fleet.operator() as remote,
        FaultyTransport(TcpTransport(), seed=21) as bad,
    ):
        node = await fleet.worker(through=bad)
        ids = await submit(remote, "hold", 1, 2)
        await running(fleet, *ids)
        bad.partition(way)
        await until(lambda: node.worker.connected is None and not fleet.pool.by_session)
        node.puppet.finish(ids[0], "meanwhile")
        await until(lambda: node.worker.outbox.unacknowledged == 1)
        bad.heal()
        await node.connected()
        node.puppet.finish(ids[1], "later")
        found = await results(remote, ids)
        assert [unpacked(found[i]) for i in ids] == ["meanwhile", "later"]
        assert sorted(node.puppet.begun) == [(ids[0], 1), (ids[1], 1)]
        assert node.puppet.cancelled == []
        assert (await remote.status()).late == 0


@pytest.mark.parametrize("way", [Way.OUT, Way.IN])
async def test_a_link_that_is_half_open_is_noticed_on_both_sides_and_resumed(tmp_path, way) -> None:
    async with (
        a_fleet(tmp_path, leases=PATIENT) as fleet,
        fleet.operator() as remote,
        FaultyTransport(TcpTransport(), seed=22) as bad,
    ):
        node = await fleet.worker(through=bad)
        (task,) = await submit(remote, "hold", 1)
        await running(fleet, task)
        first = node.worker.connected
        (number,) = fleet.pool.by_session
        bad.links[0].change(way, vanish_after=0)
        await until(lambda: node.worker.connected not in {None, first})
        await until(lambda: number not in fleet.pool.by_session and fleet.pool.by_session)
        node.puppet.finish(task)
        assert (await results(remote, [task]))[task].attempt == 1
        assert node.puppet.begun == [(task, 1)]


async def test_after_a_longer_partition_one_outcome_counts_and_the_late_one_is_counted(tmp_path) -> None:
    async with (
        a_fleet(tmp_path, leases=BRIEF) as fleet,
        fleet.operator() as remote,
        FaultyTransport(TcpTransport(), seed=23) as bad,
    ):
        cut_off = await fleet.worker("w-far-0001", through=bad)
        (task,) = await submit(remote, "hold", 1)
        await running(fleet, task)
        # It ends before the worker fences itself, so that there is a result that comes too late.
        bad.partition()
        cut_off.puppet.finish(task, "too late")
        await until(lambda: cut_off.worker.outbox.unacknowledged == 1)
        near = await fleet.worker("w-near-0002")
        await until(lambda: near.puppet.begun == [(task, 2)])
        bad.heal()
        await cut_off.connected()
        await until(lambda: cut_off.worker.outbox.unacknowledged == 0)
        near.puppet.finish(task, "in time")
        assert unpacked((await results(remote, [task]))[task]) == "in time"
        status = await remote.status()
        assert (status.late, status.totals["succeeded"], status.refused) == (1, 1, 0)


async def test_a_worker_that_is_cut_off_stops_using_its_leases_before_they_run_out(tmp_path) -> None:
    async with (
        a_fleet(tmp_path, leases=BRIEF) as fleet,
        fleet.operator() as remote,
        FaultyTransport(TcpTransport(), seed=24) as bad,
    ):
        node = await fleet.worker(through=bad)
        (task,) = await submit(remote, "hold", 1)
        await running(fleet, task)
        bad.partition()
        await until(lambda: node.puppet.cancelled == [task])
        await until(lambda: node.worker.slots.leases == [])
        await until(lambda: fleet.pool.tasks[task].state is TaskState.QUEUED)
        bad.heal()
        await node.connected()
        await until(lambda: node.puppet.begun == [(task, 1), (task, 2)])
        node.puppet.finish(task)
        found = (await results(remote, [task]))[task]
        assert (found.state, found.attempt) == (TaskState.SUCCEEDED, 2)
        assert (await remote.status()).late == 0


async def test_delay_and_stalls_below_the_bound_lose_no_worker(tmp_path) -> None:
    async with (
        a_fleet(tmp_path) as fleet,
        fleet.operator() as remote,
        FaultyTransport(TcpTransport(), seed=25) as bad,
    ):
        bad.change(delay=0.02, jitter=0.05, stall_chance=0.1, stall_seconds=0.2)
        node = await fleet.worker(capacity=4, prefetch=32, through=bad)
        ids = await submit(remote, "echo", *range(200))
        found = await results(remote, ids)
        assert [unpacked(found[i]) for i in ids] == list(range(200))
        assert all(one.attempt == 1 for one in found.values())
        assert bad._made == 1
        assert len(node.puppet.begun) == 200


async def test_a_manager_that_dies_finds_its_workers_at_work(tmp_path) -> None:
    async with a_fleet(tmp_path, leases=PATIENT) as fleet:
        node = await fleet.worker(capacity=2)
        async with fleet.operator(patience=20) as remote:
            ids = await submit(remote, "hold", 1, 2)
            await running(fleet, *ids)
            await fleet.kill()
            await until(lambda: node.worker.connected is None)
            node.puppet.finish(ids[0], "while it was away")
            await until(lambda: node.worker.outbox.unacknowledged == 1)
            await fleet.start()
            await node.connected()
            node.puppet.finish(ids[1], "after it was back")
            found = await results(remote, ids)
        assert [unpacked(found[i]) for i in ids] == ["while it was away", "after it was back"]
        assert sorted(node.puppet.begun) == [(ids[0], 1), (ids[1], 1)]


async def test_a_manager_that_is_stopped_leaves_work_in_hand(tmp_path) -> None:
    async with a_fleet(tmp_path, leases=PATIENT, drain=0.1) as fleet:
        node = await fleet.worker(capacity=1)
        async with fleet.operator(patience=20) as remote:
            ids = await submit(remote, "hold", 1, 2)
            await running(fleet, ids[0])
            await fleet.stop()
            await fleet.start()
            await node.connected()
            node.puppet.finish(ids[0], 1)
            await until(lambda: ids[1] in node.puppet.running)
            node.puppet.finish(ids[1], 2)
            found = await results(remote, ids)
        assert [unpacked(found[i]) for i in ids] == [1, 2]
        assert node.puppet.begun == [(ids[0], 1), (ids[1], 1)]


async def test_a_stopping_manager_takes_nothing_new_and_lets_the_rest_end(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker(capacity=1)
        async with fleet.operator() as remote:
            held, waiting = await submit(remote, "hold", 1, 2)
            await running(fleet, held)
            fleet.manager.stop()
            await until(lambda: fleet.pool.stopping)
            with pytest.raises(TaskMessengerError, match="stopping"):
                await submit(remote, "echo", 1)
            node.puppet.finish(held)
            assert (await results(remote, [held]))[held].state == TaskState.SUCCEEDED
        await fleet.stop()
        assert node.puppet.begun == [(held, 1)]
        assert waiting in fleet.pool.tasks


async def test_waiting_goes_on_over_restarts_of_the_manager(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker(capacity=4)
        async with fleet.operator(patience=20) as remote:
            ids = await submit(remote, "hold", *range(4))
            await running(fleet, *ids)
            found: dict[int, object] = {}
            remote.on_outcomes = lambda outcomes: found.update({one.id: unpacked(one) for one in outcomes})

            async def restart() -> None:
                for task in ids:
                    await fleet.kill()
                    await fleet.start()
                    await until(lambda task=task: task in node.puppet.running)
                    node.puppet.finish(task, task)

            with anyio.fail_after(30):
                async with anyio.create_task_group() as group:
                    group.start_soon(restart)
                    await remote.wait(ids)
            assert found == {task: task for task in ids}


async def test_without_patience_a_lost_manager_is_an_error_at_once(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator(patience=0.0) as remote:
        await fleet.kill()
        with pytest.raises(TaskMessengerError):
            await remote.status()


async def test_a_worker_that_was_killed_is_replaced_after_its_lease(tmp_path) -> None:
    async with a_fleet(tmp_path, leases=BRIEF) as fleet, fleet.operator() as remote:
        node = await fleet.worker("w-one-0001", capacity=1)
        (task,) = await submit(remote, "hold", 1)
        await running(fleet, task)
        await node.kill()
        other = await fleet.worker("w-two-0002", capacity=1)
        await until(lambda: other.puppet.begun == [(task, 2)])
        other.puppet.finish(task)
        found = (await results(remote, [task]))[task]
        assert (found.worker, found.attempt) == ("w-two-0002", 2)


async def test_a_worker_that_was_killed_brings_its_unsent_results_with_it(tmp_path) -> None:
    async with a_fleet(tmp_path, leases=PATIENT) as fleet:
        node = await fleet.worker(capacity=1)
        async with fleet.operator(patience=20) as remote:
            (task,) = await submit(remote, "hold", 1)
            await running(fleet, task)
            await fleet.kill()
            await until(lambda: node.worker.connected is None)
            node.puppet.finish(task, "kept on disk")
            await until(lambda: node.worker.outbox.unacknowledged == 1)
            await node.kill()
            await fleet.start()
            again = await fleet.worker(identity=node.worker.identity, capacity=1)
            found = (await results(remote, [task]))[task]
            assert unpacked(found) == "kept on disk"
            assert found.attempt == 1
            assert again.puppet.begun == []
            await until(lambda: again.worker.outbox.unacknowledged == 0)


async def test_a_stream_that_garbles_one_bit_is_a_new_session_and_nothing_worse(tmp_path) -> None:
    async with (
        a_fleet(tmp_path, leases=PATIENT) as fleet,
        fleet.operator() as remote,
        FaultyTransport(TcpTransport(), seed=26) as bad,
    ):
        node = await fleet.worker(capacity=2, prefetch=8, through=bad)
        ids: list[int] = []
        for way in (Way.OUT, Way.IN):
            await results(remote, ids)
            await fleet.settled()  # nothing is under way now: the damage is done to what comes next
            made, link = bad._made, bad.links[-1]
            link.change(way, corrupt_at=(link.out if way is Way.OUT else link.back).delivered + 500)
            ids += await submit(remote, "echo", *(bytes(2_000) for _ in range(20)))
            await until(lambda made=made: bad._made > made and node.worker.connected is not None)
        found = await results(remote, ids)
        assert {one.state for one in found.values()} == {TaskState.SUCCEEDED}
        assert (await remote.status()).totals["succeeded"] == len(ids)


async def test_results_larger_than_the_window_all_arrive_after_a_reconnect(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(outbox, "WINDOW_BYTES", 300_000)
    async with a_fleet(tmp_path, leases=PATIENT) as fleet:
        node = await fleet.worker(capacity=8)
        async with fleet.operator(patience=20) as remote:
            ids = await submit(remote, "hold", *range(8))
            await running(fleet, *ids)
            await fleet.kill()
            await until(lambda: node.worker.connected is None)
            for task in ids:
                node.puppet.finish(task, bytes([task]) * 200_000)
            await until(lambda: node.worker.outbox.unacknowledged == 8)
            await fleet.start()
            found = await results(remote, ids)
            assert [unpacked(found[i]) for i in ids] == [bytes([i]) * 200_000 for i in ids]
            assert all(one.attempt == 1 for one in found.values())
            await until(lambda: node.worker.outbox.unacknowledged == 0)
            assert node.worker.outbox._on_the_way == 0


async def test_who_waits_for_a_manager_that_does_not_come_back_is_told_when_the_patience_is_over(
    tmp_path,
) -> None:
    async with a_fleet(tmp_path, leases=LONG) as fleet, fleet.operator(patience=1.0) as remote:
        (task,) = await submit(remote, "hold", 1)
        await fleet.kill()
        with pytest.raises(Unreachable, match="did not come back within 1 s"), anyio.fail_after(60):
            await remote.wait([task])
        with pytest.raises(Unreachable):
            await remote.status()
