"""Makes a copy of a database that is in use: complete, consistent, readable by its owner only.

It is one file: values that the database has in files of their own are in the rows of the copy.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import apsw

from ..core.errors import Conflict, StoreError, StoreFull
from .files import PRIVATE_FILE
from .large import fill_in
from .segments import Segments

_PAGES_A_STEP: Final = 1_024


def copy(source: apsw.Connection, segments: Segments, target: Path, *, replace: bool = False) -> None:
    """Write what `source` holds at this moment to the new file `target`; it appears when it is complete.

    Must not be called inside a transaction of `source`. Writers go on; what they do meanwhile is left out. No
    file of a value that they forget is removed before the copy is done.

    Raises:
        Conflict: `target` exists and is not to be replaced.
        StoreFull: there is no space for the copy.
        StoreError: it could not be made; the source goes on.
    """
    if target.exists() and not replace:
        raise Conflict(f"{target} exists already: name another file")
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE))
    except OSError as error:
        raise StoreError(f"cannot write {partial}: {error.strerror}; choose another place") from error
    try:
        with segments.reading():
            _copy_pages(source, segments, partial)
        _sync(partial)
        partial.replace(target)
        _sync(target.parent)
    except apsw.FullError as error:
        raise StoreFull(
            f"no space left for the copy {target}: free some space, or name another disk"
        ) from error
    except (apsw.Error, OSError) as error:
        raise StoreError(f"cannot copy the database to {target}: {error}; choose another place") from error
    finally:
        for leftover in (partial, *(Path(f"{partial}{end}") for end in ("-journal", "-wal", "-shm"))):
            leftover.unlink(missing_ok=True)


def _copy_pages(source: apsw.Connection, segments: Segments, partial: Path) -> None:
    # Inside one read transaction the source does not change under the copy, so it never starts over.
    source.execute("BEGIN")
    try:
        source.execute("SELECT count(*) FROM sqlite_schema").get  # noqa: B018 - the read is the purpose
        destination = apsw.Connection(os.fspath(partial))
        try:
            with destination.backup("main", source, "main") as steps:
                while not steps.done:
                    steps.step(_PAGES_A_STEP)
            # One file is easier to carry: the copy is opened in WAL mode again by whoever restores it.
            destination.pragma("journal_mode", "delete")
            # Nobody ever sees it unfinished, and it is synced as a whole.
            destination.pragma("journal_mode", "off")
            destination.pragma("synchronous", "off")
            fill_in(destination, segments)
        finally:
            destination.close()
    finally:
        source.execute("ROLLBACK")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
