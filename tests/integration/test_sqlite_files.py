"""The database as files: who may read them, who holds them, which are refused, what outlives a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from taskmessenger.core.commit import Commit
from taskmessenger.core.errors import Conflict, StoreError, StoreFailed, StoreLocked, StoreTooNew
from taskmessenger.handle import TaskQuery
from taskmessenger.store import sqlite as sqlite_module
from taskmessenger.store.database import check_library
from taskmessenger.store.migrate import Migration, migrations
from taskmessenger.store.sqlite import SqliteStore

from tests.support.stores import T0, a_peer, a_store, an_invite, settle, submit, submitted

ROOT = Path(__file__).parents[2]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def filled(folder: Path, count: int = 3) -> None:
    """Make a database with open tasks and close it."""
    store = a_store(folder)
    await store.open()
    await store.commit(submit(*range(1, count + 1)))
    await store.close()


def raw(folder: Path) -> apsw.Connection:
    return apsw.Connection(os.fspath(folder / "tasks.db"))


# ---- permissions ----------------------------------------------------------------------------------------


async def test_only_the_owner_may_read_what_the_store_makes(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = SqliteStore(tmp_path / "a" / "b" / "tasks.db", ballast=4096, low_water=0)
        await store.open()
        await store.commit(submit(1))
        await store.backup(tmp_path / "a" / "copy.db")
    finally:
        os.umask(old)
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700
    files = sorted(p for p in (tmp_path / "a").rglob("*") if p.is_file())
    names = {p.name for p in files}
    assert {
        "tasks.db",
        "tasks.db-wal",
        "tasks.db-shm",
        "tasks.db.last",
        "tasks.db.lock",
        "tasks.db.ballast",
        "copy.db",
    } == names
    assert {mode(p) for p in files} == {0o600}
    await store.close()


async def test_a_database_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    await filled(tmp_path)
    (tmp_path / "tasks.db").chmod(0o644)
    store = a_store(tmp_path)
    await store.open()
    assert mode(tmp_path / "tasks.db") == 0o600
    await store.close()


# ---- one holder -----------------------------------------------------------------------------------------


async def test_a_second_opener_is_told_who_has_it(tmp_path: Path) -> None:
    store, second = a_store(tmp_path), a_store(tmp_path)
    await store.open()
    with pytest.raises(StoreLocked, match=rf"tasks\.db is in use .* pid {os.getpid()};"):
        await second.open()
    await store.commit(submit(1))
    await store.close()
    third = a_store(tmp_path)
    assert len((await third.open()).tasks) == 1
    await third.close()


async def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    with _Child(tmp_path) as child:
        child.wait_for("open")
        with pytest.raises(StoreLocked, match=f"pid {child.process.pid};"):
            await a_store(tmp_path).open()
        child.kill()
    store = a_store(tmp_path)
    await store.open()
    await store.close()


async def test_another_program_that_writes_to_it_is_named_as_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskmessenger.store.database.BUSY_TIMEOUT_MS", 10)
    store = a_store(tmp_path)
    await store.open()
    intruder = raw(tmp_path)
    intruder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreLocked, match="another program"):
        await store.commit(submit(1))
    intruder.execute("ROLLBACK")
    intruder.close()
    await store.commit(submit(1))
    await store.close()


# ---- what is refused ------------------------------------------------------------------------------------


async def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    await filled(tmp_path)
    connection = raw(tmp_path)
    connection.pragma("user_version", 99)
    connection.close()
    with pytest.raises(StoreTooNew, match=r"schema 99, this program knows \d+: install"):
        await a_store(tmp_path).open()
    connection = raw(tmp_path)
    assert connection.pragma("user_version") == 99
    connection.close()


async def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    connection = raw(tmp_path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    with pytest.raises(StoreFailed, match="belongs to another program"):
        await a_store(tmp_path).open()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tasks.db").write_bytes(b"a shopping list\n" * 1000)
    with pytest.raises(StoreFailed, match="is not a database: move it away"):
        await a_store(tmp_path).open()
    assert (tmp_path / "tasks.db").read_bytes() == b"a shopping list\n" * 1000


async def test_a_database_that_could_not_be_opened_is_held_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskmessenger.store.files.LOCK_PATIENCE", 0.0)
    (tmp_path / "tasks.db").write_bytes(b"this is a letter\n" * 400)
    for _ in range(2):  # the second one would be told that the first one has it
        with pytest.raises(StoreFailed):
            await a_store(tmp_path).open()
    (tmp_path / "tasks.db").unlink()
    await filled(tmp_path)


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed, match=r"cannot write .*tasks\.db"):
        await SqliteStore(tmp_path / "file" / "tasks.db", ballast=0).open()


async def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    with pytest.raises(StoreError, match="is not open"):
        await store.commit(submit(1))
    await store.open()
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="is not open"):
        await store.page(TaskQuery())


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.7.17"])
def test_an_sqlite_that_loses_data_is_refused(version: str) -> None:
    with pytest.raises(StoreFailed, match=rf"SQLite {version} .* install a newer apsw"):
        check_library(version)


def test_the_installed_sqlite_is_new_enough() -> None:
    check_library()
    check_library("3.51.3")


# ---- after a crash --------------------------------------------------------------------------------------


async def test_a_damaged_database_is_found_after_a_crash(tmp_path: Path) -> None:
    await filled(tmp_path, 500)
    path = tmp_path / "tasks.db"
    data = bytearray(path.read_bytes())
    data[8192:12_288] = b"\xff" * 4096
    path.write_bytes(data)
    (tmp_path / "tasks.db.lock").write_text("4711\n")
    with pytest.raises(StoreFailed, match=r"damaged .*restore a backup"):
        await a_store(tmp_path).open()


async def test_a_proper_close_leaves_one_file_and_two_notes(tmp_path: Path) -> None:
    await filled(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tasks.db", "tasks.db.last", "tasks.db.lock"]
    assert (tmp_path / "tasks.db.lock").read_text() == "closed\n"


_CHILD = """
import asyncio, sys
from pathlib import Path
from tests.support.stores import a_store, settle, submit

