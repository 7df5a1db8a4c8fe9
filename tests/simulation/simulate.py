"""Runs seeds: `python -m tests.simulation.simulate --seeds 1000 [--first N]`.

After each seed: every accepted task has exactly one outcome, told and stored alike; every lease has ended;
nothing waits for ever; I1 to I10 held after every batch; nothing ran more often than it may.
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

from tests.simulation.fleet import LEASE, World, final_states
from tests.simulation.virtual import run

FAULTS = 6
BATCHES = 6
QUIET_SECONDS = 900.0
"""Virtual seconds in which everything must have ended once the faults are over."""
REPLAY = "python -m tests.simulation.simulate --first {seed} --seeds 1"


async def simulate(seed: int, folder: Path) -> World:
    """One fleet's life under this seed; raises when it breaks a promise."""
    world = World(seed, folder)
    with (
        patch("taskmessenger.roles.slots.monotonic", anyio.current_time),
        patch("taskmessenger.roles.worker.Load.sample", lambda _: {}),
    ):
        async with anyio.create_task_group() as tasks:
            world.tasks = tasks
            async with FaultyTransport(MemoryTransport(), seed=seed) as world.net:
                await world.start_manager()
                for name in world.names:
                    world.start_worker(name)
                done = anyio.Event()
                tasks.start_soon(_client, world, done)
                for _ in range(world.rng.randrange(FAULTS + 1)):
                    await anyio.sleep(world.rng.random() * 4)
                    await world.one_fault()
                world.net.heal()
                with anyio.fail_after(QUIET_SECONDS):
                    await done.wait()
                    await _settled(world)
                _judge(world)
                tasks.cancel_scope.cancel()
    return world


async def _client(world: World, done: anyio.Event) -> None:
    await world.client(BATCHES)
    done.set()


async def _settled(world: World) -> None:
    """Until the manager has no lease open and the workers no news."""
    while True:
        await anyio.sleep(LEASE)
        manager = world.manager
        assert manager is not None
        pool = manager.writer.pool
        held = any(worker.held for worker in pool.workers.values())
        if not (pool.tasks or held or any(w.outbox.unacknowledged for w in world.workers.values())):
            return


def _judge(world: World) -> None:
    manager = world.manager
    assert manager is not None
    pool = manager.writer.pool
    check(pool)
    stored = {task_id: kept for task_id, kept in world.disk._tasks.items()}  # noqa: C416
    assert world.accepted <= stored.keys(), "G1: an accepted task is not stored"
    assert not world.disk._grants, f"leases that never ended: {world.disk._grants}"
    for task_id in world.accepted:
        end = stored[task_id].end
        assert end is not None, f"G2: task {task_id} has no outcome"
        told = world.outcomes[task_id]
        assert (told.state, told.attempt) == (end[0], end[1]), f"G13: task {task_id} was told otherwise"
        assert task_id not in world.cancelled or end[0] == TaskState.CANCELLED, f"G6: task {task_id}"
        given_back = sum(one[5] in {"released", "cancelled"} for one in stored[task_id].attempts)
        ran, limit = world.executions[task_id], stored[task_id].given[3] + given_back
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
        tasks += len(world.accepted)
        for word, count in final_states(world).items():
            ends[word] = ends.get(word, 0) + count
    print(f"{given.seeds} seeds, {tasks} tasks ({ends}), {time.monotonic() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
