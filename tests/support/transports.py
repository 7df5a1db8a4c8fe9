"""Every transport there is, for the suite that they all have to pass. A new one is a line in `PLACES`.

ZeroTier is there inside a namespace only, and is all that is there.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from taskmessenger.net.address import Address
from taskmessenger.net.faulty import FaultyTransport
from taskmessenger.net.memory import MemoryTransport
from taskmessenger.net.tcp import TcpTransport
from taskmessenger.net.unix import UnixTransport

from tests.support.namespaces import inside
from tests.support.places import Place


@asynccontextmanager
async def tcp() -> AsyncIterator[Place]:
    yield Place(TcpTransport(), lambda: Address.parse("tcp://127.0.0.1:0"))


@asynccontextmanager
async def unix() -> AsyncIterator[Place]:
    number = itertools.count()
    with tempfile.TemporaryDirectory(prefix="tm-") as home:  # short: the path of a socket has a limit
        yield Place(UnixTransport(), lambda: Address("unix", path=f"{home}/run/{next(number)}.sock"))


@asynccontextmanager
async def memory() -> AsyncIterator[Place]:
    number = itertools.count()
    yield Place(MemoryTransport(), lambda: Address("mem", host=str(next(number))))


def faulty(
    inner: Callable[[], AbstractAsyncContextManager[Place]],
) -> Callable[[], AbstractAsyncContextManager[Place]]:
    """The same with a link, in good order, in front of each end."""

    @asynccontextmanager
    async def place() -> AsyncIterator[Place]:
        async with inner() as real, FaultyTransport(real.transport, seed=1) as transport:
            yield Place(transport, real.new_address)

    return place


PLACES: dict[str, Callable[[], AbstractAsyncContextManager[Place]]] = {
    "tcp": tcp,
    "unix": unix,
    "memory": memory,
    "faulty-memory": faulty(memory),
    "faulty-tcp": faulty(tcp),
}
if inside():  # see tests/zerotier/test_stream.py
    from tests.support.zerotier_places import zerotier

    PLACES = {"zerotier": zerotier}