def say(text):
    print(text, flush=True)

async def main():
    store = a_store(Path(sys.argv[1]))
    first = (await store.open()).next_task_id
    say("open 0")
    for number in range(first, first + 1_000_000):
        await store.commit(submit(number, key=f"k{number}"))
        say(f"submitted {number}")
        await store.commit(settle(number))
        say(f"settled {number}")

asyncio.run(main())
"""


class _Child:
    """A process that commits and says so, until it is killed."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, os.fspath(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        self.said: dict[str, int] = {}

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def wait_for(self, word: str, number: int = 0) -> None:
        assert self.process.stdout is not None
        while self.said.get(word, -1) < number:
            self._hear(self.process.stdout.readline())

    def kill(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            assert self.process.stdout is not None
            for line in self.process.stdout:
                self._hear(line)

    def _hear(self, line: str) -> None:
        assert line, "the child ended by itself"
        if line.endswith("\n"):
            word, number = line.split()
            self.said[word] = int(number)


async def test_every_commit_that_returned_outlives_kill_9(tmp_path: Path) -> None:
    told = 0
    for round_number in range(1, 4):
        with _Child(tmp_path) as child:
            child.wait_for("settled", told + 40 * round_number)
            child.kill()
        store = a_store(tmp_path)
        found = await store.open()
        told = child.said["submitted"]
        assert found.next_task_id - 1 in {told, told + 1}, "a commit may be done and not yet told"
        ended = {o.id for o in await store.outcomes(range(1, found.next_task_id))}
        assert set(range(1, child.said["settled"] + 1)) <= ended
        assert {row[0] for row in found.tasks} == set(range(1, found.next_task_id)) - ended
        for row in found.tasks:
            await store.commit(settle(row[0]))
        connection = raw(tmp_path)
        assert connection.execute("PRAGMA integrity_check").get == "ok"
        connection.close()
        told = found.next_task_id - 1
        await store.close()


# ---- schema versions ------------------------------------------------------------------------------------


def _with_step(monkeypatch: pytest.MonkeyPatch, sql: str) -> int:
    steps = migrations()
    number = len(steps) + 1
    monkeypatch.setattr(sqlite_module, "migrations", lambda: (*steps, Migration(number, sql)))
    return number


async def test_an_older_database_is_copied_and_brought_forward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path)
    number = _with_step(monkeypatch, "ALTER TABLE peer ADD COLUMN colour TEXT; UPDATE task SET kind = 'new'")
    store = a_store(tmp_path)
    found = await store.open()
    assert [row[1] for row in found.tasks] == ["new"] * 3
    await store.close()
    copy = tmp_path / f"tasks.db.v{number - 1}.backup"
    assert mode(copy) == 0o600
    old = apsw.Connection(os.fspath(copy))
    assert old.pragma("user_version") == number - 1
    assert old.execute("SELECT DISTINCT kind FROM task").get == "hash"
    old.close()


