"""Answers questions about tasks, workers and the fleet: what the store knows, the live state laid over it.

Leased and running are states that only the pool knows; on disk such a task is still queued.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from .. import __version__
from ..core.lifecycle import TaskState
from ..core.pool import Pool, Worker
from ..core.pool.workers import waiting_reason
from ..core.text import printable
from ..handle import (
    Count,
    PeerRow,
    PendingRow,
    PoolStatus,
    Roster,
    TaskDetail,
    TaskPage,
    TaskQuery,
    TaskReader,
    WorkerRow,
)
from .deliver import Delivery
from .listing import MOST_COUNTED, Listing
from .membership import pending_row
from .worker_link import WorkerLink
from .writer import Writer

MOST_WAITING: Final = 100
"""Kinds of which is told why they wait."""
MOST_LOOKED_AT: Final = 1_000
_LIVE: Final = {TaskState.LEASED.value, TaskState.RUNNING.value}


class Desk:
    """Reads; changes nothing."""

    def __init__(
        self, writer: Writer, reader: TaskReader, roster: Roster, delivery: Delivery, *, name: str, fleet: str
    ) -> None:
        self.listening: tuple[str, ...] = ()
        self.started_at = 0.0
        self.waiting = 0
        """Members that waited for approval when `members` were last read."""
        self._writer, self._reader, self._roster, self._delivery = writer, reader, roster, delivery
        self._name, self._fleet = name, fleet
        self._listing = Listing(lambda: writer.pool, reader)

    @property
    def _pool(self) -> Pool:
        return self._writer.pool

    async def page(self, query: TaskQuery) -> TaskPage:
        """A page of tasks, in the order that the query asks for."""
        return await self._listing.page(query)

    async def count(self, query: TaskQuery, most: int = MOST_COUNTED) -> Count:
        """How many tasks match; counting stops at `most`, and when it takes too long."""
        return await self._listing.count(query, most)

    async def detail(self, task_id: int, payload_limit: int) -> TaskDetail | None:
        """One task with its history, and why it waits."""
        found = await self._reader.detail(task_id, payload_limit)
        if found is None:
            return None
        task = self._pool.tasks.get(task_id)
        found = replace(found, row=self._listing.overlay(found.row))
        if task is None:
            series = self._pool.backlog.find(task_id)
            if series is None:
                return found
            options = series.options
            return replace(found, waits_for=self._why(options.kind, options.target, suspect=False))
        if task.state in _LIVE:
            link = self._link_of(task.worker)
            _, fraction, note, output = (link.progress.get(task_id) if link else None) or (0, None, "", b"")
            return replace(found, progress=fraction, note=note, output=output)
        if task.state is TaskState.SCHEDULED:
            return replace(found, waits_for="its next attempt is due later")
        return replace(
            found, waits_for=self._why(task.options.kind, task.options.target, suspect=task.suspect)
        )

    def _why(self, kind: str, target: str | None, *, suspect: bool) -> str:
        if target is not None and not self._is_here(target):
            return f"worker {target}, which alone may run it, is not connected"
        reason = waiting_reason(self._pool, kind)
        if not reason and suspect:
            return "it ran on a worker that died, and waits for one that is idle to run it alone"
        return reason or "its turn"

    def _is_here(self, worker_id: str) -> bool:
        worker = self._pool.workers.get(worker_id)
        return worker is not None and worker.session is not None

    def load(self, worker_id: str) -> Mapping[str, float]:
        """What a worker that is here told last of its machine."""
        link = self._link_of(worker_id)
        return link.session.wire.peer_load if link is not None else {}

    def _link_of(self, worker_id: str | None) -> WorkerLink | None:
        worker = self._pool.workers.get(worker_id) if worker_id else None
        link = self._delivery.links.get(worker.session) if worker and worker.session is not None else None
        return link if isinstance(link, WorkerLink) else None

    async def workers(self) -> list[WorkerRow]:
        """Everyone who may run tasks, whether here or not."""
        return self.workers_among(await self.members())

    async def members(self) -> dict[str, WorkerRow]:
        """Workers that have joined, as if none of them were here."""
        peers = await self._roster.peers()
        self.waiting = sum(map(_waits, peers))
        return {peer.id: _absent(peer) for peer in peers if peer.role == "worker" and not _waits(peer)}

    async def pending(self) -> list[PendingRow]:
        """Members that wait for approval, oldest first."""
        return [pending_row(peer) for peer in await self._roster.peers() if _waits(peer)]

    def workers_among(self, members: Mapping[str, WorkerRow]) -> list[WorkerRow]:
        """The same, with what is known of those that are here."""
        rows = dict(members)
        for name, share in self._pool.tallies.workers.items():
            if name in rows and name not in self._pool.workers:
                rows[name] = replace(rows[name], done=share.done, failed=share.failed)
        for worker in self._pool.workers.values():
            link = self._link_of(worker.id)
            rows[worker.id] = self._present(worker, link, rows.get(worker.id))
        return sorted(rows.values(), key=lambda row: row.id)

    def _present(self, worker: Worker, link: WorkerLink | None, known: WorkerRow | None) -> WorkerRow:
        wire = link.session.wire if link is not None else None
        return WorkerRow(
            id=worker.id,
            state=self._state(worker),
            address=worker.address,
            transport=worker.address.partition("://")[0],
            kinds=tuple(sorted(worker.kinds)),
            capacity=worker.capacity,
            limit=worker.limit,
            held=len(worker.held),
            running=len(worker.running),
            done=worker.share.done,
            failed=worker.share.failed,
            rtt=wire.rtt if wire else None,
            last_heard=self._writer.now() - wire.last_heard if wire else None,
            load={printable(k, 32): v for k, v in (wire.peer_load if wire else {}).items()},
            labels=link.labels if link else {},
            version=link.version if link else "",
            enrolled_at=known.enrolled_at if known else None,
            expires_at=known.expires_at if known else None,
            broken=link.broken if link else {},
        )

    def _state(self, worker: Worker) -> str:
        if worker.session is None:
            return "away"
        if worker.draining:
            return "draining"
        if worker.share.barred_until is not None:
            return "quarantined"
        paused = worker.paused or {"all", f"worker:{worker.id}"} & self._pool.paused
        return "paused" if paused else "connected"

    def status(self) -> PoolStatus:
        """The fleet at a glance."""
        pool = self._pool
        here = [worker for worker in pool.workers.values() if worker.session is not None]
        waiting, more = self._waiting()
        return PoolStatus(
            manager=self._name,
            fleet=self._fleet,
            version=__version__,
            listening=self.listening,
            started_at=self.started_at,
            totals={state.word: pool.totals[state] for state in TaskState},
            accepted=pool.accepted,
            paused=tuple(sorted(pool.paused)),
            workers=len(here),
            slots=sum(worker.capacity for worker in here),
            rate=self._writer.rate(),
            late=pool.late,
            refused=pool.refused,
            waiting=waiting,
            waiting_more=more,
            degraded=self._writer.degraded,
        )

    def _waiting(self) -> tuple[dict[str, str], int]:
        """Why the first kinds wait that do, and how many there are besides that have tasks in a queue."""
        counts: dict[str, int] = {}
        for (kind, _), lane in self._pool.lanes.items():
            counts[kind] = counts.get(kind, 0) + lane.size
        told: dict[str, str] = {}
        for seen, (kind, count) in enumerate(counts.items()):
            if len(told) == MOST_WAITING or seen == MOST_LOOKED_AT:
                return told, len(counts) - seen
            reason = waiting_reason(self._pool, kind)
            if reason and count > 0:
                told[kind] = f"{count} {'task waits' if count == 1 else 'tasks wait'}: {reason}"
        return told, 0


def _waits(peer: PeerRow) -> bool:
    return peer.pending and peer.revoked_at is None


def _absent(peer: PeerRow) -> WorkerRow:
    return WorkerRow(
        id=peer.id,
        state="revoked" if peer.revoked_at is not None else "offline",
        enrolled_at=peer.enrolled_at,
        expires_at=peer.expires_at,
    )
