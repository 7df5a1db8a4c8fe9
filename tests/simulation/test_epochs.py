"""An older copy of the data is put back while workers hold leases and outcomes of the time after it.

Nothing of the life that was taken back is taken for a result, nobody is punished for it, and no number is
given twice. Real workers, sessions and pool in virtual time, as in `fleet`; the rest is drawn from a seed.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio
import msgspec
import pytest
from msgspec.structs import replace
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Group
from taskmessenger.net.client import Connected
from taskmessenger.net.faulty import FaultyTransport, Way
from taskmessenger.net.memory import MemoryTransport
from taskmessenger.remote import attach
from taskmessenger.roles.past import Past
from taskmessenger.runtimes.base import Ended, Job

from tests.simulation import fleet
from tests.simulation.fleet import LEASE, SimRuntime, World
from tests.simulation.ledger import Ledger
from tests.simulation.virtual import run

SEEDS = 12
PARTS = ("_tasks", "_grants", "_settings", "_highest", "_epochs", "_starts")
"""Of a disk: what a copy of it has."""
SECONDS = 600.0


class Silent(Ledger):
    """Counts what is run; that one number means two tasks is what this is about."""

    def _stored(self, batch: Any) -> None:
        self.seen["commits"] += 1

    def begins(self, worker: str, task_id: int, attempt: int) -> None:
        self.executions[task_id] += 1

    def ends(self, *_: Any) -> None:
        """Nothing is compared."""

    found_in_spool = spooled = forgotten = ends


class Stamping(SimRuntime):
    """Results say in which life of the data their lease was given."""

    world: PutBack

    async def run(self, job: Job) -> Ended:
        epoch = self.world.told[self._worker]
        ended = await super().run(job)
        if ended.result is None:
            return ended
        return replace(ended, result=msgspec.msgpack.encode([job.task, job.attempt, epoch]))


class PutBack(World):
    """A fleet whose disk can be put back to what it was."""

    def __init__(self, seed: int, folder: Path) -> None:
        super().__init__(seed, folder)
        self.ledger = Silent(self.disk)
        self.told: dict[str, bytes] = {}
        """By worker: the life that it was told of last."""

    @property
    def epoch(self) -> bytes:
        return self.disk._epochs[-1]

    async def dial(self, role: str, peer: str, instance: bytes, fresh: bool) -> Connected:
        connected = await super().dial(role, peer, instance, fresh)
        self.told[peer] = self.epoch
        welcome = replace(connected.welcome, epoch=self.epoch, mark=self.epoch + b"mark")
        return Connected(connected.session, welcome, connected.address)

    def copy(self) -> dict[str, Any]:
        found = {part: getattr(self.disk, part) for part in PARTS}
        return {part: value.copy() if hasattr(value, "copy") else value for part, value in found.items()}

    async def submit(self, number: int) -> list[int]:
        async def dial() -> Connected:
            return await self.dial("operator", f"client {number}", b"%016d" % number, fresh=True)

        payloads = [msgspec.msgpack.encode([self.rng.random() * 4, ""]) for _ in range(number)]
        async with attach(dial) as remote:
            return (await remote.submit([Group("inside", payloads, max_attempts=5)])).ids


async def story(seed: int, folder: Path) -> Counter[str]:
    world = PutBack(seed, folder)
    rng, seen = world.rng, Counter[str]()
    async with anyio.create_task_group() as tasks, FaultyTransport(MemoryTransport(), seed=seed) as world.net:
        world.tasks = tasks
        await world.start_manager()
        for name in world.names:
            (folder / name).mkdir()
            world.start_worker(name)
        before = await world.submit(24)
        await anyio.sleep(rng.random() * 3)
        copy = world.copy()
        after = await world.submit(12)
        await anyio.sleep(rng.random() * 3)
        if rng.random() < 0.5:  # what ends from here on is never acknowledged
            world.net.partition(Way.IN)
            await anyio.sleep(rng.random() * 2)
        lost = {i: kept.end for i, kept in world.disk._tasks.items() if kept.end is not None}
        seen["outcomes taken back"] += sum(
            copy["_tasks"].get(i) is None or copy["_tasks"][i].end is None for i in lost
        )
        world.crash_manager()
        seen["outcomes in spools"] += sum(w.outbox.unacknowledged for w in world.workers.values())
        seen["leases of the past"] += sum(len(w.slots.leases) for w in world.workers.values())
        await anyio.sleep(rng.choice([0.1, 1.0, LEASE + 2]))
        for part, value in copy.items():
            setattr(world.disk, part, value)
        await world.disk.begin_epoch("an older copy was put back")
        world.net.heal()
        await world.start_manager()
        new = await world.submit(8)
        with anyio.fail_after(SECONDS):
            while any(kept.end is None for kept in world.disk._tasks.values()) or any(
                worker.outbox.unacknowledged for worker in world.workers.values()
            ):
                await anyio.sleep(1.0)
        _judge(world, copy, {*before, *after}, new)
        tasks.cancel_scope.cancel()
    return seen


def _judge(world: PutBack, copy: dict[str, Any], old: set[int], new: list[int]) -> None:
    stored = world.disk._tasks
    assert not old.intersection(new), "a number was given twice"
    assert stored.keys() == copy["_tasks"].keys() | set(new)
    for task_id, kept in stored.items():
        before = copy["_tasks"].get(task_id)
        if before is not None and before.end is not None:
            assert kept.end == before.end
            continue
        state, attempt, *_ = kept.end
        assert state == TaskState.SUCCEEDED
        result = msgspec.msgpack.decode(kept.end[6])
        assert result == [task_id, attempt, world.epoch], f"a result of another life: {result}"
    pool = world.manager.writer.pool
    assert pool.refused == 0, "who was told of another life does no wrong"
    assert all(worker.share.barred_until is None for worker in pool.workers.values())


def play(seed: int) -> Counter[str]:
    found: list[Counter[str]] = []

    async def main() -> None:
        with (
            patch("taskmessenger.roles.slots.monotonic", anyio.current_time),
            patch("taskmessenger.roles.outbox.monotonic", anyio.current_time),
            patch("taskmessenger.roles.telling.monotonic", anyio.current_time),
            patch("taskmessenger.roles.worker.Load.sample", lambda _: {}),
        ):
            found.append(await story(seed, Path(folder)))

    where = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=where if where.is_dir() else None) as folder:
        run(main)
    return found[0]


def _play_all() -> Counter[str]:
    seen = Counter[str]()
    for seed in range(SEEDS):
        try:
            seen += play(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    return seen


@pytest.fixture
def stamping(monkeypatch: pytest.MonkeyPatch) -> None:
    class Runtime(Stamping):
        def __init__(self, ledger: Ledger, worker: str) -> None:
            super().__init__(ledger, worker)

    real = PutBack.__init__

    def made(self: PutBack, seed: int, folder: Path) -> None:
        real(self, seed, folder)
        Runtime.world = self

    monkeypatch.setattr(PutBack, "__init__", made)
    monkeypatch.setattr(fleet, "SimRuntime", Runtime)


def test_nothing_of_a_life_that_was_taken_back_counts(stamping: None) -> None:
    seen = _play_all()
    assert seen["outcomes taken back"] > SEEDS
    assert seen["outcomes in spools"] > SEEDS / 2
    assert seen["leases of the past"] > SEEDS


def test_a_worker_that_keeps_what_it_had_is_noticed(stamping: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Past, "compare", lambda self, welcome: None)
    with pytest.raises(BaseExceptionGroup) as broken:
        _play_all()
    assert broken.group_contains(AssertionError, match="a result of another life|does no wrong")
