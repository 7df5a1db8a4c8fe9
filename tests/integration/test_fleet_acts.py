"""What operators do to tasks by the hundred: on everything that matches a filter, and only on that."""

from __future__ import annotations

import logging
from time import time

import msgspec
import pytest
from taskmessenger.core.errors import Conflict, NotFound, Refused, UsageError
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Act, ActDone, TaskQuery
from taskmessenger.handle.acting import act_on_all
from taskmessenger.handle.filters import query_of
from taskmessenger.remote import Remote
from taskmessenger.roles import task_acts
from taskmessenger.store import pages

from tests.support.fleet import a_fleet, results, running, submit
from tests.support.runtimes import until


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_acts, "PART", 7)
    monkeypatch.setattr(task_acts, "STEP", 20)
    monkeypatch.setattr(pages, "FIRST_STEP", 16)


async def act(remote: Remote, verb: str, text: str, **more: object) -> ActDone:
    return await act_on_all(remote.act, Act(verb, query=query_of(text, time()), **more))  # type: ignore[arg-type]


async def count(remote: Remote, text: str) -> int:
    found = await remote.count(query_of(text, time()), 10_000)
    assert found.exact
    return found.number


async def test_all_that_match_are_cancelled_and_no_others(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        await submit(remote, "hold", *range(100), batch="x")
        await submit(remote, "hold", *range(30), batch="y")
        steps: list[int] = []
        wish = Act("cancel", query=query_of("batch:x state:queued", time()), expected=100)
        done = await act_on_all(remote.act, wish, steps.append)
        assert (done.count, len(done.ids)) == (100, 100)
        assert steps == sorted(steps)
        assert len(steps) >= 4
        assert await count(remote, "state:cancelled") == await count(remote, "batch:x") == 100
        assert await count(remote, "batch:y state:queued") == 30


async def test_many_more_than_were_confirmed_are_left_alone(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        await submit(remote, "hold", *range(60))
        with pytest.raises(Conflict, match="look again"):
            await act(remote, "cancel", "kind:hold", expected=20)
        assert await count(remote, "state:open") == 60
        assert (await act(remote, "cancel", "kind:hold", expected=55)).count == 60


async def test_failed_tasks_are_retried_by_a_filter(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        ids = await submit(remote, "no-such-kind", 1)
        await remote.command("cancel", ids=ids)
        assert (await act(remote, "retry", "state:failed,cancelled")).count == 0


async def test_what_a_worker_runs_now_is_found_and_cancelled(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker(capacity=2, prefetch=0)
        ids = await submit(remote, "hold", *range(5))
        await running(fleet, *ids[:2])
        page = await remote.page(query_of(f"worker:{node.id} state:running", time()))
        assert {row.id for row in page.rows} == set(ids[:2])
        assert (await act(remote, "cancel", f"state:running worker:{node.id}")).count == 2
        await running(fleet, *ids[2:4])


async def test_tasks_are_submitted_anew_with_their_payloads(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        await fleet.worker(capacity=8)
        old = await submit(remote, "echo", *range(30), "x" * 70_000, batch="b", priority=3)
        first = await results(remote, old)
        done = await act(remote, "resubmit", "batch:b state:succeeded", expected=31)
        assert done.count == 31
        assert not set(done.ids) & set(old)
        again = await results(remote, done.ids)
        assert sorted(one.result for one in again.values()) == sorted(one.result for one in first.values())
        row = (await remote.page(TaskQuery(ids=(done.ids[0],)))).rows[0]
        assert (row.batch, row.priority, row.key) == ("b", 3, None)
        (one,) = (await remote.act(Act("resubmit", (old[0],)))).ids
        assert (await results(remote, [one]))[one].result == first[old[0]].result
        with pytest.raises(NotFound):
            await remote.act(Act("resubmit", (old[0], 9_999)))


async def test_an_edited_task_is_a_new_one_and_the_old_one_stays(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        (old,) = await submit(remote, "echo", "before")
        payload = msgspec.msgpack.encode("after")
        with pytest.raises(Conflict, match="has not ended"):
            await remote.act(Act("edit", (old,), payload=payload))
        await fleet.worker()
        await results(remote, [old])
        (new,) = (await remote.act(Act("edit", (old,), payload=payload))).ids
        assert (await results(remote, [new]))[new].result == payload
        assert (await remote.detail(old)).payload == msgspec.msgpack.encode("before")
        with pytest.raises(UsageError):
            await remote.act(Act("edit", (old, new), payload=payload))


async def test_a_raised_priority_is_served_first_after_a_restart_too(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator(patience=20) as remote:
        ids = await submit(remote, "hold", *range(40))
        done = await act(remote, "set_priority", f"id:{ids[-2]}..{ids[-1]} state:queued", number=9)
        assert done.count == 2
        with pytest.raises(UsageError, match="priority"):
            await act(remote, "set_priority", "kind:hold", number=1000)
        await fleet.kill()
        await fleet.start()
        assert await count(remote, "priority:9") == 2
        await fleet.worker(capacity=2, prefetch=0)
        await running(fleet, *ids[-2:])


async def test_a_limited_worker_runs_fewer_until_the_limit_ends(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator(patience=20) as remote:
        node = await fleet.worker(capacity=4, prefetch=8)
        await remote.act(Act("limit", scope=f"worker:{node.id}", number=1))
        await submit(remote, "hold", *range(6))
        await until(lambda: len(node.puppet.running) == 1)
        assert len(fleet.pool.workers[node.id].held) == 1
        assert (await remote.workers())[0].capacity == 1
        await remote.act(Act("limit", scope=node.id, number=-1))
        await until(lambda: len(node.puppet.running) == 4)
        for wrong in (0.5, -2.0, 1e9):
            with pytest.raises(UsageError):
                await remote.act(Act("limit", scope=node.id, number=wrong))
        with pytest.raises(NotFound):
            await remote.act(Act("limit", scope="worker:w-nobody", number=1))


async def test_acts_that_make_no_sense_change_nothing(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        await submit(remote, "hold", *range(3))
        for verb in ("edit", "pause", "explode"):
            with pytest.raises(UsageError):
                await act(remote, verb, "kind:hold")
        async with fleet.client(await fleet.member("client", "c-one-0001")) as client:
            with pytest.raises(Refused):
                await act(client, "resubmit", "kind:hold")
        assert await count(remote, "state:queued") == 3


async def test_every_act_leaves_a_line_for_who_wants_to_know_all(tmp_path, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        ids = await submit(remote, "hold", 1)
        await remote.command("cancel", ids=ids)
        await act(remote, "cancel", "kind:hold", expected=0)
        with pytest.raises(NotFound):
            await remote.act(Act("limit", scope="worker:w-nobody", number=1))
    audited = [one for one in caplog.records if one.name.endswith(".audit")]
    records = [one for one in audited if not one.getMessage().startswith("manager: ")]
    assert {one.levelno for one in records} == {logging.DEBUG}
    cancelled, found, refused = (one.getMessage() for one in records)
    assert cancelled == f"local: cancel {ids[0]}: done"
    assert found == "local: cancel kind:hold: done"
    assert refused.startswith("local: limit worker:w-nobody 1: refused: there is no worker")


async def test_states_that_only_the_manager_knows_are_counted(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        await fleet.worker(capacity=2, prefetch=0)
        ids = await submit(remote, "hold", *range(5))
        await running(fleet, *ids[:2])
        assert await count(remote, "state:running") == 2
        assert await count(remote, "state:queued") == 3
        assert await count(remote, "-state:running") == 3
        assert await count(remote, "state:running attempt:1 kind:hold") == 2
        assert {TaskState(row.state) for row in (await remote.page(TaskQuery(sort="state"))).rows} == {
            TaskState.RUNNING, TaskState.QUEUED,
        }  # fmt: skip


async def test_priorities_and_payloads_up_to_their_bounds_are_taken(tmp_path) -> None:
    async with a_fleet(tmp_path, max_payload=1_000) as fleet, fleet.operator() as remote:
        (task,) = await submit(remote, "hold", 1)
        for number in (-task_acts.MAX_PRIORITY, task_acts.MAX_PRIORITY):
            await remote.act(Act("set_priority", (task,), number=number))
            assert (await remote.detail(task)).row.priority == number
        for number in (-101, 101, 0.5):
            with pytest.raises(UsageError, match="no whole number"):
                await remote.act(Act("set_priority", (task,), number=number))
        await remote.act(Act("cancel", (task,)))
        body = msgspec.msgpack.encode(bytes(997))
        assert len(body) == 1_000
        with pytest.raises(UsageError, match="over this manager's limit"):
            await remote.act(Act("edit", (task,), payload=msgspec.msgpack.encode(bytes(998))))
        (new,) = (await remote.act(Act("edit", (task,), payload=body))).ids
        assert (await remote.detail(new)).payload_size == 1_000
        with pytest.raises(NotFound, match="no task 9999"):
            await remote.act(Act("edit", (9_999,), payload=body))


async def test_a_task_that_is_named_twice_is_submitted_anew_once(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        ids = await submit(remote, "nobody", *range(70))
        done = await remote.act(Act("resubmit", (ids[0], *ids, ids[0])))
        assert (done.count, len(set(done.ids))) == (70, 70)
