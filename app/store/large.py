"""Payloads and results that are too large for their rows: which those are, and the table that says where.

In its own row such a value is NULL. The files are in `segments`; transactions and snapshots are the caller's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import IntEnum
from operator import itemgetter
from typing import Any, Final, TypeVar

import apsw

from ..core.errors import StoreBusy, StoreError
from .bulk import Bulk, numbers
from .database import RESTORE, fetch
from .segments import Place, Segments, Unreadable, Use

log = logging.getLogger(__name__)

Row = TypeVar("Row", bound=tuple[Any, ...])

LARGE: Final = 32 << 10
"""Bytes. A larger value costs less in a file than in a row, if it is one of `MUCH`."""
MUCH: Final = 128 << 10
"""Bytes of one batch. Less is not worth the sync that the files need before the COMMIT."""
_FILLED_AT_ONCE: Final = 64
"""Values in one transaction of a copy."""


class Part(IntEnum):
    """Which value of a task."""

    PAYLOAD = 0
    RESULT = 1


_PLACE: Final = Bulk(
    "INSERT INTO large (task, part, segment, start, size, crc) SELECT * FROM",
    6,
    "WHERE column1 IS NOT NULL",
)
_PLACES: Final = """
SELECT l.task, l.segment, l.start, l.size, l.crc
FROM carray(?) AS c CROSS JOIN large AS l ON l.task = c.value AND l.part = ?"""
_DROP: Final = """
DELETE FROM large WHERE task IN (SELECT value FROM carray(?)) AND part IN (SELECT value FROM carray(?))
RETURNING segment"""
GONE: Final = 0
"""The segment of a value that is known to be gone."""
_USED: Final = "SELECT segment, count(*), max(start + size) FROM large WHERE segment > 0 GROUP BY segment"
_GIVE_UP: Final = "UPDATE large SET segment = 0 WHERE segment = ? AND start + size > ?"
_GIVE_UP_ONE: Final = "UPDATE large SET segment = 0 WHERE task = ? AND part = ?"
_NEXT: Final = """
SELECT task, part, segment, start, size, crc FROM large
WHERE (task, part) > (?, ?) ORDER BY task, part LIMIT ?"""
_FILL: Final = {
    Part.PAYLOAD: "UPDATE task SET payload = ? WHERE id = ?",
    Part.RESULT: "UPDATE ended SET result = ? WHERE id = ?",
}
_FILLED: Final = "DELETE FROM large WHERE task = ? AND part = ?"


class Split:
    """Takes the large values out of one column of rows."""

    def __init__(self, part: Part, *, column: int, key: int) -> None:
        self._part = part
        self._column = column
        self._value = itemgetter(column)
        self._key = key

    def apart(self, rows: list[Row], segments: Segments) -> tuple[list[Row], list[tuple[int, ...]]]:
        """`rows` with None for what is large, and for `add` where that is going to be."""
        # Few batches have anything large, so all are looked through without a step in Python for each row.
        if sum(map(len, filter(None, map(self._value, rows)))) <= MUCH:
            return rows, []
        kept: list[Any] = []
        places: list[tuple[int, ...]] = []
        for row in rows:
            value = self._value(row)
            if value is None or len(value) <= LARGE:
                kept.append(row)
                continue
            places.append((row[self._key], self._part.value, *segments.place(value)))
            kept.append((*row[: self._column], None, *row[self._column + 1 :]))
        return kept, places


def add(connection: apsw.Connection, places: list[tuple[int, ...]]) -> None:
    """Write down where values are. Their tasks are there already."""
    if places:
        _PLACE.run(connection, places)


def drop(connection: apsw.Connection, ids: Sequence[int], *parts: Part) -> list[int]:
    """Forget the large values of these tasks; the segment of each."""
    return [segment for (segment,) in connection.execute(_DROP, (*numbers(ids), *numbers(parts)))]


def used(connection: apsw.Connection) -> list[Use]:
    """All segments in which there are values."""
    return [Use(*row) for row in connection.execute(_USED)]


def give_up(connection: apsw.Connection, segment: int, end: int) -> None:
    """What was in this segment behind `end` is gone for good; nobody looks for it any more."""
    connection.execute(_GIVE_UP, (segment, end))


def places(connection: apsw.Connection, ids: Sequence[int], part: Part) -> dict[int, Place]:
    """Where the large ones are among these values."""
    if not ids:
        return {}
    found = fetch(connection, _PLACES, (*numbers(ids), part.value))
    return {task_id: Place(*place) for task_id, *place in found}


def read(task_id: int, part: Part, place: Place | None, segments: Segments) -> bytes:
    """The value that is at `place`.

    Raises:
        StoreError: it is damaged; names the task.
    """
    if place is None:
        raise _lost(task_id, part, "nothing says where it is")
    try:
        return segments.read(place)
    except Unreadable as error:
        raise _lost(task_id, part, str(error)) from error


def _lost(task_id: int, part: Part, why: str) -> StoreError:
    return StoreError(
        f"the {part.name.lower()} of task {task_id} cannot be read ({why}): "
        f"{RESTORE}, or submit the task again"
    )


def fill_in(connection: apsw.Connection, segments: Segments) -> None:
    """Put the values into their rows, so that these tables stand without files; not inside a transaction.

    A value that cannot be read stays where it is not, and is told: the copy is worth having without it.
    """
    task_id, part = -1, -1
    while rows := fetch(connection, _NEXT, (task_id, part, _FILLED_AT_ONCE)):
        connection.execute("BEGIN")
        for task_id, part, *place in rows:
            try:
                value = read(task_id, Part(part), Place(*place), segments)
            except StoreBusy:
                raise
            except StoreError as error:
                log.warning("the copy has a value less: %s", error)
                connection.execute(_GIVE_UP_ONE, (task_id, part))
                continue
            connection.execute(_FILL[Part(part)], (value, task_id))
            connection.execute(_FILLED, (task_id, part))
        connection.execute("COMMIT")
