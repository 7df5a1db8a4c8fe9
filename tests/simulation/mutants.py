"""Deliberate mistakes in the roles and the core: what the simulator notices, or its silence means nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import anyio
from taskmessenger.core.journal import Journal
from taskmessenger.core.pool import assign, machine, operate, recover, workers
from taskmessenger.roles.outbox import Outbox
from taskmessenger.roles.worker import Worker
from taskmessenger.roles.writer import Writer


@dataclass(frozen=True)
class Mutant:
    """One mistake."""

    name: str
    changes: Callable[[], list[tuple[Any, str, Any]]]
    """Where, which name, and what it is instead."""
    noticed_as: str
    """How the complaint begins; several may be right, parted by |."""
    seeds: int
    """Within so many seeds it must be noticed."""
    first: int = 0
    """Where to begin, for what only a rare mishap shows: the seeds before it would only cost time."""

    @contextmanager
    def alive(self) -> Iterator[None]:
        with ExitStack() as stack:
            for where, name, instead in self.changes():
                stack.enter_context(patch.object(where, name, instead))
            yield


def _pause_ignored() -> list[tuple[Any, str, Any]]:
    right = assign.assign

    def wrong(pool: Any, now: float) -> None:
        kept, pool.paused = pool.paused, set()
        try:
            right(pool, now)
        finally:
            pool.paused = kept

    return [(machine.assign, "assign", wrong)]


def _forgotten_when_sent() -> list[tuple[Any, str, Any]]:
    right = Outbox._keep

    def wrong(self: Any, ended: Any) -> int:
        size = right(self, ended)
        if self.send is not None:
            self._spool.drop([(one.task, one.attempt) for one in ended])
        return size

    return [(Outbox, "_keep", wrong)]


def _cap_ignored() -> list[tuple[Any, str, Any]]:
    def wrong(pool: Any, worker: Any) -> None:
        worker.capacity, worker.limit = worker.offered

    return [(workers, "cap", wrong), (operate, "cap", wrong)]


def _told_before_stored() -> list[tuple[Any, str, Any]]:
    async def wrong(self: Any, receive: Any) -> None:
        async with receive:
            async for decision in receive:
                self.journal.extend((0.0, event) for event in decision.events)
                self._act(decision.effects)
                if decision.commit:
                    await self._commit(decision)
                self._under_way -= 1
                if not self._under_way:
                    self._stored.set()
                    self._stored = anyio.Event()

    return [(Writer, "_release", wrong)]


def _leases_not_recovered() -> list[tuple[Any, str, Any]]:
    return [(recover, "_load_grants", lambda *_: None)]


def _unfenced() -> list[tuple[Any, str, Any]]:
    return [(Worker, "_fence", lambda _: None)]


def _keys_not_looked_up() -> list[tuple[Any, str, Any]]:
    async def wrong(self: Any, batch: Any) -> None:
        for stimulus in batch:
            if hasattr(stimulus, "known"):
                stimulus.known = {}

    return [(Writer, "_look_up", wrong)]


def _event_left_out() -> list[tuple[Any, str, Any]]:
    right = Journal.extend

    def wrong(self: Any, events: Any) -> None:
        right(self, [event for event in events if event[1][0] != "paused"])

    return [(Journal, "extend", wrong)]


def _never_sent_again() -> list[tuple[Any, str, Any]]:
    return [(Outbox, "resend", lambda _: None)]


MUTANTS = [
    Mutant("a pause is ignored", _pause_ignored, "I7", 10),
    Mutant("a worker forgets an outcome when it is sent", _forgotten_when_sent, "I11", 3),
    Mutant("a cap is ignored", _cap_ignored, "I8", 10),
    Mutant("effects leave before the commit", _told_before_stored, "G1|G2|I11", 3),
    Mutant("leases are not recovered", _leases_not_recovered, "I2|I3|G4|I8|clients wait", 10),
    Mutant("a worker that is cut off goes on", _unfenced, "G4", 5, first=4),
    Mutant("keys of ended tasks are not looked up", _keys_not_looked_up, "I10|there is a task", 10),
    Mutant("an event is left out of the journal", _event_left_out, "I9", 10),
    Mutant("outcomes are never sent again", _never_sent_again, "clients wait|I11", 10),
]
