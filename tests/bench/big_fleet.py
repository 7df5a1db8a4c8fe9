"""A real manager with a million tasks and thousands of members, written straight into its database."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from taskmessenger.core.commit import Commit
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.paths import under
from taskmessenger.store.sqlite import SqliteStore

from tests.support.processes import Fleet
from tests.support.stores import a_peer, a_store, an_error, an_invite, settled, submitted

CHUNK = 20_000
KINDS = ("hash", "hash", "hash", "hash", "wordcount", "wordcount", "resize", "resize", "shell", "train")
QUEUED = 2_000
"""Tasks of a kind that nobody offers."""
_BAD = {17: TaskState.FAILED, 41: TaskState.TIMED_OUT, 73: TaskState.CANCELLED}


def _ended(number: int, now: float) -> TaskState:
    return _BAD.get(number % 97, TaskState.SUCCEEDED)


async def _tasks(store: SqliteStore, tasks: int) -> None:
    now = time.time()
    error = an_error("ValueError: no such column `price` in batch 7")
    for first in range(1, tasks + 1, CHUNK):
        ids = range(first, min(first + CHUNK, tasks + 1))
        begun = [now - (tasks - i) * 0.003 - 10 for i in ids]
        born = [
            submitted(i, kind=KINDS[i * 7 % 10], submitted_at=at, priority=5 if i % 50 == 0 else 0)
            for i, at in zip(ids, begun, strict=True)
        ]
        ended = []
        for i, at in zip(ids, begun, strict=True):
            state = _ended(i, now)
            bad = state is not TaskState.SUCCEEDED
            ended.append(
                settled(
                    i, state, worker=f"w-{i % 2000:04d}", finished_at=at + 2 + i % 7,
                    run_seconds=0.1 + i % 37 / 20, attempt=3 if bad else 1, error=error if bad else None,
                )
            )  # fmt: skip
        await store.commit(Commit(submitted=born))
        await store.commit(Commit(settled=ended))
    waiting = range(tasks + 1, tasks + 1 + QUEUED)
    await store.commit(Commit(submitted=[submitted(i, kind="render", submitted_at=now) for i in waiting]))


async def _members(store: SqliteStore, workers: int) -> None:
    now = time.time()
    await store.add_invite(
        an_invite("big", uses=workers, uses_left=workers, created_at=now, expires_at=now + 9e5)
    )
    for number in range(workers):
        name = f"w-{number:04d}"
        await store.redeem(
            "big", a_peer(name, invite="big", enrolled_at=now, expires_at=now + 86400 * 30), now
        )


async def _fill(file: Path, tasks: int, workers: int) -> None:
    store = a_store(file.parent)
    await store.open()
    await _tasks(store, tasks)
    await _members(store, workers)
    await store.close()


@contextmanager
def big_fleet(root: Path, tasks: int, workers: int) -> Iterator[Fleet]:
    """A manager that runs, over so many tasks that have ended and so many workers that are offline."""
    fleet = Fleet(root)
    database = under(fleet.home).database
    database.parent.mkdir(parents=True, mode=0o700)
    database.parent.chmod(0o700)
    anyio.run(_fill, database, tasks, workers)
    try:
        fleet.manager()
        yield fleet
    finally:
        fleet.end()
        shutil.rmtree(root, ignore_errors=True)
