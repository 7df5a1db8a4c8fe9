"""What goes wrong in a simulated fleet: chains of faults side by side, so that one falls into another.

Everything is drawn from the world's seed. A manager or worker that is down already is left alone; links, the
disk and the clock may be in any number of troubles at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
from taskmessenger.net.faulty import Way

from tests.simulation.ledger import AFTER, BEFORE

if TYPE_CHECKING:
    from tests.simulation.fleet import World

CHAINS, IN_A_ROW = 3, 3
"""Most of each; there is always one fault at least."""
LEASE = 6.0


class Faults:
    """The hands that break a world."""

    def __init__(self, world: World) -> None:
        self.world, self.rng = world, world.rng
        self.done: list[str] = []
        """In the order in which they were over."""
        self.most_at_once = self._now = 0
        self._down: set[str] = set()
        self._kinds: list[Callable[[float], Awaitable[bool]]] = [
            self._manager_dies, self._manager_dies_in_a_commit, self._worker_dies, self._link_breaks,
            self._link_vanishes, self._acknowledgements_are_lost, self._partition,
            self._island, self._delay, self._slow_disk,
            self._clock_jumps, self._second_connection,
        ]  # fmt: skip

    async def run(self) -> None:
        """All chains, to their ends."""
        async with anyio.create_task_group() as chains:
            for _ in range(self.rng.randint(1, CHAINS)):
                chains.start_soon(self._chain, self.rng.randint(1, IN_A_ROW))

    async def _chain(self, length: int) -> None:
        while length:
            await anyio.sleep(self.rng.random() * 3)
            fault = self.rng.choice(self._kinds)
            away = self.rng.choice([0.05, 0.3, 1.0, 4.0, LEASE + 2])
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            if await fault(away):
                self.done.append(fault.__name__)
                length -= 1
            self._now -= 1

    # ---- processes --------------------------------------------------------------------------------------

    async def _manager_dies(self, away: float) -> bool:
        if "manager" in self._down:
            return False
        self._down.add("manager")
        self.world.crash_manager()
        await self._manager_again(away)
        return True

    async def _manager_dies_in_a_commit(self, away: float) -> bool:
        """Before its last commit is on the disk, or after that and before anybody hears of it."""
        if "manager" in self._down:
            return False
        self._down.add("manager")
        died, disk = anyio.Event(), self.world.disk

        def die() -> None:
            self.world.crash_manager()
            died.set()

        disk.die, disk.doom = die, self.rng.choice([BEFORE, AFTER])
        with anyio.move_on_after(LEASE):
            await died.wait()
        disk.doom = None
        if not died.is_set():  # it had nothing to store
            self._down.discard("manager")
            return True
        await self._manager_again(away)
        return True

    async def _manager_again(self, away: float) -> None:
        await anyio.sleep(away / 2)
        await self.world.start_manager()
        self._down.discard("manager")

    async def _worker_dies(self, away: float) -> bool:
        name = self.rng.choice(self.world.names)
        if name in self._down:
            return False
        self._down.add(name)
        await self.world.crash_worker(name, away)
        self._down.discard(name)
        return True

    async def _second_connection(self, _: float) -> bool:
        await self.world.second_connection(self.rng.choice(self.world.names))
        return True

    # ---- links ------------------------------------------------------------------------------------------

    async def _link_breaks(self, _: float) -> bool:
        links = self.world.net.links
        if links:
            self.rng.choice(links).reset()
        return bool(links)

    async def _link_vanishes(self, _: float) -> bool:
        links = self.world.net.links
        if links:
            self.rng.choice(links).vanish()
        return bool(links)

    async def _acknowledgements_are_lost(self, away: float) -> bool:
        """What the manager says vanishes, what it is told arrives: it stores what nobody knows it has."""
        links = [link for link in self.world.net.links if self.rng.random() < 0.7]
        for link in links:
            link.change(Way.IN, vanish_after=0)
        await anyio.sleep(min(away, 1.0))
        for link in links:  # a stream with a gap is of no use any more
            link.reset()
        return bool(links)

    async def _partition(self, away: float) -> bool:
        self.world.net.partition(self.rng.choice([Way.OUT, Way.IN, None]))
        await anyio.sleep(away)
        self.world.net.heal()
        return True

    async def _island(self, away: float) -> bool:
        """One worker is alone for longer than its lease, perhaps: the others get what it has."""
        name = self.rng.choice(self.world.names)
        if name in self.world.islands:
            return False
        await self.world.cut_off(name, away * 1.5)
        return True

    async def _delay(self, away: float) -> bool:
        self.world.net.change(None, delay=self.rng.random() * 0.4, jitter=self.rng.random() * 0.2)
        await anyio.sleep(away)
        self.world.net.change(None, delay=0.0, jitter=0.0)
        return True

    # ---- disk and clock ---------------------------------------------------------------------------------

    async def _slow_disk(self, away: float) -> bool:
        self.world.disk.slowness = self.rng.random()
        await anyio.sleep(away)
        self.world.disk.slowness = 0.0
        return True

    async def _clock_jumps(self, _: float) -> bool:
        self.world.wall.offset += self.rng.choice([-86_400.0, -3_600.0, 3_600.0, 86_400.0])
        return True
