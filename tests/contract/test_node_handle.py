"""Whoever holds a `NodeHandle` cannot tell what is behind it: a role here, one elsewhere, or a simulation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import time
from typing import Any

import anyio
import msgpack
import pytest
from msgspec.structs import replace
from taskmessenger.core.errors import Conflict, NotFound, Refused, UsageError
from taskmessenger.core.filter import Range
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Act, EventRow, Group, NodeHandle, Snapshot, TaskQuery
from taskmessenger.net.client import join
from taskmessenger.net.security.invites import decode
from taskmessenger.roles import telemetry, workers_past
from taskmessenger.screens.fake import FakeNode, FakeWorker

from tests.support.nodes import BOUND, Nodes, a_fleet, from_elsewhere, until, until_so

KIND = "hash"


class Subject:
    """A handle, and how to let time pass for it."""

    def __init__(self, handle: NodeHandle, read_only: NodeHandle, worker: NodeHandle) -> None:
        self.handle, self.read_only, self.worker = handle, read_only, worker

    async def until(self, condition: Any) -> None:
        """Wait until `condition(snapshot)` holds."""

        def holds() -> bool:
            for node in (self.handle, self.worker):
                if isinstance(node, FakeNode | FakeWorker):
                    node.advance(0.3)
            return bool(condition(self.handle.snapshot()))

        await until(holds)

    async def knock(self, number: int) -> None:
        """So many members join that have to wait for approval."""
        if isinstance(self.handle, FakeNode):
            self.handle.knock(number)
            return
        text, _ = await self.handle.make_invite(number, 60.0, "client", True)
        with TemporaryDirectory() as folder:
            for place in range(number):
                await join(decode(text, time()), f"c{place}", Path(folder) / str(place))

    async def ended(self, ids: list[int]) -> None:
        """Wait until these have."""

        async def have() -> bool:
            if isinstance(self.handle, FakeNode):
                self.handle.advance(1.0)
            return len(await self.handle.outcomes(ids)) == len(ids)

        await until_so(have)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as quick, a_fleet(tmp_path_factory.mktemp("fleet")) as nodes:
        # Steps of the past, and looks at who waits, come sooner than in life.
        quick.setattr(workers_past, "STEP", 0.2)
        quick.setattr(telemetry, "MEMBERS_SECONDS", 0.5)
        yield nodes


@pytest.fixture(scope="module", params=["in-process", "remote", "fake"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    with ExitStack() as stack:
        if request.param == "fake":
            yield Subject(FakeNode(tasks=500), FakeNode(read_only=True), FakeWorker())
            return
        nodes: Nodes = request.getfixturevalue("fleet")
        reading = stack.enter_context(from_elsewhere(nodes.paths, read_only=True))
        handle = nodes.manager
        if request.param == "remote":
            handle = stack.enter_context(from_elsewhere(nodes.paths))
        yield Subject(handle, reading, nodes.worker)


def payloads(*values: Any) -> list[bytes]:
    return [msgpack.packb(value) for value in values]


async def all_events(node: NodeHandle, cursor: int = 0) -> list[EventRow]:
    rows: list[EventRow] = []
    while (page := node.events(cursor)).rows:
        rows += page.rows
        cursor = page.cursor
    return rows


async def test_a_snapshot_shows_the_fleet(subject) -> None:
    await subject.until(lambda seen: any(row.state == "connected" for row in seen.workers))
    await subject.until(
        lambda seen: any(row.role == "worker" and row.state == "connected" for row in seen.sessions)
    )
    seen: Snapshot = subject.handle.snapshot()
    assert (seen.role, seen.connected) == ("manager", True)
    assert seen.fleet is not None
    assert seen.fleet.manager == "lab"
    assert seen.fleet.workers >= 1
    row = next(row for row in seen.workers if row.state == "connected")
    assert row.capacity >= 1
    assert KIND in row.kinds
    assert {kind.name for kind in seen.kinds} >= {KIND}
    assert next(kind for kind in seen.kinds if kind.name == KIND).workers >= 1


async def test_tasks_are_submitted_run_and_found(subject) -> None:
    handle: NodeHandle = subject.handle
    ids = await handle.submit([Group(KIND, payloads("a", "b", "c"), batch="mine")])
    assert len(ids) == 3
    await subject.ended(ids)
    page = await handle.tasks(TaskQuery(ids=tuple(ids)))
    assert [row.id for row in page.rows] == sorted(ids, reverse=True)
    assert {row.state for row in page.rows} == {TaskState.SUCCEEDED}
    assert {row.batch for row in page.rows} == {"mine"}
    found = await handle.count(TaskQuery(batches=("mine",), ids=tuple(ids)))
    assert (found.number, found.exact) == (3, True)


async def test_pages_follow_one_another_without_a_gap(subject) -> None:
    handle: NodeHandle = subject.handle
    ids = await handle.submit([Group(KIND, payloads(*"abcdefghij"))])
    await subject.ended(ids)
    query, seen = TaskQuery(ids=tuple(ids), limit=4), list[int]()
    while True:
        page = await handle.tasks(query)
        seen += [row.id for row in page.rows]
        if not page.more:
            break
        query = TaskQuery(ids=tuple(ids), limit=4, at=page.next)
    assert seen == sorted(ids, reverse=True)


async def test_one_task_is_shown_whole(subject) -> None:
    handle: NodeHandle = subject.handle
    (task_id,) = await handle.submit([Group(KIND, payloads("whole"))])
    await subject.ended([task_id])
    detail = await handle.task(task_id)
    assert msgpack.unpackb(detail.payload) == "whole"
    assert detail.result_size
    (outcome,) = await handle.outcomes([task_id])
    assert len(outcome.result) == detail.result_size
    assert (await handle.task(task_id, payload_limit=1)).payload is None


async def test_a_task_that_runs_has_a_time_that_is_filtered_and_sorted_by(subject) -> None:
    handle: NodeHandle = subject.handle
    kind = "hash" if isinstance(handle, FakeNode) else "wait"
    ids = await handle.submit([Group(kind, payloads(30.0))])
    running = TaskQuery(ids=tuple(ids), ranges=(Range("run", 0.001),), sort="run")

    async def runs() -> bool:
        if isinstance(handle, FakeNode):
            handle.advance(1.0)
        return bool((await handle.tasks(running)).rows)

    await until_so(runs)
    (row,) = (await handle.tasks(running)).rows
    assert (row.state, (await handle.count(running)).number) == (TaskState.RUNNING, 1)
    detail = (await handle.task(ids[0])).row
    assert row.started_at == detail.started_at
    assert row.started_at >= row.submitted_at
    assert 0.001 < row.run_seconds <= detail.run_seconds, "it goes on"
    longer = replace(running, ranges=(Range("run", 1e6),))
    assert not (await handle.tasks(longer)).rows
    await handle.act(Act("cancel", ids=tuple(ids)))
    await subject.ended(ids)
    (row,) = (await handle.tasks(TaskQuery(ids=tuple(ids)))).rows
    assert row.started_at is None


async def test_a_task_that_never_was_is_not_found(subject) -> None:
    with pytest.raises(NotFound):
        await subject.handle.task(10**12)


async def test_what_happens_is_told_in_order_and_once(subject) -> None:
    handle: NodeHandle = subject.handle
    cursor = 0
    while page := handle.events(cursor):
        if page.cursor == cursor:
            break
        cursor = page.cursor
    (task_id,) = await handle.submit([Group(KIND, payloads("event"))])
    await subject.ended([task_id])
    rows: list[EventRow] = []

    def told() -> bool:
        nonlocal cursor
        page = handle.events(cursor)
        rows.extend(page.rows)
        cursor = page.cursor
        return any(row.what.startswith("task.") for row in rows)

    await subject.until(lambda _: told())
    assert [row.number for row in rows] == sorted({row.number for row in rows})
    assert all(row.level in {"debug", "info", "warning", "error"} for row in rows)


async def test_a_cursor_from_the_future_starts_over_at_the_newest(subject) -> None:
    page = subject.handle.events(10**9)
    assert not page.rows
    assert page.cursor < 10**9


async def test_a_pause_holds_new_tasks_and_a_resume_lets_them_run(subject) -> None:
    handle: NodeHandle = subject.handle
    await handle.act(Act("pause", scope="all"))
    (task_id,) = await handle.submit([Group(KIND, payloads("held"))])
    await subject.until(lambda seen: seen.fleet.paused == ("all",))
    row = (await handle.tasks(TaskQuery(ids=(task_id,)))).rows[0]
    assert row.state == TaskState.QUEUED
    await handle.act(Act("resume", scope="all"))
    await subject.ended([task_id])
    await subject.until(lambda seen: not seen.fleet.paused)


async def test_a_waiting_task_is_cancelled(subject) -> None:
    handle: NodeHandle = subject.handle
    ids = await handle.submit([Group("nobody-offers-this", payloads(1, 2))])
    done = await handle.act(Act("cancel", ids=tuple(ids)))
    assert (done.count, sorted(done.ids)) == (2, ids)
    page = await handle.tasks(TaskQuery(ids=tuple(ids)))
    assert {row.state for row in page.rows} == {TaskState.CANCELLED}
    assert (await handle.act(Act("cancel", ids=tuple(ids)))).count == 0


async def test_a_kind_that_nobody_offers_raises_an_alarm(subject) -> None:
    handle: NodeHandle = subject.handle
    ids = await handle.submit([Group("render", payloads(1, 2))])
    await subject.until(lambda seen: any(alarm.code == "no_worker" for alarm in seen.alarms))
    alarm = next(alarm for alarm in handle.snapshot().alarms if alarm.code == "no_worker")
    assert "no worker offers `render`" in alarm.text
    assert alarm.scope == "kind:render"
    detail = await handle.task(ids[0])
    assert detail.waits_for == "no worker offers `render`"
    await handle.act(Act("cancel", ids=tuple(ids)))


async def test_a_retry_of_what_succeeded_does_nothing(subject) -> None:
    handle: NodeHandle = subject.handle
    (task_id,) = await handle.submit([Group(KIND, payloads("fine"))])
    await subject.ended([task_id])
    assert (await handle.act(Act("retry", ids=(task_id,)))).count == 0


async def test_a_resubmitted_task_is_a_new_one_with_the_same_payload(subject) -> None:
    handle: NodeHandle = subject.handle
    (old,) = await handle.submit([Group(KIND, payloads("again"), batch="first")])
    await subject.ended([old])
    (new,) = (await handle.act(Act("resubmit", ids=(old,)))).ids
    assert new > old
    await subject.ended([new])
    detail = await handle.task(new)
    assert msgpack.unpackb(detail.payload) == "again"
    assert detail.row.batch == "first"
    assert (await handle.task(old)).row.state == TaskState.SUCCEEDED, "the old one stays as it was"


async def test_an_edited_task_is_a_new_one_with_the_new_payload(subject) -> None:
    handle: NodeHandle = subject.handle
    (old,) = await handle.submit([Group(KIND, payloads("wrnog"))])
    await subject.ended([old])
    (new,) = (await handle.act(Act("edit", ids=(old,), payload=payloads("right")[0]))).ids
    assert msgpack.unpackb((await handle.task(new)).payload) == "right"
    assert msgpack.unpackb((await handle.task(old)).payload) == "wrnog"
    with pytest.raises(UsageError):
        await handle.act(Act("edit", ids=(old,)))


async def test_everything_that_matches_is_acted_on_and_many_more_than_confirmed_are_not(subject) -> None:
    handle: NodeHandle = subject.handle
    ids = await handle.submit([Group("nobody-runs-this", payloads(*range(40)))])
    query = TaskQuery(kinds=("nobody-runs-this",), states=(TaskState.QUEUED.value,))
    assert (await handle.count(query)).number == 40
    with pytest.raises(Conflict):
        await handle.act(Act("cancel", query=query, expected=3))
    assert (await handle.act(Act("set_priority", query=query, expected=40, number=7))).count == 40
    page = await handle.tasks(TaskQuery(ids=tuple(ids)))
    assert {row.priority for row in page.rows} == {7}
    assert (await handle.act(Act("cancel", query=query, expected=40))).count == 40
    assert (await handle.count(query)).number == 0


async def test_a_worker_is_limited_and_freed_again(subject) -> None:
    handle: NodeHandle = subject.handle
    await subject.until(lambda seen: any(row.state == "connected" for row in seen.workers))
    worker = next(row for row in handle.snapshot().workers if row.state == "connected")

    def limit(seen: Snapshot) -> int:
        return next(row.limit for row in seen.workers if row.id == worker.id)

    await handle.act(Act("limit", scope=f"worker:{worker.id}", number=1))
    await subject.until(lambda seen: limit(seen) == 1)
    await handle.act(Act("limit", scope=f"worker:{worker.id}", number=-1))
    await subject.until(lambda seen: limit(seen) > 1)


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (Act("conquer"), UsageError),
        (Act("pause", scope="the world"), UsageError),
        (Act("pause", query=TaskQuery()), UsageError),
        (Act("drain", scope="worker:nobody", number=1.0), NotFound),
        (Act("limit", scope="worker:nobody", number=1.0), NotFound),
        (Act("revoke", scope="worker:nobody"), NotFound),
        (Act("approve", scope="worker:nobody"), NotFound),
    ],
)
async def test_an_act_that_makes_no_sense_is_refused_with_a_reason(subject, act, error) -> None:
    with pytest.raises(error) as raised:
        await subject.handle.act(act)
    assert str(raised.value)


async def test_invites_are_made_listed_and_revoked(subject) -> None:
    handle: NodeHandle = subject.handle
    text, row = await handle.make_invite(2, 60.0, "worker")
    assert text.startswith("tm1-")
    assert (row.uses, row.uses_left, row.role) == (2, 2, "worker")
    assert row.id in {one.id for one in await handle.invites()}
    await handle.revoke_invite(row.id)
    assert next(one for one in await handle.invites() if one.id == row.id).revoked_at is not None
    with pytest.raises(NotFound):
        await handle.revoke_invite(row.id)


async def test_an_invite_says_what_it_asks_for(subject) -> None:
    handle: NodeHandle = subject.handle
    _, row = await handle.make_invite(1, 60.0, "worker", True, True)
    found = next(one for one in await handle.invites() if one.id == row.id)
    assert (row.approve, row.ephemeral) == (found.approve, found.ephemeral) == (True, True)
    await handle.revoke_invite(row.id)


async def test_members_that_wait_are_shown_approved_once_and_rejected(subject) -> None:
    handle: NodeHandle = subject.handle
    assert await handle.pending() == []
    await subject.knock(2)
    one, other = await handle.pending()
    assert one.fingerprint != other.fingerprint
    assert one.until > one.since
    await subject.until(lambda seen: any(alarm.code == "pending" for alarm in seen.alarms))
    alarm = next(alarm for alarm in handle.snapshot().alarms if alarm.code == "pending")
    assert alarm.text == "2 members wait for approval"
    await handle.act(Act("approve", scope=f"worker:{one.id}"))
    assert [row.id for row in await handle.pending()] == [other.id]
    with pytest.raises(Conflict):
        await handle.act(Act("approve", scope=f"worker:{one.id}"))
    await handle.act(Act("revoke", scope=f"worker:{other.id}"))
    assert await handle.pending() == []
    with pytest.raises(Conflict):
        await handle.act(Act("approve", scope=f"worker:{other.id}"))
    await subject.until(lambda seen: all(alarm.code != "pending" for alarm in seen.alarms))
    if not isinstance(handle, FakeNode):
        await handle.act(Act("revoke", scope=f"worker:{one.id}"))


async def test_kinds_say_what_they_want(subject) -> None:
    kinds = {kind.name: kind for kind in await subject.handle.kind_schemas()}
    assert kinds[KIND].doc
    assert kinds[KIND].workers >= 1
    assert kinds[KIND].schema["type"]
    assert msgpack.unpackb(kinds[KIND].example)


async def test_settings_say_where_they_came_from(subject) -> None:
    rows = {row.key: row for row in await subject.handle.settings()}
    assert rows["leases.ttl"].origin == "default"
    assert rows["leases.ttl"].value == rows["leases.ttl"].default
    assert rows["leases.ttl"].doc
    assert rows["name"].origin != "default"


async def test_the_network_says_where_it_listens(subject) -> None:
    info = await subject.handle.network()
    assert any(address.startswith("tcp://") for address in info.addresses)
    assert info.rows
    assert all(row.state in {"ok", "warn", "bad"} for row in info.rows)


async def test_a_read_only_handle_shows_everything_and_changes_nothing(subject) -> None:
    handle: NodeHandle = subject.read_only
    assert handle.read_only
    assert handle.snapshot().fleet is not None
    await subject.handle.make_invite(1, 60.0, "worker")
    assert {row.role for row in await handle.invites()} >= {"worker"}
    assert await handle.pending() == []
    for call in (
        lambda: handle.act(Act("pause", scope="all")),
        lambda: handle.submit([Group(KIND, payloads(1))]),
        lambda: handle.make_invite(1, 60.0, "worker"),
        lambda: handle.act(Act("approve", scope="worker:x")),
        lambda: handle.revoke_invite("x"),
    ):
        with pytest.raises(Refused):
            await call()


async def test_snapshots_and_events_may_be_read_from_any_thread(subject) -> None:
    handle: NodeHandle = subject.handle
    wrong: list[BaseException] = []

    def read() -> None:
        cursor = 0
        try:
            for _ in range(200):
                seen = handle.snapshot()
                assert seen.role == "manager"
                page = handle.events(cursor, 50)
                assert [row.number for row in page.rows] == sorted(row.number for row in page.rows)
                cursor = page.cursor
        except BaseException as error:
            wrong.append(error)

    threads = [Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    await handle.submit([Group(KIND, payloads(*map(str, range(100))))])
    for thread in threads:
        await anyio.to_thread.run_sync(thread.join, BOUND)
        assert not thread.is_alive()
    assert not wrong


async def test_a_worker_shows_itself(subject) -> None:
    worker: NodeHandle = subject.worker
    assert worker.role == "worker"
    await subject.until(lambda _: worker.snapshot().worker.state == "connected")
    me = worker.snapshot().worker
    assert me.capacity >= 1
    assert me.manager == "lab"
    assert me.certificate_until > 0
    with pytest.raises(UsageError, match="this is a worker"):
        await worker.tasks(TaskQuery())
    with pytest.raises(UsageError):
        await worker.act(Act("cancel", ids=(1,)))


async def test_a_worker_is_paused_resumed_disconnected_and_linked_again_by_its_own_operator(subject) -> None:
    worker: NodeHandle = subject.worker

    def state() -> str:
        return worker.snapshot().worker.state

    for verb, wanted in (("pause", "paused"), ("resume", "connected"), ("disconnect", "away")):
        await worker.act(Act(verb))
        await subject.until(lambda _, wanted=wanted: state() == wanted)
    assert "disconnected by its operator" in worker.snapshot().worker.reason
    await worker.act(Act("start"))
    await subject.until(lambda _: state() == "connected")


async def test_a_worker_that_has_drained_says_so_keeps_its_numbers_and_is_started_again(subject) -> None:
    worker: NodeHandle = subject.worker
    if isinstance(subject.handle, FakeNode):
        worker.advance(60)
    else:
        await subject.ended(await subject.handle.submit([Group(KIND, payloads("once"))]))
        await subject.until(lambda _: worker.snapshot().worker.done)
    before = worker.snapshot()
    last = before.worker
    events = (await all_events(worker))[-1:]
    await worker.act(Act("drain", number=5.0))
    await subject.until(lambda _: worker.snapshot().ended)
    over = worker.snapshot()
    assert (over.connected, over.worker.state, over.worker.running) == (False, "stopped", ())
    assert over.reason
    assert over.worker.done >= last.done
    assert over.worker.sent >= last.sent
    await subject.until(lambda seen: any(row.state == "offline" and row.done for row in seen.workers))
    await worker.act(Act("start"))
    await subject.until(lambda _: worker.snapshot().worker.state == "connected")
    assert (worker.snapshot().ended, worker.snapshot().connected) == (False, True)
    later = await all_events(worker)
    assert [row for row in later if events and row.number == events[0].number] == events, "events go on"
    await subject.until(lambda seen: any(row.state == "connected" for row in seen.workers))


async def test_a_worker_that_drains_says_until_when_and_how_much_is_left(subject) -> None:
    worker: NodeHandle = subject.worker
    await subject.until(lambda _: worker.snapshot().worker.state == "connected")
    handle: NodeHandle = subject.handle
    ids = [] if isinstance(handle, FakeNode) else await handle.submit([Group("wait", payloads(2.0))])
    await subject.until(lambda _: worker.snapshot().worker.running)
    now = worker.snapshot().at
    await worker.act(Act("drain", number=60.0))
    await subject.until(lambda _: worker.snapshot().worker.leave_by)
    me = worker.snapshot().worker
    assert me.state == "draining"
    assert 50 < me.leave_by - now < 70
    assert me.leaving >= len(me.running) >= 1
    await subject.until(lambda _: worker.snapshot().ended)
    await worker.act(Act("start"))
    await subject.until(lambda _: worker.snapshot().worker.state == "connected")
    assert len(await handle.outcomes(ids)) == len(ids)


async def test_the_node_remembers_the_last_minutes_of_a_worker_for_whoever_looks_later(subject) -> None:
    handle: NodeHandle = subject.handle
    await subject.until(lambda seen: any(row.state == "connected" for row in seen.workers))
    worker = next(row for row in handle.snapshot().workers if row.state == "connected")

    async def known() -> bool:
        past = await handle.worker_past(worker.id)
        return len(past.cpu) >= 2 and past.cpu[-1] >= 0

    await until_so(known)
    past = await handle.worker_past(worker.id)
    assert past.step > 0
    assert len(past.cpu) == len(past.memory) == len(past.busy) == len(past.ended)
    assert all(-1 <= value <= 1 for value in (*past.cpu, *past.memory, *past.busy))
    if not isinstance(handle, FakeNode):
        assert "worker.connected" in [row.what for row in past.events]
    assert not (await handle.worker_past("nobody")).cpu
