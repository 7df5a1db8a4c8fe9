"""The simulated fleet holds together: what is counted is what is listed; the same seed is the same fleet."""

from __future__ import annotations

import tracemalloc

import pytest
from taskmessenger.core.errors import Conflict, NotFound
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Act, Group, TaskQuery
from taskmessenger.handle.filters import query_of
from taskmessenger.kinds import NAMES
from taskmessenger.screens.fake import DEMO, FakeNode


async def test_the_same_seed_is_the_same_fleet() -> None:
    one, two, other = FakeNode(seed=3), FakeNode(seed=3), FakeNode(seed=4)
    assert one.snapshot() == two.snapshot()
    assert await one.tasks(TaskQuery()) == await two.tasks(TaskQuery())
    assert one.events(0) == two.events(0)
    assert one.snapshot() != other.snapshot()


async def test_time_stands_still_until_it_is_moved() -> None:
    node = FakeNode()
    before = node.snapshot()
    assert node.snapshot() is before
    node.advance(10)
    assert node.snapshot().fleet.accepted > before.fleet.accepted


@pytest.mark.parametrize("state", list(TaskState))
async def test_totals_are_what_can_be_counted(state) -> None:
    node = FakeNode(tasks=2_000)
    node.advance(37)
    found = await node.count(TaskQuery(states=(state.value,)))
    assert found.exact
    assert found.number == node.snapshot().fleet.totals[state.word]


async def test_totals_stay_right_when_operators_act() -> None:
    node = FakeNode(tasks=2_000)
    await node.act(Act("cancel", query=query_of("state:queued,running", node.now)))
    failed = [row.id for row in (await node.tasks(query_of("state:failed", node.now, limit=5))).rows]
    await node.act(Act("retry", ids=tuple(failed)))
    await node.submit([Group("hash", [b"\xc0"] * 3)])
    for _ in range(4):
        totals = node.snapshot().fleet.totals
        for state in TaskState:
            assert (await node.count(TaskQuery(states=(state.value,)))).number == totals[state.word], state
        node.advance(1.5)


async def test_a_task_only_moves_forward() -> None:
    node = FakeNode(tasks=300)
    ids = tuple(range(250, 300))
    before = {row.id: row.state for row in (await node.tasks(TaskQuery(ids=ids))).rows}
    for _ in range(60):
        node.advance(2.0)
        now = {row.id: row.state for row in (await node.tasks(TaskQuery(ids=ids))).rows}
        assert all(now[i] >= before[i] for i in ids)
        before = now
    assert all(TaskState(state).final for state in before.values())


async def test_a_million_rows_cost_nothing_until_they_are_looked_at() -> None:
    few, many = await memory_for(10_000), await memory_for(1_000_000)
    assert many - few < 8 * 1_000_000, "not even a number for each that is not looked at"


async def memory_for(tasks: int) -> int:
    """The most that a look at so many tasks takes, in bytes."""
    tracemalloc.start()
    try:
        await _look(tasks)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def _look(tasks: int) -> None:
    node = FakeNode(tasks=tasks, workers=200, rate=330, events=1_000)
    page = await node.tasks(TaskQuery(limit=100))
    assert page.rows[0].id == tasks
    oldest = await node.tasks(TaskQuery(after=0, limit=100))
    assert [row.id for row in oldest.rows] == list(range(1, 101))
    assert len(node.snapshot().workers) == 200


async def test_a_search_that_finds_nothing_says_how_far_it_came() -> None:
    node = FakeNode(tasks=1_000_000)
    page = await node.tasks(query_of("nosuchthing", node.now))
    assert page.more
    assert page.searched_to is not None
    assert page.next is not None
    following = await node.tasks(query_of("nosuchthing", node.now, at=page.next))
    assert following.searched_to < page.searched_to


async def test_other_orders_are_paged_without_a_gap() -> None:
    node = FakeNode(tasks=300)
    query, seen = TaskQuery(sort="run", limit=70), []
    while True:
        page = await node.tasks(query)
        seen += page.rows
        if not page.more:
            break
        query = TaskQuery(sort="run", limit=70, at=page.next)
    assert len({row.id for row in seen}) == len(seen) > 200
    assert [row.run_seconds for row in seen] == sorted((row.run_seconds for row in seen), reverse=True)


async def test_many_more_than_were_confirmed_are_not_touched() -> None:
    node = FakeNode()
    with pytest.raises(Conflict):
        await node.act(Act("cancel", query=query_of("state:queued", node.now), expected=1))


async def test_a_worker_that_drains_is_gone_in_the_end() -> None:
    node = FakeNode()
    await node.act(Act("drain", scope="worker:w-fern-00", number=5.0))
    assert {row.id: row.state for row in node.snapshot().workers}["w-fern-00"] == "draining"
    node.advance(6)
    assert {row.id: row.state for row in node.snapshot().workers}["w-fern-00"] == "offline"
    with pytest.raises(NotFound):
        await node.act(Act("drain", scope="worker:w-fern-00", number=5.0))


def test_a_node_that_is_away_shows_what_was_last_known() -> None:
    node = FakeNode()
    before = node.snapshot()
    node.away()
    node.advance(30)
    seen = node.snapshot()
    assert not seen.connected
    assert seen.reason
    assert seen.at == before.at
    node.back()
    assert node.snapshot().connected


async def test_the_fleet_to_look_around_in_has_the_kinds_of_the_product_and_one_cause_to_be_found() -> None:
    node = FakeNode(tasks=20_000, scene=DEMO)
    seen = node.snapshot()
    assert {row.name for row in seen.kinds} <= set(NAMES)
    failed = (await node.tasks(query_of("state:failed,timed_out", node.now, limit=200))).rows
    (ill,) = {row.worker for row in failed}
    assert len({row.kind for row in failed}) > 3, "it is not the kind"
    loads = {row.id: row.load["cpu"] for row in seen.workers if "cpu" in row.load}
    assert max(loads, key=loads.__getitem__) == ill
    assert len(set(loads.values())) == len(loads), "no two are equal"
    ended = (await node.tasks(query_of("kind:hash state:succeeded", node.now, limit=1_000))).rows
    slow = [row.run_seconds for row in ended if row.worker == ill]
    others = [row.run_seconds for row in ended if row.worker != ill]
    assert slow
    assert sum(slow) / len(slow) > 3 * sum(others) / len(others)
    done = {row.id: row.done for row in seen.workers if row.id in loads}
    assert min(done, key=done.__getitem__) == ill
