"""What operators do to a fleet that works: pause, resume, drain, cancel, retry; and workers in trouble."""

from __future__ import annotations

import anyio
import psutil
import pytest
from msgspec.structs import replace
from taskmessenger.config.model import Retention
from taskmessenger.core.errors import NotFound, Overloaded, StoreFull
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import ErrorInfo
from taskmessenger.net import messages as m
from taskmessenger.roles import slots, writer
from taskmessenger.roles.worker import MAX_DRAIN
from taskmessenger.runtimes.base import FAILED, Ended
from taskmessenger.store.sqlite import SqliteStore

from tests.support.fleet import Real, a_fleet, results, running, submit, unpacked
from tests.support.runtimes import is_running, until


@pytest.mark.parametrize("scope", ["all", "kind:hold", "worker:w-fern-0001"])
async def test_after_a_pause_is_acknowledged_no_attempt_starts_until_it_ends(tmp_path, scope) -> None:
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker(capacity=2, prefetch=8)
        async with fleet.operator(patience=20) as remote:
            ids = await submit(remote, "hold", *range(6))
            await until(lambda: len(node.puppet.running) == 2)
            await remote.command("pause", scope=scope)
            begun = list(node.puppet.begun)
            for task in list(node.puppet.running):
                node.puppet.finish(task)
            more = await submit(remote, "hold", 6)
            await until(lambda: len(fleet.pool.tasks) == 5 and not fleet.pool.workers[node.id].held)
            await fleet.kill()
            await fleet.start()
            await until(lambda: (w := fleet.pool.workers.get(node.id)) is not None and w.synced)
            status = await remote.status()
            assert status.paused == (scope,)
            assert node.puppet.begun == begun
            if scope == "kind:hold":
                other = await submit(remote, "echo", 1)
                assert len(await results(remote, other)) == 1
                begun = list(node.puppet.begun)
            await remote.command("resume", scope=scope)
            left = [i for i in ids + more if i in fleet.pool.tasks]
            for task in left:
                await until(lambda task=task: task in node.puppet.running)
                node.puppet.finish(task)
            found = await results(remote, ids + more)
            assert {one.state for one in found.values()} == {TaskState.SUCCEEDED}


