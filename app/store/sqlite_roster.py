"""Who may join and who has joined, in the database: the half of `SqliteStore` that knows no tasks."""

from __future__ import annotations

from ..handle import InviteRow, PeerRow
from . import roster
from .access import Access


class SqliteRoster:
    """A `Roster` on disk. What it answered to a caller is durable."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def add_invite(self, invite: InviteRow) -> None:
        """Keep a new invite.

        Raises:
            Conflict: there is one with this id.
        """
        await self._access.change(roster.add_invite, invite)

    async def invites(self) -> list[InviteRow]:
        """Newest first."""
        return await self._access.ask(self._access.quick, roster.invites)

    async def invite(self, invite_id: str) -> InviteRow | None:
        """The invite with this id."""
        return await self._access.ask(self._access.quick, roster.invite, invite_id)

    async def revoke_invite(self, invite_id: str, now: float) -> bool:
        """Whether there was such an invite that was not yet revoked."""
        return await self._access.change(roster.revoke_invite, invite_id, now)

    async def redeem(self, invite_id: str, peer: PeerRow, now: float) -> bool:
        """In one transaction: count one use down and add the peer. False, and no change, if it cannot.

        Raises:
            Conflict: there is a peer with this id; no use is spent.
        """
        return await self._access.change(roster.redeem, invite_id, peer, now)

    async def peers(self) -> list[PeerRow]:
        """In the order in which they joined."""
        return await self._access.ask(self._access.quick, roster.peers)

    async def peer(self, peer_id: str) -> PeerRow | None:
        """The peer with this id."""
        return await self._access.ask(self._access.quick, roster.peer, peer_id)

    async def renew_peer(self, peer_id: str, serial: str, expires_at: float) -> None:
        """Remember the newest certificate of a peer."""
        await self._access.change(roster.renew_peer, peer_id, serial, expires_at)

    async def revoke_peer(self, peer_id: str, now: float) -> bool:
        """Whether there was such a peer that was not yet revoked."""
        return await self._access.change(roster.revoke_peer, peer_id, now)

    async def approve_peer(self, peer_id: str) -> bool:
        """Whether there was such a peer that waited for approval and was not revoked."""
        return await self._access.change(roster.approve_peer, peer_id)

    async def forget_peer(self, peer_id: str) -> bool:
        """Remove a peer; whether there was one."""
        return await self._access.change(roster.forget_peer, peer_id)

    async def forget_pending(self, before: float) -> list[str]:
        """Remove those that have waited for approval since before then; their ids."""
        return await self._access.change(roster.forget_pending, before)
