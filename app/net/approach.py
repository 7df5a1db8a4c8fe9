"""How a member gets to its manager again and again: starts what an address needs, and mends it when it fails.

All addresses are tried side by side and the first that authenticates is kept; what runs for the others alone
is stopped. How often to try, and how long to wait in between, is decided by whoever asks.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar

import anyio

from ..core.errors import AddressTaken, ConfigError, Refused, TaskMessengerError
from .address import Address
from .client import Connected, connect, join
from .transport import SILENT_HEARTBEAT, Prepared

if TYPE_CHECKING:
    from .security.identity import Identity
    from .security.invites import Invite
    from .zerotier.overlay import Overlay
    from .zerotier.status import NodeStatus

log = logging.getLogger(__name__)

FIRST_DIAL_SECONDS: Final = 0.5
"""For the first dial over an overlay whose link was lost: where the other end has restarted it is in vain."""
JOIN_DIALS: Final = 3
"""For a stranger: roots look at few of them in a second, so that its turn may come late."""
AGAIN_SECONDS: Final = 2.0
AGAIN_DIALS: Final = 9
"""After that: where this machine has got another address, the other end may answer at the old one for 19 s,
which is ZeroTier's doing. Each dial knocks anew, and all of them fit into a lease."""
RESTART_EVERY: Final = 4
"""Failures in a row after which the overlay is restarted again."""
LOOK_SECONDS: Final = 1.0
"""Between two looks whether there is an overlay yet."""
HEARD_SECONDS: Final = SILENT_HEARTBEAT + 0.25
"""After so long without a sign of life one is missing."""
MAX_RENEWALS: Final = 3
"""Other identities that are tried when an address of the overlay is taken."""
_T = TypeVar("_T")


class Approach:
    """The dialling end of one process. `overlay` makes one when an address first needs it."""

    def __init__(self, overlay: Callable[[], Overlay]) -> None:
        self._make = overlay
        self._overlay: Overlay | None = None
        self._connected: Connected | None = None
        """The last session, which may have ended."""
        self._stood = False
        """The last session came over the overlay."""
        self._failures = 0
        self._dials, self._dial_seconds = 1, inf

    async def connect(
        self, identity: Identity, addresses: Sequence[Address], *, fresh: bool = True
    ) -> Connected:
        """A session with the manager, mended where that is needed.

        Raises:
            As `client.connect`.
        """

        async def attempt() -> Connected:
            return await connect(identity, addresses, fresh=fresh, prepare=self.prepare)

        try:
            connected = await self._renewing(attempt)
        except (Refused, ConfigError):
            raise
        except TaskMessengerError:
            self._failures += 1
            if not await self._mended():
                raise
            self._dials, self._dial_seconds = AGAIN_DIALS, AGAIN_SECONDS
            try:
                connected = await self._renewing(attempt)
            finally:
                self._dials, self._dial_seconds = 1, inf
        self._failures = 0
        self._connected = connected
        self._stood = self._is_overlay(connected.address)
        await self._drop_unused()
        return connected

    async def join(self, invite: Invite, name: str, folder: Path, inventory: str = "") -> Identity:
        """Become a member, over whichever endpoint leads to the manager first.

        Raises:
            As `client.join`.
        """

        async def attempt() -> Identity:
            return await join(invite, name, folder, inventory, prepare=self.prepare)

        self._dials = JOIN_DIALS
        errors: list[TaskMessengerError] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.tend)  # nobody else does so yet, and a network may have to let us in first
            try:
                return await self._renewing(attempt)
            except TaskMessengerError as error:
                errors.append(error)  # raised here it would become a group
            finally:
                self._dials = 1
                tasks.cancel_scope.cancel()
        raise errors[0]

    def look(self) -> NodeStatus | None:
        """The ZeroTier node that was started, as it is now."""
        return self._overlay.look() if self._overlay is not None else None

    async def tend(self) -> None:
        """Keep the overlay in touch and let other processes see it, once there is one; until cancelled."""
        while self._overlay is None:
            await anyio.sleep(LOOK_SECONDS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._overlay.report)
            tasks.start_soon(self._overlay.stay_known, self._heard)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what was started for the addresses."""
        if self._overlay is not None:
            await self._overlay.stop()

    async def prepare(self, address: Address) -> Prepared:
        """Start what has to run before this address is dialled."""
        if not self._is_overlay(address):
            return Prepared()
        if self._overlay is None:
            self._overlay = self._make()
        seconds = FIRST_DIAL_SECONDS if self._stood else self._dial_seconds
        return replace(await self._overlay.prepare(address), dials=self._dials, dial_seconds=seconds)

    def _heard(self) -> bool:
        """Whether the manager has given a sign of life a moment ago."""
        if self._connected is None:
            return False
        return anyio.current_time() - self._connected.session.wire.last_heard < HEARD_SECONDS

    async def _mended(self) -> bool:
        """Restart the overlay where that may help; whether it is worth trying again at once."""
        if self._overlay is None or not self._overlay.running:
            return False
        stood, self._stood = self._stood, False
        if not stood and self._failures % RESTART_EVERY:
            return False
        log.info("the overlay node is restarted, because nobody answers over it")
        await self._overlay.restart()
        return stood

    async def _renewing(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        for _ in range(MAX_RENEWALS):
            try:
                return await attempt()
            except AddressTaken as error:
                if self._overlay is None:
                    raise
                log.warning("%s", error)
                await self._overlay.renew()
        return await attempt()

    async def _drop_unused(self) -> None:
        if self._overlay is not None and not self._stood:
            await self._overlay.stop()

    @staticmethod
    def _is_overlay(address: Address) -> bool:
        return address.scheme == "zt"
