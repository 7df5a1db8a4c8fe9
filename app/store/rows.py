"""Writes a `Commit` into the tables, with a handful of statements however many rows it has.

Transactions belong to the caller.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Final

import apsw

from ..core.commit import TALLIES, Commit, ReopenedRow, SettledRow, SubmittedRow
from ..core.errors import StoreError
from ..core.lifecycle import TaskState
from . import large, outputs
from .bulk import Bulk, numbers
from .judge import COMMITS
from .segments import Segments

_PAYLOAD: Final = large.Split(large.Part.PAYLOAD, column=12, key=0)
_RESULT: Final = large.Split(large.Part.RESULT, column=6, key=8)
_SUBMIT: Final = Bulk(
    "INSERT INTO task (id, kind, priority, max_attempts, timeout, batch, key, digest, first_state,"
    " submitted_at, due_at, target, payload) SELECT * FROM",
    13,
    "WHERE column1 IS NOT NULL",
)
_OPEN: Final = """
INSERT INTO open_task (id, state, due_at)
SELECT t.id, t.first_state, t.due_at FROM carray(?) AS c CROSS JOIN task AS t ON t.id = c.value"""
_END: Final = Bulk(
    "INSERT INTO ended (state, attempt, spent, worker, finished_at, run_seconds, result, error, id)"
    " SELECT * FROM",
    9,
    "WHERE column9 IS NOT NULL",
)
_NOT_OPEN: Final = "DELETE FROM open_task WHERE id IN (SELECT value FROM carray(?))"
_REOPEN: Final = Bulk(
    "INSERT INTO open_task (state, attempt, spent, crashes, due_at, id) SELECT v.* FROM",
    6,
    "AS v CROSS JOIN task AS t ON t.id = v.column6 WHERE true"
    " ON CONFLICT (id) DO UPDATE SET state = excluded.state, attempt = excluded.attempt,"
    " spent = excluded.spent, crashes = excluded.crashes, due_at = excluded.due_at",
)
_ENDED_OF: Final = "SELECT id FROM ended WHERE id IN (SELECT value FROM carray(?))"
_REMEMBER: Final = """
INSERT INTO attempt (task, attempt, how, worker, started_at, ended_at, error)
SELECT e.id, e.attempt, ?, e.worker, e.finished_at - e.run_seconds, e.finished_at, e.error
FROM carray(?) AS c CROSS JOIN ended AS e ON e.id = c.value
WHERE e.state = ? AND NOT EXISTS (
    SELECT 1 FROM attempt AS a WHERE a.task = e.id AND a.attempt = e.attempt AND a.how <> 'late')"""
_NOT_ENDED: Final = "DELETE FROM ended WHERE id IN (SELECT value FROM carray(?))"
_ATTEMPT: Final = Bulk(
    "INSERT OR REPLACE INTO attempt (task, attempt, worker, started_at, ended_at, how, error)"
    " SELECT v.* FROM",
    7,
    "AS v CROSS JOIN task AS t ON t.id = v.column1",
)
_GRANT: Final = Bulk(
    "INSERT INTO lease_grant (seq, worker, leases) SELECT * FROM", 3, "WHERE column1 IS NOT NULL"
)
_NOT_GRANTED: Final = "DELETE FROM lease_grant WHERE seq IN (SELECT value FROM carray(?))"
_SET: Final = Bulk(
    "INSERT OR REPLACE INTO setting (name, value) SELECT * FROM", 2, "WHERE column1 IS NOT NULL"
)
_COURSE: Final = frozenset({"totals", TALLIES})
"""The settings that ends of tasks change."""
_REPRICE: Final = "UPDATE task SET priority = ? WHERE id IN (SELECT value FROM carray(?))"
_UNSET: Final = "DELETE FROM setting WHERE name = ?"
_OLD: Final = "SELECT id FROM ended WHERE finished_at < ? ORDER BY finished_at LIMIT ?"
_HIGHEST: Final = """
INSERT INTO high_water (name, value) VALUES ('task', ?)
ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"""
_NO_TASK: Final = "DELETE FROM task WHERE id IN (SELECT value FROM carray(?))"


def write(
    connection: apsw.Connection, batch: Commit, segments: Segments, commits: int = 0, *, due: bool = True
) -> int:
    """All of `batch`; its large values are placed in `segments`, for the caller to flush.

    `commits`: how many were counted before. Answers with how many are counted with this one: those that
    change more than the course of tasks, and, where one is `due`, those that end some: it costs no statement.

    Reopened and repriced rows come before settled ones: a task may go back to its queue and be cancelled in
    one batch, but one that ended in a batch cannot be retried before that batch is stored.

    Raises:
        StoreError: a row contradicts what is stored; the caller rolls back.
        apsw.Error: the database refused.
    """
    if batch.submitted:
        _submit(connection, batch.submitted, segments)
    if batch.reopened:
        _reopen(connection, batch.reopened, segments)
    for priority, ids in batch.repriced:
        connection.execute(_REPRICE, (priority, *numbers(ids)))
    if batch.settled:
        _settle(connection, batch.settled, segments)
    if batch.attempts:
        _ATTEMPT.run(connection, batch.attempts)
    if batch.granted:
        _GRANT.run(connection, batch.granted)
    if batch.grants_ended:
        connection.execute(_NOT_GRANTED, numbers(batch.grants_ended))
    settings = batch.settings
    if batch.repriced or (settings and (due or not settings.keys() <= _COURSE)):
        commits += 1
        settings = settings | {COMMITS: str(commits)}
    if settings:
        _set(connection, settings)
    return commits


def _submit(connection: apsw.Connection, given: list[SubmittedRow], segments: Segments) -> None:
    rows, places = _PAYLOAD.apart(given, segments)
    _SUBMIT.run(connection, rows)
    connection.execute(_OPEN, numbers(map(itemgetter(0), rows)))
    _must_be(connection.changes(), len(rows), "submitted")
    large.add(connection, places)


def _settle(connection: apsw.Connection, given: list[SettledRow], segments: Segments) -> None:
    rows, places = _RESULT.apart(given, segments)
    _END.run(connection, rows)
    connection.execute(_NOT_OPEN, numbers(map(itemgetter(8), rows)))
    _must_be(connection.changes(), len(rows), "settled")
    large.add(connection, places)


def _reopen(connection: apsw.Connection, rows: list[ReopenedRow], segments: Segments) -> None:
    ids = numbers(map(itemgetter(5), rows))
    ended = [task_id for (task_id,) in connection.execute(_ENDED_OF, ids)]
    if ended:
        # The outcome leaves the task's row; its history keeps it.
        for state in (TaskState.FAILED, TaskState.TIMED_OUT):
            connection.execute(_REMEMBER, (state.word, *numbers(ended), state.value))
        connection.execute(_NOT_ENDED, numbers(ended))
        segments.drop(large.drop(connection, ended, large.Part.RESULT))
    _must_be(_REOPEN.run(connection, rows), len(rows), "reopened")


def _set(connection: apsw.Connection, settings: dict[str, str | None]) -> None:
    kept = [(name, value) for name, value in settings.items() if value is not None]
    if kept:
        _SET.run(connection, kept)
    gone = [(name,) for name, value in settings.items() if value is None]
    if gone:
        connection.executemany(_UNSET, gone)


def _must_be(found: int, wanted: int, what: str) -> None:
    """An outcome never changes and no task appears from nowhere: a batch that would do so is not stored."""
    if found != wanted:
        raise StoreError(
            f"{wanted - found} of {wanted} tasks ({what}) are not as they should be; nothing was stored"
        )


def count(connection: apsw.Connection, commits: int) -> None:
    """So many commits are counted."""
    _SET.run(connection, [(COMMITS, str(commits))])


def forget(connection: apsw.Connection, before: float, limit: int, segments: Segments) -> int:
    """Remove up to `limit` tasks that ended before `before`, with all that belongs to them."""
    old = [task_id for (task_id,) in connection.execute(_OLD, (before, limit))]
    if old:
        connection.execute(_HIGHEST, (max(old),))
        connection.execute(_NOT_ENDED, numbers(old))
        segments.drop(large.drop(connection, old, *large.Part))
        outputs.forget(connection, old)
        connection.execute(_NO_TASK, numbers(old))
    return len(old)
