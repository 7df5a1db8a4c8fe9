"""A worker's connection goes; its leases stay until they expire, or it is back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..effects import Disconnect
from .state import Worker

if TYPE_CHECKING:
    from .machine import Pool


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
        pool.workers.pop(worker.id, None)
