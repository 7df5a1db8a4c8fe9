"""Answers questions about tasks, workers and the fleet: what the store knows, the live state laid over it.

Leased and running are states that only the pool knows; on disk such a task is still queued.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from msgspec.structs import replace

from .. import __version__
from ..core.lifecycle import TaskState
from ..core.pool import Pool, Task, Worker
from ..core.pool.reasons import MOST_LANES, Reason, Reasons, Wait, standing, waits
from ..core.text import printable
from ..handle import (
    Count,
    PeerRow,
    PendingRow,
    PoolStatus,
    Roster,
    TaskDetail,
    TaskOutput,
    TaskPage,
    TaskQuery,
    TaskReader,
    WorkerRow,
)
from .deliver import Delivery
from .listing import MOST_COUNTED, Listing
from .membership import pending_row
from .worker_link import Told, WorkerLink
from .writer import Writer

MOST_WAITING: Final = 100
"""Kinds of which is told why they wait."""
MOST_REASONS: Final = 3
"""Reasons that are told of one kind."""
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
        self.waiting_since = 0.0
        """When the first of them joined."""
        self._writer, self._reader, self._roster, self._delivery = writer, reader, roster, delivery
        self._name, self._fleet = name, fleet
        self._listing = Listing(lambda: writer.pool, reader)
        self._absent: dict[str, str] | None = None
        """Members by id, as if none were here, when they were last read: offline, pending or revoked."""

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
        await self._know(found.row.target)
        task = self._pool.tasks.get(task_id)
        found = replace(found, row=self._listing.overlay(found.row))
        if self._writer.degraded and self._pool.is_open(task_id):
            return replace(found, waits_for=f"nothing can be stored: {self._writer.degraded}", held_up=True)
        if task is not None and task.state in _LIVE:
            told = _told(self._link_of(task.worker), task)
            live = _live(task_id, told, found.output) if told.written else found.output
            return replace(found, progress=told.fraction, note=told.note, output=live)
        reason = Reasons(self._pool, self._absent).of_task(task_id)
        if reason is None:
            return found
        return replace(found, waits_for=reason.text, held_up=not reason.is_ordinary)

    async def output(self, task_id: int, attempt: int) -> TaskOutput:
        """What is kept of what an attempt wrote, or what was heard of the one that runs."""
        kept = await self._reader.output(task_id, attempt)
        task = self._pool.tasks.get(task_id)
        if task is not None and task.state in _LIVE and attempt in {0, task.attempt}:
            told = _told(self._link_of(task.worker), task)
            if told.written or attempt:
                return _live(task_id, told._replace(attempt=task.attempt), kept)
        return kept or TaskOutput(task_id, attempt)

    async def _know(self, worker_id: str | None) -> None:
        """Read who has joined, when that matters for why something waits for this worker."""
        if worker_id is not None and worker_id not in self._pool.workers:
            await self.members()

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
        self.waiting_since = min((peer.enrolled_at for peer in peers if _waits(peer)), default=0.0)
        self._absent = {peer.id: "pending" if _waits(peer) else _absent(peer).state for peer in peers}
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
            state=self.state_of(worker),
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
            stuck=worker.stuck,
            held_up=self._held_up(worker),
            pauses=self._pauses(worker),
        )

    def _pauses(self, worker: Worker) -> tuple[str, ...]:
        scopes = (("fleet", "all"), ("worker", f"worker:{worker.id}"))
        found = tuple(word for word, scope in scopes if scope in self._pool.paused)
        return (*found, "own") if worker.paused else found

    def _held_up(self, worker: Worker) -> str:
        """Why it takes no tasks, unless it is only busy."""
        if "all" in self._pool.paused and worker.session is not None:
            return "the fleet is paused"
        what = standing(self._pool, worker)
        return "" if what is None else what[1]

    def state_of(self, worker: Worker) -> str:
        """In one word, as rows of workers have it."""
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
        waiting, more = _by_kind(*self.waits())
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

    def waits(self) -> tuple[list[Wait], int]:
        """Why the tasks of each queue wait, and how many queues there are besides."""
        return waits(self._pool, self._absent)

    async def fresh_status(self) -> PoolStatus:
        """The same as `status`, after a look at who has joined where that matters."""
        for _, target in islice(self._pool.lanes, MOST_LANES):
            if target is not None and target not in self._pool.workers:
                await self.members()
                break
        return self.status()


def _told(link: WorkerLink | None, task: Task) -> Told:
    """What the attempt that runs says of itself."""
    told = link.progress.get(task.id) if link else None
    return told if told is not None and told.attempt == task.attempt else Told(task.attempt)


def _live(task_id: int, told: Told, kept: TaskOutput | None) -> TaskOutput:
    """The newest of what a running attempt wrote, with what its task has besides."""
    written = tuple(one for one in (kept.written if kept else ()) if one[0] != told.attempt)
    start, size = told.written - len(told.output), len(told.output)
    return TaskOutput(
        task_id, told.attempt, start, told.output, (*written, (told.attempt, told.written, size)), live=True
    )


def _by_kind(found: Iterable[Wait], more: int) -> tuple[dict[str, str], int]:
    """Why the first kinds wait that are held up, and how many more queues there are."""
    told: dict[str, list[Wait]] = {}
    left: set[str] = set()
    for one in found:
        if one.reason.is_ordinary:
            continue
        if one.kind in told or len(told) < MOST_WAITING:
            told.setdefault(one.kind, []).append(one)
        else:
            left.add(one.kind)
    return {kind: _joined(some) for kind, some in told.items()}, more + len(left)


def _joined(some: Sequence[Wait]) -> str:
    """Those of all workers first; of several workers the first."""
    counts: dict[Reason, list[int]] = {}
    for one in sorted(some, key=lambda one: one.target is not None):
        counts.setdefault(one.reason, []).append(one.count)
    words = [f"{_tasks(sum(many))}: {reason.text}" for reason, many in list(counts.items())[:MOST_REASONS]]
    rest = sum(sum(many) for many in list(counts.values())[MOST_REASONS:])
    return "; ".join([*words, f"{_tasks(rest)} for other reasons"] if rest else words)


def _tasks(count: int) -> str:
    return f"{count:,} {'task waits' if count == 1 else 'tasks wait'}"


def _waits(peer: PeerRow) -> bool:
    return peer.pending and peer.revoked_at is None


def _absent(peer: PeerRow) -> WorkerRow:
    return WorkerRow(
        id=peer.id,
        state="revoked" if peer.revoked_at is not None else "offline",
        enrolled_at=peer.enrolled_at,
        expires_at=peer.expires_at,
    )
