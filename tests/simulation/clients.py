"""Clients of a simulated fleet: they submit with keys, cancel, pause, limit and wait for all that is theirs.

What a client was told goes into the ledger, which knows whether it is true.
"""

from __future__ import annotations

import random
from contextlib import suppress

import anyio
import msgspec
from taskmessenger.core.errors import NotFound
from taskmessenger.handle import Act, Group
from taskmessenger.handle.filters import query_of
from taskmessenger.net.line import Dial
from taskmessenger.remote import Remote, attach

from tests.simulation.ledger import Ledger

PATIENCE = 3_600.0
HOWS = ["", "", "", "", "fail once", "fail", "crash"]
KIND_NAMES = ["inside", "apart"]
PAUSE_SHARE, LIMIT_SHARE = 0.3, 0.2
LONGEST = 12.0


class Client:
    """One of several. `scopes` and `wards` (workers whose share it limits) are nobody else's to change."""

    def __init__(
        self, name: str, rng: random.Random, ledger: Ledger, scopes: list[str], wards: list[str]
    ) -> None:
        self.name, self.rng, self.ledger = name, rng, ledger
        self.scopes, self.wards = scopes, wards
        self.ids: set[int] = set()
        self._submitted: list[tuple[Group, list[int]]] = []

    async def live(self, dial: Dial, batches: int) -> None:
        """Submit so many times, do this and that, and wait for the end of all."""
        async with attach(dial, patience=PATIENCE) as remote:
            remote.on_outcomes = self.ledger.told
            for number in range(batches):
                await self._once(remote, number)
                await anyio.sleep(self.rng.random() * 3)
            await remote.wait(self.ids)
            await self._same_again(remote, *self.rng.choice(self._submitted))

    async def _once(self, remote: Remote, number: int) -> None:
        what = self.rng.random()
        if what < PAUSE_SHARE:
            await self._paused(remote, number)
        elif what < PAUSE_SHARE + LIMIT_SHARE:
            await self._limited(remote, number)
        else:
            await self._submit(remote, number)

    async def _submit(self, remote: Remote, number: int) -> None:
        rng = self.rng
        size = rng.randrange(1, 12)
        payloads = [msgspec.msgpack.encode([_seconds(rng), rng.choice(HOWS)]) for _ in range(size)]
        group = Group(
            rng.choice(KIND_NAMES),
            payloads,
            keys=[f"{self.name}-{number}-{place}" for place in range(size)],
            priority=rng.choice([0, 0, 5]),
            max_attempts=rng.choice([1, 3, 6]),
            delay=rng.choice([0.0, 0.0, 1.5]),
        )
        answer = await remote.submit([group], watch=True)
        self.ledger.submitted(answer.ids)
        if rng.random() < 0.2:
            await self._same_again(remote, group, answer.ids)
        self.ids.update(answer.ids)
        self._submitted.append((group, answer.ids))
        if rng.random() < 0.2:
            unwanted = rng.choice(answer.ids)
            self.ledger.cancel_asked.add(unwanted)
            gone = await remote.command("cancel", ids=[unwanted])
            self.ledger.cancel_acknowledged(gone)
        if rng.random() < 0.2:
            wish = query_of(rng.choice(["kind:inside", "state:queued", "-state:ended"]), 0.0)
            await remote.act(Act("set_priority", query=wish, number=rng.choice([0, 5, 9])))

    async def _same_again(self, remote: Remote, group: Group, ids: list[int]) -> None:
        """With the same keys it is the same tasks, whether they have ended or not."""
        again = await remote.submit([group], watch=True)
        assert again.ids == ids, "I10: one key, two tasks"

    async def _paused(self, remote: Remote, number: int) -> None:
        """Submit into a pause."""
        scope = self.rng.choice(self.scopes)
        await remote.command("pause", scope=scope)
        self.ledger.paused.add(scope)
        await self._submit(remote, number)
        await anyio.sleep(self.rng.random() * 2)
        self.ledger.paused.discard(scope)
        await remote.command("resume", scope=scope)

    async def _limited(self, remote: Remote, number: int) -> None:
        """Submit while one worker may do less. One that is not here is nobody's to limit."""
        name, most = self.rng.choice(self.wards), self.rng.choice([0, 1])
        with suppress(NotFound):
            await remote.act(Act("limit", scope=name, number=most))
            self.ledger.caps[name] = most
        await self._submit(remote, number)
        await anyio.sleep(self.rng.random() * 2)
        self.ledger.caps.pop(name, None)
        while True:
            try:
                await remote.act(Act("limit", scope=name, number=-1))
                return
            except NotFound:
                await anyio.sleep(1.0)


def _seconds(rng: random.Random) -> float:
    """Of one task: mostly far less than a lease, now and then more."""
    return rng.random() ** 4 * LONGEST
