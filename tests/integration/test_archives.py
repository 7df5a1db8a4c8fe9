"""Backups as files: what is in one, which are refused, and what a restore leaves of the data before."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import shutil
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from taskmessenger.core.errors import (
    Conflict,
    NotFound,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreTooNew,
    UsageError,
)
from taskmessenger.core.life import ID_GAP
from taskmessenger.handle import TaskQuery
from taskmessenger.store import archive, offline
from taskmessenger.store.archive import (
    DATABASE,
    MANIFEST,
    Facts,
    Manifest,
    inspect,
    pack,
    read_manifest,
    unpack,
)
from taskmessenger.store.migrate import migrations

from tests.support.stores import T0, a_peer, a_store, an_invite, settle, submit

FACTS = Facts(version="1.2.3", fleet="lab-A", made_at=T0)
EXTRA = {"authority/ca.pem": b"secret"}
NEWEST = migrations()[-1].number


async def _fill(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    store = a_store(folder)
    await store.open()
    await store.commit(submit(*range(1, count + 1)))
    await store.commit(settle(1))
    await store.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of three tasks, of which one has ended, and of an authority."""
    folder = tmp_path_factory.mktemp("made")
    asyncio.run(_fill(folder / "data", 3))
    offline.back_up(folder / "data" / "tasks.db", folder / "backup.tar", EXTRA, FACTS)
    return folder / "backup.tar"


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("five")
    asyncio.run(_fill(folder, 5))
    return folder


@pytest.fixture
def other(tmp_path: Path, five: Path) -> Path:
    """Another database, with five tasks."""
    return shutil.copytree(five, tmp_path / "other") / "tasks.db"


async def opened(database: Path) -> tuple[list[int], Any]:
    """The ids of all tasks, and what the start found."""
    store = a_store(database.parent)
    found = await store.open()
    page = await store.page(TaskQuery(limit=100))
    await store.close()
    return sorted(row.id for row in page.rows), found


# ---- what is in one


def test_a_backup_says_what_is_in_it(made: Path) -> None:
    manifest = read_manifest(made)
    assert (manifest.tasks, manifest.open, manifest.unreadable) == (3, 2, 0)
    said = (manifest.version, manifest.fleet, manifest.made_at, manifest.schema)
    assert said == ("1.2.3", "lab-A", T0, NEWEST)
    assert set(manifest.files) == {DATABASE, *EXTRA}
    assert made.stat().st_mode & 0o777 == 0o600
    with tarfile.open(made) as tar:
        assert tar.getnames() == [MANIFEST, *EXTRA, DATABASE]
        assert {member.mode for member in tar} == {0o600}


def test_nothing_is_left_beside_a_backup_or_its_database(made: Path) -> None:
    assert sorted(path.name for path in made.parent.iterdir()) == ["backup.tar", "data"]


def test_what_is_unpacked_is_what_was_packed(made: Path, tmp_path: Path) -> None:
    assert unpack(made, tmp_path, NEWEST) == read_manifest(made)
    assert (tmp_path / "authority/ca.pem").read_bytes() == b"secret"
    assert (tmp_path / "authority").stat().st_mode & 0o777 == 0o700
    assert inspect(tmp_path / DATABASE)[2:] == (3, 2, 0)


async def test_large_values_are_in_it_and_one_that_is_damaged_is_counted(tmp_path: Path) -> None:
    store, value = a_store(tmp_path), os.urandom(2 << 20)
    await store.open()
    await store.commit(submit(1, payload=value))
    assert (await store.archive(tmp_path / "whole.tar", {}, FACTS)).unreadable == 0
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "whole.tar", tmp_path / "out", NEWEST)
    restored = a_store(tmp_path / "out")
    await restored.open()
    assert await restored.payloads([1]) == {1: value}
    await restored.close()
    for segment in (tmp_path / "tasks.db.values").iterdir():
        segment.write_bytes(bytes(segment.stat().st_size))
    assert (await store.archive(tmp_path / "less.tar", {}, FACTS)).unreadable == 1
    await store.close()


# ---- which are refused


def test_where_something_is_nothing_is_written(made: Path, other: Path, tmp_path: Path) -> None:
    target = tmp_path / "there"
    target.write_text("precious")
    with pytest.raises(Conflict, match="exists already: name another file"):
        offline.back_up(other, target, {}, FACTS)
    with pytest.raises(Conflict, match="exists already"):
        pack(other, {}, FACTS, target)
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "there"]


