"""Disks that are full or broken: what was acknowledged stays, what was not is said, nothing is guessed."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import apsw
import pytest
from taskmessenger.core.commit import Commit
from taskmessenger.core.errors import StoreError, StoreFailed, StoreFull
from taskmessenger.handle import TaskQuery
from taskmessenger.store.disk import Disk as SystemDisk
from taskmessenger.store.files import Ballast
from taskmessenger.store.sqlite import SqliteStore

from tests.support.stores import T0, a_peer, a_store, an_invite, reopened, settle, settled, submit, submitted

LARGE = os.urandom(20_000)
SMALL_DISK = 12 << 20


async def fill(store: SqliteStore, first: int = 1, payload: bytes = LARGE) -> int:
    """Submit until there is no space; the last id that was stored."""
    for number in itertools.count(first):
        try:
            await store.commit(submit(number, payload=payload))
        except StoreFull:
            return number - 1
    raise AssertionError


async def limit_pages(store: SqliteStore, more: int) -> None:
    """Let the database grow by only this many pages: a full disk that needs no disk."""

    def limit() -> None:
        connection = store._access.writer.connection
        connection.pragma("max_page_count", connection.pragma("page_count") + more)

    await store._access.writer.call(limit)


# ---- full -----------------------------------------------------------------------------------------------


async def test_a_full_database_refuses_a_batch_and_stays_usable(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    await store.open()
    await store.commit(submit(1))
    await limit_pages(store, 20)
    last = await fill(store, 2)
    with pytest.raises(StoreFull, match=r"tasks\.db: free some space; nothing was lost"):
        await store.commit(submit(last + 1, payload=LARGE))
    assert len((await store.page(TaskQuery())).rows) == last
    await limit_pages(store, 1000)
    await store.commit(submit(last + 1, payload=LARGE))
    await store.close()
    store = a_store(tmp_path)
    assert [row[0] for row in (await store.open()).tasks] == list(range(1, last + 2))
    await store.close()


async def test_of_commits_that_wait_together_only_the_one_too_large_is_refused(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    await store.open()
    await limit_pages(store, 10)
    answers = await _at_once(store, [submit(1), submit(2, payload=bytes(100_000)), submit(3)])
    assert [type(answer) for answer in answers] == [type(None), StoreFull, type(None)]
    assert [row.id for row in (await store.page(TaskQuery())).rows] == [3, 1]
    await store.close()


async def _at_once(store: SqliteStore, batches: list[Commit]) -> list[BaseException | None]:
    """Commit all of `batches` while the writer is busy with something else."""
    gate = threading.Event()
    busy = asyncio.create_task(store._access.writer.call(lambda: gate.wait(10)))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(store.commit(batch)) for batch in batches]
    await asyncio.sleep(0)
    gate.set()
    assert await busy
    return await asyncio.gather(*waiting, return_exceptions=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of SMALL_DISK bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", os.fspath(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", os.fspath(folder)], check=True)


async def test_outcomes_still_fit_when_the_disk_is_full(small_disk: Path) -> None:
    store = a_store(small_disk, ballast=2 << 20)
    await store.open()
    assert (small_disk / "tasks.db.ballast").stat().st_size == 2 << 20
    assert not store.low_space()
    await store.add_invite(an_invite())
    last = await fill(store)
    assert not (small_disk / "tasks.db.ballast").exists()
    assert store.low_space(), "the space that is left is for outcomes"
    for first in range(1, 101, 20):
        await store.commit(settle(*range(first, first + 20)))
    await store.commit(Commit(reopened=[reopened(101)]))
    assert await store.redeem("i1", a_peer(), T0)
    assert await store.prune(T0 * 2, 10) == 10
    await store.close()
    store = a_store(small_disk, ballast=2 << 20)
    found = await store.open()
    assert [row[0] for row in found.tasks] == list(range(101, last + 1))
    assert len(await store.outcomes(range(1, last + 1))) == 90
    await store.close()


async def test_outcomes_are_stored_at_the_first_try_and_spend_the_ballast(small_disk: Path) -> None:
    store = a_store(small_disk, ballast=2 << 20)
    await store.open()
    await store.commit(submit(*range(1, 301)))
    _stuff(small_disk)
    for number in range(1, 301):
        await store.commit(settle(number, result=os.urandom(2_000)))
    assert store.low_space()
    await store.close()


async def test_the_ballast_comes_back_with_the_space(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskmessenger.store.sqlite.BALLAST_RETRY_SECONDS", 0.0)
    store = a_store(small_disk, ballast=1 << 20, low_water=1 << 20)
    await store.open()
    _stuff(small_disk)
    await fill(store)
    assert store.low_space()
    await store.totals()
    assert store.low_space(), "the disk is still full"
    (small_disk / "stuff").unlink()
    store.low_space()
    await store.totals()  # on the same thread, so after the ballast
    assert not store.low_space()
    assert (small_disk / "tasks.db.ballast").stat().st_size == 1 << 20
    await store.close()


async def test_on_a_disk_that_stays_full_the_ballast_is_not_tried_at_each_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes many megabytes each time."""
    store = a_store(tmp_path, ballast=1 << 20)
    await store.open()
    store._ballast.release()
    tried: list[int] = []
    monkeypatch.setattr(store._ballast, "fill", tried.append)
    for _ in range(50):
        assert store.low_space()
    await store.totals()  # on the same thread, so after what was posted
    assert len(tried) == 1
    await store.close()


