"""Opens a database for a manager: compares it with what is known of it, and writes the start down."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from ..core.errors import DataMissing
from ..core.life import Life
from ..core.text import count
from . import large, life
from .database import RESTORE, fetch, is_full
from .large import used
from .last import Known
from .segments import Segments, Use

log = logging.getLogger(__name__)

COMMITS: Final = "commits"
"""The setting that counts."""
_CHOICE: Final = "--accept-data-loss"


class Found(NamedTuple):
    """What a database says of itself."""

    life: Life | None
    commits: int
    next_task: int
    uses: list[Use] | None
    """What it has in files of values; None when it is new."""


def look(connection: apsw.Connection) -> Found:
    """What is in it, of whatever version that this program knows."""
    version = connection.pragma("user_version")
    uses = used(connection) if version else None
    if version < life.FIRST_SCHEMA:
        return Found(None, 0, 1, uses)
    counted = fetch(connection, "SELECT value FROM setting WHERE name = ?", (COMMITS,))
    number = int(counted[0][0]) if counted else 0
    return Found(life.read(connection), number, connection.execute(life.NEXT_TASK).get, uses)


def gone(path: Path, known: Known | None, found: Found, *, changed: bool) -> str:
    """What of the database is gone for certain, in words; empty when nothing is known to be."""
    if known is None:
        return ""
    if found.life is None:
        return f"{path} is empty or was replaced: it had tasks up to {known.highest}"
    if bytes.fromhex(known.epoch) not in found.life.epochs:
        return f"{path} was replaced by another database"
    held = (
        (known.highest + 1 - found.next_task, "task", "tasks"),
        (known.commits - found.commits, "change of tasks or members", "changes of tasks or members"),
        (known.start - found.life.current.number, "start of the manager", "starts of the manager"),
    )
    lost = [f"{number} {one if number == 1 else many}" for number, one, many in held if number > 0]
    if lost:
        return f"{path} or its WAL was replaced by an older one or cut: at least {', '.join(lost)} are gone"
    return f"{path} is damaged, or another program wrote to it since it was closed" if changed else ""


def values_gone(uses: list[Use] | None, segments: Segments) -> str:
    """Which files of large values are not there, in words; empty when all are."""
    there = segments.sizes()
    if uses is None:
        return f"{segments.directory} has payloads or results, and the database no tasks" if there else ""
    lost = [use.segment for use in uses if there.get(use.segment, -1) < use.end]
    if not lost:
        return ""
    files = "a file" if len(lost) == 1 else count(len(lost), "file")
    return f"{files} of values gone or cut short in {segments.directory}, such as {lost[0]:08d}.seg"


def give_up(connection: apsw.Connection, uses: list[Use], segments: Segments) -> None:
    """What is not there is not looked for any more: it was accepted that it is gone."""
    there = segments.sizes()
    for use in uses:
        if there.get(use.segment, 0) < use.end:
            large.give_up(connection, use.segment, there.get(use.segment, 0))


def refuse(what: str) -> DataMissing:
    """What to say when something is gone."""
    return DataMissing(f"{what}: put it back, {RESTORE}, or start the manager once with {_CHOICE}")


def begin(connection: apsw.Connection, lost: str, known: Known | None, *, spare: bool) -> Life:
    """Write down that a manager starts here, and what it goes on without.

    On a full disk, without `spare` space to give back, it goes on as the start before.
    """
    before = life.read(connection)
    try:
        connection.execute("BEGIN IMMEDIATE")
        if lost:
            log.error("a loss of data is accepted: %s", lost)
            begun = life.go_on_without(connection, lost, known)
        else:
            begun = life.begin_start(connection)
        connection.execute("COMMIT")
    except apsw.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if before is None or lost or not is_full(error) or spare:
            raise
        log.warning("no space to write this start down: members are told of the one before")
        return before
    return begun
