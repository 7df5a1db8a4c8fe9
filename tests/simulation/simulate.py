"""Runs seeds: `python -m tests.simulation.simulate --seeds 1000 [--first N]`.

While a seed runs: the pool's own books after every batch (I1 to I4, I6, I8, I10: `core.pool.check`), and
beside them, from what was asked, answered and stored, I2 to I5 and I7 to I12 (`tests.simulation.ledger`):
nothing is answered or told before it is on the disk, nothing is leased in a paused scope or beyond a cap, no
worker forgets what nobody else has, and no task runs twice at one time. After it: every accepted task has one
outcome, told and stored alike; every lease has ended; nothing waits for ever; nothing ran more than it may.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import anyio
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import check
from taskmessenger.net.faulty import FaultyTransport
from taskmessenger.net.memory import MemoryTransport

from tests.simulation.faults import Faults
from tests.simulation.fleet import LEASE, World, final_states
from tests.simulation.virtual import run

QUIET_SECONDS = 900.0
"""Virtual seconds in which everything must have ended once the faults are over."""
REPLAY = "make simulate FIRST={seed} SEEDS=1"


async def simulate(seed: int, folder: Path) -> World:
    """One fleet's life under this seed; raises when it breaks a promise."""
    world = World(seed, folder)
    with (
        patch("taskmessenger.roles.slots.monotonic", anyio.current_time),
        patch("taskmessenger.roles.outbox.monotonic", anyio.current_time),
        patch("taskmessenger.roles.telling.monotonic", anyio.current_time),
        patch("taskmessenger.roles.worker.Load.sample", lambda _: {}),
    ):
        async with anyio.create_task_group() as tasks:
            world.tasks = tasks
            async with FaultyTransport(MemoryTransport(), seed=seed) as world.net:
                await world.start_manager()
                for name in world.names:
                    world.start_worker(name)
                tasks.start_soon(_read_journals, world)
                async with anyio.create_task_group() as clients:
                    for one in world.clients:
                        clients.start_soon(world.client, one)
                    world.faults = Faults(world)
                    await world.faults.run()
                    world.net.heal()
                    clients.cancel_scope.deadline = anyio.current_time() + QUIET_SECONDS
                assert not clients.cancel_scope.cancelled_caught, "clients wait for ever"
                with anyio.fail_after(QUIET_SECONDS):
                    await _settled(world)
                _judge(world)
                tasks.cancel_scope.cancel()
    return world


async def _read_journals(world: World) -> None:
    """Of whoever is the manager."""
    while True:
        await anyio.sleep(2.0)
        if world.manager is not None:
            world.manager.reader.look()


async def _settled(world: World) -> None:
    """Until the manager has no lease open and the workers no news."""
    while True:
        await anyio.sleep(LEASE)
        manager = world.manager
        assert manager is not None
        pool = manager.writer.pool
        held = any(worker.held for worker in pool.workers.values())
        if not (pool.pending or held or any(w.outbox.unacknowledged for w in world.workers.values())):
            return


def _judge(world: World) -> None:
    manager = world.manager
    assert manager is not None
    pool = manager.writer.pool
    check(pool)
    manager.reader.finish()
    ledger, stored = world.ledger, world.disk._tasks
    ledger.all_accounted_for()
    assert ledger.accepted <= stored.keys(), "G1: an accepted task is not stored"
    assert not world.disk._grants, f"leases that never ended: {world.disk._grants}"
    for task_id in ledger.accepted:
        end = stored[task_id].end
        assert end is not None, f"G2: task {task_id} has no outcome"
        told = ledger.outcomes[task_id]
        assert (told.state, told.attempt) == (end[0], end[1]), f"G13: task {task_id} was told otherwise"
        assert task_id not in ledger.cancelled or end[0] == TaskState.CANCELLED, f"G6: task {task_id}"
        ran, limit = ledger.executions[task_id], world.disk.limit_of(task_id)
        assert ran <= limit, f"G4: task {task_id} ran {ran} times, {limit} allowed"


def play(seed: int) -> World:
    """Simulate one seed in a folder of its own."""
    worlds: list[World] = []

    async def main() -> None:
        worlds.append(await simulate(seed, Path(folder)))

    where = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=where if where.is_dir() else None) as folder:
        run(main)
    return worlds[0]


def main() -> int:
    """Many seeds; stops at the first that fails, and says how to see it again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level="DEBUG" if given.verbose else "ERROR")
    start, tasks, ends = time.monotonic(), 0, {}
    for seed in range(given.first, given.first + given.seeds):
        try:
            world = play(seed)
        except BaseException:
            print(f"seed {seed} failed; see it again with: {REPLAY.format(seed=seed)}", file=sys.stderr)
            raise
        tasks += len(world.ledger.accepted)
        for word, count in final_states(world).items():
            ends[word] = ends.get(word, 0) + count
    print(f"{given.seeds} seeds, {tasks} tasks ({ends}), {time.monotonic() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
