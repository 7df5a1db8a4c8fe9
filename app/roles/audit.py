"""Writes down who did what, in the database, where no flood of lines washes it away.

Each act of an operator is one row. What members do again and again is one row for many times, in spans that
grow up to a day: so none of them can push out what others did.
"""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from time import time
from typing import Final, Protocol

import anyio
import msgspec
from msgspec.structs import replace

from ..core.errors import StoreError, UsageError
from ..core.text import count, printable
from ..handle import InviteRow
from ..handle.audit import AuditEntry, AuditRow
from .task_acts import TASK_VERBS

log = logging.getLogger(__name__)

FIRST_SPAN: Final = 60.0
"""Seconds in which what a member repeats becomes one row; doubled each time."""
LONGEST_SPAN: Final = 86_400.0
MAX_FOLDS: Final = 1_000
"""Members and acts that are told apart; what others repeat meanwhile is one row for all of them."""
MAX_UNWRITTEN: Final = 1_000
"""Rows that wait for space on the disk."""
LOOK_SECONDS: Final = 1.0
PART_SECONDS: Final = 30.0
"""An act in parts of which no more comes is written down after that."""
MAX_TEXT: Final = 500
AUDIT: Final = "audit "
MAX_NUMBER: Final = 2**63 - 1
OTHERS: Final = "other members"
BROKE: Final = "break the protocol"
VERBS: Final = TASK_VERBS | {
    "pause", "resume", "limit", "drain", "revoke", "approve", "backup", "invite", "revoke invite", "set",
    BROKE,
}  # fmt: skip
"""Those by which acts of members are told apart: they can say anything."""
_ALWAYS: Final = frozenset({"operator", "manager"})
"""Roles of which each act is a row."""
_ALIKE: Final = 7
"""Characters of an outcome: `refused` is one, `done` another."""
_Key = tuple[str, str, str]


def told_invite(row: InviteRow) -> str:
    """An invite, as an operator made it."""
    more = [word for word, is_so in (("approve", row.approve), ("ephemeral", row.ephemeral)) if is_so]
    return " ".join([row.id, row.role, f"{count(row.uses, 'use')} until {row.expires_at:.0f}", *more])


class AuditStore(Protocol):
    """Where rows are kept."""

    async def add_audit(self, entries: Sequence[AuditEntry]) -> None: ...

    async def audit(self, after: int, since: float) -> list[AuditRow]: ...


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something."""

    who: str
    role: str
    origin: str = ""
    """The address they are at."""


def told_user(number: int) -> str:
    """A user of this machine: `user 1000 (ada)`."""
    try:
        return f"user {number} ({pwd.getpwuid(number).pw_name})"
    except KeyError:
        return f"user {number}"


HERE: Final = Actor("this process", "operator", told_user(os.geteuid()))
"""Whoever sits at the manager's own console."""
ITSELF: Final = Actor("manager", "manager")


@dataclass(slots=True)
class _Fold:
    """What has been done since the last row."""

    entry: AuditEntry
    until: float
    span: float
    times: int = 0
    tasks: int = 0


class Audit:
    """One manager's."""

    def __init__(self, store: AuditStore) -> None:
        self._store = store
        self._folds: dict[_Key, _Fold] = {}
        self._parts: dict[_Key, _Fold] = {}
        self._unwritten: list[AuditEntry] = []

    async def record(
        self,
        actor: Actor,
        verb: str,
        what: str = "",
        *,
        outcome: str = "done",
        count: int = 0,
        matching: str = "",
        more: bool = False,
    ) -> None:
        """Somebody did this; durable when it returns, if there is space.

        `matching`: the filter of an act on all that it finds. `more`: a part of it is to come.
        """
        entry = AuditEntry(
            at=time(), who=printable(actor.who, MAX_TEXT), role=actor.role, verb=printable(verb, MAX_TEXT),
            object=printable(what, MAX_TEXT), count=count, filter=printable(matching, MAX_TEXT),
            origin=printable(actor.origin, MAX_TEXT), outcome=printable(outcome, MAX_TEXT),
        )  # fmt: skip
        log.debug("%s: %s %s: %s", entry.who, entry.verb, entry.object or entry.filter, entry.outcome)
        key, now = (entry.who, entry.verb, entry.filter), anyio.current_time()
        part = self._parts.pop(key, None)
        if part is not None:
            entry = replace(entry, count=entry.count + part.entry.count)
        if more:
            self._parts[key] = _Fold(entry, now + PART_SECONDS, PART_SECONDS)
        elif (actor.role in _ALWAYS and verb != BROKE) or self._is_first(entry, now):
            await self._write([entry])

    def _is_first(self, entry: AuditEntry, now: float) -> bool:
        """Whether a row is due for this act of a member; else it is counted."""
        verb = entry.verb if entry.verb in VERBS else "another"
        key = (entry.who, verb, entry.outcome[:_ALIKE])
        if key not in self._folds and len(self._folds) >= MAX_FOLDS:
            entry = replace(entry, who=OTHERS, object="", origin="")
            key = (OTHERS, verb, "")
        fold = self._folds.get(key)
        if fold is None:
            self._folds[key] = _Fold(entry, now + FIRST_SPAN, FIRST_SPAN)
            return True
        fold.entry, fold.times, fold.tasks = entry, fold.times + 1, fold.tasks + entry.count
        return False

    async def asked(self, what: str) -> msgspec.Raw:
        """The answer to `audit NUMBER SINCE`: the next rows behind that number, from that moment on."""
        try:
            after, since = what.removeprefix(AUDIT).split(" ")
            rows = await self._store.audit(min(max(0, int(after)), MAX_NUMBER), float(since))
        except ValueError as error:
            raise UsageError("the audit is asked for by a number and a moment") from error
        return msgspec.Raw(msgspec.msgpack.encode(rows))

    async def keep(self) -> None:
        """Write what was counted, when its time has come; until cancelled."""
        while True:
            await anyio.sleep(LOOK_SECONDS)
            await self._write(self._due(anyio.current_time()))

    async def close(self) -> None:
        """Write what was counted until now."""
        await self._write(self._due(float("inf")))

    def _due(self, now: float) -> list[AuditEntry]:
        found: list[AuditEntry] = []
        for key, part in [*self._parts.items()]:
            if now >= part.until:
                del self._parts[key]
                found.append(replace(part.entry, outcome=f"{part.entry.outcome}, and no more came"))
        for key, fold in [*self._folds.items()]:
            if now < fold.until:
                continue
            if not fold.times:
                fold.span /= 2
                fold.until = now + fold.span
                if fold.span < FIRST_SPAN:
                    del self._folds[key]
                continue
            found.append(replace(fold.entry, times=fold.times, count=fold.tasks))
            fold.span = min(LONGEST_SPAN, fold.span * 2)
            fold.until, fold.times, fold.tasks = now + fold.span, 0, 0
        return found

    async def _write(self, entries: list[AuditEntry]) -> None:
        """In order; what finds no space waits, and is told in the log should it be too much."""
        entries = self._unwritten + entries
        if not entries:
            return
        self._unwritten = []
        try:
            await self._store.add_audit(entries)
        except StoreError as error:
            self._unwritten = (entries + self._unwritten)[-MAX_UNWRITTEN:]
            log.warning("%d acts are not written down yet: %s", len(entries), error)
