"""A worker's connection goes; its leases stay until they expire, or it is back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ..effects import Disconnect
from .state import Worker

if TYPE_CHECKING:
    from .machine import Pool


SLOTS: Final = "slots:"
"""Settings of this prefix carry the slots and isolated kinds of workers with leases over a restart."""


def cut(pool: Pool, worker: Worker, code: str, message: str) -> None:
    """Close the connection from this side. From now on nothing that still comes from it counts."""
    if worker.session is not None:
        pool.effects.append(Disconnect(worker.session, code, message))
        unlink(pool, worker, message)


def unlink(pool: Pool, worker: Worker, reason: str) -> None:
    """The connection is gone. A worker of whom nothing has to be remembered is forgotten."""
    if worker.session is not None:
        del pool.by_session[worker.session]
        worker.session = None
    worker.synced = False
    pool.events.append(("disconnected", worker.id, (), reason))
    if not (worker.held or worker.draining):
        forget_worker(pool, worker)


def forget_worker(pool: Pool, worker: Worker) -> None:
    """It has no link and no leases."""
    pool.workers.pop(worker.id, None)
    if worker.described is not None:
        pool.commit.settings[SLOTS + worker.id] = None


def describe_worker(pool: Pool, worker: Worker) -> None:
    """Write down, with a lease, what a manager that starts anew has to know of who has it."""
    described = (worker.capacity, worker.isolated)
    if described != worker.described:
        worker.described = described
        pool.commit.settings[SLOTS + worker.id] = json.dumps([worker.capacity, sorted(worker.isolated)])


def recover_worker(worker: Worker, settings: Mapping[str, str]) -> None:
    """What was written down of a worker that has leases."""
    text = settings.get(SLOTS + worker.id)
    if text is not None:
        worker.capacity, isolated = json.loads(text)
        worker.isolated = frozenset(isolated)
        worker.described = (worker.capacity, worker.isolated)
