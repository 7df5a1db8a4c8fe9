"""Reads what a manager needs to go on: open tasks, live grants, settings, and the next free numbers."""

# ruff: noqa: S608 - what is put into SQL here are texts of this package; values are always bound

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw

from ..core.commit import GrantRow, OpenRow, Recovered, tallied_until, unpack_leases
from .bulk import numbers
from .conditions import possible
from .database import fetch
from .judge import COMMITS
from .life import NEXT_TASK
from .outputs import TOTAL
from .waiting import UNTOUCHED, waiting

IN_FULL: Final = 20_000
"""Open tasks up to which each is read as it is when a manager starts: in a fraction of a second."""
MOST_COUNTED: Final = 1_000_000
"""Ended tasks at most that are counted when a manager starts, in less than a second: what ended in the last
seconds before it was killed."""
INLINE_LIMIT: Final = 1_024
"""Bytes. Larger payloads are left on the disk until a worker gets them."""

_COLUMNS: Final = f"""
t.id, t.kind, t.priority, t.max_attempts, t.timeout, t.batch, t.key, t.digest, s.state, t.submitted_at,
s.due_at, t.target, CASE WHEN length(t.payload) <= {INLINE_LIMIT} THEN t.payload END,
s.attempt, s.spent, s.crashes"""
_OPEN: Final = f"""
SELECT {_COLUMNS} FROM open_task AS s CROSS JOIN task AS t ON t.id = s.id
WHERE ? OR NOT {UNTOUCHED} ORDER BY s.id"""
_ARE_MANY: Final = "SELECT count(*) > ?1 FROM (SELECT 1 FROM open_task LIMIT ?1 + 1)"
_ROWS: Final = f"""
WITH s (id, state, attempt, spent, crashes, due_at) AS (
    SELECT o.id, o.state, o.attempt, o.spent, o.crashes, o.due_at
    FROM carray(?) AS c CROSS JOIN open_task AS o ON o.id = c.value
    UNION ALL
    SELECT e.id, e.state, e.attempt, e.spent, 0, NULL
    FROM carray(?) AS c CROSS JOIN ended AS e ON e.id = c.value)
SELECT {_COLUMNS} FROM s CROSS JOIN task AS t ON t.id = s.id ORDER BY s.id"""
_ENDED_SINCE: Final = """
SELECT t.kind, e.worker, e.state, count(*)
FROM (SELECT id, worker, state FROM ended WHERE finished_at > ? ORDER BY finished_at DESC LIMIT ?) AS e
CROSS JOIN task AS t ON t.id = e.id GROUP BY t.kind, e.worker, e.state"""
_GRANTS: Final = "SELECT seq, worker, leases FROM lease_grant ORDER BY seq"
_ATTEMPTS: Final = """
SELECT o.id, o.attempt FROM carray(?) AS c CROSS JOIN open_task AS o ON o.id = c.value"""
_DROP_GRANTS: Final = "DELETE FROM lease_grant WHERE seq IN (SELECT value FROM carray(?))"


def recover(connection: apsw.Connection, in_full: int = IN_FULL) -> Recovered:
    """Everything that is not finished; grants without a live lease are removed for good.

    `in_full`: open tasks up to which all are read as they are.
    """
    many = bool(connection.execute(_ARE_MANY, (in_full,)).get)
    tasks: list[OpenRow] = fetch(connection, _OPEN, (not many,))
    grants: list[GrantRow] = fetch(connection, _GRANTS)
    next_grant = 1 + (grants[-1][0] if grants else 0)
    live = _live(connection, grants)
    dead = [grant[0] for grant in grants if grant[0] not in live]
    if dead:
        connection.execute(_DROP_GRANTS, numbers(dead))
    settings = dict(
        fetch(connection, "SELECT name, value FROM setting WHERE name NOT IN (?, ?)", (COMMITS, TOTAL))
    )
    return Recovered(
        tasks=tasks,
        waiting=list(waiting(connection)) if many else [],
        grants=[grant for grant in grants if grant[0] in live],
        settings=settings,
        ended=fetch(connection, _ENDED_SINCE, (tallied_until(settings), MOST_COUNTED)),
        next_task_id=connection.execute(NEXT_TASK).get,
        next_grant=next_grant,
    )


def _live(connection: apsw.Connection, grants: list[GrantRow]) -> set[int]:
    """The grants with a lease of which no end is known: its task is open and has stored no later attempt."""
    live: set[int] = set()
    for seq, _, packed in grants:
        leases = dict(unpack_leases(packed))
        stored = fetch(connection, _ATTEMPTS, numbers(leases)) if leases else []
        if any(attempt < leases[task_id] for task_id, attempt in stored):
            live.add(seq)
    return live


def task_rows(connection: apsw.Connection, ids: Sequence[int]) -> list[OpenRow]:
    """Those of these tasks that exist as they are stored, open or ended, in the order of their ids."""
    wanted = possible(ids)
    if not wanted:
        return []
    return fetch(connection, _ROWS, (*numbers(wanted), *numbers(wanted)))
