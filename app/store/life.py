"""The epochs and starts of a database, in its tables. When a new epoch is due, others decide."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from time import time
from typing import Final

import apsw

from ..core.life import ID_BYTES, KEPT_STARTS, Life, Start, first_id_after
from .database import fetch
from .last import Known

FIRST_SCHEMA: Final = 4
"""That has these tables."""
FOUNDED: Final = "the database was made"
_NEWEST_EPOCH: Final = "SELECT number, id FROM epoch ORDER BY number DESC LIMIT 1"
_ADD_EPOCH: Final = "INSERT INTO epoch (id, began_at, why) VALUES (?, ?, ?)"
_ADD_HEARD: Final = """
INSERT OR IGNORE INTO epoch (number, id, began_at, why)
VALUES ((SELECT min(number) - 1 FROM epoch), ?, ?, 'a member told of it')"""
_ADD_START: Final = "INSERT INTO start (id, epoch, started_at) VALUES (?, ?, ?)"
_OLD_STARTS: Final = "DELETE FROM start WHERE number <= (SELECT max(number) FROM start) - ?"
_STARTS: Final = "SELECT number, id FROM start WHERE epoch = ? ORDER BY number"
_HIGHEST: Final = """
INSERT INTO high_water (name, value) VALUES ('task', ?)
ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"""
NEXT_TASK: Final = """
SELECT 1 + max(coalesce((SELECT max(id) FROM task), 0),
               coalesce((SELECT value FROM high_water WHERE name = 'task'), 0))"""


def new_id() -> bytes:
    """Nobody else has it, and nobody can guess it."""
    return secrets.token_bytes(ID_BYTES)


def begin_start(connection: apsw.Connection) -> Life:
    """A manager takes this database: its start is written down. Inside a transaction."""
    if not fetch(connection, _NEWEST_EPOCH):
        connection.execute(_ADD_EPOCH, (new_id(), time(), FOUNDED))
    return _begin(connection)


def go_on_without(connection: apsw.Connection, what: str, known: Known | None) -> Life:
    """An operator has accepted that something is gone. Inside a transaction."""
    if known is None:
        return begin_epoch(connection, what)[0]
    begin_start(connection)
    leave_out(connection, known.highest)
    return begin_epoch(connection, what, [bytes.fromhex(known.epoch)])[0]


def begin_epoch(connection: apsw.Connection, why: str, heard: Sequence[bytes] = ()) -> tuple[Life, int]:
    """What was said of this database before is of a former life; the next free task id. Inside a transaction.

    `heard`: epochs that others know of and this database does not.
    """
    if fetch(connection, _NEWEST_EPOCH):  # else nothing was ever said
        leave_out(connection, first_id_after(connection.execute(NEXT_TASK).get) - 1)
    connection.execute(_ADD_EPOCH, (new_id(), time(), why))
    for epoch in heard:
        connection.execute(_ADD_HEARD, (epoch, time()))
    return _begin(connection), connection.execute(NEXT_TASK).get


def leave_out(connection: apsw.Connection, highest: int) -> None:
    """No task gets a number up to `highest`. Inside a transaction."""
    connection.execute(_HIGHEST, (highest,))


def read(connection: apsw.Connection) -> Life | None:
    """What the database knows of itself; None when no manager ever had it."""
    newest = fetch(connection, _NEWEST_EPOCH)
    last = fetch(connection, "SELECT number, id FROM start ORDER BY number DESC LIMIT 1")
    if not newest or not last:
        return None
    number, epoch = newest[0]
    return Life(
        current=Start(epoch, *last[0]),
        starts=dict(fetch(connection, _STARTS, (number,))),
        epochs=frozenset(one for (one,) in fetch(connection, "SELECT id FROM epoch")),
    )


def _begin(connection: apsw.Connection) -> Life:
    number, _ = fetch(connection, _NEWEST_EPOCH)[0]
    connection.execute(_ADD_START, (new_id(), number, time()))
    connection.execute(_OLD_STARTS, (KEPT_STARTS,))
    life = read(connection)
    assert life is not None
    return life
