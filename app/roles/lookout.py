"""Looks after what is wrong once a second, whether anybody watches or not: alarms, in the log and as events.

A look costs as much as there are queues and workers, and takes no more than a hundredth of the time.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from time import perf_counter, time
from typing import Final

from ..handle import Alarm, WorkerRow
from .alarms import Alarms, Facts
from .conduct import Offender
from .curves import Curves
from .desk import Desk
from .writer import Writer

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
SLOWEST: Final = 10.0
"""Seconds between two looks, at most."""
SHARE: Final = 0.01
"""Of the manager's time that looks may take."""
LINES: Final = 60
"""Lines about alarms that the log gets in a minute; how many more there were is told as well."""
MINUTE: Final = 60.0
LOGGED_AS: Final = "roles.lookout"
"""Where such a line comes from: whoever shows events as well has it twice otherwise."""


class Lookout:
    """One manager's."""

    def __init__(self, writer: Writer, desk: Desk, curves: Curves) -> None:
        self.now: tuple[Alarm, ...] = ()
        """Those that hold."""
        self.offenders: Callable[[], tuple[Offender, ...]] = tuple
        """Members that misbehave; set by whoever knows."""
        self.data: Callable[[], str] = str
        """What is wrong with the data as a whole, likewise."""
        self._writer, self._desk, self._curves = writer, desk, curves
        self._alarms = Alarms()
        self._due = 0.0
        self._minute, self._lines, self._untold = 0.0, 0, 0

    def is_due(self) -> bool:
        """Whether it is time for the next look."""
        return perf_counter() >= self._due

    def look(self) -> tuple[Alarm, ...]:
        """What is wrong now; what has changed is told."""
        began = perf_counter()
        self.now = self._alarms.now(self._facts(), time())
        for alarm in self._alarms.began:
            self._tell(alarm, "alarm.began", alarm.text)
        for alarm in self._alarms.ended:
            self._tell(alarm, "alarm.ended", f"over: {alarm.text}")
        now = perf_counter()
        self._due = began + min(SLOWEST, max(LOOK_SECONDS, (now - began) / SHARE))
        return self.now

    def _tell(self, alarm: Alarm, what: str, text: str) -> None:
        now = perf_counter()
        if now - self._minute >= MINUTE:
            if self._untold:
                log.warning("%d more alarms began or ended within a minute", self._untold)
            self._minute, self._lines, self._untold = now, 0, 0
        if self._lines >= LINES:
            self._untold += 1
            return
        self._lines += 1
        level = logging.INFO if what == "alarm.ended" else logging.getLevelName(alarm.level.upper())
        log.log(level, "alarm: %s", text)
        self._writer.note(what, alarm.scope or alarm.code, text)

    def _facts(self) -> Facts:
        writer, desk, pool = self._writer, self._desk, self._writer.pool
        recent = ((kind, self._curves.recent(kind)) for kind in pool.tallies.kinds)
        return Facts(
            degraded=writer.degraded,
            paused="all" in pool.paused,
            waits=tuple(desk.waits()[0]),
            workers=tuple(self._workers()),
            idle=self._idle(),
            recent={kind: counts for kind, counts in recent if counts[1]},
            pending=desk.waiting,
            pending_since=desk.waiting_since,
            offenders=self.offenders(),
            data=self.data(),
        )

    def _workers(self) -> list[WorkerRow]:
        """Of those with which something is wrong, as much as alarms want to know."""
        return [
            WorkerRow(worker.id, self._desk.state_of(worker), held=len(worker.held), stuck=worker.stuck)
            for worker in self._writer.pool.workers.values()
            if worker.session is None or worker.stuck or worker.share.barred_until is not None
        ]

    def _idle(self) -> dict[str, int]:
        """By kind: workers that would take tasks and have none."""
        pool = self._writer.pool
        idle: Counter[str] = Counter()
        if "all" in pool.paused or not pool.lanes:
            return idle
        for worker in pool.workers.values():
            if worker.credit and not worker.held and f"worker:{worker.id}" not in pool.paused:
                idle.update(worker.kinds)
        return idle
