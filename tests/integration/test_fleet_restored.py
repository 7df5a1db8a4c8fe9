"""The manager's data are put back to an older moment: nothing of the time after it counts."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from taskmessenger.core.errors import NotFound
from taskmessenger.core.life import ID_GAP
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.net.security import marks

from tests.support.fleet import a_fleet, alarms, results, running, submit, unpacked
from tests.support.runtimes import until

LARGE = "OLD " * 100_000
SMALL = "OLD"


def copy_of(fleet, name: str = "copy") -> Path:
    """A raw copy of the data, as a person would make it."""
    data = fleet.paths.database.parent
    kept = fleet.home / name
    shutil.copytree(data, kept)
    return kept


def put_back(fleet, kept: Path) -> None:
    data = fleet.paths.database.parent
    shutil.rmtree(data)
    shutil.copytree(kept, data)


@asynccontextmanager
async def a_lost_result(tmp_path, result: str, *, stopped: bool):
    """A fleet whose worker keeps the result of a task that its manager's data know nothing of."""
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker(prefetch=0)
        async with fleet.operator() as remote:
            for one in await submit(remote, "echo", 1, 2, 3):
                await results(remote, [one])
        if stopped:
            await fleet.stop()
            kept = copy_of(fleet)
            await fleet.start()
            await until(lambda: node.id in fleet.pool.workers)
        else:
            await fleet.settled()
            await anyio.sleep(0.1)
            kept = copy_of(fleet)
        async with fleet.operator() as remote:
            (lost,) = await submit(remote, "hold", "of the lost time")
            await running(fleet, lost)
        await fleet.kill()
        await until(lambda: node.worker.connected is None)
        node.puppet.finish(lost, result)
        await until(lambda: node.worker.outbox.unacknowledged == 1)
        put_back(fleet, kept)
        yield fleet, node, lost


@pytest.mark.parametrize("stopped", [True, False], ids=["copied-while-stopped", "copied-while-running"])
@pytest.mark.parametrize("result", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("first", ["worker", "task"])
async def test_a_result_of_the_time_that_was_lost_is_nobodys(tmp_path, result, stopped, first) -> None:
    async with a_lost_result(tmp_path, result, stopped=stopped) as (fleet, node, _):
        if first == "task":
            node.worker.controls.part()
        await fleet.start()
        async with fleet.operator() as remote:
            if first == "task":
                new = await submit(remote, "echo", "its own", "and so on")
                node.worker.controls.meet()
            else:
                await until(lambda: node.worker.outbox.unacknowledged == 0)
                new = await submit(remote, "echo", "its own", "and so on")
            found = await results(remote, new)
        assert [unpacked(found[one]) for one in new] == ["its own", "and so on"]
        assert fleet.pool.refused == 0
        await until(lambda: node.worker.outbox.unacknowledged == 0)


async def test_a_task_that_both_lives_know_is_run_anew_for_the_new_one(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker()
        node.worker.pause()
        async with fleet.operator() as remote:
            (task,) = await submit(remote, "hold", "in both lives")
        await fleet.stop()
        kept = copy_of(fleet)
        await fleet.start()
        node.worker.resume()
        await running(fleet, task)
        await fleet.kill()
        await until(lambda: node.worker.connected is None)
        node.puppet.finish(task, LARGE)
        await until(lambda: node.worker.outbox.unacknowledged == 1)
        put_back(fleet, kept)
        await fleet.start()
        await running(fleet, task)
        assert node.worker.outbox.unacknowledged == 0
        node.puppet.finish(task, "new")
        async with fleet.operator() as remote:
            assert unpacked((await results(remote, [task]))[task]) == "new"


async def test_what_runs_when_the_data_are_put_back_is_ended_and_its_result_is_dropped(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker()
        await fleet.stop()
        kept = copy_of(fleet)
        await fleet.start()
        async with fleet.operator() as remote:
            (lost,) = await submit(remote, "hold", "lost")
            await running(fleet, lost)
        await fleet.kill()
        put_back(fleet, kept)
        await fleet.start()
        await until(lambda: lost in node.puppet.cancelled)
        await until(lambda: not node.puppet.running)
        async with fleet.operator() as remote:
            (new,) = await submit(remote, "echo", "new")
            assert unpacked((await results(remote, [new]))[new]) == "new"
        assert node.worker.outbox.unacknowledged == 0


async def test_whoever_knows_a_start_that_the_data_do_not_know_begins_a_new_epoch(tmp_path, caplog) -> None:
    async with a_fleet(tmp_path) as fleet:
        first, second = await fleet.worker("w-fern-0001"), await fleet.worker("w-moss-0002")
        await fleet.stop()
        kept = copy_of(fleet)
        epoch = fleet.manager.lifetime.epoch
        first.worker.controls.part()
        await fleet.start()
        await until(lambda: second.id in fleet.pool.workers)  # this one sees the future, the other does not
        assert fleet.manager.lifetime.epoch == epoch
        second.worker.disconnect()
        await fleet.kill()
        put_back(fleet, kept)
        await fleet.start()
        first.worker.controls.meet()
        async with fleet.operator(patience=30.0) as remote:
            (before,) = await submit(remote, "hold", "before the second one is back")
            await running(fleet, before)
            assert fleet.manager.lifetime.epoch == epoch
            second.worker.controls.meet()
            await until(lambda: fleet.manager.lifetime.epoch != epoch)
            (alarm,) = await alarms(fleet, "data")
            assert "put back to an older moment" in alarm
            await until(lambda: before in fleet.pool.tasks and fleet.pool.tasks[before].attempt > 1)
            (after,) = await submit(remote, "echo", "after")
            assert after > before + ID_GAP
            node = first if before in first.puppet.running else second
            await running(fleet, before)
            node.puppet.finish(before)
            found = await results(remote, [before, after])
            assert {found[one].state for one in (before, after)} == {TaskState.SUCCEEDED}
        now = fleet.manager.lifetime.epoch
        await fleet.stop()
        await fleet.start()
        await until(lambda: len(fleet.pool.by_session) == 2)
        assert fleet.manager.lifetime.epoch == now


async def test_a_client_that_waits_is_told_that_its_task_is_not_known_any_more(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        member = await fleet.member("client", "c-fern-0001")
        await fleet.stop()
        kept = copy_of(fleet)
        await fleet.start()
        async with fleet.client(member, patience=30.0) as remote:
            (lost,) = await submit(remote, "hold", "lost")
            async with anyio.create_task_group() as tasks:

                async def wait() -> None:
                    with pytest.raises(NotFound, match=f"task {lost}"):
                        await remote.wait([lost])

                tasks.start_soon(wait)
                await anyio.sleep(0.2)
                await fleet.kill()
                put_back(fleet, kept)
                await fleet.start()
            (new,) = await submit(remote, "hold", "new")
            assert new > lost


async def test_a_mark_that_this_fleet_never_gave_changes_nothing(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker()
        epoch, mark = fleet.manager.lifetime.epoch, marks.read(node.worker.identity.folder)
        ahead = mark[:23] + b"\x99" + mark[24:]  # a later start, without the seal that belongs to it
        for forged in (ahead, mark[:-1], mark + b"x", b"", b"\x00" * 72):
            await fleet.manager.lifetime.compare("w-liar", forged)
        assert fleet.manager.lifetime.epoch == epoch
