"""What consoles see of a manager, gathered while somebody looks; alarms alone are always looked after.

The light part (totals, kinds, alarms) costs as much as there are kinds, the heavy part (workers, links) as
much as there are of those. Either is made anew at most four times a second, and so seldom that it takes no
more than a hundredth of the time. Each is encoded once, and every console gets the same bytes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any, Final

import anyio
import msgspec

from .. import logs
from ..core.lifecycle import TaskState
from ..core.pool.tally import Tally
from ..feed import EVENTS, Feed
from ..handle import KindRow, SessionRow, Snapshot, WorkerRow
from ..logs import Tail
from ..net import messages as m
from .curves import STEPS, Curves
from .desk import Desk
from .happenings import logged, told
from .lookout import LOGGED_AS, Lookout
from .standing import Standing
from .workers_past import WorkersPast
from .writer import Writer

LOOK_SECONDS: Final = 0.25
"""Between two snapshots, at least."""
SHARE: Final = 0.01
"""Of the manager's time that either part may take."""
SLOWEST: Final = 10.0
"""Seconds between two snapshots, at most."""
MEMBERS_SECONDS: Final = 5.0
"""How often is looked who has joined or was revoked."""
UNSEEN_SECONDS: Final = 60.0
"""The same while nobody watches."""
MOST_SUSPECTS: Final = 5_000
"""Tasks to be run alone that are counted by kind."""
MOST_KINDS: Final = 1_000
MOST_EVENTS: Final = 1_000
"""Events in one answer."""
_encode: Final = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class _Part:
    """A piece of the snapshot, its number, and its bytes once somebody wanted them."""

    value: Any = None
    number: int = 0
    body: bytes | None = None

    def renew(self, value: Any) -> None:
        if value == self.value and self.number:
            return  # those who look have it already
        self.value, self.body = value, None
        self.number += 1

    def raw(self) -> msgspec.Raw:
        if self.body is None:
            self.body = _encode(self.value)
        return msgspec.Raw(self.body)


@dataclass(slots=True)
class _Pace:
    """When something was made, and when it may be made again."""

    due: float = 0.0
    started: float = field(default=0.0, init=False)

    def is_due(self) -> bool:
        self.started = perf_counter()
        return self.started >= self.due

    def done(self) -> None:
        now = perf_counter()
        self.due = self.started + min(SLOWEST, max(LOOK_SECONDS * 0.9, (now - self.started) / SHARE))


