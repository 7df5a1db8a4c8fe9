"""Keeps a storm of handshakes from starving the sessions that are there; nobody waits for a slow peer.

A handshake costs a processor a millisecond or two at each message of the other side. These steps go one after
the other, and between two of them everything else has its turn. Waiting for a message holds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint


class Pace:
    """Lets one at a time go on."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()

    async def turn(self) -> None:
        """Return when it is our turn; the next one's is not before everything else had a chance to run."""
        async with self._lock:
            await checkpoint()


class Paced(ByteStream):
    """A stream whose reader waits for its turn, until `release`."""

    def __init__(self, inner: ByteStream, pace: Pace, answered: Callable[[], None]) -> None:
        """`answered` is told when this side first says something: the other one made sense until there."""
        self._inner = inner
        self._pace: Pace | None = pace
        self._answered = answered

    def release(self) -> None:
        """The handshake is over."""
        self._pace = None

    async def receive(self, max_bytes: int = 65536) -> bytes:
        data = await self._inner.receive(max_bytes)
        if self._pace is not None:
            await self._pace.turn()
        return data

    async def send(self, item: bytes) -> None:
        if self._pace is not None:
            self._answered()
        await self._inner.send(item)

    async def send_eof(self) -> None:
        await self._inner.send_eof()

    async def aclose(self) -> None:
        await self._inner.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self._inner.extra_attributes
