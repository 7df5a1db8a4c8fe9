"""A console that opens with an invite for a worker: a fleet that was just founded needs one first."""

from __future__ import annotations

from .app import Console

INVITES = "invites"


class Welcome(Console):
    """For the first start of a manager."""

    async def on_ready(self) -> None:
        """Make an invite, as if the operator had asked for one."""
        await self.go(INVITES)
        self.give("invite.make", words="worker")
        self.tell("your fleet runs. Paste this invite on another machine; 1 shows everything at a glance")
