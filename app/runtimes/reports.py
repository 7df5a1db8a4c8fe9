"""Carries what handlers tell, from any thread to the event loop, in few and bounded calls.

However often a handler reports, `Report` is called about ten times a second for each job, and never after the
job has ended.
"""

from __future__ import annotations

import asyncio
import threading

from .base import Report
from .context import OUTPUT_CAP, OUTPUT_CHUNK, REPORT_INTERVAL, Cap, Pending

_Key = tuple[int, int]


class Line:
    """One job's way to report."""

    __slots__ = ("_cap", "_key", "_open", "_reports")

    def __init__(self, reports: Reports, key: _Key) -> None:
        self._reports, self._key, self._open = reports, key, True
        self._cap: Cap | None = None
        """Made when there is something to count: most jobs write nothing."""

    def send(self, progress: float | None, note: str, output: bytes) -> None:
        """Take it along with the next report. Callable from any thread."""
        if not self._open:
            return
        if output:
            output = (self._cap or self._capped()).take(output)
        if output or progress is not None:
            self._reports.post(self._key, progress, note, output)

    def _capped(self) -> Cap:
        with self._reports.lock:  # two threads of a job may write their first at once
            self._cap = self._cap or Cap(OUTPUT_CAP)
            return self._cap

    def write(self, output: bytes) -> None:
        """What the job printed; beyond the cap only the end of it goes on."""
        self.send(None, "", output)

    def close(self) -> None:
        """Deliver what is left, then nothing any more. On the event loop's thread."""
        self._open = False
        if self._cap is not None and (rest := self._cap.rest()):
            self._reports.post(self._key, None, "", rest)
        self._reports.deliver(self._key)


class Reports:
    """Joins what jobs report and hands it to `report` on the event loop."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._pending: dict[_Key, Pending] = {}
        self.lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduled = False

    def line(self, task: int, attempt: int) -> Line:
        """A way to report for one job. Call it on the event loop's thread; close it when the job ends."""
        self._loop = asyncio.get_running_loop()
        return Line(self, (task, attempt))

    def post(self, key: _Key, progress: float | None, note: str, output: bytes) -> None:
        """Keep it until the next round."""
        with self.lock:
            pending = self._pending.get(key)
            if pending is None:
                pending = self._pending[key] = Pending()
            pending.add(progress, note, output)
            first, self._scheduled = not self._scheduled, True
        if first and self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._loop.call_later, REPORT_INTERVAL, self._round)
            except RuntimeError:
                return  # the loop is closed: a thread that was given up still talks, and nobody listens

    def _round(self) -> None:
        self._scheduled = False
        for key in list(self._pending):
            self.deliver(key)

    def deliver(self, key: _Key) -> None:
        """Report now what is kept for this job."""
        if not self._pending:
            return
        with self.lock:
            pending = self._pending.pop(key, None)
        if pending is None:
            return
        output = bytes(pending.output)
        progress, note = pending.progress, pending.note
        for start in range(0, max(1, len(output)), OUTPUT_CHUNK):
            self._report(*key, progress, note, output[start : start + OUTPUT_CHUNK])
            progress, note = None, ""
