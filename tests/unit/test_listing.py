"""Who asks again and again may get an answer that was given before; nobody else does."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Pool
from taskmessenger.handle import Count, TaskPage, TaskQuery
from taskmessenger.roles import listing
from taskmessenger.roles.listing import MAX_STALE, MOST_KEPT, Listing

QUERY = TaskQuery(kinds=("hash",), stale=0.2)


class Reader:
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[TaskQuery] = []
        self.counted: list[TaskQuery] = []

    async def page(self, query: TaskQuery) -> TaskPage:
        self.asked.append(query)
        return TaskPage((), more=False)

    async def count(self, query: TaskQuery, most: int) -> Count:
        self.counted.append(query)
        return Count(min(3, most), exact=True)


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(listing, "time", made)
    return made


def a_listing() -> tuple[Listing, Reader]:
    reader: Any = Reader()
    return Listing(Pool, reader), reader


async def test_the_same_question_is_answered_once_for_as_long_as_it_may_be_old(clock: Clock) -> None:
    desk, reader = a_listing()
    for _ in range(10):
        await desk.page(QUERY)
        clock.now += 0.015
    assert len(reader.asked) == 1
    clock.now += 0.2
    await desk.page(QUERY)
    assert len(reader.asked) == 2


async def test_who_allows_nothing_old_gets_nothing_old(clock: Clock) -> None:
    desk, reader = a_listing()
    await desk.page(QUERY)
    await desk.page(replace(QUERY, stale=0.0))
    assert len(reader.asked) == 2


async def test_other_questions_have_answers_of_their_own(clock: Clock) -> None:
    desk, reader = a_listing()
    for query in (QUERY, replace(QUERY, limit=3), replace(QUERY, kinds=("sum",)), replace(QUERY, sort="run")):
        await desk.page(query)
    assert len(reader.asked) == 4


async def test_no_answer_is_older_than_the_manager_allows(clock: Clock) -> None:
    desk, reader = a_listing()
    await desk.page(replace(QUERY, stale=3600.0))
    clock.now += MAX_STALE + 0.01
    await desk.page(replace(QUERY, stale=3600.0))
    assert len(reader.asked) == 2


async def test_few_answers_are_kept(clock: Clock) -> None:
    desk, _ = a_listing()
    for number in range(2 * MOST_KEPT):
        await desk.page(replace(QUERY, limit=number + 1))
    assert len(desk._pages._answers) == MOST_KEPT


async def test_a_count_may_be_older_and_is_shared_as_well(clock: Clock) -> None:
    desk, reader = a_listing()
    for _ in range(10):
        await desk.count(replace(QUERY, stale=4.0))
        clock.now += 0.35
    assert len(reader.counted) == 1
    await desk.count(replace(QUERY, stale=0.2))
    await desk.count(QUERY, 5)
    assert len(reader.counted) == 3
    await desk.count(replace(QUERY, stale=0.0))
    assert len(reader.counted) == 4


@pytest.mark.parametrize(("most", "number", "exact"), [(4, 3, True), (3, 3, True), (2, 2, False)])
async def test_a_count_of_states_is_exact_until_there_are_more_than_are_counted(most, number, exact) -> None:
    reader: Any = Reader()
    pool = Pool()
    pool.totals[TaskState.QUEUED] = 3
    found = await Listing(lambda: pool, reader).count(TaskQuery(states=(TaskState.QUEUED.value,)), most)
    assert found == Count(number, exact=exact)
    assert reader.counted == [], "what waits is known without a look at the store"
    both = TaskQuery(states=(TaskState.QUEUED.value, TaskState.FAILED.value))
    found = await Listing(lambda: pool, reader).count(both, most + 3)
    assert found == Count(min(6, most + 3), exact=most >= 3)
    assert reader.counted[0].states == (TaskState.FAILED.value,)
