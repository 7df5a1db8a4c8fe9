"""Who is at the other end: names out of certificates, and whether their owner is still wanted.

TLS proves that a certificate is the fleet's and that its owner holds the key. What TLS does not know is
decided here, at every handshake: revoked, forgotten, or acting as something else than it is.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final

from ...core.errors import NotApproved, Refused
from ...handle import PeerRow, Roster
from .names import parse_member_uri

_JOIN_AGAIN: Final = "join again with a new invite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a verified certificate says of its owner."""

    fleet_id: str
    role: str
    peer_id: str
    serial: str
    """Lower-case hex without leading zeros."""
    expires_at: float
    """Wall-clock seconds since the epoch. A session may outlive the handshake, but not this."""


def peer_of(connection: ssl.SSLObject | ssl.SSLSocket) -> Credentials | None:
    """Who proved to be at the other end; None for somebody who showed no certificate (yet to join).

    Raises:
        Refused: the certificate is the fleet's, but names no member.
    """
    shown = connection.getpeercert()  # empty unless OpenSSL has verified it
    if not shown:
        return None
    names: tuple[tuple[str, str], ...] = shown.get("subjectAltName", ())  # type: ignore[assignment]
    members = [parse_member_uri(value) for kind, value in names if kind == "URI"]
    if len(names) != 1 or len(members) != 1 or members[0] is None:
        raise Refused(f"a certificate that names no member of a fleet was shown: {_JOIN_AGAIN}")
    fleet_id, role, peer_id = members[0]
    return Credentials(
        fleet_id=fleet_id,
        role=role,
        peer_id=peer_id,
        serial=format(int(str(shown["serialNumber"]), 16), "x"),
        expires_at=float(ssl.cert_time_to_seconds(str(shown["notAfter"]))),
    )


async def admit(credentials: Credentials, roster: Roster, fleet_id: str, now: float) -> PeerRow:
    """The member with these credentials, if it may come in now. To be asked at every handshake.

    Any unexpired certificate of a member is good, not the newest only: a renewal whose answer was lost on the
    way must not lock a worker out. Revoking acts on the member, so on all its certificates at once.

    Args:
        credentials: from a verified certificate.
        roster: who has joined.
        fleet_id: the fleet of this manager.
        now: wall-clock seconds since the epoch.

    Raises:
        Refused: another fleet's, expired, unknown, revoked, or not what it says it is.
        NotApproved: no operator has approved it yet.
    """
    who = credentials.peer_id
    if credentials.fleet_id != fleet_id:
        raise Refused(
            f"{who} belongs to fleet {credentials.fleet_id}, this manager to {fleet_id}: {_JOIN_AGAIN}"
        )
    if now > credentials.expires_at:
        raise Refused(f"the certificate of {who} has expired: check both clocks, or {_JOIN_AGAIN}")
    row = await roster.peer(who)
    if row is None:
        raise Refused(f"{who} is not known to this manager: {_JOIN_AGAIN}")
    if row.revoked_at is not None:
        raise Refused(f"{who} was revoked: ask the operator, then {_JOIN_AGAIN}")
    if row.role != credentials.role:
        raise Refused(
            f"{who} joined as a {row.role} and shows the certificate of a {credentials.role}: {_JOIN_AGAIN}"
        )
    if row.pending:
        raise NotApproved(f"{who} waits for approval: `taskmessenger worker approve {who}` at the manager")
    return row
