"""What is kept of who did what: the rows, and how each is chained to the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Final

import msgspec

BEGINNING: Final = "0" * 64
"""Stands for the hash before the first row."""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One act."""

    at: float
    """Wall clock."""
    who: str
    """A member's id; `local` for the user of the manager's machine; `manager` for itself."""
    role: str
    verb: str
    object: str = ""
    """A scope, a member, an invite, a path, or ids."""
    count: int = 0
    """Tasks that it applied to."""
    filter: str = ""
    origin: str = ""
    """The address it came from."""
    outcome: str = "done"
    times: int = 1
    """So many acts that were alike, of a member that did them one after the other."""


class AuditRow(AuditEntry, frozen=True, kw_only=True):
    """As it is kept."""

    number: int
    """1, 2, 3 ..."""
    previous: str
    """Hash of the row before, hexadecimal."""
    hash: str


def chained(entry: AuditEntry, number: int, previous: str) -> AuditRow:
    """The row for this entry behind one with that hash."""
    facts = msgspec.structs.asdict(entry)
    facts = {name: facts[name] for name in AuditEntry.__struct_fields__}
    content = json.dumps([number, *facts.values()], separators=(",", ":"), allow_nan=False)
    digest = hashlib.sha256(bytes.fromhex(previous) + content.encode("ascii")).hexdigest()
    return AuditRow(**facts, number=number, previous=previous, hash=digest)


def broken(rows: Iterable[AuditRow], before: AuditRow | None = None) -> str:
    """The first place where these rows, in order, are not one chain, in words; empty when they are."""
    for row in rows:
        if before is not None and row.number != before.number + 1:
            return f"between row {before.number} and row {row.number} something is missing"
        if before is not None and row.previous != before.hash:
            return f"row {row.number} does not follow row {before.number}: one of them was changed"
        try:
            whole = chained(row, row.number, row.previous) == row
        except ValueError:
            whole = False
        if not whole:
            return f"row {row.number} was changed"
        before = row
    return ""
