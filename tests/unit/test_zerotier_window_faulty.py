"""The window over a bad network, on a virtual clock: late, stuck or cut, it keeps to its bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream
from taskmessenger.net.address import Address
from taskmessenger.net.faulty import Faults, FaultyTransport
from taskmessenger.net.memory import MemoryTransport
from taskmessenger.net.zerotier.window import WINDOW, WORTHWHILE, WRITES, Window
from trio.testing import MockClock

from tests.support.streams import accepting

HERE = Address("mem", host="manager")
LATE = Faults(delay=0.05, jitter=0.2, piece=1500)
STUCK = Faults(stall_chance=0.2, stall_seconds=3.0, piece=700)
SLOW_READER = 0.4
"""Seconds that a reader takes its time, at most: the window fills up meanwhile."""
TOTAL = 300_000
CUT_AFTER = 150_000
CUT_SECONDS = 600.0


@pytest.fixture
def anyio_backend() -> Any:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


class End:
    """Writes bursts of small and of large pieces over a carrier, and reads when it feels like it."""

    def __init__(self, carrier: ByteStream, rng: Random, total: int) -> None:
        self.carrier, self.rng, self.window = carrier, rng, Window()
        self.data, self.got = rng.randbytes(total), bytearray()
        self.other = self
        self.ledger: deque[int] = deque()
        """Where each write ended that was not taken whole, counted from the beginning."""
        self.fullest = (0, 0)
        self._news = anyio.Event()

    def check(self) -> None:
        """The promise, as the window counts and as one counts from outside."""
        outstanding, writes = self.window.outstanding
        self.fullest = max(self.fullest[0], outstanding), max(self.fullest[1], writes)
        assert outstanding <= WINDOW
        assert writes <= WRITES
        taken = len(self.other.got)
        while self.ledger and self.ledger[0] <= taken:
            self.ledger.popleft()
        assert len(self.ledger) <= WRITES
        assert not self.ledger or self.ledger[-1] - taken <= WINDOW

    async def run(self) -> None:
        async with anyio.create_task_group() as hearing:
            hearing.start_soon(self._hear)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write)
                tasks.start_soon(self._read)
            hearing.cancel_scope.cancel()

    async def _write(self) -> None:
        at, size = 0, 100
        while at < len(self.data):
            if self.rng.random() < 0.01:  # bursts long enough for the bound on writes
                size = self.rng.choice([100, 1000, 20_000, WINDOW])
            size = min(size, len(self.data) - at)
            while self.window.room < min(size, WORTHWHILE):
                await self._change()
            end = at + min(size, self.window.room)
            frame = self.window.write(memoryview(self.data)[at:end])
            at = end
            self.ledger.append(at)
            self.check()
            await self.carrier.send(frame)
        await self.carrier.send(self.window.end())

    async def _hear(self) -> None:
        while True:  # the other end accounts for what it reads after its own end, too
            self.window.feed(await self.carrier.receive())
            self.check()
            self._tell()

    async def _read(self) -> None:
        while not (self.window.ended and not self.window.held):
            if not self.window.held:
                await self._change()
                continue
            await anyio.sleep(self.rng.random() * SLOW_READER)
            while taken := self.window.take(self.rng.choice([10, 5000, WINDOW])):
                self.got += taken
                self.check()
                self.other.check()
                if account := self.window.tell():
                    await self.carrier.send(account)

    async def _change(self) -> None:
        await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()


@asynccontextmanager
async def two_ends(seed: int, faults: Faults, total: int) -> AsyncIterator[tuple[End, End, FaultyTransport]]:
    real, rng = MemoryTransport(), Random(seed)
    listener = await real.listen(HERE)
    async with FaultyTransport(real, seed=seed, out=faults, back=faults) as bad:
        async with accepting(listener) as accepted:
            near = await bad.dial(HERE)
            far = await accepted.receive()
        await listener.aclose()
        async with near, far:
            here, there = End(near, rng, total), End(far, rng, total)
            here.other, there.other = there, here
            yield here, there, bad


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("faults", [LATE, STUCK], ids=["late", "stuck"])
async def test_over_a_bad_network_the_bounds_hold_and_everything_arrives(seed: int, faults: Faults) -> None:
    async with two_ends(seed, faults, TOTAL) as (near, far, _), anyio.create_task_group() as both:
        both.start_soon(near.run)
        both.start_soon(far.run)
    assert (near.got, far.got) == (far.data, near.data)
    assert max(near.fullest[1], far.fullest[1]) == WRITES, "the bound on writes was never reached"


@pytest.mark.parametrize("seed", range(6))
async def test_over_a_network_that_is_cut_the_bounds_hold_and_what_came_is_a_beginning(seed: int) -> None:
    async with two_ends(seed, LATE, TOTAL) as (near, far, bad):
        (link,) = bad.links
        link.out.change(vanish_after=CUT_AFTER)  # accounts are lost first, so that windows stay full
        async with anyio.create_task_group() as both:
            for end in (near, far):
                both.start_soon(until_it_breaks, end)
            await anyio.sleep(CUT_SECONDS)
            link.reset()
    for writer, reader in ((near, far), (far, near)):
        assert reader.got
        assert writer.data.startswith(bytes(reader.got))
    assert len(far.got) < CUT_AFTER
    assert not far.window.ended


async def until_it_breaks(end: End) -> None:
    try:
        await end.run()
    except* (anyio.BrokenResourceError, anyio.EndOfStream):
        pass
