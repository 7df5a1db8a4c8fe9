"""`WorkerHandle`: the worker of this process as a `NodeHandle`, on the worker's own event loop."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic, time
from typing import TYPE_CHECKING, Final

import anyio

from .. import logs
from ..core.errors import Conflict
from ..core.text import printable
from ..feed import Feed
from ..handle import (
    MAX_EVENTS,
    Act,
    ActDone,
    EndedRow,
    EventPage,
    NetworkInfo,
    NetworkRow,
    RunningRow,
    SettingRow,
    Snapshot,
    WorkerSelf,
)
from ..handle.worker_only import WorkerOnly, not_here
from ..logs import Tail
from ..runtimes.base import CANCELLED, CRASHED, FAILED, STUCK, SUCCEEDED, TIMED_OUT
from .happenings import logged
from .load import Load
from .view import settings_of

if TYPE_CHECKING:
    from .checkup import Checkup
    from .worker import Worker

LOOK_SECONDS: Final = 0.25
LOAD_SECONDS: Final = 1.0
MAX_RUNNING: Final = 1_000
"""Running tasks that are shown."""
_HOWS: Final = {
    SUCCEEDED: "succeeded", FAILED: "failed", TIMED_OUT: "timed_out", CRASHED: "crashed",
    CANCELLED: "cancelled", STUCK: "stuck",
}  # fmt: skip


class WorkerHandle(WorkerOnly):
    """Everything that the operator of this process may do."""

    role, read_only = "worker", False

    def __init__(
        self, worker: Worker, origins: Mapping[str, str], checkup: Checkup, feed: Feed | None = None
    ) -> None:
        """`feed`: that of the same worker before it was started anew, so that events go on."""
        self._worker, self._origins, self._checkup = worker, origins, checkup
        self._sampler, self._load, self._sampled = Load(), dict[str, float](), float("-inf")
        self._feed = feed or Feed(Snapshot(time(), "worker"))
        self._tail = Tail()
        self._publish()

    async def keep(self) -> None:
        """Take snapshots while somebody looks, until cancelled."""
        logs.follow(self._tail)
        try:
            while True:
                self._feed.add(logged(self._tail.take()))
                if self._feed.wanted:
                    self._publish()
                await anyio.sleep(LOOK_SECONDS)
        finally:
            logs.unfollow(self._tail)
            self._feed.add(logged(self._tail.take()))
            self._publish()  # what it ends with is what stays to be seen

    def _publish(self) -> None:
        self._feed.publish(Snapshot(time(), "worker", worker=self._self()))

    def snapshot(self) -> Snapshot:
        """The newest known."""
        return self._feed.snapshot()

    def events(self, cursor: int, limit: int = MAX_EVENTS) -> EventPage:
        """The log, from `cursor` on."""
        return self._feed.since(cursor, min(limit, MAX_EVENTS))

    def _self(self) -> WorkerSelf:
        worker, connected = self._worker, self._worker.connected
        slots, outbox, identity, controls = worker.slots, worker.outbox, worker.identity, worker.controls
        wire = connected.session.wire if connected is not None else None
        address = str(connected.address) if connected is not None else next(iter(identity.endpoints), "")
        scheme = address.partition("://")[0]
        return WorkerSelf(
            name=worker.config.name or identity.peer_id,
            peer=identity.peer_id,
            state=_state(worker),
            manager=printable(connected.welcome.manager if connected else identity.manager_name),
            address=address,
            transport="zerotier" if scheme == "zt" else scheme,
            certificate_until=identity.certificate.not_after,
            capacity=slots.capacity,
            running=self._running(),
            waiting=slots.waiting,
            done=outbox.done,
            failed=outbox.failed,
            unacknowledged=outbox.unacknowledged,
            sent=controls.sent + (wire.sent if wire else 0),
            received=controls.received + (wire.received if wire else 0),
            rtt=wire.rtt if wire else None,
            load=self._sample(),
            reason="" if connected is not None else printable(controls.reason),
            kinds=tuple(sorted(kind.name for kind in worker.kinds)),
            history=tuple(_ended(*one) for one in reversed(slots.history)),
            leave_by=controls.leave_by,
            leaving=controls.leaving,
        )

    def _running(self) -> tuple[RunningRow, ...]:
        now, wall, told = monotonic(), time(), self._worker.controls.told
        running = self._worker.slots.running
        for task in [task for task in told if task not in running]:
            del told[task]
        rows = []
        for task, (attempt, kind, started) in list(running.items())[:MAX_RUNNING]:
            word = told.get(task)
            _, fraction, note, output = (
                word if word is not None and word[0] == attempt else (0, None, "", b"")
            )
            since = wall - (now - started)
            rows.append(RunningRow(task, attempt, kind, since, fraction, printable(note, 256), output))
        return tuple(rows)

    def _sample(self) -> dict[str, float]:
        now = monotonic()
        if now - self._sampled >= LOAD_SECONDS:
            self._sampled, self._load = now, self._sampler.sample()
        return self._load

    # ---- what is done -----------------------------------------------------------------------------------

    async def act(self, act: Act) -> ActDone:
        """Of this worker itself."""
        worker = self._worker
        match act.verb:
            case "pause":
                worker.pause()
            case "resume":
                worker.resume()
            case "drain":
                worker.stop(max(0.0, act.number))
            case "disconnect":
                worker.disconnect()
            case "start":
                if worker.slots.leaving:
                    raise Conflict("this worker is draining: start it when it has left")
                worker.controls.meet()
            case _:
                not_here()
        self._publish()
        return ActDone(1)

    async def settings(self) -> tuple[SettingRow, ...]:
        """What this worker is set to."""
        return settings_of("worker", self._worker.config, self._origins)

    async def network(self) -> NetworkInfo:
        """How it reaches its manager."""
        seen = self._self()
        rtt = f", round trip {seen.rtt * 1000:.1f} ms" if seen.rtt is not None else ""
        state = "ok" if self._worker.connected is not None else "bad"
        rows = [NetworkRow("manager", f"{seen.address}{rtt}" if state == "ok" else seen.reason, state)]
        ways = tuple(self._worker.identity.endpoints)
        rows += [NetworkRow("way to the manager", printable(way)) for way in ways if way != seen.address]
        return NetworkInfo((seen.transport,), ways, (*rows, *await self._checkup.rows()))

    async def stop(self, deadline: float | None) -> None:
        """Leave in good order."""
        self._worker.stop(deadline)


def _state(worker: Worker) -> str:
    if worker.slots.leaving:
        return "draining"
    if worker.connected is None:
        return "connecting" if worker.fresh and not worker.controls.apart else "away"
    return "paused" if worker.paused else "connected"


def _ended(
    task: int, attempt: int, kind: str, status: int, seconds: float, at: float, error: str
) -> EndedRow:
    return EndedRow(task, attempt, kind, _HOWS.get(status, "failed"), seconds, at, printable(error))