def test_where_nothing_can_be_written_it_is_said(other: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write .*: No such file or directory; choose another place"):
        pack(other, {}, FACTS, tmp_path / "nowhere" / "x.tar")


def test_a_database_of_somebody_else_or_a_damaged_one_is_not_packed(other: Path, tmp_path: Path) -> None:
    connection = apsw.Connection(os.fspath(tmp_path / "foreign.db"))
    connection.execute("CREATE TABLE task (id)")
    connection.close()
    with pytest.raises(StoreError, match=r"foreign\.db is no database of Task Messenger"):
        inspect(tmp_path / "foreign.db")
    (tmp_path / "text.db").write_text("x" * 5000)
    with pytest.raises(StoreError, match=r"text\.db is damaged \("):
        inspect(tmp_path / "text.db")
    with pytest.raises(StoreError, match=r"none\.db is damaged"):
        inspect(tmp_path / "none.db")


def test_without_a_database_there_is_nothing_to_copy(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="start a manager first"):
        offline.back_up(tmp_path / "tasks.db", tmp_path / "x.tar", {}, FACTS)
    with pytest.raises(NotFound, match="no manager of yours has ever run here"):
        offline.read_audit(tmp_path / "tasks.db", 0, 0.0)
    assert offline.members(tmp_path / "tasks.db") == 0


async def test_while_a_manager_runs_nothing_is_copied_or_restored_behind_its_back(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskmessenger.store.files.LOCK_PATIENCE", 0.0)
    store = a_store(tmp_path)
    await store.open()
    try:
        with pytest.raises(StoreLocked, match="is in use by the manager with pid"):
            offline.back_up(tmp_path / "tasks.db", tmp_path / "x.tar", {}, FACTS)
        with pytest.raises(StoreLocked, match="is in use"):
            offline.restore(made, tmp_path / "tasks.db", replace=True)
    finally:
        await store.close()


def rewritten(made: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A backup with other members."""
    with tarfile.open(made) as tar:
        members = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
    change(members)
    with tarfile.open(target, "w") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return target


def saying(**changes: Any) -> Callable[[dict[str, bytes]], None]:
    """Its manifest says something else."""

    def change(members: dict[str, bytes]) -> None:
        manifest = msgspec.json.decode(members[MANIFEST], type=Manifest)
        files = dict.fromkeys(changes.pop("names", ()), manifest.files[DATABASE])
        changed = msgspec.structs.replace(manifest, **changes)
        if files:
            changed = msgspec.structs.replace(changed, files=changed.files | files)
        members[MANIFEST] = msgspec.json.encode(changed)

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda m: m.pop(MANIFEST), "is no backup of Task Messenger"),
        (lambda m: m.clear(), "is no backup of Task Messenger"),
        (lambda m: m.update({MANIFEST: b"{"}), "its manifest cannot be read"),
        (lambda m: m.update({MANIFEST: b"x" * (archive.MAX_MANIFEST + 1)}), "is no backup of Task Messenger"),
        (lambda m: m.pop(DATABASE), "it ends before `tasks.db`"),
        (lambda m: m.update(more=b""), "`more` in it is not what its manifest says"),
        (lambda m: m.update({"authority/ca.pem": b"another"}), "is not what its manifest says"),
        (lambda m: m.update({"authority/ca.pem": b"forged"}), "the checksum of `authority/ca.pem` is wrong"),
        (saying(epoch="00"), "its database is not what its manifest says"),
        (saying(schema=NEWEST - 1), "its database is not what its manifest says"),
        (saying(files={}), "its manifest names files that no backup has"),
        (saying(names=["../x"]), "its manifest names files that no backup has"),
        (saying(names=["/x"]), "its manifest names files that no backup has"),
        (saying(names=["a/b/c"]), "its manifest names files that no backup has"),
        (saying(names=["a\x1b"]), "its manifest names files that no backup has"),
        (
            saying(names=[str(n) for n in range(archive.MAX_FILES)]),
            "its manifest names files that no backup has",
        ),
    ],
)
def test_what_is_no_whole_backup_changes_nothing(
    made: Path, other: Path, tmp_path: Path, change: Any, why: str
) -> None:
    source = rewritten(made, tmp_path / "changed.tar", change)
    before = sorted(other.parent.rglob("*"))
    with pytest.raises(UsageError) as caught:
        offline.restore(source, other, replace=True)
    assert why in str(caught.value)
    assert sorted(other.parent.rglob("*")) == before


@pytest.mark.parametrize("change", [{"format": archive.FORMAT + 1}, {"schema": NEWEST + 1}])
def test_a_backup_of_a_newer_version_says_which_version_restores_it(
    made: Path, tmp_path: Path, change: dict[str, int]
) -> None:
    source = rewritten(made, tmp_path / "newer.tar", saying(**change))
    with pytest.raises(StoreTooNew, match=r"was made by version 1\.2\.3 with schema"):
        unpack(source, tmp_path, NEWEST)


def test_a_backup_that_is_cut_or_not_there_is_named(made: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no backup"):
        read_manifest(tmp_path / "none.tar")
    with pytest.raises(UsageError, match=r"cannot be read .*: name a backup"):
        read_manifest(tmp_path)
    data = made.read_bytes()
    for size in (100, 1000, len(data) // 2):
        (tmp_path / "cut.tar").write_bytes(data[:size])
        (tmp_path / "out").mkdir(exist_ok=True)
        with pytest.raises(UsageError, match=r"damaged or no backup|no backup of Task Messenger"):
            unpack(tmp_path / "cut.tar", tmp_path / "out", NEWEST)
        for path in sorted((tmp_path / "out").rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    with pytest.raises(StoreFull, match="no space left for"), archive._telling(tmp_path):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(StoreFull, match="nothing was changed"), archive._opened(_a_tar(tmp_path)):
        raise OSError(errno.EDQUOT, "full")


def _a_tar(folder: Path) -> Path:
    tarfile.open(folder / "x.tar", "w").close()
    return folder / "x.tar"


# ---- a restore


def test_a_restore_begins_a_new_epoch_and_gives_no_number_twice(made: Path, tmp_path: Path) -> None:
    database = tmp_path / "tasks.db"
    done = offline.restore(made, database, replace=False)
    assert done.aside is None
    assert done.extra == EXTRA
    (row,) = offline.read_audit(database, 0, 0.0)
    assert (row.verb, row.who) == ("restore", "local")
    ids, found = asyncio.run(opened(database))
    assert ids == [1, 2, 3]
    assert found.next_task_id > 3 + ID_GAP // 2
    assert found.life.current.epoch.hex().upper() != done.manifest.epoch
    assert bytes.fromhex(done.manifest.epoch) in found.life.epochs
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".restoring-")]


def test_data_are_replaced_only_when_that_is_meant_and_then_moved_aside(made: Path, other: Path) -> None:
    with pytest.raises(Conflict, match="has data: say --replace to move them aside"):
        offline.restore(made, other, replace=False)
    _, before = asyncio.run(opened(other))
    done = offline.restore(made, other, replace=True)
    assert done.aside is not None
    assert done.aside.stat().st_mode & 0o777 == 0o700
    ids, found = asyncio.run(opened(other))
    assert ids == [1, 2, 3]
    assert found.next_task_id > before.next_task_id, (
        "numbers of the tasks that were replaced are not given again"
    )
    assert before.life.current.epoch in found.life.epochs, "what was said in that life is known to be over"
    ids, old = asyncio.run(opened(done.aside / "tasks.db"))
    assert ids == [1, 2, 3, 4, 5]
    assert old.life.current.epoch == before.life.current.epoch


async def test_members_that_were_not_revoked_are_counted(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    await store.open()
    await store.add_invite(an_invite())
    await store.redeem("i1", a_peer(), T0)
    await store.close()
    assert offline.members(tmp_path / "tasks.db") == 1
    store = a_store(tmp_path)
    await store.open()
    await store.revoke_peer(a_peer().id, T0)
    await store.close()
    assert offline.members(tmp_path / "tasks.db") == 0


async def test_a_backup_that_nobody_waits_for_any_more_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = a_store(tmp_path)
    await store.open()
    begun = asyncio.Event()
    loop, held = asyncio.get_running_loop(), threading.Event()

    def slowly(*_: Any, **__: Any) -> None:
        loop.call_soon_threadsafe(begun.set)
        held.wait(10)
        (tmp_path / ".x.tar.database").write_text("half a copy")

    monkeypatch.setattr("taskmessenger.store.access.copy", slowly)
    making = asyncio.create_task(store.archive(tmp_path / "x.tar", {}, FACTS))
    await begun.wait()
    making.cancel()
    held.set()
    await asyncio.wait([making])
    assert making.cancelled()
    assert not [path.name for path in tmp_path.iterdir() if "x.tar" in path.name]
    await store.close()