async def test_a_step_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(tmp_path)
    with monkeypatch.context() as patch:
        number = _with_step(patch, "UPDATE task SET kind = 'new'; DROP TABLE peer; SELECT nonsense")
        with pytest.raises(StoreError):
            await a_store(tmp_path).open()
    store = a_store(tmp_path)
    assert [row[1] for row in (await store.open()).tasks] == ["hash"] * 3
    assert await store.peers() == []
    await store.close()
    connection = raw(tmp_path)
    assert connection.pragma("user_version") == number - 1
    connection.close()


async def test_a_new_database_needs_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_step(monkeypatch, "ALTER TABLE peer ADD COLUMN colour TEXT")
    store = a_store(tmp_path)
    await store.open()
    await store.close()
    assert list(tmp_path.glob("*.backup")) == []


# ---- copies ---------------------------------------------------------------------------------------------


async def test_a_backup_under_load_is_a_whole_database(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    await store.open()
    await store.add_invite(an_invite())
    await store.redeem("i1", a_peer(), T0)
    stop = asyncio.Event()

    async def load() -> int:
        number = 0
        while not stop.is_set():
            rows = [submitted(i, payload=b"p" * 500) for i in range(number + 1, number + 101)]
            await store.commit(Commit(submitted=rows))
            await store.commit(settle(*range(number + 1, number + 51)))
            number += 100
        return number

    loading = asyncio.create_task(load())
    try:
        while (await store.totals()).get(1, 0) < 300:
            await asyncio.sleep(0)
        await store.backup(tmp_path / "copy.db")
    finally:
        stop.set()
        await loading
    await store.close()
    connection = apsw.Connection(os.fspath(tmp_path / "copy.db"))
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    connection.close()
    (tmp_path / "other").mkdir()
    (tmp_path / "copy.db").rename(tmp_path / "other" / "tasks.db")
    restored = a_store(tmp_path / "other")
    found = await restored.open()
    assert found.next_task_id - 1 >= 300
    assert await restored.peers() == [a_peer()]
    await restored.close()


async def test_a_backup_never_overwrites(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    await store.open()
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(Conflict, match="exists already"):
        await store.backup(tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"
    with pytest.raises(StoreError, match="choose another place"):
        await store.backup(tmp_path / "nowhere" / "copy.db")
    await store.commit(submit(1))
    await store.close()
    assert list(tmp_path.glob("*.partial*")) == []


async def test_who_joined_before_there_were_approvals_is_approved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        before = migrations()[:2]
        patch.setattr(sqlite_module, "migrations", lambda: before)
        old = a_store(tmp_path)
        await old.open()
        await old.close()
    connection = raw(tmp_path)
    connection.execute("INSERT INTO invite VALUES ('i1', 'worker', x'00', 2, 1, 1.0, 9e9, NULL)")
    connection.execute("INSERT INTO peer VALUES ('p1', 'worker', '0a', 'i1', 1.0, 9e9, NULL, 'linux')")
    connection.close()
    store = a_store(tmp_path)
    await store.open()
    (peer,), (invite,) = await store.peers(), await store.invites()
    assert (peer.id, peer.pending, peer.ephemeral, peer.fingerprint) == ("p1", False, False, "")
    assert (invite.uses_left, invite.approve, invite.ephemeral) == (1, False, False)
    assert await store.forget_pending(9e9) == []
    await store.close()
