"""Large values in files beside the database: where they are, when they go, and what a disk may do to them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from taskmessenger.core.commit import Commit
from taskmessenger.core.errors import DataMissing, StoreError
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.store.archive import Facts
from taskmessenger.store.large import LARGE, MUCH
from taskmessenger.store.segments import SEGMENT_SIZE
from taskmessenger.store.sqlite import SqliteStore

from tests.support.large import MIB, Gate, SlowDisk, big, segments, started_again
from tests.support.stores import T0, a_store, reopened, settle, settled, submit, submitted

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = a_store(tmp_path)
    await made.open()
    yield made
    await made.close()


# ---- where they are -------------------------------------------------------------------------------------


async def test_large_values_are_in_private_files_and_come_back(store: SqliteStore, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        await store.commit(submit(1, payload=big(1)))
    finally:
        os.umask(old)
    await store.commit(settle(1, result=big(2)))
    directory = tmp_path / "tasks.db.values"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    assert segments(tmp_path) == {"00000001.seg": 2 * MIB}
    assert (tmp_path / "tasks.db-wal").stat().st_size < MIB
    store = await started_again(store, tmp_path)
    assert await store.payloads([1]) == {1: big(1)}
    assert [outcome.result for outcome in await store.outcomes([1])] == [big(2)]
    await store.close()


async def test_a_batch_with_little_in_it_needs_no_file(store: SqliteStore, tmp_path: Path) -> None:
    await store.commit(submit(1, payload=bytes(MUCH)))
    await store.commit(submit(*range(2, 502), payload=bytes(LARGE)))
    assert segments(tmp_path) == {}
    await store.commit(submit(502, payload=bytes(MUCH + 1)))
    assert list(segments(tmp_path)) == ["00000001.seg"]


async def test_a_directory_that_others_could_read_is_closed_to_them(
    store: SqliteStore, tmp_path: Path
) -> None:
    await store.commit(submit(1, payload=big(1)))
    (tmp_path / "tasks.db.values").chmod(0o755)
    store = await started_again(store, tmp_path)
    assert stat.S_IMODE((tmp_path / "tasks.db.values").stat().st_mode) == 0o700
    await store.close()


async def test_a_full_segment_is_followed_by_another(store: SqliteStore, tmp_path: Path) -> None:
    count = 2 * SEGMENT_SIZE // MIB + 1
    rows = [submitted(n, payload=big(n)) for n in range(1, count + 1)]
    await store.commit(Commit(submitted=rows[:5]))
    await store.commit(Commit(submitted=rows[5:]))
    sizes = segments(tmp_path)
    assert list(sizes.values()) == [SEGMENT_SIZE, SEGMENT_SIZE, MIB]
    found = await store.payloads(range(1, count + 1))
    assert all(found[n] == big(n) for n in range(1, count + 1))


async def test_a_value_larger_than_a_segment_has_one_of_its_own(store: SqliteStore, tmp_path: Path) -> None:
    huge = bytes(SEGMENT_SIZE + 1)
    await store.commit(Commit(submitted=[submitted(1, payload=big(1)), submitted(2, payload=huge)]))
    await store.commit(submit(3, payload=big(3)))
    assert len(segments(tmp_path)) == 3
    assert (await store.payloads([2]))[2] == huge


async def test_a_start_never_writes_into_an_old_segment(store: SqliteStore, tmp_path: Path) -> None:
    await store.commit(submit(1, payload=big(1)))
    store = await started_again(store, tmp_path)
    await store.commit(submit(2, payload=big(2)))
    assert segments(tmp_path) == {"00000001.seg": MIB, "00000002.seg": MIB}
    await store.close()


# ---- when they go ---------------------------------------------------------------------------------------


async def test_a_segment_goes_with_the_last_of_its_values(store: SqliteStore, tmp_path: Path) -> None:
    rows = [submitted(n, payload=big(n)) for n in range(1, 21)]
    await store.commit(Commit(submitted=rows))
    await store.commit(settle(*range(1, 17)))
    assert len(segments(tmp_path)) == 2
    assert await store.prune(T0 * 2, 15) == 15
    await store.find_keys(["k"])  # on the writer's thread, so after the removal
    assert len(segments(tmp_path)) == 2, "one value of the first is still there"
    assert await store.prune(T0 * 2, 15) == 1
    await store.find_keys(["k"])
    assert list(segments(tmp_path)) == ["00000002.seg"]
    assert len(await store.payloads(range(1, 21))) == 4
    await store.commit(settle(*range(17, 21), result=big(0)))
    await store.prune(T0 * 2, 100)
    await store.find_keys(["k"])
    assert segments(tmp_path) == {}
    await store.commit(submit(30, payload=big(30)))
    assert await store.payloads([30]) == {30: big(30)}


async def test_what_is_counted_is_counted_again_after_a_start(store: SqliteStore, tmp_path: Path) -> None:
    await store.commit(Commit(submitted=[submitted(n, payload=big(n)) for n in (1, 2)]))
    await store.commit(settle(1, result=big(3)))
    store = await started_again(store, tmp_path)
    await store.prune(T0 * 2, 10)
    await store.find_keys(["k"])
    assert list(segments(tmp_path)) == ["00000001.seg"]
    await store.commit(settle(2))
    await store.prune(T0 * 2, 10)
    await store.find_keys(["k"])
    assert segments(tmp_path) == {}
    await store.close()


async def test_a_retried_task_gives_up_its_result_and_keeps_its_payload(
    store: SqliteStore, tmp_path: Path
) -> None:
    await store.commit(submit(1, payload=big(1)))
    store = await started_again(store, tmp_path)
    await store.commit(settle(1, state=TaskState.FAILED, result=big(2)))
    assert len(segments(tmp_path)) == 2
    await store.commit(Commit(reopened=[reopened(1)]))
    await store.find_keys(["k"])
    assert list(segments(tmp_path)) == ["00000001.seg"]
    await store.commit(settle(1, attempt=2))
    assert [outcome.result for outcome in await store.outcomes([1])] == [b"\xc3"]
    await store.close()


async def test_a_value_that_is_forgotten_while_it_is_read_is_read_to_its_end(
    store: SqliteStore, tmp_path: Path
) -> None:
    """The files stay for a reader whose snapshot began before, and go with it."""
    await store.commit(submit(1, payload=big(1)))
    await store.commit(settle(1, result=big(2)))
    began, go_on = asyncio.Event(), Gate()
    loop = asyncio.get_running_loop()
    disk = SlowDisk(lambda: loop.call_soon_threadsafe(began.set), go_on)
    store._access.segments.disk = disk
    reading = asyncio.create_task(store.outcomes([1]))
    await asyncio.wait_for(began.wait(), 10)
    assert await store.prune(T0 * 2, 10) == 1
    await store.find_keys(["k"])
    assert len(segments(tmp_path)) == 1
    go_on.open()
    assert [outcome.result for outcome in await reading] == [big(2)]
    assert await store.outcomes([1]) == []
    assert segments(tmp_path) == {}


# ---- what a start finds ---------------------------------------------------------------------------------

_CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.support.stores import a_store, submit

def stop(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    store = a_store(Path(sys.argv[1]), before_commit=stop)
    await store.open()
    await store.commit(submit(1, payload=bytes(1_000_000)))
    await store.commit(submit(*range(2, 20), payload=bytes(1_000_001)))

asyncio.run(main())
"""


