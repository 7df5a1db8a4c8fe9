"""Connections to the database as this application wants them, and SQLite's errors in its own words.

It knows no table; the schema is in `migrate`, the rows in `rows`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from .. import descriptors
from ..core.errors import StoreBusy, StoreError, StoreFailed, StoreFull, StoreLocked

OLDEST_SQLITE: Final = (3, 51, 3)
"""Older ones can corrupt a WAL database that two connections use at once."""
APPLICATION_ID: Final = 0x544D5331
"""Says in the file's header whose it is: "TMS1"."""
RESTORE: Final = "restore a backup with `taskmessenger restore FILE --replace`"
"""The cure for what is damaged."""
BUSY_TIMEOUT_MS: Final = 5_000
_WRITER_CACHE_KIB: Final = 65_536
_READER_CACHE_KIB: Final = 16_384
_JOURNAL_LIMIT: Final = 64 << 20
"""Bytes that the WAL file may keep after a checkpoint emptied it."""
_CACHED_STATEMENTS: Final = 256
_DISK: Final = (
    apsw.IOError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
    apsw.AuthError,
    apsw.InternalError,
)
"""Errors after which nothing is certain. Others are about one statement: an odd request ends no manager."""
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def check_library(version: str | None = None) -> None:
    """Refuse an SQLite that is known to lose data.

    Raises:
        StoreFailed: the library is older than OLDEST_SQLITE.
    """
    found = version if version is not None else apsw.sqlite_lib_version()
    if tuple(int(part) for part in found.split(".")[:3]) < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise StoreFailed(
            f"SQLite {found} can corrupt the database; {wanted} or newer is needed: install a newer apsw"
        )


def connect_writer(path: Path, vfs: str | None = None) -> apsw.Connection:
    """The one connection that writes and checkpoints. The file must exist, if empty.

    Raises:
        apsw.Error: it is no database, or cannot be used; see `as_store_error`.
    """
    connection = apsw.Connection(
        os.fspath(path),
        flags=apsw.SQLITE_OPEN_READWRITE,
        vfs=vfs,
        statementcachesize=_CACHED_STATEMENTS,
    )
    try:
        _settle_in(connection, _WRITER_CACHE_KIB)
        _use_wal(connection)
        connection.pragma("synchronous", "full")
        connection.pragma("fullfsync", 1)
        connection.pragma("foreign_keys", 1)
        connection.pragma("journal_size_limit", _JOURNAL_LIMIT)
        # Checkpoints are the writer's to time: after a commit was acknowledged, never before.
        connection.wal_autocheckpoint(0)
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: apsw.Connection) -> None:
    mode = connection.pragma("journal_mode", "wal")
    if mode != "wal":
        raise apsw.CantOpenError(f"the file system allows no WAL, only {mode}")


def connect_reader(path: Path, vfs: str | None = None) -> apsw.Connection:
    """A connection that cannot write.

    Raises:
        apsw.Error: see `as_store_error`.
    """
    connection = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=vfs)
    try:
        _settle_in(connection, _READER_CACHE_KIB)
        connection.pragma("query_only", 1)
        connection.wal_autocheckpoint(0)
    except BaseException:
        connection.close()
        raise
    return connection


def _settle_in(connection: apsw.Connection, cache_kib: int) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    connection.pragma("trusted_schema", 0)
    connection.pragma("mmap_size", 0)
    connection.pragma("temp_store", "memory")
    connection.pragma("cell_size_check", 1)
    connection.pragma("cache_size", -cache_kib)


def fetch(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> list[Any]:
    """All rows of one statement. Untyped here; whoever asks knows the columns."""
    return connection.execute(sql, bindings).fetchall()


def is_full(error: apsw.Error | OSError) -> bool:
    """Whether the disk has no space. SQLite calls it an I/O error when the WAL's index cannot grow."""
    if isinstance(error, OSError):
        return error.errno in _NO_SPACE
    extended = getattr(error, "extendedresult", 0)  # only errors that SQLite itself raised have it
    return isinstance(error, apsw.FullError) or extended == apsw.SQLITE_IOERR_SHMSIZE


def _is_busy(error: apsw.Error | OSError) -> bool:
    """Whether a file could not be opened because too many are. SQLite does not say why it cannot open one."""
    if isinstance(error, OSError):
        return error.errno in descriptors.NO_MORE
    return isinstance(error, apsw.CantOpenError) and descriptors.exhausted()


def as_store_error(error: apsw.Error | OSError, path: Path) -> StoreError:
    """The `error` of SQLite, or of a file beside it, in words for an operator."""
    if is_full(error):
        return StoreFull(f"no space left for {path}: free some space; nothing was lost")
    if _is_busy(error):
        return StoreBusy(f"too many files are open to use {path}: try again; raise the limit (`ulimit -n`)")
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StoreLocked(f"another program has {path} locked: let it finish, then try again")
    if isinstance(error, apsw.NotADBError | apsw.CorruptError):
        other = isinstance(error, apsw.NotADBError)
        what = (
            "is not a database: move it away, or" if other else f"is damaged ({error}): stop the manager and"
        )
        return StoreFailed(f"{path} {what} {RESTORE}")
    if isinstance(error, (*_DISK, OSError)):
        what = f"{type(error).__name__}: {error}"
        return StoreFailed(f"the disk failed under {path} ({what}): check it, then start the manager again")
    return StoreError(f"{path} refused a request, nothing of it was stored: {error}")


class Health:
    """Whether the database can still be trusted; shared by all its connections.

    One flag, set once and never taken back, so threads need no lock for it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failure: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the disk has failed."""
        return self._failure is not None

    def check(self) -> None:
        """Go on only if nothing has failed.

        Raises:
            StoreFailed: something has.
        """
        if self._failure is not None:
            raise StoreFailed(self._failure)

    def diagnose(self, error: apsw.Error | OSError) -> StoreError:
        """`error` to raise; after one that means a failed disk, `check` raises for ever."""
        told = as_store_error(error, self._path)
        if isinstance(told, StoreFailed) and self._failure is None:
            self._failure = str(told)
        return told