async def test_a_copy_for_which_there_is_no_space_leaves_nothing_and_can_be_made_later(
    small_disk: Path, tmp_path: Path
) -> None:
    store = a_store(tmp_path)
    await store.open()
    target = small_disk / "copy.db"
    for number in range(1, 401):
        await store.commit(submit(number, payload=LARGE))
    _stuff(small_disk)
    with pytest.raises(StoreError, match=r"copy\.db: free some space|cannot copy the database to .*copy\.db"):
        await store.backup(target)
    assert [path.name for path in small_disk.iterdir()] == ["stuff"]
    assert await store.payloads([1]) == {1: LARGE}, "the store goes on"
    (small_disk / "stuff").unlink()
    await store.backup(target)
    assert target.stat().st_size > 400 * len(LARGE)
    await store.close()


async def test_a_manager_starts_on_a_full_disk(small_disk: Path) -> None:
    store = a_store(small_disk, ballast=1 << 20)
    await store.open()
    await store.commit(submit(1, 2))
    await store.close()
    _stuff(small_disk)
    store = a_store(small_disk, ballast=1 << 20)
    assert len((await store.open()).tasks) == 2
    await store.commit(settle(1))
    await store.close()


def _stuff(disk: Path) -> None:
    """Leave no space at all."""
    with (disk / "stuff").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


async def test_little_space_is_said_before_there_is_none(tmp_path: Path) -> None:
    store = a_store(tmp_path, low_water=1 << 60)
    await store.open()
    assert store.low_space()
    await store.commit(submit(1))
    await store.close()


def test_ballast_takes_real_space_and_gives_it_back(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast", 3_000_000)
    ballast.fill(0)
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= 3_000_000
    assert ballast.release()
    assert ballast.spent
    assert not ballast.release()
    ballast.fill(1 << 60)
    assert ballast.spent, "not at the cost of what must stay free"
    ballast.fill(0)
    assert not ballast.spent


def test_no_ballast_is_kept_when_none_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "ballast").write_bytes(b"x" * 100)
    ballast = Ballast(tmp_path / "ballast", 0)
    ballast.fill(0)
    assert not (tmp_path / "ballast").exists()
    assert not ballast.release()
    assert not ballast.spent


# ---- broken ---------------------------------------------------------------------------------------------