async def test_pauses_add_up(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker()
        await remote.command("pause", scope="all")
        await remote.command("pause", scope="kind:echo")
        (task,) = await submit(remote, "echo", 1)
        await remote.command("resume", scope="all")
        assert (await remote.detail(task)).waits_for == "kind `echo` is paused"
        assert node.puppet.begun == []
        await remote.command("resume", scope="kind:echo")
        assert len(await results(remote, [task])) == 1


async def test_a_drained_worker_ends_what_it_runs_and_gives_back_the_rest(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker("w-one-0001", capacity=1, prefetch=4)
        first, *rest = await submit(remote, "hold", *range(4))
        await running(fleet, first)
        await remote.command("drain", scope=node.id, deadline=20.0)
        await until(lambda: fleet.pool.workers[node.id].draining)
        await remote.command("drain", scope=node.id, deadline=20.0)  # asked twice is not in a hurry
        with pytest.raises(NotFound):
            await remote.command("drain", scope="w-nobody", deadline=1.0)
        other = await fleet.worker("w-two-0002", capacity=4)
        await until(lambda: len(other.puppet.running) == 3)
        node.puppet.finish(first)
        await node.gone()
        assert node.error is None
        for task in rest:
            other.puppet.finish(task)
        found = await results(remote, [first, *rest])
        assert [found[i].worker for i in (first, *rest)] == ["w-one-0001"] + ["w-two-0002"] * 3
        assert node.puppet.begun == [(first, 1)]
        assert "w-one-0001" not in fleet.pool.workers
        assert node.worker.outbox.unacknowledged == 0


async def test_what_does_not_end_before_the_deadline_goes_back_without_blame(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker("w-one-0001", capacity=2)
        ids = await submit(remote, "hold", 1) + await submit(remote, "deaf", 1)
        await running(fleet, *ids)
        await remote.command("drain", scope=node.id, deadline=0.05)
        await node.gone()
        await until(lambda: all(fleet.pool.tasks[i].state is TaskState.QUEUED for i in ids))
        assert [fleet.pool.tasks[i].spent for i in ids] == [0, 0]


async def test_a_worker_that_stops_by_itself_leaves_nothing_behind(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker(capacity=2, prefetch=100)
        ids = await submit(remote, "echo", *range(500))
        await until(lambda: len(node.puppet.begun) > 100)
        node.worker.stop()
        await node.gone()
        done = {task for task, _ in node.puppet.begun}
        await until(lambda: len(fleet.pool.tasks) == 500 - len(done))
        await until(lambda: not fleet.pool.workers)
        other = await fleet.worker("w-two-0002", capacity=2, prefetch=100)
        found = await results(remote, ids)
        assert [unpacked(found[i]) for i in ids] == list(range(500))
        assert not done & {task for task, _ in other.puppet.begun}


async def test_cancelling_really_ends_a_process(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker(capacity=1, runtime=Real(tmp_path / "run", 1), drain=0.1)
        (task,) = await submit(remote, "spin", "yes")
        await running(fleet, task)
        await until(busy_children)
        children = busy_children()
        assert await remote.command("cancel", ids=[task]) == [task]
        await until(lambda: not any(map(is_running, children)))
        assert (await results(remote, [task]))[task].state == TaskState.CANCELLED
        await fleet.settled()
        ids = await submit(remote, "spin", "no")
        assert len(await results(remote, ids)) == 1, "the slot is free again"
        node.worker.stop()
        await node.gone()


def busy_children() -> list[int]:
    """Children of this process that have used half a second of a processor: starting up takes less."""
    return [p.pid for p in psutil.Process().children(recursive=True) if used(p) > 0.5]


def used(process: psutil.Process) -> float:
    try:
        return process.cpu_times().user
    except psutil.Error:
        return 0.0


async def test_real_runtimes_tell_progress_and_crashes(tmp_path) -> None:
    async with a_fleet(tmp_path, max_crashes=1) as fleet, fleet.operator() as remote:
        node = await fleet.worker(capacity=2, runtime=Real(tmp_path / "run"), drain=0.1)
        (task,) = await submit(remote, "linger_async", None)
        await until(lambda: (link := link_of(fleet)) is not None and task in link.progress)
        detail = await remote.detail(task)
        assert (detail.progress, detail.note) == (0.0, "begun")
        (crash,) = await submit(remote, "crash", 9)
        outcome = (await results(remote, [crash]))[crash]
        assert outcome.state == TaskState.FAILED
        assert outcome.error is not None
        assert outcome.error.code == "crashed"
        await remote.command("cancel", ids=[task])
        await until(lambda: task not in link_of(fleet).progress)
        node.worker.stop()
        await node.gone()


def link_of(fleet):
    return next((k for k in fleet.manager.delivery.links.values() if hasattr(k, "progress")), None)


async def test_what_a_worker_cannot_run_goes_to_another_and_blames_no_task(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(slots, "COOL_SECONDS", 0.3)
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        sick = await fleet.worker("w-sick-0001", capacity=1)
        (task,) = await submit(remote, "broken", 1, max_attempts=1)
        await until(lambda: len(sick.puppet.begun) >= 2)
        assert len(sick.puppet.begun) < 10, "it does not spin"
        assert fleet.pool.tasks[task].spent == 0
        healthy = await fleet.worker("w-well-0002", capacity=1)
        run = healthy.puppet.run

        async def well(job):
            return (
                await run(job) if job.kind != "broken" else Ended(FAILED, 0.1, None, ErrorInfo("failed", "x"))
            )

        monkeypatch.setattr(healthy.puppet, "run", well)
        found = (await results(remote, [task]))[task]
        assert (found.worker, found.error.code) == ("w-well-0002", "failed")


async def test_a_stuck_thread_keeps_its_slot_and_is_offered_to_nobody(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker(capacity=2)
        (deaf,) = await submit(remote, "deaf", 1)
        await running(fleet, deaf)
        await remote.command("cancel", ids=[deaf])
        await until(lambda: fleet.pool.workers[node.id].capacity == 1)
        ids = await submit(remote, "hold", 1, 2)
        await until(lambda: len(node.puppet.running) == 1)
        assert sum(len(w.held) for w in fleet.pool.workers.values()) == 1
        node.puppet.lingers[deaf].set()
        await until(lambda: len(node.puppet.running) == 2)
        assert fleet.pool.workers[node.id].capacity == 2
        for task in ids:
            node.puppet.finish(task)
        assert len(await results(remote, ids)) == 2


async def test_a_worker_with_a_full_disk_keeps_its_results_and_takes_nothing_new(
    tmp_path, monkeypatch
) -> None:
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker(capacity=2, prefetch=8)
        async with fleet.operator(patience=20) as remote:
            ids = await submit(remote, "hold", *range(4))
            await until(lambda: len(node.puppet.running) == 2)
            spool = node.worker.outbox._spool

            def full(outcomes):
                raise OSError(28, "No space left on device")

            await fleet.kill()
            await until(lambda: node.worker.connected is None)
            with monkeypatch.context() as patch:
                patch.setattr(spool, "add", full)
                now = list(node.puppet.running)
                for task in now:
                    node.puppet.finish(task, f"result of {task}")
                await until(lambda: node.worker.outbox.unacknowledged == 2)
                await until(lambda: node.worker.slots.waiting == 0)
                assert node.worker.slots.limit == 0
                assert len(node.puppet.begun) <= 4
                still = [task for task in node.puppet.running if task not in now]
            await fleet.start()
            await until(lambda: node.worker.outbox.unacknowledged == 0)
            await until(lambda: node.worker.slots.limit > 0)
            for task in [i for i in ids if i not in now]:
                await until(lambda task=task: task in node.puppet.running)
                node.puppet.finish(task, f"result of {task}")
            found = await results(remote, ids)
            assert [unpacked(found[i]) for i in ids] == [f"result of {i}" for i in ids]
            assert len(still) <= 2


async def test_a_full_disk_of_the_manager_loses_nothing_and_keeps_its_workers(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(writer, "FULL_RETRY_SECONDS", 0.05)
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker()
        (task,) = await submit(remote, "hold", 1)
        await running(fleet, task)
        store = fleet.manager.store
        tried = anyio.Event()

        async def full(batch) -> None:
            tried.set()
            raise StoreFull("no space left")

        with monkeypatch.context() as patch:
            patch.setattr(store, "commit", full)
            node.puppet.finish(task)
            with anyio.fail_after(10):
                await tried.wait()
            await until(lambda: fleet.manager.writer.degraded)
            with pytest.raises(StoreFull):
                await submit(remote, "echo", 1)
            assert (await remote.status()).degraded
            assert node.worker.outbox.unacknowledged == 1, "nothing is acknowledged that is not stored"
            began = anyio.current_time()
            await until(lambda: anyio.current_time() - began > 1.5 * fleet.config.leases.ttl)
            assert node.worker.connected is not None
            assert node.puppet.begun == [(task, 1)]
        assert unpacked((await results(remote, [task]))[task]) == "done"
        await until(lambda: node.worker.outbox.unacknowledged == 0)
        assert node.error is None


async def test_with_little_space_nothing_new_is_taken_and_what_is_there_goes_on(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker()
        ended, held = (await submit(remote, "raise", 1, max_attempts=1)) + (await submit(remote, "hold", 1))
        await results(remote, [ended])
        await running(fleet, held)
        store = fleet.manager.store
        store._low_water = 1 << 60
        for attempt in (
            lambda: submit(remote, "echo", 1),
            lambda: remote.command("retry", ids=[ended]),
        ):
            with pytest.raises(StoreFull, match="disk is nearly full: free some space there"):
                await attempt()
        node.puppet.finish(held, "kept")
        assert unpacked((await results(remote, [held]))[held]) == "kept"
        store._low_water = 0
        assert await remote.command("retry", ids=[ended]) == [ended]


async def test_a_manager_that_stops_takes_no_retry(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        await fleet.worker()
        (ended,) = await submit(remote, "raise", 1, max_attempts=1)
        await results(remote, [ended])
        (held,) = await submit(remote, "hold", 1)
        await running(fleet, held)
        fleet.manager.stop()
        for attempt in (
            lambda: submit(remote, "echo", 1),
            lambda: remote.command("retry", ids=[ended]),
        ):
            with pytest.raises(Overloaded, match="the manager is stopping"):
                await attempt()
        assert (await remote.outcomes([ended]))[0].state == TaskState.FAILED


async def test_old_tasks_that_cannot_be_forgotten_on_a_full_disk_are_forgotten_later(
    tmp_path, monkeypatch, caplog
) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        await fleet.worker()
        ids = await submit(remote, "echo", *range(5))
        await results(remote, ids)
        await fleet.stop()
        fleet.config = replace(fleet.config, retention=Retention(days=1e-9, every=0.05))
        tried: list[float] = []

        async def full(self, *_: object) -> int:
            tried.append(anyio.current_time())
            raise StoreFull("no space left")

        with monkeypatch.context() as patch:
            patch.setattr(SqliteStore, "prune", full)
            await fleet.start()
            await until(lambda: len(tried) >= 2)
            assert [r for r in caplog.records if "old tasks cannot be forgotten now" in r.message]
        async with fleet.operator() as again:
            await again.status()
            with anyio.fail_after(30):
                while await again.outcomes(ids):
                    await anyio.sleep(0.02)


async def test_a_worker_lets_itself_be_drained_for_days_and_not_for_ever(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker()
        (task,) = await submit(remote, "hold", 1)
        await running(fleet, task)
        node.worker._steer(m.Steer(1, "drain", "", deadline=1e15))
        assert node.worker._deadline == MAX_DRAIN
        await until(lambda: node.worker.controls.leave_by is not None)
        node.puppet.finish(task)
        await results(remote, [task])


async def test_what_came_before_an_order_is_told_before_its_confirmation(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker()
        said: list[m.Message] = []
        outbox = node.worker.outbox
        outbox.send = said.append
        outbox.released([(7, 1)])
        node.worker._steer(m.Steer(5, "pause", "all"))
        kinds = [type(one) for one in said]
        assert kinds.index(m.Broke) < kinds.index(m.Steered)
