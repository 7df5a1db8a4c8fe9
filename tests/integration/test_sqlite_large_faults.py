"""Large values and bad disks: a full one refuses a batch whole, a broken one stops the store."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from taskmessenger.core.commit import Commit
from taskmessenger.core.errors import StoreError, StoreFailed, StoreFull
from taskmessenger.handle import TaskQuery
from taskmessenger.store.sqlite import SqliteStore

from tests.support.disks import BreakableDisk
from tests.support.large import MIB, Gate, big, segments, started_again
from tests.support.stores import T0, a_store, settle, submit, submitted


@pytest.fixture
async def breakable(tmp_path: Path) -> AsyncIterator[tuple[SqliteStore, BreakableDisk]]:
    made, disk = a_store(tmp_path), BreakableDisk()
    made._access.segments.disk = disk
    await made.open()
    yield made, disk
    disk.breaks = lambda _call: 0
    await made.close()


async def test_a_write_may_take_as_little_at_once_as_it_likes(
    breakable: tuple[SqliteStore, BreakableDisk],
) -> None:
    store, disk = breakable
    disk.short = 100_001
    await store.commit(Commit(submitted=[submitted(n, payload=big(n, 70_000 * n)) for n in range(1, 9)]))
    assert await store.payloads(range(1, 9)) == {n: big(n, 70_000 * n) for n in range(1, 9)}


# ---- full -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["make_directory", "create", "write", "sync", "sync_directory"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], ids=errno.errorcode.get)
async def test_a_full_disk_refuses_a_batch_whole_and_the_store_stays_usable(
    breakable: tuple[SqliteStore, BreakableDisk], tmp_path: Path, call: str, number: int
) -> None:
    store, disk = breakable
    disk.breaks = lambda what: number if what == call else 0
    rows = [submitted(n, payload=big(n)) for n in range(1, 20)]
    with pytest.raises(StoreFull, match=r"no space left for .*tasks\.db: free some space; nothing was lost"):
        await store.commit(Commit(submitted=rows))
    assert segments(tmp_path) == {}
    await store.commit(submit(50))
    disk.breaks = lambda _call: 0
    await store.commit(Commit(submitted=rows))
    assert len((await store.page(TaskQuery())).rows) == 20
    before = segments(tmp_path)
    disk.breaks = lambda what: number if what in {call, "create", "write"} else 0
    with pytest.raises(StoreFull):
        await store.commit(Commit(submitted=[submitted(n, payload=big(n)) for n in range(20, 45)]))
    assert segments(tmp_path) == before
    disk.breaks = lambda _call: 0
    await store.commit(submit(51, payload=big(51)))
    found = await store.payloads(range(1, 60))
    assert found == {n: big(n) for n in range(1, 20)} | {50: b"\xa1x", 51: big(51)}


async def test_of_commits_that_wait_together_only_the_one_too_large_for_the_disk_is_refused(
    breakable: tuple[SqliteStore, BreakableDisk],
) -> None:
    store, disk = breakable
    writer = store._access.writer
    gate = Gate()
    busy = asyncio.create_task(writer.call(gate.wait))
    await asyncio.sleep(0)
    batches = [submit(1), submit(2, payload=big(2)), submit(3, payload=b"p")]
    waiting = [asyncio.create_task(store.commit(batch)) for batch in batches]
    await asyncio.sleep(0)
    disk.breaks = lambda call: errno.ENOSPC if call == "write" else 0
    gate.open()
    await busy
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None), StoreFull, type(None)]


async def test_values_of_a_batch_that_contradicts_what_is_stored_are_never_written(
    breakable: tuple[SqliteStore, BreakableDisk], tmp_path: Path
) -> None:
    store, disk = breakable
    await store.commit(submit(1, payload=big(1)))
    calls: list[str] = []
    disk.breaks = lambda call: calls.append(call) or 0  # type: ignore[func-returns-value]
    with pytest.raises(StoreError):
        await store.commit(Commit(submitted=[submitted(2, payload=big(2)), submitted(1)]))
    assert calls == []
    await store.commit(submit(2, payload=big(2)))
    assert segments(tmp_path) == {"00000001.seg": 2 * MIB}


async def test_a_hook_that_fails_after_the_values_were_written_undoes_them(tmp_path: Path) -> None:
    def fail(number: int) -> None:
        if number in {2, 3}:
            raise RuntimeError("stop here")

    store = a_store(tmp_path, before_commit=fail)
    await store.open()
    await store.commit(submit(1, payload=big(1)))
    for count in (1, 20):
        with pytest.raises(RuntimeError, match="stop here"):
            await store.commit(submit(*range(2, 2 + count), payload=big(2)))
        assert segments(tmp_path) == {"00000001.seg": MIB}
    await store.commit(submit(2, payload=big(2)))
    assert await store.payloads([1, 2]) == {1: big(1), 2: big(2)}
    await store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", os.fspath(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", os.fspath(folder)], check=True)


async def test_large_outcomes_still_fit_into_the_space_of_the_ballast(small_disk: Path) -> None:
    store = a_store(small_disk, ballast=6 * MIB, low_water=4 * MIB)
    await store.open()
    for last in itertools.count(1):
        try:
            await store.commit(submit(last, payload=big(last)))
        except StoreFull:
            break
    assert 10 < last < 24
    assert not (small_disk / "tasks.db.ballast").exists()
    assert store.low_space(), "the space that is left is for outcomes"
    for n in (1, 2, 3):
        await store.commit(settle(n, result=big(n + 100)))
    found = await store.outcomes([1, 2, 3])
    assert [outcome.result for outcome in found] == [big(101), big(102), big(103)]
    await store.close()
    store = a_store(small_disk, ballast=6 * MIB, low_water=4 * MIB)
    assert len((await store.open()).tasks) == last - 4
    for n in range(4, last):
        assert await store.payloads([n]) == {n: big(n)}
    await store.close()


async def test_space_comes_back_when_tasks_are_forgotten(small_disk: Path) -> None:
    store = a_store(small_disk)
    await store.open()
    number = 0
    for _ in range(4):
        first = number + 1
        for number in itertools.count(first):
            try:
                await store.commit(submit(number, payload=big(number)))
            except StoreFull:
                break
        assert number - first > 15
        await store.commit(settle(*range(first, number)))
        assert await store.prune(T0 * 2, 100) == number - first
        await store.find_keys(["k"])
        assert segments(small_disk) == {}
    await store.close()


# ---- broken ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["make_directory", "create", "write", "sync", "sync_directory"])
async def test_after_an_io_error_nothing_is_acknowledged_any_more(
    breakable: tuple[SqliteStore, BreakableDisk], tmp_path: Path, call: str
) -> None:
    store, disk = breakable
    await store.commit(submit(1))
    disk.breaks = lambda what: errno.EIO if what == call else 0
    with pytest.raises(
        StoreFailed, match=r"the disk failed under .*tasks\.db .*Input/output error.*check it"
    ):
        await store.commit(submit(2, payload=big(2)))
    disk.breaks = lambda _call: 0
    with pytest.raises(StoreFailed):
        await store.commit(submit(3))
    await store.close()
    assert (tmp_path / "tasks.db.lock").read_text() != "closed\n"
    after = a_store(tmp_path)
    assert [row[0] for row in (await after.open()).tasks] == [1]
    assert segments(tmp_path) == {}
    await after.close()


async def test_a_file_that_cannot_be_removed_is_no_reason_to_stop(
    breakable: tuple[SqliteStore, BreakableDisk], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, disk = breakable
    await store.commit(submit(1, payload=big(1)))
    await store.commit(settle(1))
    disk.breaks = lambda call: errno.EIO if call == "remove" else 0
    assert await store.prune(T0 * 2, 10) == 1
    await store.commit(submit(2, payload=big(2)))
    assert "cannot remove" in caplog.text
    assert list(segments(tmp_path)) == ["00000001.seg", "00000002.seg"]
    store = await started_again(store, tmp_path)
    assert list(segments(tmp_path)) == ["00000002.seg"]
    await store.close()


async def test_what_cannot_be_cut_off_again_is_only_space(
    breakable: tuple[SqliteStore, BreakableDisk], tmp_path: Path
) -> None:
    store, disk = breakable
    await store.commit(submit(1, payload=big(1)))
    disk.breaks = lambda call: {"sync": errno.ENOSPC, "truncate": errno.EIO}.get(call, 0)
    with pytest.raises(StoreFull):
        await store.commit(submit(2, payload=big(2)))
    disk.breaks = lambda _call: 0
    await store.commit(submit(2, payload=big(3)))
    assert await store.payloads([1, 2]) == {1: big(1), 2: big(3)}
    store = await started_again(store, tmp_path)
    assert list(segments(tmp_path).values()) == [MIB, MIB]
    await store.close()


async def test_a_store_whose_disk_failed_lets_go_of_its_files_when_it_is_closed(
    breakable: tuple[SqliteStore, BreakableDisk], tmp_path: Path
) -> None:
    store, disk = breakable
    disk.breaks = lambda call: errno.EIO if call == "sync" else 0
    with pytest.raises(StoreFailed):
        await store.commit(submit(1, payload=big(1)))
    await store.close()
    held = [os.fspath(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    assert [path for path in held if path.startswith(os.fspath(tmp_path))] == []
