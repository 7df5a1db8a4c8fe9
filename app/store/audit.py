"""The rows of the audit, in a transaction that is the caller's."""

# ruff: noqa: S608 - what is put into SQL here are texts of this module; values are always bound

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw

from ..handle.audit import BEGINNING, AuditEntry, AuditRow, chained
from .bulk import Bulk
from .database import fetch

MOST: Final = 1_000_000
"""Rows that are kept; then the oldest go."""
PAGE: Final = 1_000
_COLUMNS: Final = "number, at, who, role, verb, object, count, filter, origin, outcome, times, previous, hash"
_NAMES: Final = tuple(_COLUMNS.split(", "))
_ADD: Final = Bulk(f"INSERT INTO audit ({_COLUMNS}) SELECT * FROM", 13, "WHERE column1 IS NOT NULL")
_LAST: Final = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1"
_PAGE: Final = f"SELECT {_COLUMNS} FROM audit WHERE number > ? AND at >= ? ORDER BY number LIMIT ?"
_TRIM: Final = "DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?"


def add(connection: apsw.Connection, entries: Sequence[AuditEntry]) -> None:
    """Put these behind all others."""
    last = fetch(connection, _LAST)
    number, previous = last[0] if last else (0, BEGINNING)
    rows = []
    for entry in entries:
        row = chained(entry, number + 1, previous)
        number, previous = row.number, row.hash
        rows.append(tuple(getattr(row, name) for name in _NAMES))
    _ADD.run(connection, rows)
    if number > MOST and number % PAGE < len(rows):
        connection.execute(_TRIM, (MOST,))


def page(connection: apsw.Connection, after: int, since: float) -> list[AuditRow]:
    """The next rows behind number `after`, of those from the moment `since` on."""
    found = fetch(connection, _PAGE, (after, since, PAGE))
    return [AuditRow(**dict(zip(_NAMES, row, strict=True))) for row in found]
