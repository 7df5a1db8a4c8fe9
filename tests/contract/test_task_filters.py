"""What every list of tasks answers, in every order and to every filter: stores and manager alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace
from taskmessenger.core.errors import UsageError
from taskmessenger.core.filter import SORTS, Range
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Cursor, TaskPage, TaskQuery, TaskRow
from taskmessenger.handle.filters import query_of, turned
from taskmessenger.roles.listing import Listing
from taskmessenger.store import pages
from taskmessenger.store.conditions import stored_states
from taskmessenger.store.memory import MemoryStore
from taskmessenger.store.sqlite import Bounds, SqliteStore

from tests.support.listing import a_pool
from tests.support.stores import T0, a_store
from tests.support.task_rows import BATCHES, KINDS, WORKERS, naive, random_tasks

MANY = 400
FILTERS = (
    "",
    "kind:a",
    "kind:a,needle -batch:x",
    "-kind:a",
    "state:succeeded",
    "state:failed,timed_out",
    "-state:succeeded",
    "-state:ended",
    "state:queued",
    "worker:w1",
    "-worker:w1,w2",
    'worker:""',
    "worker:w1 state:failed kind:b",
    "batch:x",
    "batch:x,y -state:open",
    'batch:""',
    '-batch:""',
    "key:k7,k9,nothing",
    "id:7,9,400,4000",
    "id:10..20",
    "-id:10..390",
    "attempt>1",
    "attempt:0..1",
    "-attempt:1",
    "priority>=5",
    "priority:-5",
    "run>1s",
    "run:100ms..1s",
    "-run<=1s",
    f"submitted>@{T0 + 100}",
    f"finished<@{T0 + 50} -state:failed",
    f"-finished<@{T0 + 50}",
    "needle",
    '"no space"',
    "-needle",
    "needle -boom",
    "error:needle,boom",
    "-error:boom",
    "kind:nothing",
    "run>1s attempt>1 -kind:b priority:0 needle",
)


class Source:
    """A list of tasks, and all that is in it."""

    def __init__(self, reader: Any, everything: list[TaskRow]) -> None:
        self.reader, self.rows = reader, everything

    async def walk(self, query: TaskQuery) -> list[int]:
        """All pages, one after another."""
        found: list[int] = []
        for number in count():
            assert number < 4 * MANY, "the pages do not end"
            page: TaskPage = await self.reader.page(query)
            assert len(page.rows) <= query.limit
            found += [row.id for row in page.rows]
            if not page.more:
                return found
            assert page.next is not None
            query = replace(query, at=page.next)
        raise AssertionError


@pytest.fixture(scope="module", params=["memory", "sqlite", "hurried sqlite", "live"])
async def source(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Source]:
    """For all tests, which only read."""
    hurried = request.param in {"hurried sqlite", "live"}
    bounds = Bounds(search_seconds=0.0 if hurried else 5.0)
    store: MemoryStore | SqliteStore = (
        MemoryStore() if request.param == "memory" else a_store(tmp_path_factory.mktemp("s"), bounds=bounds)
    )
    with pytest.MonkeyPatch.context() as quick:
        if hurried:
            quick.setattr(pages, "FIRST_STEP", 16)
            quick.setattr(pages, "QUICK", 0.0)
        await store.open()
        yield await _filled(request.param, store)
        await store.close()


async def _filled(name: str, store: MemoryStore | SqliteStore) -> Source:
    rng = Random(5)
    for commit in random_tasks(rng, MANY):
        await store.commit(commit)
    reader: Any = store
    if name == "live":
        pool = a_pool(await _everything(store), rng)
        reader = Listing(lambda: pool, store, lambda: T0 + 100)
    return Source(reader, await _everything(reader))


async def _everything(reader: Any) -> list[TaskRow]:
    rows: list[TaskRow] = []
    at = None
    while True:
        page: TaskPage = await reader.page(TaskQuery(limit=1000, at=at))
        rows += page.rows
        if not page.more:
            assert len(rows) == MANY
            return rows
        at = page.next


def meant(source: Source, query: TaskQuery) -> list[int]:
    """What the source has to answer: a store cannot tell open states apart, and says so by giving all."""
    if not isinstance(source.reader, Listing):
        query = replace(query, states=stored_states(query.states, query.not_states), not_states=())
    return naive(source.rows, query)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("descending", [True, False], ids=["down", "up"])
async def test_every_order_is_walked_whole_and_once(source: Source, sort: str, descending: bool) -> None:
    for text in ("", "-kind:b", "state:open", "worker:w1", "needle"):
        query = query_of(text, T0, sort=sort, descending=descending, limit=7)
        assert await source.walk(query) == meant(source, query), text


@pytest.mark.parametrize("text", FILTERS)
async def test_a_filter_finds_what_a_plain_look_at_all_rows_finds(source: Source, text: str) -> None:
    for limit in (3, 1000):
        query = query_of(text, T0, limit=limit)
        assert await source.walk(query) == meant(source, query)


async def test_random_filters_in_random_orders(source: Source) -> None:
    rng = Random(17)
    # Each page of the one in memory is a look at all that it has.
    for _ in range(15 if isinstance(source.reader, MemoryStore) else 60):
        query = _random_query(rng)
        assert await source.walk(query) == meant(source, query), query


def _random_query(rng: Random) -> TaskQuery:
    asked: dict[str, Any] = {}
    for name, values in (
        ("states", [s.value for s in TaskState if s != TaskState.QUEUED]), ("kinds", KINDS),
        ("workers", (*WORKERS, "")), ("batches", [b or "" for b in BATCHES]),
        ("texts", ("needle", "x", "W1")), ("errors", ("boom", "SPACE")), ("ids", range(1, MANY + 5)),
    ):  # fmt: skip
        if rng.random() < 0.2:
            negated = "not_" if rng.random() < 0.5 else ""
            many = rng.randrange(1, 3) if name != "ids" else 50
            asked[negated + name] = tuple(rng.sample(list(values), many))
    if rng.random() < 0.4:
        name, low, high = rng.choice(
            [("attempt", 1, 2), ("run", 0.2, 1.0), ("priority", -1, 3), ("finished", T0 + 20, T0 + 60)]
        )
        asked["ranges"] = (Range(name, low, high, negated=rng.random() < 0.5),)
    return TaskQuery(
        **asked, sort=rng.choice(SORTS), descending=rng.random() < 0.5, limit=rng.choice((1, 5, 40))
    )


async def test_the_page_before_comes_by_turning_round(source: Source) -> None:
    for sort in SORTS:
        query = query_of("-kind:b", T0, sort=sort, limit=5)
        everything = meant(source, query)
        back = turned(query, next(row for row in source.rows if row.id == everything[12]))
        rows: list[int] = []
        while len(rows) < 5:
            page = await source.reader.page(replace(back, limit=5 - len(rows)))
            rows += [row.id for row in page.rows]
            back = replace(back, at=page.next)
        assert rows[::-1] == everything[7:12], sort


@pytest.mark.parametrize("text", FILTERS)
async def test_a_count_is_exact_or_says_that_it_is_not(source: Source, text: str) -> None:
    query = query_of(text, T0, limit=3)
    many = len(meant(source, query))
    counted = await source.reader.count(query, MANY)
    assert counted.number == many if counted.exact else counted.number <= many
    few = await source.reader.count(query, 2)
    assert few.number <= 2
    assert few.exact <= (many <= 2)


async def test_a_search_that_is_cut_short_says_how_far_it_came(source: Source) -> None:
    page = await source.reader.page(query_of("-needle -boom worker:w3 run>20s", T0, limit=1000))
    if page.searched_to is not None:
        assert page.more
        assert page.next == Cursor(None, page.searched_to)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (TaskQuery(sort="colour"), "colour"),
        (TaskQuery(sort="kind", before=4), "use `at`"),
        (TaskQuery(before=4, at=Cursor(None, 3)), "use `at`"),
        (TaskQuery(ranges=(Range("colour", 1, 2),)), "colour"),
        (TaskQuery(texts=("x",) * 100), "texts"),
        (TaskQuery(not_kinds=tuple(map(str, range(1000)))), "kinds"),
    ],
    ids=["sort", "cursor", "two cursors", "range", "texts", "kinds"],
)
async def test_what_cannot_be_answered_is_refused(source: Source, query: TaskQuery, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        await source.reader.page(query)
