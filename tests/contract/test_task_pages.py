"""What every store answers when it is asked about tasks: details, pages, totals."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from taskmessenger.core.commit import Commit
from taskmessenger.core.errors import UsageError
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import ErrorInfo, TaskQuery, TaskRow
from taskmessenger.store.memory import MemoryStore
from taskmessenger.store.sqlite import SqliteStore

from tests.support.stores import T0, a_store, an_error, attempt, reopened, settle, settled, submit, submitted

Store = MemoryStore | SqliteStore

QUEUED, SCHEDULED = TaskState.QUEUED, TaskState.SCHEDULED
FAILED, SUCCEEDED, CANCELLED = TaskState.FAILED, TaskState.SUCCEEDED, TaskState.CANCELLED


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else a_store(tmp_path)
    await made.open()
    yield made
    await made.close()


def ids_of(rows: tuple[TaskRow, ...]) -> list[int]:
    return [row.id for row in rows]


async def ids(store: Store, **query: object) -> list[int]:
    return ids_of((await store.page(TaskQuery(**query))).rows)  # type: ignore[arg-type]


# ---- details --------------------------------------------------------------------------------------------


async def test_a_detail_has_sizes_and_a_payload_up_to_the_limit(store: Store) -> None:
    await store.commit(submit(1, payload=b"p" * 2000))
    await store.commit(settle(1, result=b"r" * 3000))
    small, whole = await store.detail(1, 1999), await store.detail(1, 2000)
    assert small is not None
    assert whole is not None
    assert (small.payload_size, small.result_size, small.payload) == (2000, 3000, None)
    assert whole.payload == b"p" * 2000
    assert await store.detail(2, 100) is None


async def test_a_detail_tells_the_attempts_in_their_order(store: Store) -> None:
    await store.commit(submit(1))
    late = attempt(1, 1, "late", error=None, started_at=None, ended_at=T0 + 50)
    await store.commit(Commit(attempts=[attempt(1, 2, "crashed"), attempt(1, 1, "lost"), late]))
    detail = await store.detail(1, 100)
    assert detail is not None
    assert [(a.attempt, a.how) for a in detail.attempts] == [(1, "lost"), (1, "late"), (2, "crashed")]
    assert detail.attempts[0].error == ErrorInfo(code="failed", message="boom")
    assert detail.attempts[1].error is None


async def test_an_open_task_shows_the_first_line_of_its_last_error(store: Store) -> None:
    await store.commit(submit(1))
    tries = [attempt(1, 1, error=an_error("old")), attempt(1, 2, error=an_error("new\nline"))]
    await store.commit(
        Commit(reopened=[reopened(1, attempt=3)], attempts=[*tries, attempt(1, 3, error=None)])
    )
    (row,) = (await store.page(TaskQuery())).rows
    assert row.error == "new"
    detail = await store.detail(1, 0)
    assert detail is not None
    assert detail.error == ErrorInfo(code="failed", message="new\nline")


async def test_a_task_that_succeeded_at_last_shows_no_error(store: Store) -> None:
    await store.commit(submit(1))
    await store.commit(Commit(reopened=[reopened(1)], attempts=[attempt(1)]))
    await store.commit(settle(1, attempt=2, spent=1))
    (row,) = (await store.page(TaskQuery())).rows
    assert (row.error, row.spent, row.attempt) == (None, 1, 2)


# ---- pages ----------------------------------------------------------------------------------------------


async def test_a_row_tells_what_the_table_shows(store: Store) -> None:
    await store.commit(
        Commit(submitted=[submitted(1, kind="sum", priority=5, timeout=2.0, batch="b", key="k", target="w3")])
    )
    await store.commit(
        settle(1, state=TaskState.TIMED_OUT, error=an_error("too slow\nby far"), attempt=2, spent=2)
    )
    (row,) = (await store.page(TaskQuery())).rows
    assert row == TaskRow(
        id=1, kind="sum", state=TaskState.TIMED_OUT, priority=5, attempt=2, max_attempts=5, spent=2,
        submitted_at=T0 + 1, due_at=None, finished_at=T0 + 101, run_seconds=0.5, worker="w1", key="k",
        batch="b", timeout=2.0, target="w3", error="too slow",
    )  # fmt: skip


async def test_pages_go_newest_first_and_oldest_first(store: Store) -> None:
    await store.commit(submit(*range(1, 8)))
    first = await store.page(TaskQuery(limit=3))
    assert (ids_of(first.rows), first.more) == ([7, 6, 5], True)
    last = await store.page(TaskQuery(limit=4, before=5))
    assert (ids_of(last.rows), last.more) == ([4, 3, 2, 1], False)
    up = await store.page(TaskQuery(limit=3, after=2))
    assert (ids_of(up.rows), up.more) == ([3, 4, 5], True)
    assert await ids(store, after=7) == []


async def test_a_page_starts_at_one_end_only(store: Store) -> None:
    with pytest.raises(UsageError, match="not both"):
        await store.page(TaskQuery(before=2, after=1))


async def test_a_page_has_at_most_a_thousand_rows_and_at_least_one(store: Store) -> None:
    await store.commit(submit(*range(1, 1003)))
    assert len((await store.page(TaskQuery(limit=10_000))).rows) == 1000
    assert await ids(store, limit=0) == [1002]


async def _a_zoo(store: Store) -> None:
    """1: queued, 2: scheduled, 3: succeeded, 4: failed, 5: cancelled, 6: timed out, 7: succeeded."""
    await store.commit(
        Commit(
            submitted=[
                submitted(1, kind="a", batch="x"),
                submitted(2, kind="b", state=SCHEDULED.value, due_at=T0),
                submitted(3, kind="a", batch="x", key="needle"),
                submitted(4, kind="b", batch="y"),
                submitted(5, kind="c", batch="100%_\\"),
                submitted(6, kind="a", batch="100 xx"),
                submitted(7, kind="d"),
            ]
        )
    )
    await store.commit(
        Commit(
            settled=[
                settled(3, worker="w1"),
                settled(4, FAILED, worker="w2", error=an_error("A Needle\nin a haystack")),
                settled(5, CANCELLED, worker=None, error=None),
                settled(6, TaskState.TIMED_OUT, worker="w1", error=an_error("m" * 512 + "deep")),
                settled(7, worker="Needle-3"),
            ]
        )
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"states": (SUCCEEDED,)}, [7, 3]),
        ({"states": (FAILED,)}, [4]),
        ({"states": (FAILED, TaskState.TIMED_OUT, CANCELLED)}, [6, 5, 4]),
        ({"states": (SCHEDULED,)}, [2]),
        ({"states": (SCHEDULED, SUCCEEDED, FAILED)}, [7, 4, 3, 2]),
        ({"kinds": ("a",)}, [6, 3, 1]),
        ({"kinds": ("a", "b")}, [6, 4, 3, 2, 1]),
        ({"workers": ("w1",)}, [6, 3]),
        ({"batches": ("x",)}, [3, 1]),
        ({"batches": ("x", "y", "x")}, [4, 3, 1]),
        ({"batches": ("x", "y"), "states": (SUCCEEDED, FAILED)}, [4, 3]),
        ({"ids": (1, 4, 99)}, [4, 1]),
        ({"ids": (1, 4), "batches": ("y",), "states": (FAILED,)}, [4]),
        ({"ids": (1, 4), "kinds": ("c",)}, []),
        ({"kinds": ("a",), "states": (SUCCEEDED,), "workers": ("w1",), "batches": ("x",)}, [3]),
        ({"text": "needle"}, [7, 4, 3]),
        ({"text": "HAYSTACK"}, [4]),
        ({"text": "deep"}, [6]),
        ({"text": "100%"}, [5]),
        ({"text": "%"}, [5]),
        ({"text": "_"}, [5]),
        ({"text": "\\"}, [5]),
        ({"text": "100"}, [6, 5]),
        ({"text": "needle", "states": (FAILED,)}, [4]),
        ({"text": "' OR 1=1 --"}, []),
        ({"kinds": ("a' OR '1'='1",)}, []),
        ({"states": (FAILED, SUCCEEDED), "before": 7, "limit": 1}, [4]),
        ({"states": (FAILED, SUCCEEDED), "after": 3, "limit": 1}, [4]),
    ],
    ids=str,
)
async def test_a_filter_finds_what_it_says(
    store: Store, query: dict[str, object], expected: list[int]
) -> None:
    await _a_zoo(store)
    assert await ids(store, **query) == expected


@pytest.mark.parametrize("state", [QUEUED, TaskState.LEASED, TaskState.RUNNING])
async def test_states_that_only_the_manager_knows_are_answered_with_all_that_may_be(
    store: Store, state: TaskState
) -> None:
    await _a_zoo(store)
    assert await ids(store, states=(state,)) == [2, 1]


async def test_every_page_of_a_filtered_walk_is_seen_once(store: Store) -> None:
    await store.commit(submit(*range(1, 61)))
    await store.commit(settle(*range(3, 61, 3)))
    await store.commit(settle(*range(4, 61, 12), state=FAILED))
    states = (SUCCEEDED, FAILED)
    everything = await ids(store, states=states, limit=1000)
    walked: list[int] = []
    cursor = None
    for _ in itertools.repeat(None, 20):
        page = await store.page(TaskQuery(states=states, limit=7, before=cursor))
        walked += ids_of(page.rows)
        if not page.more:
            break
        cursor = page.rows[-1].id
    assert walked == everything
    assert len(walked) == 25


@pytest.mark.parametrize(
    "query",
    [
        {"states": (99,)},
        {"text": "x" * 1000},
        {"kinds": tuple(map(str, range(1000)))},
        {"text": "\ud800"},
        {"ids": (1,) * 200_000},
    ],
    ids=["state", "long text", "many kinds", "no unicode", "many ids"],
)
async def test_a_question_that_makes_no_sense_is_refused(store: Store, query: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        await ids(store, **query)


async def test_totals_are_counted_from_the_rows(store: Store) -> None:
    assert await store.totals() == {}
    await _a_zoo(store)
    assert await store.totals() == {
        QUEUED: 1, SCHEDULED: 1, SUCCEEDED: 2, FAILED: 1, CANCELLED: 1, TaskState.TIMED_OUT: 1,
    }  # fmt: skip
