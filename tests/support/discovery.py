"""Builders for discovery: a fleet's voices, and an ether in memory that carries datagrams between tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import msgspec
from taskmessenger.net.discovery.beacon import Facts
from taskmessenger.net.discovery.carrier import Hear, Place
from taskmessenger.net.discovery.registry import Registry
from taskmessenger.net.discovery.sealed import Signer, Verifier
from taskmessenger.net.discovery.voice import Voice
from taskmessenger.net.discovery.words import Word, encode
from taskmessenger.net.security.authority import Authority

from tests.support.fleet_ca import STARTED, a_fleet, a_member

HOME = "tcp://192.0.2.7:7711"


@dataclass
class Fleet:
    """A fleet's authority, with a manager's and a worker's key."""

    authority: Authority
    manager: Signer
    worker: Signer

    @classmethod
    def found(cls, folder: Path, name: str = "lab-A") -> Fleet:
        authority = a_fleet(folder, name)
        manager = Signer.load(authority.issue_manager(STARTED), authority.ca_der)
        member = a_member(authority, folder / name)
        return cls(authority, manager, Signer.load(member.key_path, authority.ca_der))

    def registry(self) -> Registry:
        return Registry(Verifier(self.authority.ca_der))

    def manager_voice(self, name: str = "north") -> Voice:
        return Voice(lambda: self.manager, name)

    def worker_voice(self) -> Voice:
        return Voice(lambda: self.worker)

    def said(self, word: Word, *, by: str = "manager", **changes: object) -> bytes:
        """A datagram that says just this, signed by the manager or the worker."""
        return getattr(self, by).seal(encode(msgspec.structs.replace(word, **changes)))


def state(registry: Registry, now: float = 0.0) -> object:
    """All that a datagram could have changed, but for the counters."""
    kept = (registry._managers, registry._answers, registry._questions, registry._marks)
    registry.forget(now)
    return [dict(part) for part in kept]


def facts(
    *,
    endpoints: Sequence[str] = (HOME,),
    wanted: Sequence[str] = (),
    offers: dict[str, list[str]] | None = None,
    members: Sequence[str] = ("w-fern-0001",),
) -> Facts:
    async def is_member(peer: str) -> bool:
        return peer in members

    return Facts(
        endpoints=lambda: endpoints,
        wanted=lambda: wanted,
        offering=lambda kind: (offers or {}).get(kind, []),
        is_member=is_member,
    )


@dataclass
class Ether:
    """Carries every datagram to everybody, its sender included, until it is broken."""

    hops: list[Hop] = field(default_factory=list)
    broken: bool = False
    sent: int = 0

    def hop(self, host: str) -> Hop:
        hop = Hop(self, (host, 7713))
        self.hops.append(hop)
        return hop


class Hop:
    """One machine's access to it."""

    name = "ether"

    def __init__(self, ether: Ether, place: Place) -> None:
        self.ether, self.place, self.closed = ether, place, False
        self._arrived: list[tuple[bytes, Place]] = []
        self._news = anyio.Event()

    async def listen(self, hear: Hear) -> None:
        while True:
            await self._news.wait()
            arrived, self._arrived, self._news = self._arrived, [], anyio.Event()
            for data, place in arrived:
                await hear(data, place, self)

    async def send(self, data: bytes, to: Place | None = None) -> bool:
        if self.ether.broken:
            return False
        self.ether.sent += 1
        for hop in self.ether.hops:
            if not hop.closed and to in {None, hop.place}:
                hop._arrived.append((data, self.place))
                hop._news.set()
        return True

    def close(self) -> None:
        self.closed = True
