"""Members that wait for an operator, and members that do not stay: approves the ones, forgets both in time.

Whom to let in is decided at the door; here is only what becomes of those that the roster holds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from time import time
from typing import Final

import anyio

from ..core.errors import Conflict, NotFound, TaskMessengerError
from ..core.text import printable
from ..handle import PeerRow, PendingRow, Roster

log = logging.getLogger(__name__)

PENDING_SECONDS: Final = 24 * 3600.0
"""A member that was not approved within this time is forgotten; it may join again with a new invite."""
AWAY_SECONDS: Final = 600.0
"""An ephemeral member without a session for so long is forgotten. Its leases have run out long before."""
LOOK_SECONDS: Final = 30.0
"""How often is looked for those whose time is over."""


class Membership:
    """One manager's."""

    def __init__(
        self, roster: Roster, here: Callable[[], Collection[str]], changed: Callable[[], None]
    ) -> None:
        """`here`: members that have a session now. `changed`: called when one is approved or forgotten."""
        self._roster, self._here, self._changed = roster, here, changed
        self._seen: dict[str, float] = {}
        """Of ephemeral members: when they last had a session, by the monotonic clock."""

    async def approve(self, peer_id: str) -> None:
        """Let a waiting member in from now on.

        Raises:
            NotFound: nobody of this id waits. Conflict: it is approved already, or was revoked.
        """
        await self._forget_late()
        if await self._roster.approve_peer(peer_id):
            log.info("%s is approved", peer_id)
            self._changed()
            return
        row = await self._roster.peer(peer_id)
        if row is None:
            name = printable(peer_id)
            raise NotFound(
                f"nobody called {name} waits for approval: see `taskmessenger worker ls --pending`"
            )
        if row.revoked_at is not None:
            raise Conflict(f"{peer_id} was revoked: it has to join again with a new invite")
        raise Conflict(f"{peer_id} is approved already: there is nothing to do")

    async def left(self, peer_id: str) -> None:
        """It said goodbye and does not come back: one that is ephemeral is forgotten."""
        row = await self._roster.peer(peer_id)
        if row is not None and row.ephemeral and row.revoked_at is None:
            await self._forget(row, "has left")

    async def keep(self) -> None:
        """Forget those whose time is over, until cancelled."""
        while True:
            try:
                await self._forget_late()
                await self._forget_absent()
            except TaskMessengerError as error:
                log.warning("members cannot be forgotten now: %s", error)
            await anyio.sleep(LOOK_SECONDS)

    async def _forget_late(self) -> None:
        for peer_id in await self._roster.forget_pending(time() - PENDING_SECONDS):
            log.warning("%s was not approved within a day and is forgotten", peer_id)
            self._changed()

    async def _forget_absent(self) -> None:
        now, here = anyio.current_time(), self._here()
        members = [row for row in await self._roster.peers() if row.ephemeral and row.revoked_at is None]
        # Who waits for approval has no session and is not away: its own time runs.
        members = [row for row in members if not row.pending]
        self._seen = {row.id: now if row.id in here else self._seen.get(row.id, now) for row in members}
        for row in members:
            if now - self._seen[row.id] >= AWAY_SECONDS:
                await self._forget(row, f"was away for {AWAY_SECONDS:.0f} s")

    async def _forget(self, row: PeerRow, why: str) -> None:
        if await self._roster.forget_peer(row.id):
            log.info("%s %s and is forgotten: it is ephemeral", row.id, why)
            self._seen.pop(row.id, None)
            self._changed()


def pending_row(row: PeerRow) -> PendingRow:
    """What an operator sees of a member that waits."""
    return PendingRow(
        id=row.id,
        role=row.role,
        fingerprint=row.fingerprint,
        invite=row.invite,
        since=row.enrolled_at,
        until=row.enrolled_at + PENDING_SECONDS,
        inventory=printable(row.inventory),
    )
