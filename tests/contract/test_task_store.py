"""What every store must do. A new one joins by adding a line to `store`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random

import msgspec
import pytest
from taskmessenger.core.commit import TALLIES, Commit, Recovered
from taskmessenger.core.errors import StoreError
from taskmessenger.core.life import ID_GAP
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import ErrorInfo, TaskQuery, TaskRow
from taskmessenger.store import waiting
from taskmessenger.store.large import LARGE, MUCH
from taskmessenger.store.life import new_id
from taskmessenger.store.memory import MemoryStore
from taskmessenger.store.recover import IN_FULL, INLINE_LIMIT
from taskmessenger.store.sqlite import Bounds, SqliteStore

from tests.support.stores import (
    T0,
    a_grant,
    a_store,
    an_error,
    attempt,
    reopened,
    settle,
    settled,
    submit,
    submitted,
)

Store = MemoryStore | SqliteStore
Restart = Callable[..., Awaitable[Store]]

QUEUED, SCHEDULED = TaskState.QUEUED, TaskState.SCHEDULED
FAILED, SUCCEEDED, CANCELLED = TaskState.FAILED, TaskState.SUCCEEDED, TaskState.CANCELLED


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else a_store(tmp_path)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def restart(tmp_path: Path) -> AsyncIterator[Restart]:
    """Closes a store and answers with the next manager's, not yet opened.

    `in_full`: open tasks up to which it will read each as it is.
    """
    made: list[Store] = []

    async def again(old: Store, in_full: int = IN_FULL) -> Store:
        await old.close()
        if isinstance(old, MemoryStore):
            old._in_full = in_full
            made.append(old)
        else:
            made.append(a_store(tmp_path, bounds=Bounds(in_full=in_full)))
        return made[-1]

    yield again
    for store in made:
        await store.close()


def ids_of(rows: tuple[TaskRow, ...]) -> list[int]:
    return [row.id for row in rows]


async def ids(store: Store, **query: object) -> list[int]:
    return ids_of((await store.page(TaskQuery(**query))).rows)  # type: ignore[arg-type]


# ---- what comes back after a restart --------------------------------------------------------------------


async def test_an_empty_store_has_nothing_and_counts_from_one(store: Store, restart: Restart) -> None:
    found = await (await restart(store)).open()
    assert (found.tasks, found.grants, found.settings) == ([], [], {})
    assert (found.next_task_id, found.next_grant) == (1, 1)


async def test_open_tasks_come_back_by_id_as_they_were_submitted(store: Store, restart: Restart) -> None:
    full = submitted(
        2, kind="wait", priority=-7, max_attempts=3, timeout=1.5, batch="b", key="k", digest=b"\0\xff",
        state=SCHEDULED.value, due_at=T0 + 9, target="w9", payload=b"\0\xc0",
    )  # fmt: skip
    await store.commit(Commit(submitted=[full, submitted(1)]))
    found = await (await restart(store)).open()
    assert found.tasks == [(*submitted(1), 0, 0, 0), (*full, 0, 0, 0)]
    assert found.next_task_id == 3


async def test_what_has_ended_since_it_was_counted_is_told_by_kind_worker_and_state(
    store: Store, restart: Restart
) -> None:
    await store.commit(submit(1, 2, 3, 4, kind="a"))
    ends = [settled(i, finished_at=T0 + i) for i in (1, 2, 3)]
    await store.commit(Commit(settled=[*ends, settled(4, FAILED, finished_at=T0 + 4, worker=None)]))
    again = await restart(store)
    assert sorted((await again.open()).ended, key=str) == [
        ("a", "w1", SUCCEEDED.value, 3), ("a", None, FAILED.value, 1),
    ]  # fmt: skip
    await again.commit(Commit(settings={TALLIES: f'{{"at": {T0 + 2}}}'}))
    assert ("a", "w1", SUCCEEDED.value, 1) in (await (await restart(again)).open()).ended


Gathered = dict[int, tuple[object, ...]]


def gathered(found: Recovered) -> Gathered:
    """Kind, priority, max_attempts, timeout, batch and target of each task that is not read as it is."""
    alone = {i: tuple(same) for ids, *same, _ in found.waiting for i in ids}
    assert len(alone) == sum(len(ids) for ids, *_ in found.waiting), "a task is there twice"
    for ids, *_ in found.waiting:
        assert list(ids) == sorted(ids)
    return alone


async def test_of_many_open_tasks_those_that_only_wait_come_back_as_series(
    store: Store, restart: Restart
) -> None:
    await store.commit(submit(*range(1, 101)))
    await store.commit(submit(*range(101, 201), kind="wait", priority=3, batch="b", target="w9"))
    await store.commit(submit(201, key="k"))
    await store.commit(submit(202, state=SCHEDULED.value, due_at=T0 + 9))
    await store.commit(Commit(reopened=[reopened(7)], settled=[settled(1), settled(50), settled(200)]))
    found = await (await restart(store, in_full=198)).open()
    assert [row[0] for row in found.tasks] == [7, 202]
    hash_ids = {*range(2, 101), 201} - {7, 50}
    wait = dict.fromkeys(range(101, 200), ("wait", 3, 5, None, "b", "w9"))
    assert gathered(found) == dict.fromkeys(hash_ids, ("hash", 0, 5, None, None, None)) | wait
    assert len(found.waiting) <= 4, "tasks that are alike are together"
    assert found.next_task_id == 203


async def test_a_few_open_tasks_come_back_as_they_are(store: Store, restart: Restart) -> None:
    await store.commit(submit(*range(1, 11)))
    found = await (await restart(store, in_full=10)).open()
    assert (len(found.tasks), found.waiting) == (10, [])


async def test_a_new_priority_comes_back_with_a_series(store: Store, restart: Restart) -> None:
    await store.commit(submit(*range(1, 11)))
    await store.commit(Commit(repriced=[(9, [2, 3, 8])]))
    found = await (await restart(store, in_full=0)).open()
    assert {i for i, same in gathered(found).items() if same[1] == 9} == {2, 3, 8}


async def test_a_lease_on_a_task_of_a_series_is_still_known(store: Store, restart: Restart) -> None:
    await store.commit(submit(*range(1, 11)))
    await store.commit(Commit(granted=[a_grant(1, (3, 1), (4, 1)), a_grant(2, (9, 1))]))
    await store.commit(Commit(settled=[settled(9)]))
    found = await (await restart(store, in_full=0)).open()
    assert [grant[0] for grant in found.grants] == [1]
    assert gathered(found).keys() == {*range(1, 11)} - {9}


@pytest.mark.parametrize("seed", range(6))
async def test_series_hold_what_rows_would_say_whatever_came_before(
    store: Store, restart: Restart, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LONGEST", 16), ("SHORT", 3), ("MIXED", 5), ("ALIKE_SECONDS", 20.0)):
        monkeypatch.setattr(waiting, name, value)
    rng, first = Random(seed), 1
    for _ in range(40):
        group = range(first, first + rng.choice((1, 1, 2, 7, 30)))
        first = group.stop + rng.choice((0, 0, 0, 40))
        kind, batch = rng.choice(("hash", "wait")), rng.choice((None, None, "b"))
        late = {"state": SCHEDULED.value, "due_at": T0} if rng.random() < 0.1 else {}
        await store.commit(submit(*group, kind=kind, batch=batch, timeout=rng.choice((None, 2.0)), **late))
    every = [row[0] for row in await store.task_rows(range(first))]
    await store.commit(settle(*rng.sample(every, len(every) // 3)))
    left = [row[0] for row in await store.task_rows(range(first)) if not TaskState(row[8]).final]
    await store.commit(Commit(reopened=[reopened(i) for i in rng.sample(left, 9)]))
    await store.commit(Commit(repriced=[(5, rng.sample(left, 9))]))
    rows = {row[0]: row for row in await store.task_rows(left)}
    found = await (await restart(store, in_full=0)).open()
    assert all(row == rows[row[0]] for row in found.tasks)
    touched = {i for i, row in rows.items() if row[8] != QUEUED or row[13]}
    assert {row[0] for row in found.tasks} == touched
    assert gathered(found) == {i: (*row[1:6], row[11]) for i, row in rows.items() if i not in touched}


async def test_payloads_up_to_a_size_are_found_without_the_others(store: Store) -> None:
    sizes = {1: 10, 2: 100, 3: 101, 4: LARGE + 1}
    await store.commit(Commit(submitted=[submitted(i, payload=bytes(size)) for i, size in sizes.items()]))
    assert (await store.payloads([1, 2, 3, 4, 5], 100)).keys() == {1, 2}
    assert (await store.payloads([1, 2, 3, 4], LARGE)).keys() == {1, 2, 3}
    assert (await store.payloads([], 100)) == {}


async def test_an_ended_task_does_not_come_back(store: Store, restart: Restart) -> None:
    await store.commit(submit(1, 2))
    await store.commit(settle(1))
    assert [row[0] for row in (await (await restart(store)).open()).tasks] == [2]


async def test_a_task_may_be_submitted_and_end_in_one_batch(store: Store) -> None:
    await store.commit(Commit(submitted=[submitted(1)], settled=[settled(1, CANCELLED)]))
    assert [o.state for o in await store.outcomes([1])] == [CANCELLED]


async def test_a_reopened_task_keeps_its_counts(store: Store, restart: Restart) -> None:
    await store.commit(submit(1))
    row = reopened(1, attempt=3, spent=2, crashes=1, state=SCHEDULED.value, due_at=T0 + 60)
    await store.commit(Commit(reopened=[row]))
    (task,) = (await (await restart(store)).open()).tasks
    assert task[8] == SCHEDULED
    assert task[10] == T0 + 60
    assert task[13:] == (3, 2, 1)


async def test_of_two_changes_in_one_batch_the_last_one_stays(store: Store, restart: Restart) -> None:
    await store.commit(submit(1))
    await store.commit(Commit(reopened=[reopened(1, attempt=1), reopened(1, attempt=2)]))
    (task,) = (await (await restart(store)).open()).tasks
    assert task[13] == 2


async def test_a_task_that_is_cancelled_in_the_batch_that_reopened_it_stays_cancelled(store: Store) -> None:
    await store.commit(submit(1))
    await store.commit(Commit(reopened=[reopened(1)], settled=[settled(1, CANCELLED)]))
    assert await store.totals() == {CANCELLED: 1}


async def test_payloads_too_large_for_memory_stay_behind(store: Store, restart: Restart) -> None:
    small, large = b"s" * INLINE_LIMIT, b"l" * (INLINE_LIMIT + 1)
    await store.commit(Commit(submitted=[submitted(1, payload=small), submitted(2, payload=large)]))
    after = await restart(store)
    assert [row[12] for row in (await after.open()).tasks] == [small, None]
    assert await after.payloads([1, 2, 3]) == {1: small, 2: large}


async def test_ids_are_not_given_again_after_prune_and_restart(store: Store, restart: Restart) -> None:
    await store.commit(submit(1, 2, 3))
    await store.commit(settle(1, 2, 3))
    assert await store.prune(T0 + 10_000, 10) == 3
    after = await restart(store)
    assert (await after.open()).next_task_id == 4
    await after.commit(submit(4))
    assert (await (await restart(after)).open()).next_task_id == 5


# ---- grants ---------------------------------------------------------------------------------------------


async def test_grants_come_back_until_they_end(store: Store, restart: Restart) -> None:
    await store.commit(submit(1, 2, 3))
    first, second = a_grant(1, (1, 1), (2, 1)), a_grant(2, (3, 1), worker="w2")
    await store.commit(Commit(granted=[first, second]))
    after = await restart(store)
    found = await after.open()
    assert found.grants == [first, second]
    assert found.next_grant == 3
    await after.commit(Commit(grants_ended=[1]))
    assert (await (await restart(after)).open()).grants == [second]


async def test_a_grant_without_a_live_lease_is_dropped(store: Store, restart: Restart) -> None:
    await store.commit(submit(1, 2, 3))
    grants = [a_grant(1, (1, 1)), a_grant(2, (2, 1)), a_grant(3, (3, 1), (1, 1)), a_grant(4, (99, 1))]
    await store.commit(Commit(granted=grants))
    await store.commit(Commit(settled=[settled(1)], reopened=[reopened(2, attempt=1)]))
    after = await restart(store)
    assert [grant[0] for grant in (await after.open()).grants] == [3]
    assert [grant[0] for grant in (await (await restart(after)).open()).grants] == [3]


async def test_a_newer_lease_than_the_stored_attempt_is_live(store: Store, restart: Restart) -> None:
    await store.commit(submit(1))
    await store.commit(Commit(reopened=[reopened(1, attempt=1)], granted=[a_grant(5, (1, 2))]))
    assert [grant[0] for grant in (await (await restart(store)).open()).grants] == [5]


# ---- settings -------------------------------------------------------------------------------------------


async def test_settings_last_until_they_are_removed(store: Store, restart: Restart) -> None:
    await store.commit(Commit(settings={"pause:all": "1", "totals": "{}"}))
    await store.commit(Commit(settings={"pause:all": None, "totals": "{1}", "never": None}))
    assert (await (await restart(store)).open()).settings == {"totals": "{1}"}


# ---- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        submit(1),
        Commit(submitted=[submitted(7, key="k")]),
        Commit(submitted=[submitted(7, key="same"), submitted(8, key="same")]),
        settle(2),
        settle(99),
        Commit(settled=[settled(1), settled(1)]),
        Commit(reopened=[reopened(99)]),
    ],
    ids=["id", "key", "key twice", "ended", "unknown", "ends twice", "reopens unknown"],
)
async def test_a_batch_that_contradicts_what_is_stored_changes_nothing(store: Store, wrong: Commit) -> None:
    await store.commit(Commit(submitted=[submitted(1, key="k"), submitted(2), submitted(5)]))
    await store.commit(settle(2))
    before = await store.page(TaskQuery())
    wrong.settings["proof"] = "1"
    wrong.submitted.insert(0, submitted(3))
    wrong.settled.insert(0, settled(5))
    with pytest.raises(StoreError):
        await store.commit(wrong)
    assert await store.page(TaskQuery()) == before
    await store.commit(submit(3))
    assert await ids(store) == [5, 3, 2, 1]


async def test_an_attempt_of_a_forgotten_task_is_no_reason_to_refuse_a_batch(store: Store) -> None:
    await store.commit(Commit(submitted=[submitted(1)], attempts=[attempt(99, how="late")]))
    assert await ids(store) == [1]


# ---- keys and payloads ----------------------------------------------------------------------------------


async def test_known_keys_are_found_open_or_ended(store: Store) -> None:
    rows = [submitted(1, key="a", digest=b"1"), submitted(2, key="b", digest=b"2"), submitted(3)]
    await store.commit(Commit(submitted=rows))
    await store.commit(settle(2))
    assert await store.find_keys(["a", "b", "c"]) == {"a": (1, b"1"), "b": (2, b"2")}
    assert await store.find_keys([]) == {}


@pytest.mark.parametrize("key", ["", "a\0b", "ä", "'; DROP TABLE task; --", "k" * 10_000])
async def test_any_text_is_a_key(store: Store, key: str) -> None:
    await store.commit(Commit(submitted=[submitted(1, key=key), submitted(2, key="a")]))
    assert await store.find_keys([key, "a"]) == {key: (1, b"d"), "a": (2, b"d")}


async def test_a_key_is_free_again_when_its_task_is_forgotten(store: Store) -> None:
    await store.commit(submit(1, key="k"))
    await store.commit(settle(1))
    await store.prune(T0 + 10_000, 10)
    assert await store.find_keys(["k"]) == {}
    await store.commit(submit(2, key="k"))


async def test_payloads_of_a_megabyte_and_of_nothing_come_back(store: Store) -> None:
    large = bytes(range(256)) * 4096
    await store.commit(Commit(submitted=[submitted(1, payload=large), submitted(2, payload=b"")]))
    assert await store.payloads([1, 2]) == {1: large, 2: b""}
    assert await store.payloads([]) == {}


SIZES = [0, 1, LARGE, LARGE + 1, MUCH - 1, MUCH, MUCH + 1]


@pytest.mark.parametrize("together", [True, False], ids=["together", "alone"])
async def test_values_of_every_size_come_back_until_they_are_forgotten(
    store: Store, restart: Restart, together: bool
) -> None:
    values = {number: bytes([number]) * size for number, size in enumerate(SIZES, 1)}
    rows = [submitted(number, payload=value) for number, value in values.items()]
    ends = [settled(number, result=value) for number, value in values.items()]
    for batch in (
        [Commit(submitted=rows), Commit(settled=ends)]
        if together
        else [Commit(submitted=[row], settled=[end]) for row, end in zip(rows, ends, strict=True)]
    ):
        await store.commit(batch)
    after = await restart(store)
    await after.open()
    assert await after.payloads([*values, 99]) == values
    assert {outcome.id: outcome.result for outcome in await after.outcomes([*values])} == values
    for number, value in values.items():
        for limit, shown in ((len(value), value), (len(value) - 1, None)):
            detail = await after.detail(number, limit)
            assert detail is not None
            assert (detail.payload_size, detail.result_size) == (len(value), len(value))
            assert detail.payload == shown
    await after.commit(Commit(reopened=[reopened(number) for number in values]))
    assert await after.outcomes([*values]) == []
    await after.commit(settle(*values, result=b"r" * (MUCH + 1)))
    assert await after.payloads([*values]) == values
    assert await after.prune(T0 * 2, 100) == len(values)
    assert await after.payloads([*values]) == {}


async def test_numbers_that_no_task_can_have_are_simply_unknown(store: Store) -> None:
    odd = [0, -1, 2**63, 2**64, 2**200]
    assert await store.payloads(odd) == {}
    assert await store.outcomes(odd) == []
    assert await store.task_rows(odd) == []
    for task_id in odd:
        assert await store.detail(task_id, 10) is None
    assert await ids(store, ids=tuple(odd)) == []
    await store.commit(submit(1))
    assert await ids(store, before=2**64) == [1]
    assert await ids(store, after=-(2**64)) == [1]


# ---- outcomes -------------------------------------------------------------------------------------------

FALSY = [msgspec.msgpack.encode(value) for value in (None, False, 0, "", [], {}, b"", 0.0)]


@pytest.mark.parametrize("result", [*FALSY, b"", b"r" * 100_000])
async def test_every_result_survives(store: Store, result: bytes) -> None:
    await store.commit(submit(1))
    await store.commit(settle(1, result=result))
    (outcome,) = await store.outcomes([1])
    assert outcome.result == result
    assert outcome.error is None
    assert (outcome.state, outcome.attempt, outcome.worker, outcome.run_seconds) == (SUCCEEDED, 1, "w1", 0.5)


async def test_outcomes_come_in_the_order_asked_and_only_of_ended_tasks(store: Store) -> None:
    await store.commit(submit(1, 2, 3))
    await store.commit(Commit(settled=[settled(1, FAILED, error=an_error("why")), settled(3)]))
    third, first = await store.outcomes([3, 2, 9, 1])
    assert (third.id, first.id) == (3, 1)
    assert first.result is None
    assert first.error == ErrorInfo(code="failed", message="why")


async def test_an_unreadable_error_is_an_error_all_the_same(store: Store) -> None:
    await store.commit(submit(1))
    await store.commit(settle(1, state=FAILED, error=b"\xc1junk"))
    (outcome,) = await store.outcomes([1])
    assert outcome.error is not None
    assert outcome.error.code == "unreadable"
    assert await ids(store, text="cannot be read") == [1]


async def test_hundreds_of_tasks_end_in_one_batch(store: Store) -> None:
    for count in (1, 2, 3, 255, 256, 257, 513, 1100):
        first = 10_000 * count
        numbers = range(first, first + count)
        await store.commit(submit(*numbers))
        await store.commit(settle(*numbers))
        assert len(await store.outcomes(numbers)) == count


# ---- an operator's retry --------------------------------------------------------------------------------


async def test_a_retried_task_is_open_again_without_its_old_outcome(store: Store, restart: Restart) -> None:
    await store.commit(submit(1, key="k"))
    await store.commit(settle(1, state=FAILED, error=an_error("first\nsecond"), attempt=4, spent=4))
    (row,) = await store.task_rows([1, 2])
    assert (row[8], row[6], row[7], row[12], row[13:]) == (FAILED, "k", b"d", b"\xa1x", (4, 4, 0))
    await store.commit(Commit(reopened=[reopened(1, attempt=4, spent=0)]))
    assert await store.outcomes([1]) == []
    detail = await store.detail(1, 100)
    assert detail is not None
    assert (detail.row.state, detail.row.spent, detail.row.key) == (QUEUED, 0, "k")
    assert (detail.row.finished_at, detail.row.worker, detail.result_size) == (None, None, None)
    assert [(a.attempt, a.how, a.worker) for a in detail.attempts] == [(4, "failed", "w1")]
    assert detail.attempts[0].started_at == detail.attempts[0].ended_at - 0.5
    assert await store.find_keys(["k"]) == {"k": (1, b"d")}
    assert await ids(store, states=(FAILED,)) == []
    assert [r[13:] for r in (await (await restart(store)).open()).tasks] == [(4, 0, 0)]


async def test_the_history_tells_the_last_attempt_of_a_retried_task_once(store: Store) -> None:
    await store.commit(submit(1))
    await store.commit(Commit(settled=[settled(1, FAILED)], attempts=[attempt(1, 1, "crashed")]))
    await store.commit(Commit(reopened=[reopened(1)]))
    detail = await store.detail(1, 100)
    assert detail is not None
    assert [a.how for a in detail.attempts] == ["crashed"]


async def test_a_retried_task_can_end_once_more(store: Store) -> None:
    await store.commit(submit(1))
    await store.commit(settle(1, state=FAILED))
    await store.commit(Commit(reopened=[reopened(1)]))
    await store.commit(settle(1, attempt=2))
    assert [(o.state, o.attempt, o.error) for o in await store.outcomes([1])] == [(SUCCEEDED, 2, None)]


# ---- retention ------------------------------------------------------------------------------------------


async def test_prune_forgets_the_oldest_ended_tasks_first(store: Store) -> None:
    await store.commit(submit(*range(1, 7)))
    ends = [settled(i, finished_at=T0 + 60 - i) for i in (1, 2, 3, 4)]
    await store.commit(Commit(settled=ends, attempts=[attempt(4)]))
    assert await store.prune(T0 + 59, 2) == 2
    assert await ids(store) == [6, 5, 2, 1]
    assert await store.prune(T0 + 59, 10) == 1
    assert await store.prune(T0 + 59, 10) == 0
    assert await ids(store) == [6, 5, 1]
    assert await store.detail(4, 10) is None


async def test_prune_never_forgets_an_open_task(store: Store) -> None:
    await store.commit(submit(1))
    await store.commit(Commit(reopened=[reopened(1)]))
    assert await store.prune(T0 * 2, 10) == 0
    assert await ids(store) == [1]


async def test_each_start_is_known_to_those_after_it(store: Store, restart: Restart) -> None:
    again = await restart(store)
    first = (await again.open()).life
    later = await restart(again)
    second = (await later.open()).life
    assert second.current.epoch == first.current.epoch
    assert second.current.number == first.current.number + 1
    assert not second.is_from_the_future(first.current)
    assert first.is_from_the_future(second.current)


async def test_a_new_epoch_leaves_the_numbers_of_the_old_one_to_it(store: Store, restart: Restart) -> None:
    await store.commit(submit(7))
    again = await restart(store)
    old = (await again.open()).life
    heard = new_id()
    new, next_id = await again.begin_epoch("a test", [heard])
    assert new.current.epoch != old.current.epoch
    assert next_id > 7 + ID_GAP
    assert {old.current.epoch, heard} < new.epochs
    assert not new.is_from_the_future(old.current)
    later = await restart(again)
    found = await later.open()
    assert (found.life.current.epoch, found.next_task_id) == (new.current.epoch, next_id)
    assert heard in found.life.epochs
    assert [row[0] for row in found.tasks] == [7]


async def test_outcomes_are_read_up_to_so_many_bytes_of_results(store: Store) -> None:
    sizes = {1: 10, 2: 300_000, 3: 300_000, 4: 10}
    await store.commit(submit(*sizes))
    await store.commit(Commit(settled=[settled(i, result=b"\xc0" * size) for i, size in sizes.items()]))
    assert [one.id for one in await store.outcomes([*sizes], 10**9)] == [1, 2, 3, 4]
    assert [one.id for one in await store.outcomes([*sizes], 300_000)] == [1, 2]
    assert [one.id for one in await store.outcomes([3, 4], 1)] == [3]


async def test_the_beginnings_of_payloads_are_read_wherever_these_are(store: Store) -> None:
    large = b"\xdb" + bytes(range(256)) * (MUCH // 128)
    await store.commit(submit(1, payload=b"\x93\x01\x02\x03"))
    await store.commit(submit(2, payload=large))
    assert await store.heads([1, 2, 3], 8) == {1: b"\x93\x01\x02\x03", 2: large[:8]}
    assert await store.heads([1, 2], 2) == {1: b"\x93\x01", 2: large[:2]}
    assert await store.heads([1], 0) == {}
    assert await store.heads([], 8) == {}
