"""What attempts wrote, in every store: the last part of it, bounded, counted, and gone with its task."""

from __future__ import annotations

from pathlib import Path

import pytest
from taskmessenger.core.commit import Commit
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.store.memory import MemoryStore
from taskmessenger.store.memory_outputs import MemoryOutputs
from taskmessenger.store.outputs import OutputBounds
from taskmessenger.store.sqlite import Bounds

from tests.support.stores import T0, a_store, settle, submit

BOUNDS = OutputBounds(attempt=100, in_all=1_000, attempts=3)


def made(kind: str, folder: Path):
    if kind == "sqlite":
        return a_store(folder, bounds=Bounds(outputs=BOUNDS))
    store = MemoryStore()
    store._outputs = MemoryOutputs(BOUNDS)
    return store


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    one = made(request.param, tmp_path)
    await one.open()
    await one.commit(submit(*range(1, 30)))
    yield one
    await one.close()


def wrote(task: int, attempt: int, *parts: bytes, start: int = 0) -> Commit:
    rows = []
    for part in parts:
        rows.append((task, attempt, start, part))
        start += len(part)
    return Commit(outputs=rows)


async def kept(store, task: int, attempt: int = 0) -> tuple[int, int, bytes]:
    found = await store.output(task, attempt)
    return found.attempt, found.start, found.data


async def test_what_was_written_is_there_after_the_end_and_goes_with_the_task(store) -> None:
    await store.commit(wrote(1, 1, b"one\n", b"two\n"))
    await store.commit(settle(1, 2))
    assert await kept(store, 1) == (1, 0, b"one\ntwo\n")
    assert (await store.detail(1, 0)).output == await store.output(1)
    assert await store.output(2) is None
    assert (await store.detail(2, 0)).output is None
    await store.prune(T0 + 10_000, 10)
    assert await store.output(1) is None
    await store.commit(wrote(1, 1, b"of a task that is no more"))
    assert await store.output(1) is None


async def test_of_each_attempt_the_last_part_is_kept_and_the_rest_is_counted(store) -> None:
    await store.commit(wrote(1, 1, *(bytes([65 + n]) * 60 for n in range(3))))
    await store.commit(wrote(1, 2, b"x" * 250, start=1_000))
    assert await kept(store, 1, 1) == (1, 80, b"B" * 40 + b"C" * 60)
    assert await kept(store, 1) == (2, 1_150, b"x" * 100)
    assert (await store.output(1)).written == ((1, 180, 100), (2, 1_250, 100))


async def test_only_the_newest_attempts_of_a_task_are_kept(store) -> None:
    for attempt in range(1, 7):
        await store.commit(wrote(1, attempt, b"of %d" % attempt))
    assert [attempt for attempt, *_ in (await store.output(1)).written] == [4, 5, 6]
    assert (await store.output(1, 2)).data == b""


async def test_the_oldest_makes_room_and_it_is_still_known_how_much_there_was(store) -> None:
    for task in range(1, 13):
        await store.commit(wrote(task, 1, b"%03d" % task * 30))
    assert await kept(store, 1) == (1, 90, b"")
    assert (await store.output(1)).written == ((1, 90, 0),)
    assert await kept(store, 12) == (1, 0, b"012" * 30)
    found = [await store.output(task) for task in range(1, 13)]
    assert 900 < sum(len(one.data) for one in found) <= BOUNDS.in_all


async def test_what_is_said_twice_is_kept_once(store) -> None:
    for _ in range(2):
        await store.commit(wrote(1, 1, b"one\n", b"two\n"))
    assert await kept(store, 1) == (1, 0, b"one\ntwo\n")
    assert (await store.output(1)).written == ((1, 8, 8),)


async def test_a_gap_is_not_hidden(store) -> None:
    await store.commit(wrote(1, 1, b"before"))
    await store.commit(wrote(1, 1, b"after", start=50))
    assert await kept(store, 1) == (1, 50, b"after")


async def test_the_room_is_counted_over_restarts_and_prunes(tmp_path) -> None:
    store = made("sqlite", tmp_path)
    await store.open()
    await store.commit(submit(*range(1, 40)))
    for task in range(1, 11):
        await store.commit(wrote(task, 1, b"a" * 100))
    await store.commit(settle(*range(1, 6)))
    await store.prune(T0 + 10_000, 10)  # 500 bytes are free again
    await store.close()
    store = made("sqlite", tmp_path)
    found = await store.open()
    assert "output_bytes" not in found.settings
    for task in range(21, 27):
        await store.commit(wrote(task, 1, b"b" * 100))
    assert [len((await store.output(task)).data) for task in (6, 7, 21, 26)] == [0, 100, 100, 100]
    (tmp_path / "copy").mkdir()
    await store.backup(tmp_path / "copy" / "tasks.db")
    await store.close()
    copied = made("sqlite", tmp_path / "copy")
    await copied.open()
    assert await kept(copied, 26) == (1, 0, b"b" * 100)
    await copied.close()


async def test_output_never_keeps_a_result_out(tmp_path) -> None:
    """The disk is full, and what was kept back is used up: outcomes find room, what was written does not."""
    store = made("sqlite", tmp_path)
    await store.open()
    await store.commit(submit(1))
    store._ballast.spent = True
    ended = settle(1)
    ended.outputs = wrote(1, 1, b"words").outputs
    await store.commit(ended)
    assert (await store.outcomes([1]))[0].state == TaskState.SUCCEEDED
    assert (await store.output(1)).written == ((1, 5, 0),)
    await store.close()
