"""How calls get to the database's threads: in order, together when they wait, and never behind a search."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest
from taskmessenger.core.commit import Commit
from taskmessenger.core.errors import StoreError, TimedOut
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import TaskQuery
from taskmessenger.store.lane import MAX_WAITING, Lane
from taskmessenger.store.sqlite import SqliteStore

from tests.support.stores import a_store, reopened, settle, settled, submit, submitted


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


ALONG_IDS = {"SCAN t", "SCAN e", "SCAN o"}


class Commits:
    """Counts transactions."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, number: int) -> None:
        self.count = number


@pytest.fixture
def commits() -> Commits:
    return Commits()


@pytest.fixture
async def store(tmp_path: Path, commits: Commits) -> AsyncIterator[SqliteStore]:
    made = a_store(tmp_path, after_commit=commits)
    await made.open()
    yield made
    await made.close()


@contextmanager
def blocked(lane: Lane) -> Iterator[None]:
    """The lane's thread does nothing meanwhile; what is asked of it waits."""
    gate, reached = threading.Event(), threading.Event()

    def wait() -> None:
        reached.set()
        gate.wait(30)

    assert lane.post(wait)
    assert reached.wait(30)
    try:
        yield
    finally:
        gate.set()


async def asked(*calls: object) -> list[asyncio.Task[object]]:
    """Tasks that have all got as far as the queue."""
    tasks = [asyncio.ensure_future(call) for call in calls]  # type: ignore[call-overload]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_commits_that_wait_together_are_one_transaction(store: SqliteStore, commits: Commits) -> None:
    await store.commit(submit(1))
    with blocked(store._access.writer):
        tasks = await asked(*(store.commit(submit(number)) for number in range(2, 42)))
    await asyncio.gather(*tasks)
    assert commits.count == 2
    assert len((await store.page(TaskQuery())).rows) == 41


async def test_overlapping_commits_are_carried_out_in_the_order_of_the_calls(store: SqliteStore) -> None:
    with blocked(store._access.writer):
        tasks = await asked(
            store.commit(submit(1)),
            store.commit(Commit(reopened=[reopened(1, attempt=1)])),
            store.commit(Commit(reopened=[reopened(1, attempt=2)])),
            store.commit(settle(1, attempt=3)),
        )
    await asyncio.gather(*tasks)
    assert [(o.id, o.attempt) for o in await store.outcomes([1])] == [(1, 3)]


async def test_of_commits_that_wait_together_only_the_wrong_one_fails(store: SqliteStore) -> None:
    await store.commit(submit(1))
    with blocked(store._access.writer):
        tasks = await asked(
            store.commit(submit(2)),
            store.commit(submit(1)),
            store.commit(submit(3)),
            store.commit(settle(99)),
        )
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(answer, StoreError) for answer in answers] == [False, True, False, True]
    assert [row.id for row in (await store.page(TaskQuery())).rows] == [3, 2, 1]


async def test_a_commit_whose_caller_was_cancelled_is_still_written(store: SqliteStore) -> None:
    with blocked(store._access.writer):
        (task,) = await asked(store.commit(submit(1)))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await store.commit(submit(2))
    assert [row.id for row in (await store.page(TaskQuery())).rows] == [2, 1]


async def test_keys_of_commits_that_still_wait_are_found(store: SqliteStore) -> None:
    with blocked(store._access.writer):
        _, found = tasks = await asked(store.commit(submit(1, key="k")), store.find_keys(["k"]))
    await asyncio.gather(*tasks)
    assert await found == {"k": (1, b"d")}


async def test_a_search_that_takes_long_delays_nothing_that_the_manager_needs(store: SqliteStore) -> None:
    await store.commit(submit(1))
    with blocked(store._access.browse):
        (searching,) = await asked(store.page(TaskQuery(text="x")))
        await store.commit(submit(2))
        assert set(await store.payloads([1, 2])) == {1, 2}
        assert await store.find_keys(["k"]) == {}
        assert await store.outcomes([1]) == []
        assert await store.detail(2, 100) is not None
        assert await store.peer("p1") is None
        assert not searching.done()
    await searching


