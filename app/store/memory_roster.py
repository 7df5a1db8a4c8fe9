"""Who may join and who has joined, in memory: the half of `MemoryStore` that knows no tasks."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from ..core.errors import Conflict
from ..handle import InviteRow, PeerRow
from ..handle.audit import BEGINNING, AuditEntry, AuditRow, chained


class MemoryRoster:
    """A `Roster` that forgets everything with the process."""

    def __init__(self) -> None:
        self._invites: dict[str, InviteRow] = {}
        self._peers: dict[str, PeerRow] = {}
        self._audit: list[AuditRow] = []

    async def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Put these rows behind all others of the audit."""
        for entry in entries:
            last = self._audit[-1] if self._audit else None
            number, before = (last.number + 1, last.hash) if last is not None else (1, BEGINNING)
            self._audit.append(chained(entry, number, before))

    async def audit(self, after: int, since: float) -> list[AuditRow]:
        """The next rows of the audit."""
        return [row for row in self._audit if row.number > after and row.at >= since][:1_000]

    unchecked = False

    async def look_through(self, share: float) -> str:
        """Nothing can be damaged."""
        return ""

    async def add_invite(self, invite: InviteRow) -> None:
        """Keep a new invite.

        Raises:
            Conflict: there is one with this id.
        """
        if invite.id in self._invites:
            raise Conflict(f"there is an invite {invite.id} already")
        self._invites[invite.id] = invite

    async def invites(self) -> list[InviteRow]:
        """Newest first."""
        return sorted(self._invites.values(), key=lambda i: (i.created_at, i.id), reverse=True)

    async def invite(self, invite_id: str) -> InviteRow | None:
        """The invite with this id."""
        return self._invites.get(invite_id)

    async def revoke_invite(self, invite_id: str, now: float) -> bool:
        """Whether there was such an invite that was not yet revoked."""
        invite = self._invites.get(invite_id)
        if invite is None or invite.revoked_at is not None:
            return False
        self._invites[invite_id] = replace(invite, revoked_at=now)
        return True

    async def redeem(self, invite_id: str, peer: PeerRow, now: float) -> bool:
        """Count one use down and add the peer. False, and nothing changed, when it cannot be used.

        Raises:
            Conflict: there is a peer with this id; no use is spent.
        """
        invite = self._invites.get(invite_id)
        if invite is None or invite.uses_left < 1 or invite.revoked_at is not None or invite.expires_at < now:
            return False
        if peer.id in self._peers:
            raise Conflict(f"there is a peer {peer.id} already")
        self._invites[invite_id] = replace(invite, uses_left=invite.uses_left - 1)
        self._peers[peer.id] = peer
        return True

    async def peers(self) -> list[PeerRow]:
        """In the order in which they joined."""
        return sorted(self._peers.values(), key=lambda p: (p.enrolled_at, p.id))

    async def peer(self, peer_id: str) -> PeerRow | None:
        """The peer with this id."""
        return self._peers.get(peer_id)

    async def renew_peer(self, peer_id: str, serial: str, expires_at: float) -> None:
        """Remember the newest certificate of a peer."""
        if peer_id in self._peers:
            self._peers[peer_id] = replace(self._peers[peer_id], serial=serial, expires_at=expires_at)

    async def revoke_peer(self, peer_id: str, now: float) -> bool:
        """Whether there was such a peer that was not yet revoked."""
        peer = self._peers.get(peer_id)
        if peer is None or peer.revoked_at is not None:
            return False
        self._peers[peer_id] = replace(peer, revoked_at=now)
        return True

    async def approve_peer(self, peer_id: str) -> bool:
        """Whether there was such a peer that waited for approval and was not revoked."""
        peer = self._peers.get(peer_id)
        if peer is None or not peer.pending or peer.revoked_at is not None:
            return False
        self._peers[peer_id] = replace(peer, pending=False)
        return True

    async def forget_peer(self, peer_id: str) -> bool:
        """Remove a peer; whether there was one."""
        return self._peers.pop(peer_id, None) is not None

    async def forget_pending(self, before: float) -> list[str]:
        """Remove those that have waited for approval since before then; their ids."""
        late = sorted(p.id for p in self._peers.values() if p.pending and p.enrolled_at < before)
        for peer_id in late:
            del self._peers[peer_id]
        return late
