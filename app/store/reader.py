"""A thread with a connection that cannot write, on which no question may take for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import apsw

from ..core.errors import TimedOut
from . import query
from .database import Health, as_store_error, connect_reader
from .lane import Lane
from .segments import Segments

T = TypeVar("T")

READ_LIMIT_SECONDS: Final = 5.0
"""For one question; longer ones are interrupted."""
_STEPS: Final = 100_000
"""SQLite's instructions between two looks at the clock: milliseconds, and never 200 of them."""


class ReaderLane(Lane):
    """Answers questions one after another, each from one snapshot of the database."""

    def __init__(self, name: str, path: Path, vfs: str | None, health: Health, segments: Segments) -> None:
        super().__init__(name)
        self.vfs = vfs
        self._path = path
        self._segments = segments
        self._health = health
        self._connection: apsw.Connection | None = None
        self._deadline = 0.0

    @property
    def connection(self) -> apsw.Connection:
        """The connection; only for work on this lane."""
        assert self._connection is not None, "the database is not open"
        return self._connection

    def open(self) -> None:
        """Connect.

        Raises:
            StoreError: it cannot be opened.
        """
        try:
            connection = self._connection = connect_reader(self._path, self.vfs)
            query.prepare(connection)
            connection.set_progress_handler(self._too_late, _STEPS)
        except apsw.Error as error:
            raise as_store_error(error, self._path) from error

    def shut(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def read(self, question: Callable[[apsw.Connection], T]) -> T:
        """What `question` answers, from one snapshot.

        Raises:
            TimedOut: it takes longer than READ_LIMIT_SECONDS. StoreFailed: the disk failed.
        """
        self._health.check()
        self._deadline = time.monotonic() + READ_LIMIT_SECONDS
        try:
            with self._segments.reading():  # around the snapshot: what that refers to stays
                return self._read(question)
        except apsw.InterruptError as error:
            raise TimedOut(
                f"the search took longer than {READ_LIMIT_SECONDS:g} s: narrow it down by state, batch or id"
            ) from error
        except apsw.Error as error:
            raise self._health.diagnose(error) from error
        finally:
            self._deadline = 0.0

    def _read(self, question: Callable[[apsw.Connection], T]) -> T:
        connection = self.connection
        connection.execute("BEGIN")
        try:
            return question(connection)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _too_late(self) -> bool:
        return 0.0 < self._deadline < time.monotonic()
