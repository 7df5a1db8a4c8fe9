"""Looks through a database that is in use for damage: a table at a time, and not for ever at any of them.

Finds pages that are none, rows that cannot be, and indexes that do not lead to their rows. What SQLite has no
checksum for is not found: other bytes within a payload or result that is kept in its row.
"""

from __future__ import annotations

import time
from typing import Final

import apsw

from .database import fetch

TABLE_SECONDS: Final = 60.0
"""For one look at a table, which keeps the WAL from being emptied; one that takes longer is given up."""
_STEPS: Final = 100_000
"""SQLite's instructions between two looks at the clock."""
_TABLES: Final = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
_LOOKS: Final = ("integrity_check", "quick_check")
"""The first compares indexes with their tables, which takes longer."""


class Look:
    """One look through a database. `stopped` may be set from any thread."""

    def __init__(self, seconds: float = TABLE_SECONDS) -> None:
        self.stopped = False
        self._seconds = seconds
        self._deadline = 0.0

    def tables(self, connection: apsw.Connection) -> list[str]:
        """What there is to look through."""
        connection.set_progress_handler(lambda: self.stopped or time.monotonic() > self._deadline, _STEPS)
        self._deadline = time.monotonic() + self._seconds
        try:
            return [name for (name,) in fetch(connection, _TABLES)]
        except (apsw.CorruptError, apsw.NotADBError):
            return ["sqlite_schema"]  # then that is where it is damaged

    def at(self, connection: apsw.Connection, table: str) -> str | None:
        """What is wrong with a table and its indexes; empty when nothing is, None when it takes too long.

        Raises:
            apsw.Error: it cannot be read at all.
        """
        for look in _LOOKS:
            self._deadline = time.monotonic() + self._seconds
            try:
                found = fetch(connection, f'PRAGMA {look}("{table}")')
            except apsw.InterruptError:
                if self.stopped:
                    return None
                continue
            except (apsw.CorruptError, apsw.NotADBError) as error:
                return str(error)
            first = " ".join(str(found[0][0]).split()) if found else "ok"
            return "" if first == "ok" else first
        return None
