"""A member's side of discovery: asks who is there, listens, and knows where a manager can be dialled now.

It dials nothing and trusts nobody: what it finds are addresses to try, see the package.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from time import time
from typing import Final

import anyio

from ..address import Address
from .carrier import Carrier, Place
from .registry import Offering, Registry
from .sealed import Fault
from .voice import Voice
from .words import Announce, Answer

log = logging.getLogger(__name__)

ASK_SECONDS: Final = 2.0
"""Least time between two questions who is there."""
MAX_FOUND: Final = 8
"""Addresses handed out at a time."""
AGAIN_SECONDS: Final = 1.0
"""Between two tries of one question: datagrams get lost."""


class Finder:
    """Listens on all its carriers, until cancelled. Give it a member's voice to let it ask."""

    def __init__(
        self,
        registry: Registry,
        carriers: Sequence[Carrier],
        voice: Voice | None = None,
        *,
        wall: Callable[[], float] = time,
    ) -> None:
        self.registry = registry
        self._carriers, self._voice, self._wall = carriers, voice, wall
        self._asked = float("-inf")
        self._news = anyio.Event()
        self._warned = False

    async def run(self) -> None:
        """Listen; ask once at the start. When cancelled, close the carriers."""
        try:
            async with anyio.create_task_group() as tasks:
                for carrier in self._carriers:
                    tasks.start_soon(carrier.listen, self._hear)
                await self.ask()
                await anyio.sleep_forever()
        finally:
            for carrier in self._carriers:
                carrier.close()

    async def ask(self) -> None:
        """Ask who is there, unless that was asked a moment ago. The answers arrive when they arrive."""
        now = anyio.current_time()
        if now - self._asked < ASK_SECONDS:
            return
        self._asked = now
        await self._say("")

    def endpoints(self) -> list[str]:
        """Where a manager can be dialled, the one heard last first."""
        return self.registry.endpoints(anyio.current_time())[:MAX_FOUND]

    async def wait(self, known: Container[str], patience: float) -> list[str]:
        """Endpoints besides those known, as soon as there are any; empty after `patience` seconds."""
        with anyio.move_on_after(patience):
            while True:
                found = [one for one in self.endpoints() if one not in known]
                if found:
                    return found
                await self.ask()
                with anyio.move_on_after(AGAIN_SECONDS):
                    await self._news.wait()
        return []

    async def resolve(self, kind: str, patience: float) -> list[Offering]:
        """Which workers offer this kind, as every manager that answered within `patience` seconds says."""
        with anyio.move_on_after(patience):
            while True:
                await self._say(kind)
                await anyio.sleep(AGAIN_SECONDS)
        return self.registry.offering(kind, anyio.current_time())

    async def _say(self, kind: str) -> None:
        if self._voice is None:
            return
        sequence, data = self._voice.ask(kind, self._wall())
        if kind:
            self.registry.asked(sequence, kind, anyio.current_time())
        for carrier in self._carriers:
            await carrier.send(data)

    async def _hear(self, data: bytes, place: Place, carrier: Carrier) -> None:
        heard = self.registry.hear(data, place[0], anyio.current_time(), self._wall())
        if heard is Fault.MISTIMED and not self._warned:
            self._warned = True
            log.warning(
                "somebody of this fleet at %s has a clock far from this machine's: set both clocks", place[0]
            )
        if not isinstance(heard, Fault) and isinstance(heard.word, Announce | Answer):
            self._news.set()
            self._news = anyio.Event()


def besides(known: Sequence[Address], found: Sequence[str]) -> list[Address]:
    """Of what was found, the addresses to dial besides those known.

    An address in a ZeroTier network is of use only where we know the way into that network already: a found
    one never leads a node into a network, or to roots, that its operator has not chosen.
    """
    ways = {address.network: address.way for address in known if address.scheme == "zt"}
    places = {str(address) for address in known}
    new: dict[str, Address] = {}
    for text in found:
        address = Address.parse(text)
        if address.scheme == "zt":
            if address.network not in ways:
                continue
            address = replace(address, way=ways[address.network])
        if str(address) not in places:
            new.setdefault(str(address), address)
    return list(new.values())
