"""Workers come, give signs of life, fall silent, come back and leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..effects import Disconnect, EndLeases, Steer
from ..life import ID_GAP
from ..stimuli import Beat, Holding, LinkLost, Offered, WorkerJoined, WorkerLeft, WorkerRevoked
from ..text import count
from .conduct import MAX_ROOM, cap
from .links import forget_worker, unlink
from .losses import lose, withdraw
from .settle import At
from .state import Reported, Worker
from .submit import summon

if TYPE_CHECKING:
    from .machine import Pool

MAX_AHEAD: Final = 1_000
"""Attempts that are left out at a time because a worker has them."""


def on_joined(pool: Pool, got: WorkerJoined, now: float) -> None:
    """A worker is connected: for the first time, again, or a second time at once."""
    withdraw(pool, got, now)
    worker = pool.workers.get(got.worker)
    if worker is None:
        worker = pool.workers[got.worker] = Worker(got.worker, pool.tallies.worker(got.worker))
    if worker.session is not None:
        text = f"another connection of worker {worker.id} took its place"
        pool.effects.append(Disconnect(worker.session, "replaced", text))
        pool.by_session.pop(worker.session, None)
    if worker.instance != got.instance:
        # Once set it stays until the books are compared: a link that breaks before that hides no death.
        worker.restarted = (got.fresh or worker.instance is not None) and not worker.draining
        worker.draining = False
    worker.instance = got.instance
    worker.session = got.session
    worker.address = got.address
    worker.synced = False
    worker.reported = None
    worker.fair_from = now
    worker.lease_until = now + pool.lease_ttl
    pool.by_session[got.session] = worker
    pool.events.append(("joined", worker.id, (), got.address))


def on_offered(pool: Pool, got: Offered) -> None:
    """What a worker can do has changed."""
    worker = pool.by_session.get(got.session)
    if worker is None:
        return
    worker.kinds, worker.isolated, worker.stuck = got.kinds, got.isolated, got.stuck
    capacity = max(0, got.capacity)
    worker.offered = (capacity, min(max(0, got.limit), MAX_ROOM) if capacity else 0)
    cap(pool, worker)
    if worker.paused != got.paused:
        pool.events.append(
            ("paused" if got.paused else "resumed", f"worker:{worker.id}", (), "by the worker")
        )
    worker.paused = got.paused


def on_holding(pool: Pool, got: Holding, now: float, wall: float) -> None:
    """Compare the worker's books with ours, part by part; after the last one it gets work."""
    worker = pool.by_session.get(got.session)
    if worker is None:
        return
    if worker.reported is None:
        worker.reported, worker.unwanted = Reported(), set()
    fenced: list[tuple[int, int]] = []  # a fenced attempt may run beside its heir
    for lease in got.leases:
        is_held = worker.held.get(lease[0]) == lease[1]
        if is_held or lease in worker.unreturned:
            worker.reported.known.add(lease)
        if not is_held:
            fenced.append(lease)
    if fenced:
        worker.unwanted.update(fenced)
        worker.reported.foreign += _leave_out(pool, worker, fenced)
        pool.effects.append(EndLeases(got.session, fenced))
    if not got.more:
        _compare(pool, worker, worker.reported, got.session, At(now, wall))


def _compare(pool: Pool, worker: Worker, reported: Reported, session: int, at: At) -> None:
    """All has been said."""
    worker.reported = None
    missing = [lease for lease in worker.held.items() if lease not in reported.known]
    # A new process lost what its predecessor ran; an old one simply never got what we sent into a dead link.
    lose(pool, worker, [task_id for task_id, _ in missing], at, died=worker.restarted)
    worker.restarted = False
    worker.unreturned &= reported.known
    if reported.foreign:
        pool.unwanted += (foreign := reported.foreign)
        many = count(foreign, "lease or result", "leases or results")
        why = f"{many} of a moment that these data do not have: were they put back?"
        pool.events.append(("unwanted", worker.id, (), why))
    cancelled = [(task_id, attempt) for task_id, attempt in worker.held.items() if task_id not in pool.tasks]
    if cancelled:
        pool.effects.append(EndLeases(session, cancelled))
    worker.synced = True
    if worker.draining:  # the same process on a new link: it may not have heard of it
        pool.effects.append(Steer(session, "drain", deadline=worker.drain_seconds))
    pool.effects += [Steer(session, "pause", scope) for scope in pool.paused if concerns(scope, worker)]


def _leave_out(pool: Pool, worker: Worker, fenced: list[tuple[int, int]]) -> int:
    """Numbers that a worker has and this pool never gave are not given either, as far as it can be believed.

    They are of a moment that was taken back: an older copy of the data was put in place. The worker is told
    to forget them; should one get through all the same, nothing else has its number. Returns how many.
    """
    foreign = 0
    for task_id, attempt in fenced:
        if task_id >= pool.next_id:
            foreign += 1
            if task_id < pool.next_id + ID_GAP:
                pool.next_id = task_id + 1
        elif (task := summon(pool, task_id)) is not None and attempt > task.attempt:
            foreign += 1
            if task.worker is None and attempt <= task.attempt + MAX_AHEAD:
                task.attempt = attempt
    return foreign


def on_beat(pool: Pool, got: Beat, now: float) -> None:
    """A sign of life renews every lease of the worker."""
    worker = pool.by_session.get(got.session)
    if worker is not None:
        worker.lease_until = now + pool.lease_ttl


def on_link_lost(pool: Pool, got: LinkLost) -> None:
    """The connection is gone. The leases hold until they expire, or the worker is back."""
    worker = pool.by_session.get(got.session)
    if worker is not None:
        unlink(pool, worker, got.reason)


def on_left(pool: Pool, got: WorkerLeft, now: float, wall: float) -> None:
    """A goodbye: what it still holds is given back, and accuses nobody."""
    worker = pool.by_session.pop(got.session, None)
    if worker is None:
        return
    lose(pool, worker, list(worker.held), At(now, wall), died=False)
    forget_worker(pool, worker)
    pool.events.append(("left", worker.id, (), ""))


def on_revoked(pool: Pool, got: WorkerRevoked, now: float, wall: float) -> None:
    """Trust ended: leases void, connection closed. What it ran is not suspect; it may have been well."""
    worker = pool.workers.pop(got.worker, None)
    if worker is None:
        return
    if worker.session is not None:
        pool.by_session.pop(worker.session, None)
        pool.effects.append(Disconnect(worker.session, "refused", f"worker {worker.id} was revoked"))
    lose(pool, worker, list(worker.held), At(now, wall), died=False)
    forget_worker(pool, worker)
    pool.events.append(("revoked", worker.id, (), ""))


def concerns(scope: str, worker: Worker) -> bool:
    """Whether a pause of `scope` keeps this worker from starting something."""
    return scope in {"all", f"worker:{worker.id}"} or scope.removeprefix("kind:") in worker.kinds
