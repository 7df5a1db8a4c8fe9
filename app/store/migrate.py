"""Brings the schema of a database forward, one version at a time, and never back.

A version is one script of `migrations/`, applied in one transaction; a database that has content is copied
before the first of them runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import apsw

from ..core.errors import StoreFailed, StoreTooNew
from .backup import copy
from .database import APPLICATION_ID, RESTORE
from .segments import Segments

_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Migration:
    """What makes version `number` of version `number - 1`."""

    number: int
    sql: str


def migrations() -> tuple[Migration, ...]:
    """Those that come with this program, oldest first."""
    scripts = sorted(
        (f for f in resources.files(f"{__package__}.migrations").iterdir() if f.name.endswith(".sql")),
        key=lambda f: f.name,
    )
    found = tuple(Migration(int(f.name[:_DIGITS]), f.read_text("utf-8")) for f in scripts)
    assert [m.number for m in found] == list(range(1, len(found) + 1)), "migrations are numbered from 1"
    return found


def check_version(connection: apsw.Connection, path: Path, steps: Sequence[Migration]) -> int:
    """The version of the database, which is one that these steps know.

    Raises:
        StoreTooNew: it was written by a newer version of this program.
        StoreFailed: it belongs to another program.
    """
    owner, version = connection.pragma("application_id"), connection.pragma("user_version")
    newest = steps[-1].number
    used = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if owner != APPLICATION_ID and (owner or version or used):
        raise StoreFailed(f"{path} belongs to another program: give Task Messenger a path of its own")
    if version > newest:
        raise StoreTooNew(
            f"{path} has schema {version}, this program knows {newest}: "
            f"install the newer version again, or {RESTORE}"
        )
    found: int = version
    return found


def migrate(
    connection: apsw.Connection, path: Path, steps: Sequence[Migration], segments: Segments
) -> Path | None:
    """Bring the database to the version of the last of `steps`; says where the copy of the old one is.

    Raises:
        StoreTooNew: it was written by a newer version of this program.
        StoreFailed: it belongs to another program.
        apsw.Error: a step failed; the database is as it was before that step.
    """
    version, newest = check_version(connection, path, steps), steps[-1].number
    saved = None
    if 0 < version < newest:
        saved = path.with_name(f"{path.name}.v{version}.backup")
        copy(connection, segments, saved, replace=True)
    for step in steps[version:]:
        _apply(connection, step)
    return saved


def _apply(connection: apsw.Connection, step: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(step.sql)
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", step.number)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
