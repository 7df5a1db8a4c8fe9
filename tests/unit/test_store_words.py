"""What is wrong with a database or its disk, in words for an operator."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import apsw
import pytest
from taskmessenger.core.errors import StoreError, StoreFailed, StoreFull, StoreLocked
from taskmessenger.store.database import Health, as_store_error, connect_writer

PATH = Path("/data/tasks.db")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (apsw.BusyError("x"), StoreLocked, "another program has /data/tasks.db locked"),
        (apsw.LockedError("x"), StoreLocked, "another program has /data/tasks.db locked"),
        (apsw.FullError("x"), StoreFull, "no space left for /data/tasks.db"),
        (OSError(errno.ENOSPC, "x"), StoreFull, "no space left"),
        (OSError(errno.EDQUOT, "x"), StoreFull, "no space left"),
        (apsw.NotADBError("x"), StoreFailed, "/data/tasks.db is not a database: move it away"),
        (apsw.CorruptError("malformed"), StoreFailed, "/data/tasks.db is damaged (malformed): stop the"),
        (apsw.IOError("bad"), StoreFailed, "the disk failed under /data/tasks.db (IOError: bad)"),
        (apsw.ReadOnlyError("x"), StoreFailed, "the disk failed under"),
        (OSError(errno.EIO, "bad"), StoreFailed, "the disk failed under"),
        (apsw.ConstraintError("twice"), StoreError, "refused a request, nothing of it was stored: twice"),
    ],
    ids=repr,
)
def test_each_error_has_its_class_and_its_sentence(
    error: apsw.Error | OSError, kind: type[StoreError], says: str
) -> None:
    told = as_store_error(error, PATH)
    assert type(told) is kind
    assert says in str(told)


def test_only_a_failed_disk_ends_all_trust() -> None:
    health = Health(PATH)
    for passing in (
        apsw.BusyError("x"),
        apsw.LockedError("x"),
        apsw.FullError("x"),
        apsw.ConstraintError("x"),
    ):
        health.diagnose(passing)
        health.check()
    first = health.diagnose(apsw.IOError("first"))
    health.diagnose(apsw.CorruptError("second"))
    assert health.failed
    with pytest.raises(StoreFailed) as raised:
        health.check()
    assert str(raised.value) == str(first), "what failed first stays the reason"


def test_a_file_system_that_allows_no_wal_is_refused() -> None:
    with pytest.raises(apsw.CantOpenError, match="the file system allows no WAL, only memory") as raised:
        connect_writer(Path(":memory:"))
    assert isinstance(as_store_error(raised.value, PATH), StoreFailed)


def test_a_file_of_something_else_is_said_to_be_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    path.write_bytes(os.urandom(8_192))
    with pytest.raises(apsw.NotADBError) as raised:
        connect_writer(path)
    assert "is not a database" in str(as_store_error(raised.value, path))
