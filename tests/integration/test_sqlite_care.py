"""Damage in a database that is too large to be looked through at each start is noticed while it is in use."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import anyio
import apsw
import pytest
from taskmessenger.core.commit import Commit
from taskmessenger.core.errors import DataMissing
from taskmessenger.roles.care import Care
from taskmessenger.store import writer
from taskmessenger.store.care import Look

from tests.support.stores import a_store, settle, submitted

PAGE = 4096
LEAF, INTERIOR, INDEX = b"\x0d", b"\x05", b"\x0a"
TASKS = 3_000


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A database of a few megabytes that was closed in order."""
    folder = tmp_path_factory.mktemp("whole")

    async def make() -> None:
        store = a_store(folder)
        await store.open()
        rows = [submitted(n, key=f"key-{n:05}", batch="b", payload=b"p" * 600) for n in range(1, TASKS + 1)]
        await store.commit(Commit(submitted=rows))
        await store.commit(settle(*range(1, TASKS, 2)))
        await store.commit(Commit(outputs=[(n, 1, 0, b"words " * 20) for n in range(1, TASKS, 2)]))
        await store.close()

    anyio.run(make)
    return folder


@pytest.fixture
def copied(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its files, and a manager that takes them for large ones."""
    monkeypatch.setattr(writer, "QUICK_CHECK_LIMIT", 0)
    shutil.copytree(whole, tmp_path / "db")
    return tmp_path / "db"


def page_of(data: bytes, kind: bytes, holding: bytes = b"") -> int:
    """Where a page of this kind begins; the last but one of them, so that no start reads it first."""
    found = [
        at
        for at in range(PAGE, len(data), PAGE)
        if data[at : at + 1] == kind and holding in data[at : at + PAGE]
    ]
    return found[-2] if len(found) > 1 else found[-1]


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 0x14]))
        os.fsync(file.fileno())


def places(data: bytes) -> dict[str, int]:
    leaf, index = page_of(data, LEAF, b"key-02"), page_of(data, INDEX, b"key-0")
    return {
        "the kind of a page with tasks": leaf,
        "the number of tasks on a page": leaf + 4,
        "where a task lies on its page": leaf + 8,
        "which page has tasks": page_of(data, INTERIOR) + PAGE - 3,
        "the kind of a page of an index": index,
        "a key in the index of keys": index + data[index : index + PAGE].rindex(b"key-0") + 6,
        "the kind of a page with output": page_of(data, LEAF, b"words words"),
    }


async def told(folder: Path, at: int | None) -> str:
    """What a look finds when a byte of the disk has changed under a manager that runs."""
    store = a_store(folder)
    await store.open()
    try:
        if at is not None:
            flip(folder / "tasks.db", at)
        with anyio.fail_after(60):
            return await store.look_through(1.0)
    finally:
        await store.close()


@pytest.mark.parametrize(
    "place",
    [
        "the kind of a page with tasks",
        "the number of tasks on a page",
        "where a task lies on its page",
        "which page has tasks",
        "the kind of a page of an index",
        "a key in the index of keys",
        "the kind of a page with output",
    ],
)
async def test_a_flipped_byte_is_noticed_and_told_with_the_cure(copied: Path, place: str) -> None:
    words = await told(copied, places((copied / "tasks.db").read_bytes())[place])
    assert "is damaged, in `" in words
    assert "stop the manager and restore a backup with `taskmessenger restore FILE --replace`" in words


async def test_a_database_without_damage_is_said_to_have_none(copied: Path) -> None:
    assert await told(copied, None) == ""


async def test_what_was_changed_while_nobody_had_it_is_refused(copied: Path) -> None:
    flip(copied / "tasks.db", places((copied / "tasks.db").read_bytes())["a key in the index of keys"])
    with pytest.raises(DataMissing, match="is damaged, or another program wrote to it"):
        await a_store(copied).open()


async def test_after_a_crash_it_is_looked_through_at_once_and_damage_is_kept_for_an_alarm(
    copied: Path, tmp_path: Path
) -> None:
    before = a_store(copied)
    await before.open()
    assert not before.unchecked
    shutil.copytree(copied, tmp_path / "crashed")
    await before.close()
    store = a_store(tmp_path / "crashed")
    await store.open()
    try:
        assert store.unchecked
        path = tmp_path / "crashed" / "tasks.db"
        flip(path, places(path.read_bytes())["a key in the index of keys"])
        care = Care(store)
        with anyio.fail_after(60):
            await care.keep()
        assert "missing from index" in care.found
    finally:
        await store.close()


def test_a_table_that_takes_too_long_is_given_up(whole: Path) -> None:
    connection = apsw.Connection(str(whole / "tasks.db"), flags=apsw.SQLITE_OPEN_READONLY)
    look = Look(seconds=-1.0)
    look.tables(connection)
    connection.set_progress_handler(lambda: True, 10)
    assert look.at(connection, "task") is None
    connection.close()
