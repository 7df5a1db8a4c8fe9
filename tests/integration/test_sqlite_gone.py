"""Something that was stored is gone when a manager starts: it says what, and goes on only when told to."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from taskmessenger.core.errors import DataMissing, StoreFailed
from taskmessenger.core.life import ID_GAP
from taskmessenger.store.large import LARGE, MUCH

from tests.support.stores import a_peer, a_store, an_invite, settle, submit

CHILD = """
import asyncio, sys, time
from pathlib import Path
from tests.support.stores import a_store, settle, submit

async def main():
    store = a_store(Path(sys.argv[1]))
    await store.open()
    await store.commit(submit(*range(101, 141)))
    for one in range(101, 121):
        await store.commit(settle(one))
    await store.commit(submit(141, 142))
    time.sleep(1.0)
    print("written", flush=True)
    time.sleep(60)

asyncio.run(main())
"""
DATABASE, WAL = "tasks.db", "tasks.db-wal"


async def stopped(folder: Path) -> None:
    """A database that was closed: tasks 1 to 3, the last with a large payload."""
    store = a_store(folder)
    await store.open()
    await store.commit(submit(1, 2))
    await store.commit(submit(3, payload=bytes(LARGE + MUCH)))
    await store.add_invite(an_invite())
    await store.close()


def killed(folder: Path) -> None:
    """The same, of a process that was killed at work."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "written\n"
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    child.stdout.close()


def empty(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


GONE: dict[str, tuple[bool, str, Callable[[Path], object], str]] = {
    "the database is emptied": (False, DATABASE, empty, "is empty or was replaced"),
    "the database is removed": (False, DATABASE, Path.unlink, "is empty or was replaced"),
    "a byte is flipped": (False, DATABASE, flip, "is damaged"),
    "the WAL is removed": (True, WAL, Path.unlink, "at least [0-9]+ tasks, "),
    "the WAL is emptied": (True, WAL, empty, "at least [0-9]+ tasks, "),
    "the WAL is cut": (True, WAL, cut, "at least "),
    "the values are removed": (False, "tasks.db.values", shutil.rmtree, "a file of values gone or cut short"),
}


@pytest.mark.parametrize("case", GONE)
async def test_what_is_gone_is_told_and_nothing_starts(tmp_path: Path, case: str) -> None:
    at_work, name, damage, told = GONE[case]
    await stopped(tmp_path)
    if at_work:
        killed(tmp_path)
    damage(tmp_path / name)
    before = sorted(path.name for path in tmp_path.rglob("*.seg"))
    for _ in range(2):  # nothing of what it says is forgotten by saying it
        with pytest.raises((DataMissing, StoreFailed), match=told):
            await a_store(tmp_path).open()
    assert sorted(path.name for path in tmp_path.rglob("*.seg")) == before


@pytest.mark.parametrize("case", [case for case in GONE if "flipped" not in case])
async def test_what_is_gone_can_be_accepted_once_and_begins_a_new_epoch(tmp_path: Path, case: str) -> None:
    at_work, name, damage, _ = GONE[case]
    await stopped(tmp_path)
    if at_work:
        killed(tmp_path)
    highest = 142 if at_work else 3
    damage(tmp_path / name)
    store = a_store(tmp_path)
    store.accept_loss(True)
    found = await store.open()
    assert found.next_task_id > highest + ID_GAP
    assert len(found.life.epochs) >= 2
    await store.commit(submit(found.next_task_id))
    await store.close()
    store = a_store(tmp_path)
    again = await store.open()
    assert again.life.current.epoch == found.life.current.epoch
    await store.close()


async def test_an_older_copy_of_the_database_alone_is_noticed(tmp_path: Path) -> None:
    await stopped(tmp_path)
    shutil.copy(tmp_path / DATABASE, tmp_path / "older")
    await stopped_again(tmp_path)
    shutil.copy(tmp_path / "older", tmp_path / DATABASE)
    with pytest.raises(DataMissing, match=r"older one or cut: .*1 start of"):
        await a_store(tmp_path).open()


async def stopped_again(folder: Path) -> None:
    store = a_store(folder)
    await store.open()
    await store.close()


async def test_a_member_that_was_revoked_is_not_back_unnoticed(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    await store.open()
    await store.add_invite(an_invite())
    assert await store.redeem("i1", a_peer(), 1.0)
    await store.close()
    store = a_store(tmp_path)
    await store.open()
    shutil.copy(tmp_path / DATABASE, tmp_path / "older")
    assert await store.revoke_peer("p1", 2.0)
    await store.close()
    shutil.copy(tmp_path / "older", tmp_path / DATABASE)
    with pytest.raises(DataMissing, match="1 change of tasks or members"):
        await a_store(tmp_path).open()


async def test_an_honest_end_of_any_kind_is_no_loss(tmp_path: Path) -> None:
    await stopped(tmp_path)
    killed(tmp_path)
    connection = apsw.Connection(os.fspath(tmp_path / DATABASE))  # somebody looks: that empties the WAL
    assert connection.execute("SELECT count(*) FROM task").get == 45
    connection.close()
    assert not (tmp_path / WAL).exists()
    for left, ended, new in ((25, 141, 200), (25, 142, 201)):
        store = a_store(tmp_path)
        assert len((await store.open()).tasks) == left
        await store.commit(settle(ended))
        await store.commit(submit(new))
        await store.close()


@pytest.mark.parametrize("said", [b"", b"0" * 512, b"\xff" * 512, b"{}", b"00000000 {}"])
async def test_a_note_that_cannot_be_read_says_nothing(tmp_path: Path, said: bytes) -> None:
    await stopped(tmp_path)
    (tmp_path / "tasks.db.last").write_bytes(said)
    store = a_store(tmp_path)
    assert len((await store.open()).tasks) == 3
    await store.close()
