"""A manager's side of discovery: says that it is here, and answers its members' questions.

What it says of the manager comes from functions that it is given; it knows no pool, no store and no roster.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from time import time
from typing import Final

import anyio

from ...core.errors import ConfigError
from .budget import Budget
from .carrier import Carrier, Place
from .registry import HEARTBEAT_SECONDS, Registry
from .sealed import MANAGER, Fault, Speaker
from .voice import Voice
from .words import Ask

log = logging.getLogger(__name__)

JITTER: Final = 0.1
"""Part of a heartbeat left to chance, so that managers do not speak all at once."""
EACH_ASKER: Final = (2.0, 10.0)
"""Answers a second, and at once, for one member."""
ALL_ASKERS: Final = (50.0, 200.0)
"""The same for all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Where a manager's answers come from."""

    endpoints: Callable[[], Sequence[str]]
    """Addresses to dial, best first."""
    wanted: Callable[[], Sequence[str]]
    """Kinds with tasks that wait."""
    offering: Callable[[str], Sequence[str]]
    """Connected workers that offer a kind."""
    is_member: Callable[[str], Awaitable[bool]]
    """Whether this peer has joined and was not revoked since."""


class Beacon:
    """Announces one manager on all its carriers, until cancelled."""

    def __init__(
        self,
        voice: Voice,
        registry: Registry,
        carriers: Sequence[Carrier],
        facts: Facts,
        *,
        wall: Callable[[], float] = time,
        rng: Random | None = None,
    ) -> None:
        self.registry = registry
        self._voice, self._carriers, self._facts, self._wall = voice, carriers, facts, wall
        self._rng = rng or Random()  # noqa: S311 - spreads heartbeats, guards nothing
        self._askers = Budget(EACH_ASKER, ALL_ASKERS)
        self._mute: set[str] = set()
        """Carriers that could not send when last tried."""

    async def run(self) -> None:
        """Announce, answer; when cancelled, say goodbye and close the carriers."""
        try:
            async with anyio.create_task_group() as tasks:
                for carrier in self._carriers:
                    tasks.start_soon(carrier.listen, self._hear)
                await self._announce()
        finally:
            with anyio.CancelScope(shield=True):
                await self._leave()
            for carrier in self._carriers:
                carrier.close()

    async def _announce(self) -> None:
        while True:
            data = self._announcement()
            if data is not None:
                for carrier in self._carriers:
                    self._tell(carrier, sent=await carrier.send(data))
            await anyio.sleep(HEARTBEAT_SECONDS * (1 - JITTER * self._rng.random()))

    async def _leave(self) -> None:
        try:
            data = self._voice.leave(self._wall())
        except ConfigError:
            return  # its silence will be noticed
        for carrier in self._carriers:
            await carrier.send(data)

    def _announcement(self) -> bytes | None:
        try:
            return self._voice.announce(self._facts.endpoints(), self._facts.wanted(), self._wall())
        except ConfigError as error:
            log.warning("this manager cannot announce itself now: %s", error)
            return None

    async def _hear(self, data: bytes, place: Place, carrier: Carrier) -> None:
        heard = self.registry.hear(data, place[0], anyio.current_time(), self._wall())
        if isinstance(heard, Fault) or not isinstance(heard.word, Ask):
            return
        if not self._askers.take(heard.speaker.mark, anyio.current_time()):
            self.registry.faults[Fault.LIMITED] += 1
            return
        if not await self._may_know(heard.speaker):
            self.registry.faults[Fault.UNTRUSTED] += 1
            return
        answer = self._answer(heard.word)
        if answer is not None:
            await carrier.send(answer, place)

    async def _may_know(self, speaker: Speaker) -> bool:
        return speaker.role == MANAGER or await self._facts.is_member(speaker.peer_id)

    def _answer(self, question: Ask) -> bytes | None:
        if not question.kind:
            return self._announcement()
        try:
            return self._voice.answer(question, self._facts.offering(question.kind), self._wall())
        except ConfigError as error:
            log.warning("this manager cannot answer questions now: %s", error)
            return None

    def _tell(self, carrier: Carrier, *, sent: bool) -> None:
        """When it begins to fail and when that has passed, not at every heartbeat."""
        if not sent and carrier.name not in self._mute:
            self._mute.add(carrier.name)
            log.warning("discovery cannot send on the %s now", carrier.name)
        elif sent and carrier.name in self._mute:
            self._mute.discard(carrier.name)
            log.info("discovery can send on the %s again", carrier.name)
