"""Two connected ends over ZeroTier for tests: a listener here, and another process that dials it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import ByteStream
from taskmessenger.net.address import Address
from taskmessenger.net.transport import Listener

from tests.support.streams import accepting, echo
from tests.support.zerotier_places import RemoteStream, RemoteTransport, driving

BOUND = 40.0
"""Seconds after which a test that waits has failed."""


@dataclass
class Ends:
    """Who dials, where, and what comes in here."""

    there: RemoteTransport
    address: Address
    listener: Listener
    pid: int
    new_address: Callable[[], Address]

    async def connected(self) -> tuple[RemoteStream, ByteStream]:
        """Dialled there, accepted here."""
        async with accepting(self.listener) as accepted:
            near = await self.there.dial(self.address)
            return near, await accepted.receive()


@asynccontextmanager
async def both_ends() -> AsyncIterator[Ends]:
    async with driving() as (there, new_address, pid):
        listener = await there.listen(new_address())
        yield Ends(there, listener.address, listener, pid, new_address)
        await listener.aclose()


@asynccontextmanager
async def echoing(listener: Listener) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, echo)
        yield
        group.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, not for a time."""
    with anyio.fail_after(BOUND):
        while not condition():
            await anyio.sleep(0.02)
