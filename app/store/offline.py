"""Makes and restores backups where no manager runs. What else belongs to a manager is the caller's."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import localtime, strftime, time
from typing import Final

import apsw

from ..core.errors import Conflict, NotFound, StoreFailed
from ..handle.audit import AuditEntry, AuditRow
from . import audit, life
from .archive import DATABASE, Facts, Manifest, check_free, pack, sync_directory, unpack
from .backup import copy
from .database import as_store_error, check_library, connect_reader, connect_writer
from .files import PRIVATE_DIRECTORY, LockFile
from .migrate import migrate, migrations
from .segments import Segments

_BESIDE: Final = ("", "-wal", "-shm", ".values", ".ballast", ".last")
"""What belongs to a database, by the end of its name."""
RESTORED: Final = "a backup was restored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What became of it."""

    manifest: Manifest
    aside: Path | None
    """Where the data before are."""
    extra: Mapping[str, bytes]
    """What was in the backup besides the database, by name."""


def back_up(database: Path, target: Path, extra: Mapping[str, bytes], facts: Facts) -> Manifest:
    """Put the database of a manager that does not run, and `extra`, into the new file `target`.

    Raises:
        StoreLocked: a manager runs. NotFound: there is no database. Conflict, StoreError: as `archive.pack`.
    """
    check_library()
    check_free(target)
    if not _has_data(database):
        raise NotFound(
            f"there is no database {database}: start a manager first, then there is something to copy"
        )
    copied = target.with_name(f".{target.name}.database")
    try:
        with _locked(database), _telling(database):
            connection = connect_writer(database)
            try:
                copy(
                    connection, Segments(database.with_name(f"{database.name}.values")), copied, replace=True
                )
            finally:
                connection.close()
        return pack(copied, extra, facts, target)
    finally:
        copied.unlink(missing_ok=True)


def restore(source: Path, database: Path, *, replace: bool) -> Restored:
    """Put the database of a backup in its place, in a new epoch. All is checked before anything is touched.

    Raises:
        StoreLocked: a manager runs. Conflict: there are data, and they are not to be replaced.
        NotFound, UsageError, StoreTooNew: as `archive.unpack`. StoreFull, StoreError: the disk.
    """
    check_library()
    with _locked(database), _telling(database):
        there = [path for path in _parts(database) if path.exists()]
        if _has_data(database) and not replace:
            raise Conflict(f"{database} has data: say --replace to move them aside, which loses nothing")
        staging = Path(tempfile.mkdtemp(prefix=".restoring-", dir=database.parent))
        try:
            manifest = unpack(source, staging, migrations()[-1].number)
            _begin_epoch(staging / DATABASE, database)
            extra = {
                name: (staging / name).read_bytes() for name in manifest.files if name != DATABASE
            }  # fmt: skip
            aside = _move_aside(database, there) if _has_data(database) else None
            for path in there if aside is None else ():
                _remove(path)
            (staging / DATABASE).rename(database)
            database.with_name(f"{database.name}.last").unlink(missing_ok=True)
            sync_directory(database.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return Restored(manifest=manifest, aside=aside, extra=extra)


def _begin_epoch(staged: Path, replaced: Path) -> None:
    """What was said of these data is of a former life, and so is what was said of those that they replace."""
    heard, highest = _past(replaced)
    connection = connect_writer(staged)
    try:
        old = migrate(connection, staged, migrations(), Segments(staged.with_name(f"{staged.name}.values")))
        if old is not None:
            old.unlink()
        with connection:
            known = life.read(connection)
            mine = known.epochs if known is not None else frozenset()
            life.leave_out(connection, highest)
            begun, _ = life.begin_epoch(connection, RESTORED, [one for one in heard if one not in mine])
            epoch = begun.current.epoch.hex()
            audit.add(
                connection,
                [
                    AuditEntry(
                        at=time(), who="local", role="operator", verb="restore", object=f"epoch {epoch}"
                    )
                ],
            )
    finally:
        connection.close()
    fd = os.open(staged, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _past(database: Path) -> tuple[frozenset[bytes], int]:
    """Epochs of the data that are replaced, and the highest number of a task there, if they are readable."""
    with suppress(apsw.Error, OSError):
        connection = connect_reader(database)
        try:
            known = life.read(connection)
            if known is not None:
                return known.epochs, connection.execute(life.NEXT_TASK).get - 1
        finally:
            connection.close()
    return frozenset(), 0


def members(database: Path) -> int:
    """How many have joined and were not revoked, where there is a database that can be read."""
    with suppress(apsw.Error, OSError):
        connection = connect_reader(database)
        try:
            number: int = connection.execute("SELECT count(*) FROM peer WHERE revoked_at IS NULL").get
            return number
        finally:
            connection.close()
    return 0


def read_audit(database: Path, after: int, since: float) -> list[AuditRow]:
    """The next rows of the audit, as `audit.page`, of a manager that does not run.

    Raises:
        NotFound: there is no database. StoreError: it cannot be read.
    """
    if not _has_data(database):
        raise NotFound(f"there is no database {database}: no manager of yours has ever run here")
    with _telling(database):
        connection = connect_reader(database)
        try:
            return audit.page(connection, after, since)
        finally:
            connection.close()


def _move_aside(database: Path, there: list[Path]) -> Path:
    """Everything of the old database into a new directory beside it."""
    moment = strftime("%Y%m%d-%H%M%S", localtime())
    aside = Path(tempfile.mkdtemp(prefix=f"replaced-{moment}-", dir=database.parent))
    aside.chmod(PRIVATE_DIRECTORY)
    for path in there:
        if path.name.endswith(".last"):  # it stays until the new database is there: so nobody starts without
            shutil.copy2(path, aside)
        elif not path.name.endswith("-shm"):
            path.rename(aside / path.name)
    database.with_name(f"{database.name}-shm").unlink(missing_ok=True)
    sync_directory(aside)
    return aside


def _parts(database: Path) -> list[Path]:
    return [database.with_name(f"{database.name}{end}") for end in _BESIDE]


def _has_data(database: Path) -> bool:
    values = database.with_name(f"{database.name}.values")
    if values.is_dir() and any(values.iterdir()):
        return True
    return any(path.is_file() and path.stat().st_size > 0 for path in _parts(database)[:2])


def _remove(path: Path) -> None:
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    """No manager has the database for as long as the block lasts."""
    lock = LockFile(database.with_name(f"{database.name}.lock"))
    try:
        clean = lock.acquire(database)
    except OSError as error:
        raise StoreFailed(f"cannot lock {lock.path}: {error.strerror}; see to its permissions") from error
    try:
        yield
    finally:
        lock.release(clean=clean)


@contextmanager
def _telling(database: Path) -> Iterator[None]:
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise as_store_error(error, database) from error
