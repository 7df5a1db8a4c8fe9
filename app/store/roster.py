"""Invites and peers in the database: functions over a connection, in a transaction that is the caller's."""

# ruff: noqa: S608 - what is put into SQL here are texts of this package; values are always bound

from __future__ import annotations

from typing import Any, Final

import apsw
import msgspec
from msgspec.structs import replace

from ..core.errors import Conflict
from ..handle import InviteRow, PeerRow
from ..handle.audit import AuditEntry
from . import audit

# The columns in the order of the fields. What is true or false comes from SQLite as 1 or 0: see `_invite_of`.
_INVITE: Final = (
    "id, role, secret_hash, uses, uses_left, created_at, expires_at, revoked_at, approve, ephemeral"
)
_PEER: Final = (
    "id, role, serial, invite, enrolled_at, expires_at, revoked_at, inventory,"
    " pending, ephemeral, fingerprint"
)
_ADD_INVITE: Final = f"INSERT INTO invite ({_INVITE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_PEER: Final = f"INSERT INTO peer ({_PEER}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_USE: Final = """
UPDATE invite SET uses_left = uses_left - 1
WHERE id = ? AND uses_left > 0 AND revoked_at IS NULL AND expires_at >= ?"""
_REVOKE_INVITE: Final = "UPDATE invite SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
_REVOKE_PEER: Final = "UPDATE peer SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
_APPROVE: Final = "UPDATE peer SET pending = 0 WHERE id = ? AND pending AND revoked_at IS NULL"
_FORGET: Final = "DELETE FROM peer WHERE id = ?"
_FORGET_PENDING: Final = "DELETE FROM peer WHERE pending AND enrolled_at < ? RETURNING id"
_RENEW: Final = "UPDATE peer SET serial = ?, expires_at = ? WHERE id = ?"


def add_invite(connection: apsw.Connection, invite: InviteRow) -> None:
    """Keep a new invite.

    Raises:
        Conflict: there is one with this id.
    """
    try:
        connection.execute(_ADD_INVITE, msgspec.structs.astuple(invite))
    except apsw.ConstraintError as error:
        raise Conflict(f"there is an invite {invite.id} already") from error


def invites(connection: apsw.Connection) -> list[InviteRow]:
    """Newest first."""
    found = connection.execute(f"SELECT {_INVITE} FROM invite ORDER BY created_at DESC, id DESC")
    return [_invite_of(row) for row in found]


def invite(connection: apsw.Connection, invite_id: str) -> InviteRow | None:
    """The invite with this id."""
    row = connection.execute(f"SELECT {_INVITE} FROM invite WHERE id = ?", (invite_id,)).fetchone()
    return None if row is None else _invite_of(row)


def revoke_invite(connection: apsw.Connection, invite_id: str, now: float) -> bool:
    """Whether it was there and not revoked."""
    connection.execute(_REVOKE_INVITE, (now, invite_id))
    return connection.changes() == 1


def redeem(connection: apsw.Connection, invite_id: str, peer: PeerRow, now: float) -> bool:
    """Count one use down and add the peer. Must be called in a transaction of its own.

    Raises:
        Conflict: there is a peer with this id; the caller rolls back, no use is spent.
    """
    connection.execute(_USE, (invite_id, now))
    if connection.changes() != 1:
        return False
    try:
        connection.execute(_ADD_PEER, msgspec.structs.astuple(peer))
    except apsw.ConstraintError as error:
        raise Conflict(f"there is a peer {peer.id} already") from error
    outcome = "waits for approval" if peer.pending else "done"
    joined = AuditEntry(
        at=now, who=peer.id, role=peer.role, verb="join", object=f"invite {invite_id}", outcome=outcome
    )
    audit.add(connection, [joined])
    return True


def peers(connection: apsw.Connection) -> list[PeerRow]:
    """In the order in which they joined."""
    found = connection.execute(f"SELECT {_PEER} FROM peer ORDER BY enrolled_at, id")
    return [_peer_of(row) for row in found]


def peer(connection: apsw.Connection, peer_id: str) -> PeerRow | None:
    """The peer with this id."""
    row = connection.execute(f"SELECT {_PEER} FROM peer WHERE id = ?", (peer_id,)).fetchone()
    return None if row is None else _peer_of(row)


def renew_peer(connection: apsw.Connection, peer_id: str, serial: str, expires_at: float) -> None:
    """Remember its newest certificate; nothing when there is no such peer."""
    connection.execute(_RENEW, (serial, expires_at, peer_id))


def revoke_peer(connection: apsw.Connection, peer_id: str, now: float) -> bool:
    """Whether it was there and not revoked."""
    connection.execute(_REVOKE_PEER, (now, peer_id))
    return connection.changes() == 1


def approve_peer(connection: apsw.Connection, peer_id: str) -> bool:
    """Whether it was there, waited and was not revoked."""
    connection.execute(_APPROVE, (peer_id,))
    return connection.changes() == 1


def forget_peer(connection: apsw.Connection, peer_id: str) -> bool:
    """Whether it was there."""
    connection.execute(_FORGET, (peer_id,))
    return connection.changes() == 1


def forget_pending(connection: apsw.Connection, before: float) -> list[str]:
    """Remove those that wait since before then; their ids."""
    return sorted(str(row[0]) for row in connection.execute(_FORGET_PENDING, (before,)))


def _invite_of(row: tuple[Any, ...]) -> InviteRow:
    *plain, approve, ephemeral = row
    return replace(InviteRow(*plain), approve=bool(approve), ephemeral=bool(ephemeral))


def _peer_of(row: tuple[Any, ...]) -> PeerRow:
    *plain, pending, ephemeral, fingerprint = row
    return replace(PeerRow(*plain), pending=bool(pending), ephemeral=bool(ephemeral), fingerprint=fingerprint)