class Telemetry:
    """One manager's."""

    def __init__(self, writer: Writer, desk: Desk, standing: Standing) -> None:
        self.feed = Feed(Snapshot(time(), "manager"))
        self._writer, self._desk, self._standing = writer, desk, standing
        names = ("fleet", "kinds", "alarms", "history", "workers", "sessions")
        self._parts = {name: _Part() for name in names}
        self._light, self._heavy = _Pace(), _Pace()
        self._members: dict[str, WorkerRow] = {}
        self._members_read = float("-inf")
        self._curves, self.past = Curves(), WorkersPast()
        self.lookout = Lookout(writer, desk, self._curves)
        self._running: Counter[str] = Counter()
        self._offers: Counter[str] = Counter()
        self._tail = Tail()
        self._cursor = 0

    async def run(self) -> None:
        """Keep the curves, look for what is wrong, serve who looks from another thread; until cancelled."""
        logs.follow(self._tail)
        try:
            await self.refresh()
            while True:
                self._step()
                if self.feed.wanted:
                    await self.refresh()
                if self.lookout.is_due():
                    await self._know_members(UNSEEN_SECONDS)
                    self.lookout.look()
                await anyio.sleep(LOOK_SECONDS)
        finally:
            logs.unfollow(self._tail)

    async def look(self, asked: m.Look) -> m.View:
        """Everything that the asker does not have."""
        await self.refresh()
        parts = [
            (name, part.number, part.raw())
            for name, part in self._parts.items()
            if asked.have.get(name) != part.number
        ]
        limit = max(0, min(asked.limit, MOST_EVENTS))
        page = self.feed.since(max(0, asked.cursor), limit)
        rows = list(page.rows) if limit else []
        return m.View(asked.request, time(), parts, rows, page.cursor, page.missed)

    async def refresh(self) -> None:
        """Make anew what is due."""
        await self._know_members(MEMBERS_SECONDS)
        self._step()
        heavy = self._heavy.is_due()
        if heavy:
            self._look_at_workers()
            self._heavy.done()
        light = self._light.is_due()
        if light:
            self._look_at_fleet()
            self._light.done()
        self._catch_up()
        if heavy or light:
            values: dict[str, Any] = {name: part.value for name, part in self._parts.items()}
            self.feed.publish(Snapshot(time(), "manager", **values))

    async def _know_members(self, every: float) -> None:
        """Read who has joined, when the last time is so long ago, or somebody is here who is not known."""
        now = anyio.current_time()
        strangers = not self._writer.pool.workers.keys() <= self._members.keys()
        if now - self._members_read >= (LOOK_SECONDS if strangers else every):
            self._members_read = now
            self._members = await self._desk.members()

    def members_changed(self) -> None:
        """Somebody was approved or forgotten: the next snapshot shows it."""
        self._members_read = float("-inf")

    def _step(self) -> None:
        history = self._parts["history"]
        if self._curves.step(time(), self._writer.pool, self._writer.settled) or history.value is None:
            history.renew(self._curves.history())
        self.past.catch_up(self._writer.journal)
        if self.past.is_due(self._writer.now()):
            self.past.take(self._writer.pool, self._desk.load)

    def _catch_up(self) -> None:
        """Events since the last look. What was forgotten meanwhile is counted, so that readers know."""
        page = self._writer.journal.since(self._cursor, EVENTS)
        self._cursor = page.cursor
        self.feed.skip(page.missed)
        happenings = [told(at, event) for at, event in page.events]
        lines = logged(line for line in self._tail.take() if line[2] != LOGGED_AS)
        if lines:
            happenings = sorted(happenings + lines, key=lambda one: one[0])
        self.feed.add(happenings)

    # ---- the heavy part ---------------------------------------------------------------------------------

    def _look_at_workers(self) -> None:
        pool = self._writer.pool
        running: Counter[str] = Counter()
        offers: Counter[str] = Counter()
        tasks = pool.tasks
        for worker in pool.workers.values():
            for task_id in worker.held:
                task = tasks.get(task_id)
                if task is not None:
                    running[task.options.kind] += 1
            if worker.session is not None:
                offers.update(worker.kinds)
        self._running, self._offers = running, offers
        self._parts["workers"].renew(tuple(self._desk.workers_among(self._members)))
        sessions: tuple[SessionRow, ...] = self._standing.rows(self._writer.now())
        self._parts["sessions"].renew(sessions)

    # ---- the light part ---------------------------------------------------------------------------------

    def _look_at_fleet(self) -> None:
        self._parts["fleet"].renew(self._desk.status())
        self._parts["kinds"].renew(self._kinds())
        self._parts["alarms"].renew(self.lookout.look())

    def _kinds(self) -> tuple[KindRow, ...]:
        pool = self._writer.pool
        queued = self._queued()
        paused = {scope[5:] for scope in pool.paused if scope.startswith("kind:")}
        names = {*queued, *self._running, *self._offers, *pool.tallies.kinds, *paused}
        everything = "all" in pool.paused
        return tuple(
            self._kind(name, queued[name], paused=everything or name in paused)
            for name in sorted(names)[:MOST_KINDS]
        )

    def _queued(self) -> Counter[str]:
        """By kind: tasks that could begin now. Those that are due later wait for nobody."""
        pool = self._writer.pool
        queued: Counter[str] = Counter()
        for (kind, _), lane in pool.lanes.items():
            queued[kind] += lane.size
        for task_id in pool.suspects[:MOST_SUSPECTS]:
            task = pool.tasks.get(task_id)
            if task is not None and task.state is TaskState.QUEUED:
                queued[task.options.kind] += 1
        return queued

    def _kind(self, name: str, queued: int, *, paused: bool) -> KindRow:
        tally = self._writer.pool.tallies.kinds.get(name) or Tally()
        seconds = list(tally.seconds)
        seconds.sort()
        rate = self._curves.rate
        return KindRow(
            name=name,
            queued=queued,
            running=self._running[name],
            done=tally.done,
            failed=tally.failed,
            rate_5s=round(rate(name, 5), 2),
            rate_30s=round(rate(name, 30), 2),
            rate_5min=round(rate(name, STEPS), 2),
            p50=seconds[len(seconds) // 2] if seconds else None,
            p95=seconds[len(seconds) * 95 // 100] if seconds else None,
            workers=self._offers[name],
            paused=paused,
        )
