"""A peer that says whatever it likes over a real connection: any certificate, any bytes, any order."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import msgspec
from anyio.abc import ByteStream
from taskmessenger.config.model import Leases
from taskmessenger.core.errors import TaskMessengerError
from taskmessenger.net import messages as m
from taskmessenger.net.address import Address
from taskmessenger.net.framing import FrameReader, FrameWriter
from taskmessenger.net.security.identity import Identity
from taskmessenger.net.security.tls import client_context, join_context, wrap_client
from taskmessenger.net.session import STREAM_ENDED
from taskmessenger.net.tcp import TcpTransport

from tests.support.fleet import BOUND, Fleet

LONG = Leases(ttl=60.0, heartbeat=10.0, dead_after=50.0)
"""For peers that never beat: none is cut off for its silence."""


class NothingMore(AssertionError):
    """The manager has closed before it said what was waited for."""


class Peer:
    """One end of a connection, without any manners."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.heard: list[m.Message] = []
        self._reader, self._writer = FrameReader(), FrameWriter()

    async def say(self, *messages: m.Message) -> None:
        """Messages, all in one write."""
        await self.say_bodies(*map(m.pack, messages))

    async def say_bodies(self, *bodies: bytes) -> None:
        """Anything, in honest frames."""
        for body in bodies:
            self._writer.put(body)
        data = b""
        while part := self._writer.take(1 << 20):
            data += part
        await self.say_bytes(data)

    async def say_bytes(self, data: bytes) -> None:
        """Anything at all; a manager that has closed already is what such tests hope for."""
        with suppress(*STREAM_ENDED):
            await self.stream.send(data)

    async def say_values(self, *values: Any) -> None:
        """Msgpack of values that no message type would let through."""
        await self.say_bodies(*map(msgspec.msgpack.encode, values))

    async def _more(self) -> bool:
        """Whether there was anything; False at the end."""
        try:
            data = await self.stream.receive(1 << 20)
        except (TaskMessengerError, *STREAM_ENDED):
            return False
        self.heard += [m.unpack(body, known=True) for body in self._reader.feed(data)]
        return True

    async def hear(self, kind: type[Any] | tuple[type[Any], ...]) -> Any:
        """The next message of a kind; what comes before it is kept in `heard`."""
        seen = 0
        with anyio.fail_after(BOUND):
            while True:
                for place in range(seen, len(self.heard)):
                    if isinstance(self.heard[place], kind):
                        return self.heard.pop(place)
                seen = len(self.heard)
                if not await self._more():
                    raise NothingMore(f"closed before any {kind}: {self.heard}")

    async def closed(self, seconds: float = BOUND) -> list[m.Message]:
        """All that is said until the manager closes, which has to be soon."""
        with anyio.fail_after(seconds):
            while await self._more():
                pass
        return self.heard

    async def goodbye(self, seconds: float = BOUND) -> m.Goodbye:
        """The manager's last word."""
        with anyio.fail_after(seconds):
            return await self.hear((m.Goodbye, m.Refusal))


@asynccontextmanager
async def a_peer(
    fleet: Fleet, identity: Identity | None = None, *, context: ssl.SSLContext | None = None
) -> AsyncIterator[Peer]:
    """Connected, with the certificate of a member, with what `context` shows, or with none."""
    context = context or (client_context(identity) if identity else join_context())
    stream = await TcpTransport().dial(fleet.address)
    secure = await wrap_client(stream, context, str(fleet.address))
    try:
        yield Peer(secure)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(stream)


def hello(role: str = "worker", **changes: Any) -> m.Hello:
    fields: dict[str, Any] = {
        "oldest": 1, "newest": 1, "role": role, "version": "1.0", "instance": b"i" * 16, "fresh": True,
    }  # fmt: skip
    return m.Hello(**(fields | changes))


def offer(**changes: Any) -> m.Offer:
    fields: dict[str, Any] = {"kinds": ["echo", "hold"], "isolated": [], "capacity": 4, "limit": 4}
    return m.Offer(**(fields | changes))


@asynccontextmanager
async def a_guest(fleet: Fleet, identity: Identity) -> AsyncIterator[Peer]:
    """A member that was let in, and does as it likes from there."""
    async with a_peer(fleet, identity) as peer:
        await peer.say(hello(identity.role))
        await peer.hear(m.Welcome)
        yield peer


@asynccontextmanager
async def a_bad_worker(fleet: Fleet, identity: Identity, **changes: Any) -> AsyncIterator[Peer]:
    """A worker that gets leases like any other."""
    async with a_guest(fleet, identity) as peer:
        await peer.say(offer(**changes), m.Holding([], []))
        yield peer


async def leases(peer: Peer, count: int) -> list[tuple[int, int]]:
    """The next tasks and attempts that it is given."""
    found: list[tuple[int, int]] = []
    while len(found) < count:
        assign = await peer.hear(m.Assign)
        found += [(task, attempt) for _, group in assign.leases for task, attempt, _, _ in group]
    return found


async def lease(peer: Peer) -> tuple[int, int]:
    """The next task and attempt that it is given."""
    (found,) = await leases(peer, 1)
    return found


async def raw(address: Address) -> ByteStream:
    """A plain TCP connection."""
    return await TcpTransport().dial(address)
