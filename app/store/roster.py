"""Invites and peers in the database: functions over a connection, in a transaction that is the caller's."""

# ruff: noqa: S608 - what is put into SQL here are texts of this package; values are always bound

from __future__ import annotations

from typing import Final

import apsw
import msgspec

from ..core.errors import Conflict
from ..handle import InviteRow, PeerRow

_INVITE: Final = "id, role, secret_hash, uses, uses_left, created_at, expires_at, revoked_at"
_PEER: Final = "id, role, serial, invite, enrolled_at, expires_at, revoked_at, inventory"
_ADD_INVITE: Final = f"INSERT INTO invite ({_INVITE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_PEER: Final = f"INSERT INTO peer ({_PEER}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_USE: Final = """
UPDATE invite SET uses_left = uses_left - 1
WHERE id = ? AND uses_left > 0 AND revoked_at IS NULL AND expires_at >= ?"""
_REVOKE_INVITE: Final = "UPDATE invite SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
_REVOKE_PEER: Final = "UPDATE peer SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
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
    return [InviteRow(*row) for row in found]


def invite(connection: apsw.Connection, invite_id: str) -> InviteRow | None:
    """The invite with this id."""
    row = connection.execute(f"SELECT {_INVITE} FROM invite WHERE id = ?", (invite_id,)).fetchone()
    return None if row is None else InviteRow(*row)


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
    return True


def peers(connection: apsw.Connection) -> list[PeerRow]:
    """In the order in which they joined."""
    return [PeerRow(*row) for row in connection.execute(f"SELECT {_PEER} FROM peer ORDER BY enrolled_at, id")]


def peer(connection: apsw.Connection, peer_id: str) -> PeerRow | None:
    """The peer with this id."""
    row = connection.execute(f"SELECT {_PEER} FROM peer WHERE id = ?", (peer_id,)).fetchone()
    return None if row is None else PeerRow(*row)


def renew_peer(connection: apsw.Connection, peer_id: str, serial: str, expires_at: float) -> None:
    """Remember its newest certificate; nothing when there is no such peer."""
    connection.execute(_RENEW, (serial, expires_at, peer_id))


def revoke_peer(connection: apsw.Connection, peer_id: str, now: float) -> bool:
    """Whether it was there and not revoked."""
    connection.execute(_REVOKE_PEER, (now, peer_id))
    return connection.changes() == 1
