"""Nodes on threads of their own: they start or say why not, outlive trouble, come back, and end when told."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import msgpack
import pytest
from msgspec.structs import replace
from taskmessenger import hosted
from taskmessenger.config.model import Transport
from taskmessenger.core.errors import Conflict, TaskMessengerError, Unreachable, UsageError
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Act, Group, TaskQuery
from taskmessenger.net.client import connect_locally
from taskmessenger.paths import under

from tests.support.nodes import Nodes, a_fleet, a_manager, from_elsewhere, manager_config, until, until_so

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def nodes(tmp_path) -> Iterator[Nodes]:
    with a_fleet(tmp_path) as fleet:
        yield fleet


def test_a_manager_that_cannot_start_says_why(tmp_path) -> None:
    with a_manager(tmp_path) as (_, paths), pytest.raises(TaskMessengerError) as raised:
        hosted.manager(manager_config(), paths, {}).start()
    assert str(raised.value)


def test_an_address_that_is_taken_is_a_conflict(tmp_path) -> None:
    with a_manager(tmp_path) as (manager, _):
        taken = manager.snapshot().fleet.listening[0]
        config = replace(manager_config(), transport=Transport(listen=(taken,)))
        with pytest.raises(Conflict):
            hosted.manager(config, under(tmp_path / "other"), {}).start()


def test_nobody_attaches_to_a_manager_that_is_not_there(tmp_path) -> None:
    with pytest.raises(Unreachable):
        hosted.remote(lambda: connect_locally(tmp_path / "no.sock")).start()


async def test_a_node_that_has_ended_is_shown_as_it_last_was(tmp_path) -> None:
    node = hosted.manager(manager_config(), under(tmp_path / "m"), {})
    manager = await anyio.to_thread.run_sync(node.start)
    await manager.stop(0.0)
    assert await anyio.to_thread.run_sync(node.wait, 20.0)
    seen = manager.snapshot()
    assert not seen.connected
    assert seen.reason
    assert seen.fleet is not None
    with pytest.raises(Unreachable):
        await manager.tasks(TaskQuery())


async def test_who_is_attached_sees_a_manager_go_and_come_back(tmp_path) -> None:
    paths = under(tmp_path / "m")
    first = hosted.manager(manager_config(), paths, {})
    manager = await anyio.to_thread.run_sync(first.start)
    ids = await manager.submit([Group("hash", [msgpack.packb("kept")])])
    seen = from_elsewhere(paths)
    remote = await anyio.to_thread.run_sync(seen.start)
    await until(lambda: remote.snapshot().fleet.totals["queued"] == 1)
    cursor = remote.events(0).cursor
    await manager.stop(0.0)
    await until(lambda: not remote.snapshot().connected)
    assert remote.snapshot().fleet.totals["queued"] == 1, "the last that was known stays"
    assert remote.snapshot().reason
    with pytest.raises(Unreachable):
        await remote.act(Act("cancel", ids=tuple(ids)))
    assert await anyio.to_thread.run_sync(first.wait, 20.0)
    second = hosted.manager(manager_config(), paths, {})
    await anyio.to_thread.run_sync(second.start)
    await until(lambda: remote.snapshot().connected)
    assert remote.snapshot().reason == ""
    assert (await remote.act(Act("cancel", ids=tuple(ids)))).ids == ids
    numbers: list[int] = []

    def told() -> bool:
        nonlocal cursor
        page = remote.events(cursor)
        numbers.extend(row.number for row in page.rows)
        cursor = page.cursor
        return any(row.what == "task.cancelled" for row in page.rows)

    await until(told)
    assert numbers == sorted(set(numbers)), "the numbers of a new manager do not begin anew here"
    for node in (seen, second):
        assert await anyio.to_thread.run_sync(node.stop, 0.0)


async def test_leaving_does_not_end_the_manager(tmp_path) -> None:
    with a_manager(tmp_path) as (manager, paths):
        node = from_elsewhere(paths)
        remote = await anyio.to_thread.run_sync(node.start)
        with pytest.raises(UsageError, match="runs elsewhere"):
            await remote.stop(0.0)
        assert await anyio.to_thread.run_sync(node.stop)
        assert (await manager.count(TaskQuery())).number == 0


async def test_what_a_task_says_while_it_runs_is_seen_on_both_sides(nodes) -> None:
    (task_id,) = await nodes.manager.submit([Group("wait", [msgpack.packb(60)])])
    await until(lambda: [row.task for row in nodes.worker.snapshot().worker.running] == [task_id])
    row = nodes.worker.snapshot().worker.running[0]
    assert (row.kind, row.attempt) == ("wait", 1)
    await until(lambda: any(kind.running for kind in nodes.manager.snapshot().kinds))
    await nodes.manager.act(Act("cancel", ids=(task_id,)))
    await until(lambda: nodes.worker.snapshot().worker.history)
    assert nodes.worker.snapshot().worker.history[0].how == "cancelled"


async def test_a_worker_that_its_operator_disconnects_is_known_to_be_away_at_once(nodes) -> None:
    await nodes.worker.act(Act("disconnect"))
    await until(lambda: nodes.manager.snapshot().workers[0].state in {"away", "offline"})

    def ended() -> list[str]:
        sessions = nodes.manager.snapshot().sessions
        return [row.reason for row in sessions if row.state == "ended" and row.role == "worker"]

    await until(ended)
    assert "disconnected by its operator" in ended()[0]
    await nodes.worker.act(Act("start"))
    await until(lambda: nodes.manager.snapshot().workers[0].state == "connected")


async def test_a_paused_worker_takes_nothing_and_the_manager_knows(nodes) -> None:
    await nodes.worker.act(Act("pause"))
    await until(lambda: nodes.manager.snapshot().workers[0].state == "paused")
    (task_id,) = await nodes.manager.submit([Group("hash", [msgpack.packb("later")])])
    # Whoever decides to lease does so with what it decides next, at the latest.
    await nodes.manager.submit([Group("reverse", [msgpack.packb("one more")])])
    page = await nodes.manager.tasks(TaskQuery())
    assert {TaskState(row.state) for row in page.rows} == {TaskState.QUEUED}
    assert {row.attempt for row in page.rows} == {0}, "not even for a moment"
    assert not nodes.worker.snapshot().worker.history
    await nodes.worker.act(Act("resume"))

    async def done() -> bool:
        return bool(await nodes.manager.outcomes([task_id]))

    await until_so(done)


async def test_ten_consoles_look_at_a_time(nodes) -> None:
    consoles = [from_elsewhere(nodes.paths) for _ in range(10)]
    handles = [await anyio.to_thread.run_sync(console.start) for console in consoles]
    await until(lambda: all(handle.snapshot().workers for handle in handles))
    await until(lambda: sum(row.role == "operator" for row in handles[0].snapshot().sessions) >= 10)
    for console in consoles:
        assert await anyio.to_thread.run_sync(console.stop, 0.0)


async def test_a_task_that_is_due_later_waits_for_nobody(nodes: Nodes) -> None:
    now = Group("wait", [msgpack.packb(60)])
    later = replace(Group("reverse", [msgpack.packb("abc")] * 3), delay=600.0)
    await nodes.manager.submit([later, now])
    await until(lambda: any(kind.running for kind in nodes.manager.snapshot().kinds))
    kinds = {kind.name: kind.queued for kind in nodes.manager.snapshot().kinds}
    assert kinds["reverse"] == 0
    assert nodes.manager.snapshot().fleet.totals["scheduled"] == 3