async def test_a_search_is_interrupted_at_its_limit(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.commit(submit(*range(1, 20_001)))
    with monkeypatch.context() as patch:
        patch.setattr("taskmessenger.store.reader.READ_LIMIT_SECONDS", 1e-9)
        with pytest.raises(TimedOut, match="narrow it down by state, batch or id"):
            await store.page(TaskQuery(text="nothing has this"))
    assert (await store.page(TaskQuery(text="nothing has this"))).rows == ()


async def test_more_callers_than_places_wait_their_turn(store: SqliteStore) -> None:
    count = MAX_WAITING + 200
    await asyncio.gather(*(store.commit(submit(number)) for number in range(1, count + 1)))
    assert await store.totals() == {TaskState.QUEUED: count}


async def test_close_finishes_what_was_asked_and_ends_the_threads(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    await store.open()
    tasks = await asked(*(store.commit(submit(number)) for number in range(1, 50)))
    await store.close()
    await asyncio.gather(*tasks)
    assert [t.name for t in threading.enumerate() if t.name.startswith("store-")] == []
    again = a_store(tmp_path)
    assert len((await again.open()).tasks) == 49
    await again.close()


async def test_a_failed_open_ends_the_threads_too(tmp_path: Path) -> None:
    (tmp_path / "tasks.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError):
        await a_store(tmp_path).open()
    assert [t.name for t in threading.enumerate() if t.name.startswith("store-")] == []


async def test_work_that_fails_on_a_lane_is_raised_where_it_was_asked() -> None:
    lane = Lane("test")
    lane.start()
    with pytest.raises(ZeroDivisionError):
        await lane.call(lambda: 1 // 0)
    assert await lane.call(lambda: 7) == 7
    await lane.stop()


async def test_hundreds_of_rows_are_a_handful_of_statements(store: SqliteStore) -> None:
    """Each statement waits for the interpreter lock beside a busy loop: their number is what costs."""
    await store.commit(submit(*range(1, 257)))
    seen: list[str] = []

    def trace(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        seen.append(sql)
        return True

    await store._access.writer.call(lambda: store._access.writer.connection.set_exec_trace(trace))
    await store.commit(
        Commit(
            submitted=[submitted(number) for number in range(257, 512)],
            settled=[settled(number) for number in range(1, 256)],
        )
    )
    assert len(seen) == 6, [sql[:60] for sql in seen]


@pytest.mark.parametrize(
    "query",
    [
        TaskQuery(),
        TaskQuery(before=100),
        TaskQuery(after=100),
        TaskQuery(states=(TaskState.FAILED,)),
        TaskQuery(states=(TaskState.FAILED, TaskState.QUEUED), before=70),
        TaskQuery(states=(TaskState.SUCCEEDED,), kinds=("hash",)),
        TaskQuery(batches=("b",)),
        TaskQuery(batches=("a", "b"), states=(TaskState.FAILED,)),
        TaskQuery(text="x", workers=("w1",)),
    ],
    ids=str,
)
async def test_a_page_is_read_along_an_index_and_never_sorted(store: SqliteStore, query: TaskQuery) -> None:
    seen: list[tuple[str, object]] = []

    def trace(_cursor: apsw.Cursor, sql: str, bindings: object) -> bool:
        seen.append((sql, bindings))
        return True

    def set_trace(function: object) -> None:
        store._access.browse.connection.set_exec_trace(function)  # type: ignore[arg-type]

    await store._access.browse.call(lambda: set_trace(trace))
    await store.page(query)
    await store._access.browse.call(lambda: set_trace(None))
    searches = [(sql, bindings) for sql, bindings in seen if " ORDER BY " in sql]
    assert searches

    def plan() -> list[str]:
        explain = store._access.browse.connection.execute
        return [row[3] for sql, values in searches for row in explain(f"EXPLAIN QUERY PLAN {sql}", values)]

    steps = await store._access.browse.call(plan)
    assert "USE TEMP B-TREE FOR ORDER BY" not in steps
    assert not [step for step in steps if step.startswith("SCAN") and step not in ALONG_IDS], steps
