"""What attempts wrote, in its table: bounded for each attempt, for each task, and for all of them together.

Results are never given up for output. Output may be: what is not kept is counted, and the oldest makes room.
Transactions belong to the caller.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final

import apsw

from ..core.commit import OutputRow
from ..core.text import count
from ..handle import TaskOutput
from .bulk import Bulk, numbers
from .conditions import possible
from .database import fetch

log = logging.getLogger(__name__)

ATTEMPT_BYTES: Final = 64 << 10
ALL_BYTES: Final = 1 << 30
ATTEMPTS: Final = 10
"""Attempts of one task whose output is kept: the newest."""
_AT_ONCE: Final = 256
"""Pieces that make room in one statement."""
TOTAL: Final = "output_bytes"
"""The setting that counts the bytes in the table, so that nobody has to."""

_THERE: Final = "SELECT t.id FROM carray(?) AS c CROSS JOIN task AS t ON t.id = c.value"
_ADD: Final = Bulk(
    "INSERT INTO output (task, attempt, start, size, data) SELECT * FROM", 5, "WHERE column1 IS NOT NULL"
)
_KNOWN: Final = """
SELECT o.task, o.attempt, sum(o.size), max(o.start + o.size)
FROM carray(?) AS c CROSS JOIN output AS o ON o.task = c.value GROUP BY o.task, o.attempt"""
_PIECES: Final = """
SELECT number, start, size FROM output WHERE task = ? AND attempt = ? ORDER BY start DESC, number DESC"""
_CUT: Final = (
    "UPDATE output SET start = start + ?1, size = size - ?1, data = substr(data, ?1 + 1) WHERE number = ?2"
)
_REMOVE: Final = "DELETE FROM output WHERE number IN (SELECT value FROM carray(?))"
_REMOVE_UP_TO: Final = "DELETE FROM output WHERE task = ? AND attempt <= ? RETURNING size"
_FORGET: Final = "DELETE FROM output WHERE task IN (SELECT value FROM carray(?)) RETURNING size"
_OLDEST: Final = "SELECT number, size FROM output WHERE size > 0 ORDER BY number LIMIT ?"
_EMPTY: Final = """
UPDATE output SET start = start + size, size = 0, data = x''
WHERE number IN (SELECT value FROM carray(?))"""
_GET_TOTAL: Final = "SELECT value FROM setting WHERE name = ?"
_SET_TOTAL: Final = "INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)"
_WRITTEN: Final = """
SELECT attempt, max(start + size), sum(size) FROM output WHERE task = ? GROUP BY attempt ORDER BY attempt"""
_DATA: Final = """
SELECT start, data FROM output WHERE task = ? AND attempt = ? ORDER BY start DESC, number DESC"""


@dataclass(frozen=True, slots=True)
class OutputBounds:
    """How much is kept."""

    attempt: int = ATTEMPT_BYTES
    """Bytes of one attempt: the last ones."""
    in_all: int = ALL_BYTES
    """Bytes of all tasks."""
    attempts: int = ATTEMPTS


def write(
    connection: apsw.Connection, rows: Sequence[OutputRow], bounds: OutputBounds, *, keep: bool = True
) -> None:
    """Keep these pieces of tasks that exist; what is known of an attempt already comes twice and is left out.

    With `keep` false only how much there was: the disk is full.
    """
    ids = sorted({row[0] for row in rows})
    there = {task for (task,) in connection.execute(_THERE, numbers(ids))}
    known = {
        (task, attempt): (size, end) for task, attempt, size, end in fetch(connection, _KNOWN, numbers(ids))
    }
    added: list[OutputRow] = []
    for row in (_fitting(one, bounds.attempt if keep else 0) for one in rows):
        task, attempt, start, data = row
        size, end = known.get((task, attempt), (0, -1))
        if task in there and start >= end:
            known[task, attempt] = (size + len(data), start + len(data))
            added.append(row)
    if not added:
        return
    if not keep:
        log.warning("what %s wrote is not kept: the disk is full", count(len(known), "attempt"))
    _ADD.run(connection, [(task, attempt, start, len(data), data) for task, attempt, start, data in added])
    total = _total(connection) + sum(len(row[3]) for row in added)
    total -= _shorten(connection, {one: size for one, (size, _) in known.items()}, bounds)
    if total > bounds.in_all:
        total -= _make_room(connection, total - bounds.in_all)
    _set_total(connection, total)


def forget(connection: apsw.Connection, ids: Sequence[int]) -> None:
    """Remove all of these tasks."""
    gone = [size for (size,) in connection.execute(_FORGET, numbers(ids))]
    if gone:
        _set_total(connection, _total(connection) - sum(gone))


def read(connection: apsw.Connection, task_id: int, attempt: int, most: int) -> TaskOutput | None:
    """The last `most` bytes that are kept of one attempt, 0 for the newest that wrote; None: nothing did."""
    if not possible([task_id]):
        return None
    written = tuple(fetch(connection, _WRITTEN, (task_id,)))
    attempt = attempt or (written[-1][0] if written else 0)
    if attempt not in {one[0] for one in written}:
        return TaskOutput(task_id, attempt, written=written) if written else None
    start, data = joined(connection.execute(_DATA, (task_id, attempt)), most)
    return TaskOutput(task_id, attempt, start, data, written)


def joined(pieces: Iterable[tuple[int, bytes]], most: int) -> tuple[int, bytes]:
    """The last `most` bytes of pieces, the last one first; what lies behind a gap is left out."""
    end = begin = None
    parts: list[bytes] = []
    for start, data in pieces:
        end = start + len(data) if end is None else end
        if begin is not None and start + len(data) != begin:
            break
        begin = start
        parts.append(data)
        if end - begin >= most:
            break
    whole = b"".join(reversed(parts))
    whole = whole[max(0, len(whole) - most) :]
    return (end or 0) - len(whole), whole


def _fitting(row: OutputRow, most: int) -> OutputRow:
    task, attempt, start, data = row
    over = max(0, len(data) - most)
    return (task, attempt, start + over, data[over:]) if over else row


def _shorten(connection: apsw.Connection, sizes: Mapping[tuple[int, int], int], bounds: OutputBounds) -> int:
    """Of these attempts keep only so much of each, and so many of a task; says how many bytes went."""
    gone = 0
    for (task, attempt), size in sizes.items():
        if size > bounds.attempt:
            gone += _shorten_one(connection, task, attempt, bounds.attempt)
    if len(sizes) > bounds.attempts:
        for task, some in groupby(sorted(sizes, reverse=True), itemgetter(0)):
            if over := [attempt for _, attempt in some][bounds.attempts :]:
                gone += sum(size for (size,) in connection.execute(_REMOVE_UP_TO, (task, over[0])))
    return gone


def _shorten_one(connection: apsw.Connection, task: int, attempt: int, most: int) -> int:
    room, gone, removed = most, 0, []
    for number, _, size in fetch(connection, _PIECES, (task, attempt)):
        if room == 0 and size:
            removed.append(number)
            gone += size
        elif size > room:
            connection.execute(_CUT, (size - room, number))
            gone, room = gone + size - room, 0
        else:
            room -= size
    if removed:
        connection.execute(_REMOVE, numbers(removed))
    return gone


def _make_room(connection: apsw.Connection, wanted: int) -> int:
    """The oldest goes until so many bytes are free; says how many are."""
    freed = 0
    while freed < wanted and (oldest := fetch(connection, _OLDEST, (_AT_ONCE,))):
        going: list[int] = []
        for number, size in oldest:
            if freed >= wanted:
                break
            going.append(number)
            freed += size
        connection.execute(_EMPTY, numbers(going))
    return freed


def _total(connection: apsw.Connection) -> int:
    return int(connection.execute(_GET_TOTAL, (TOTAL,)).get or 0)


def _set_total(connection: apsw.Connection, total: int) -> None:
    connection.execute(_SET_TOTAL, (TOTAL, str(max(0, total))))