class _Disk(apsw.VFS):
    """The system's own file layer, until a call fails because `fails` says so."""

    def __init__(self, name: str) -> None:
        self.fails: Callable[[str, str], bool] = lambda _call, _name: False
        super().__init__(name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: _Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._name = Path((name.filename() if isinstance(name, apsw.URIFilename) else name) or "").name

    def _check(self, call: str) -> None:
        if self._disk.fails(call, self._name):
            raise apsw.IOError(f"the test breaks {call} of {self._name}")

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._check("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._check("sync")
        super().xSync(flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._check("read")
        return super().xRead(amount, offset)


@pytest.fixture
def disk() -> Iterator[_Disk]:
    made = _Disk("breakable")
    yield made
    made.unregister()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("call", ["write", "sync"])
async def test_after_an_io_error_nothing_is_acknowledged_any_more(
    tmp_path: Path, disk: _Disk, call: str
) -> None:
    store = a_store(tmp_path, vfs="breakable")
    await store.open()
    await store.commit(submit(1))
    disk.fails = lambda what, _name: what == call
    with pytest.raises(StoreFailed, match=r"the disk failed under .*tasks\.db .*check it"):
        await store.commit(submit(2))
    disk.fails = lambda _what, _name: False
    for use in (store.commit(submit(3)), store.find_keys(["k"]), store.page(TaskQuery()), store.invites()):
        with pytest.raises(StoreFailed, match="the disk failed"):
            await use
    await store.close()
    assert (tmp_path / "tasks.db.lock").read_text() != "closed\n"
    store = a_store(tmp_path)
    ids = {row[0] for row in (await store.open()).tasks}
    assert ids in ({1}, {1, 2}), "the one that failed may be there or not; the others are certain"
    await store.close()


class _FailingSegments(SystemDisk):
    """The files of large values, under the same orders as the database."""

    def __init__(self, disk: _Disk) -> None:
        self._disk = disk

    def _check(self, call: str) -> None:
        if self._disk.fails(call, "segment"):
            raise OSError(errno.EIO, "the test breaks it")

    def create(self, path: Path) -> int:
        self._check("create")
        return super().create(path)

    def write(self, fd: int, data: Sequence[bytes | memoryview], start: int) -> int:
        self._check("write")
        return super().write(fd, data, start)

    def sync(self, fd: int) -> None:
        self._check("sync")
        super().sync(fd)

    def sync_directory(self, path: Path) -> None:
        self._check("sync")
        super().sync_directory(path)

    def read(self, path: Path, size: int, start: int) -> bytes:
        self._check("read")
        return super().read(path, size, start)


async def _script(store: SqliteStore, payload: bytes, told: list[int]) -> None:
    """From the first open on: a new database, commits with checkpoints between them, a read, the end."""
    await store.open()
    for number in range(1, 6):
        row = submitted(number, payload=payload)
        await store.commit(Commit(submitted=[row], settled=[settled(number)]))
        told.append(number)
    assert set(await store.payloads(told)) <= set(told)
    await store.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("what", ["writes and syncs", "reads"])
@pytest.mark.parametrize("payload", [b"p" * 3_000, b"p" * 200_000], ids=["in its row", "in a file"])
async def test_an_io_error_of_any_call_loses_nothing_that_was_acknowledged(
    tmp_path: Path, disk: _Disk, monkeypatch: pytest.MonkeyPatch, payload: bytes, what: str
) -> None:
    monkeypatch.setattr("taskmessenger.store.writer.CHECKPOINT_PAGES", 8)
    for stop_at in range(1, 400):
        folder, calls, told = tmp_path / str(stop_at), itertools.count(1), list[int]()
        disk.fails = lambda call, _, n=calls, k=stop_at: (
            (call == "read") == (what == "reads") and next(n) == k
        )
        store = a_store(folder, vfs="breakable")
        store._access.segments.disk = _FailingSegments(disk)
        with suppress(StoreFailed, StoreError):
            await _script(store, payload, told)
        reached = next(calls) > stop_at
        disk.fails = lambda _call, _name: False
        await store.close()
        after = a_store(folder)
        await after.open()
        found = [outcome.id for outcome in await after.outcomes(range(1, 10))]
        assert found[: len(told)] == told
        assert len(found) <= len(told) + 1
        assert await after.payloads(found) == dict.fromkeys(found, payload)
        await after.close()
        shutil.rmtree(folder)
        if not reached:
            assert told == [1, 2, 3, 4, 5]
            return
    pytest.fail("the script never ended without an error")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_checkpoint_that_fails_stops_the_store(
    tmp_path: Path, disk: _Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskmessenger.store.writer.CHECKPOINT_PAGES", 1)
    store = a_store(tmp_path, vfs="breakable")
    await store.open()
    disk.fails = lambda call, name: call == "write" and name == "tasks.db"
    await store.commit(submit(1))
    with pytest.raises(StoreFailed):
        await store.find_keys(["k"])
    disk.fails = lambda _call, _name: False
    await store.close()
    after = a_store(tmp_path)
    assert len((await after.open()).tasks) == 1
    await after.close()


# ---- where tests may stop the writer --------------------------------------------------------------------


async def test_hooks_are_called_around_every_commit_with_its_number(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    store = a_store(
        tmp_path,
        before_commit=lambda number: seen.append(("before", number)),
        after_commit=lambda number: seen.append(("after", number)),
    )
    await store.open()
    await store.commit(submit(1))
    await store.commit(settle(1))
    await store.close()
    assert seen == [("before", 1), ("after", 1), ("before", 2), ("after", 2)]


async def test_a_hook_that_fails_before_the_commit_undoes_it(tmp_path: Path) -> None:
    def fail(number: int) -> None:
        if number == 2:
            raise RuntimeError("stop here")

    store = a_store(tmp_path, before_commit=fail)
    await store.open()
    await store.commit(submit(1))
    with pytest.raises(RuntimeError, match="stop here"):
        await store.commit(submit(2))
    await store.commit(submit(3))
    assert [row.id for row in (await store.page(TaskQuery())).rows] == [3, 1]
    await store.close()
