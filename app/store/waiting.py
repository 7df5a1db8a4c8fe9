"""Reads the tasks of a long queue as series of those that are alike, without looking at each in Python.

SQLite itself looks for the end of a series, in a fraction of the time that its rows would take to come here.
"""

# ruff: noqa: S608 - what is put into SQL here are texts of this package; values are always bound

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import chain
from typing import Final

import apsw

from ..core.commit import WaitingRow, gather
from .database import fetch

LONGEST: Final = 1 << 20
"""Ids that are looked at in one go."""
SHORT: Final = 64
"""Tasks below which a series is not worth three statements: its rows are read, with many after them."""
MIXED: Final = 8_192
"""Rows that are read then."""
ALIKE_SECONDS: Final = 60.0
"""Tasks that were submitted within such a time of the first of a series are alike."""

UNTOUCHED: Final = "(s.state = 1 AND s.attempt = 0 AND s.spent = 0 AND s.crashes = 0)"
"""Queued, and never leased as far as the disk knows."""
_COLUMNS: Final = "s.id, t.kind, t.priority, t.max_attempts, t.timeout, t.batch, t.target, t.submitted_at"
_ROWS: Final = f"""
SELECT {_COLUMNS} FROM open_task AS s CROSS JOIN task AS t ON t.id = s.id
WHERE s.id >= ? AND {UNTOUCHED} ORDER BY s.id LIMIT ?"""
_OTHER: Final = f"""
SELECT s.id FROM open_task AS s CROSS JOIN task AS t ON t.id = s.id
WHERE s.id BETWEEN ? AND ? AND {UNTOUCHED} AND NOT (
    t.kind = ? AND t.priority = ? AND t.max_attempts = ? AND t.timeout IS ? AND t.batch IS ? AND t.target IS ?
    AND t.submitted_at BETWEEN ? AND ?)
ORDER BY s.id LIMIT 1"""
_SPAN: Final = f"SELECT count(*), max(s.id) FROM open_task AS s WHERE s.id BETWEEN ? AND ? AND {UNTOUCHED}"
_IDS: Final = f"SELECT s.id FROM open_task AS s WHERE s.id BETWEEN ? AND ? AND {UNTOUCHED} ORDER BY s.id"


def waiting(connection: apsw.Connection) -> Iterator[WaitingRow]:
    """All tasks that are queued and were never leased."""
    place = 0
    while head := fetch(connection, _ROWS, (place, 1)):
        (first, *alike, submitted) = head[0]
        last, number, is_cut = _series(connection, first, alike, submitted)
        if is_cut and number < SHORT:
            rows = fetch(connection, _ROWS, (first, MIXED))
            yield from gather((row[0], row[1:7], row[7]) for row in rows)
            place = rows[-1][0] + 1
            continue
        ids: range | array[int] = range(first, last + 1)
        if len(ids) != number:  # tasks between them were leased, or have ended
            found = connection.execute(_IDS, (first, last))
            ids = array("Q", chain.from_iterable(found))
        kind, priority, max_attempts, timeout, batch, target = alike
        yield ids, kind, priority, max_attempts, timeout, batch, target, submitted
        place = last + 1


def _series(
    connection: apsw.Connection, first: int, alike: list[object], submitted: float
) -> tuple[int, int, bool]:
    """Of the series that begins with `first`: the last id, the number, and whether other tasks end it."""
    top = first + LONGEST - 1
    times = (submitted - ALIKE_SECONDS, submitted + ALIKE_SECONDS)
    other = connection.execute(_OTHER, (first, top, *alike, *times)).get
    number, last = connection.execute(_SPAN, (first, top if other is None else other - 1)).fetchone()  # type: ignore[misc]
    return last, number, other is not None