async def test_a_process_killed_before_its_commit_leaves_garbage_that_the_next_one_removes(
    tmp_path: Path,
) -> None:
    done = subprocess.run([sys.executable, "-c", _CHILD, os.fspath(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    before = segments(tmp_path)
    assert len(before) == 2
    assert sum(before.values()) > 19_000_000
    store = a_store(tmp_path)
    assert [row[0] for row in (await store.open()).tasks] == [1]
    assert segments(tmp_path) == {"00000001.seg": 1_000_000}
    assert await store.payloads([1]) == {1: bytes(1_000_000)}
    await store.commit(submit(2, payload=big(2)))
    assert list(segments(tmp_path)) == ["00000001.seg", "00000003.seg"]
    await store.close()


async def test_a_start_leaves_files_alone_that_are_not_its_own(store: SqliteStore, tmp_path: Path) -> None:
    await store.commit(submit(1, payload=big(1)))
    await store.close()
    for name in ("notes.txt", "1.seg", "00000009.seg.old"):
        (tmp_path / "tasks.db.values" / name).write_text("mine")
    store = a_store(tmp_path)
    await store.open()
    assert len(segments(tmp_path)) == 4
    await store.close()


async def test_a_damaged_value_is_named_with_its_task_and_others_are_read(
    store: SqliteStore, tmp_path: Path
) -> None:
    await store.commit(Commit(submitted=[submitted(n, payload=big(n)) for n in (1, 2)]))
    await store.commit(settle(1, result=big(3)))
    path = tmp_path / "tasks.db.values" / "00000001.seg"
    with path.open("r+b") as file:
        for place in (100, 2 * MIB + 100):
            file.seek(place)
            file.write(b"damage")
    with pytest.raises(StoreError, match=r"payload of task 1 cannot be read .*is damaged.*restore a backup"):
        await store.payloads([1])
    with pytest.raises(StoreError, match="result of task 1 "):
        await store.outcomes([1])
    with pytest.raises(StoreError, match="payload of task 1 "):
        await store.detail(1, 2 * MIB)
    shown = await store.detail(1, 10)
    assert shown is not None
    assert (shown.payload_size, shown.result_size, shown.payload) == (MIB, MIB, None)
    assert await store.payloads([2]) == {2: big(2)}
    assert await store.prune(T0 * 2, 10) == 1


@pytest.mark.parametrize("what", ["directory", "file", "end"])
async def test_files_that_are_lost_cost_their_values_only(
    store: SqliteStore, tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    await store.commit(Commit(submitted=[submitted(1, payload=big(1)), submitted(2)]))
    await store.close()
    path = tmp_path / "tasks.db.values" / "00000001.seg"
    if what == "end":
        os.truncate(path, 1000)
    else:
        path.unlink()
    if what == "directory":
        path.parent.rmdir()
    with pytest.raises(DataMissing, match=r"a file of values gone or cut short .*--accept-data-loss"):
        await a_store(tmp_path).open()
    store = a_store(tmp_path)
    store.accept_loss(True)
    with caplog.at_level(logging.ERROR):
        assert len((await store.open()).tasks) == 2
    assert "a loss of data is accepted: a file of values gone" in caplog.text
    with pytest.raises(StoreError, match="payload of task 1 cannot be read"):
        await store.payloads([1])
    await store.commit(submit(3, payload=big(3)))
    assert await store.payloads([2, 3]) == {2: b"\xa1x", 3: big(3)}
    await store.commit(settle(1))
    assert await store.prune(T0 * 2, 10) == 1
    await store.close()
    store = a_store(tmp_path)  # it was accepted once for all
    await store.open()
    await store.close()


# ---- copies ---------------------------------------------------------------------------------------------


async def test_a_copy_has_the_large_values_in_its_one_file(store: SqliteStore, tmp_path: Path) -> None:
    await store.commit(Commit(submitted=[submitted(n, payload=big(n)) for n in range(1, 101)]))
    await store.commit(Commit(settled=[settled(n, result=big(n + 500)) for n in range(1, 40)]))
    await store.backup(tmp_path / "copy.db")
    (tmp_path / "other").mkdir()
    (tmp_path / "copy.db").rename(tmp_path / "other" / "tasks.db")
    other = a_store(tmp_path / "other")
    await other.open()
    for n in range(1, 101):
        assert (await other.payloads([n]))[n] == big(n)
    for n in range(1, 40):
        assert (await other.outcomes([n]))[0].result == big(n + 500)
    await other.commit(submit(200, payload=big(200)))
    assert await other.prune(T0 * 2, 100) == 39
    assert await other.payloads([100, 200]) == {100: big(100), 200: big(200)}
    await other.close()
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == [
        "tasks.db",
        "tasks.db.last",
        "tasks.db.lock",
        "tasks.db.values",
    ]


async def test_a_copy_has_all_that_there_was_although_it_is_forgotten_meanwhile(
    store: SqliteStore, tmp_path: Path
) -> None:
    await store.commit(Commit(submitted=[submitted(n, payload=big(n)) for n in range(1, 6)]))
    await store.commit(settle(*range(1, 6)))
    began, go_on = asyncio.Event(), Gate()
    loop = asyncio.get_running_loop()
    ordinary = store._access.segments.disk
    store._access.segments.disk = SlowDisk(lambda: loop.call_soon_threadsafe(began.set), go_on)
    copying = asyncio.create_task(store.backup(tmp_path / "copy.db"))
    await asyncio.wait_for(began.wait(), 10)
    store._access.segments.disk = ordinary
    assert await store.prune(T0 * 2, 100) == 5
    await store.commit(submit(6, payload=big(6)))
    assert await store.payloads([1, 6]) == {6: big(6)}
    go_on.open()
    await copying
    assert list(segments(tmp_path)) == ["00000002.seg"]
    (tmp_path / "other").mkdir()
    (tmp_path / "copy.db").rename(tmp_path / "other" / "tasks.db")
    other = a_store(tmp_path / "other")
    await other.open()
    assert await other.payloads(range(1, 10)) == {n: big(n) for n in range(1, 6)}
    await other.close()


async def test_a_copy_is_made_without_a_value_that_is_damaged(
    store: SqliteStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await store.commit(Commit(submitted=[submitted(n, payload=big(n)) for n in (1, 2)]))
    with (tmp_path / "tasks.db.values" / "00000001.seg").open("r+b") as file:
        file.write(b"damage")
    await store.backup(tmp_path / "copy.db")
    assert "payload of task 1 cannot be read" in caplog.text
    (tmp_path / "other").mkdir()
    (tmp_path / "copy.db").rename(tmp_path / "other" / "tasks.db")
    other = a_store(tmp_path / "other")
    assert len((await other.open()).tasks) == 2
    assert await other.payloads([2]) == {2: big(2)}
    with pytest.raises(StoreError, match="task 1"):
        await other.payloads([1])
    await other.close()


async def test_a_backup_that_nobody_waits_for_any_more_leaves_nothing_behind(
    store: SqliteStore, tmp_path: Path
) -> None:
    await store.commit(submit(1, payload=big(1)))
    began, go_on = asyncio.Event(), Gate()
    loop = asyncio.get_running_loop()
    before = sorted(path.name for path in tmp_path.iterdir())
    store._access.segments.disk = SlowDisk(lambda: loop.call_soon_threadsafe(began.set), go_on)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.archive, tmp_path / "copy.tar", {}, Facts(version="1", fleet="f", made_at=T0))
        with anyio.fail_after(10):
            await began.wait()
        tasks.cancel_scope.cancel()
        go_on.open()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert "store-backup" not in {thread.name for thread in threading.enumerate()}
