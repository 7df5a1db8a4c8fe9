"""Runs blocking handlers in threads of its own.

A thread cannot be killed. A handler that is to end is asked to (`ctx.cancelled`); one that does not listen is
reported as STUCK and left behind with its thread, and a new thread takes the place. The threads are daemons:
what is stuck does not keep the program from ending.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections import deque
from collections.abc import Mapping
from queue import SimpleQueue
from time import monotonic
from typing import Final

import anyio

from .. import streams
from ..core.text import count
from ..streams import belongs_to
from .base import CANCELLED, TIMED_OUT, Ended, Job
from .context import Context, Stop
from .endings import cut_short, refused, settled, stuck
from .failures import STACK_BYTES, STACK_FRAMES, clean_end
from .invoke import Failure, attempt
from .loading import Kind
from .reports import Line, Reports
from .turns import Turns

GRACE_SECONDS: Final = 2.0
"""How long a handler that was asked to stop may take before it counts as stuck."""
MAX_STUCK: Final = 16
"""Threads that may be left behind before new jobs are refused."""


class _Work:
    """One job on its way through a thread."""

    __slots__ = (
        "answer", "began", "context", "done", "ended", "job", "kind", "limit", "line", "lingers",
        "seconds", "stop", "stuck", "thread", "why",
    )  # fmt: skip

    def __init__(self, job: Job, kind: Kind, reports: Reports) -> None:
        self.job, self.kind = job, kind
        self.limit = kind.timeout if job.timeout is None else job.timeout
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.began = monotonic()
        self.seconds = 0.0
        self.answer: bytes | Failure = b""
        self.thread: int | None = None
        self.why: int | None = None
        """TIMED_OUT or CANCELLED, once it is to end."""
        self.ended = False
        """Set by the thread, under the lock, when the handler has come back."""
        self.stuck = False
        """Set by the event loop, under the lock, when the handler was given up."""
        self.lingers: anyio.Event | None = None
        self.stop = Stop()
        self.line: Line = reports.line(job.task, job.attempt)
        self.context: Context | None = None
        if kind.takes_context:
            self.context = Context(job.task, job.attempt, job.kind, self.line.send, self.stop)


class ThreadRuntime:
    """Runs jobs in up to `size` threads. One attempt of a task at a time."""

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        size: int,
        reports: Reports,
        *,
        grace: float = GRACE_SECONDS,
        max_stuck: int = MAX_STUCK,
    ) -> None:
        self._kinds, self._size, self._reports = kinds, size, reports
        self._grace, self._max_stuck = grace, max_stuck
        self._turns = Turns(size)
        self._todo: SimpleQueue[_Work | None] = SimpleQueue()  # never longer than `size`: `_turns` sees to it
        self._ended: deque[_Work] = deque()  # likewise
        self._collecting = False
        self._lock = threading.Lock()
        self._running: dict[int, _Work] = {}
        self._lingering: dict[int, _Work] = {}
        self._threads = 0
        """Threads that serve; without those that are stuck."""
        self._started = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, job: Job) -> Ended:
        """Run it to its end in a thread."""
        if len(self._lingering) >= self._max_stuck:
            return refused(
                "stuck",
                f"{count(len(self._lingering), 'thread')} of this worker cannot be ended; restart the worker",
            )
        if not self._turns.take_now():
            refusal = await self._turns.take(job)
            if refusal is not None:
                return refusal
        try:
            work = self._dispatch(job)
        except RuntimeError as error:
            self._turns.give_back()
            return refused("overloaded", f"this worker cannot start a thread: {error}")
        timer = None
        if work.limit is not None:
            timer = asyncio.get_running_loop().call_later(work.limit, self._ask, work, TIMED_OUT)
        try:
            await work.done
        except asyncio.CancelledError:
            self._ask(work, CANCELLED)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if self._running.get(job.task) is work:
                del self._running[job.task]
        return self._ending(work)

    def _dispatch(self, job: Job) -> _Work:
        self._loop = asyncio.get_running_loop()
        if self._threads < self._size and self._threads < self._turns.taken:
            name = f"tm-thread-{self._started}"
            threading.Thread(target=self._serve, name=name, daemon=True).start()
            self._threads += 1
            self._started += 1
        work = self._running[job.task] = _Work(job, self._kinds[job.kind], self._reports)
        self._todo.put(work)
        return work

    def _ending(self, work: _Work) -> Ended:
        if work.stuck:
            assert work.why is not None
            why = f"its thread still runs {self._grace:g} s later, and a thread cannot be killed"
            return stuck(work.why, work.job, monotonic() - work.began, why, _stack_of(work.thread))
        if work.why is not None:
            return cut_short(work.why, work.job, work.limit, work.seconds)
        return settled(work.answer, work.seconds)

    def cancel(self, task: int) -> None:
        """Ask it to stop."""
        if self._turns.cancel(task):
            return
        work = self._running.get(task)
        if work is not None:
            self._ask(work, CANCELLED)

    def _ask(self, work: _Work, why: int) -> None:
        """Ask a handler to stop, and give it up after the grace."""
        if work.ended or work.why is not None or self._loop is None:
            return
        work.why = why
        work.stop.set()
        self._loop.call_later(self._grace, self._give_up, work)

    def _give_up(self, work: _Work) -> None:
        with self._lock:
            if work.ended:
                return
            work.stuck = True
        self._threads -= 1
        work.lingers = anyio.Event()
        self._lingering[work.job.task] = work
        self._release(work)

    def _release(self, work: _Work) -> None:
        work.line.close()
        self._turns.give_back()
        if not work.done.done():
            work.done.set_result(None)

    def _serve(self) -> None:
        """The life of a thread: until it is told to end, or was given up."""
        me = threading.get_ident()
        while (work := self._todo.get()) is not None:
            work.thread = me
            began = monotonic()
            streams.stay()
            belongs_to.set(work.line.write)
            work.answer = attempt(work.kind, work.job.payload, work.context, work.stop)
            belongs_to.set(None)
            streams.mend()
            work.seconds = monotonic() - began
            with self._lock:
                work.ended = True
                given_up = work.stuck
            self._post(work)
            if given_up:
                return
            del work  # or an idle thread would keep the last payload and result

    def _post(self, work: _Work) -> None:
        """Hand it to the event loop; one wake-up carries all that came meanwhile."""
        self._ended.append(work)
        if self._collecting or self._loop is None:
            return
        self._collecting = True
        try:
            self._loop.call_soon_threadsafe(self._collect)
        except RuntimeError:
            return  # the loop is closed: nobody waits for it any more

    def _collect(self) -> None:
        self._collecting = False  # first, so that what is appended from here on wakes the loop again
        while self._ended:
            work = self._ended.popleft()
            if work.lingers is None:
                self._release(work)
                continue
            if self._lingering.get(work.job.task) is work:
                del self._lingering[work.job.task]
            work.lingers.set()

    def lingering(self, task: int) -> anyio.Event | None:
        """After STUCK: set when the handler comes back at last."""
        work = self._lingering.get(task)
        return work.lingers if work is not None else None

    async def aclose(self) -> None:
        """Ask everything to stop, wait for it within the grace, and let the threads go."""
        self._turns.close()
        running = list(self._running.values())
        for work in running:
            self._ask(work, CANCELLED)
        waiting = [work.done for work in running if not work.done.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=self._grace + 1.0)
        for _ in range(self._threads):
            self._todo.put(None)
        self._threads = 0


def _stack_of(thread: int | None) -> str:
    """Where a thread is right now: what an operator needs to know of a handler that does not stop."""
    frame = sys._current_frames().get(thread) if thread is not None else None  # noqa: SLF001  the only way
    if frame is None:
        return ""
    entries = traceback.extract_stack(frame, limit=STACK_FRAMES)
    ours = [i for i, entry in enumerate(entries) if entry.filename == attempt.__code__.co_filename]
    shown = traceback.format_list(entries[ours[-1] + 1 :] if ours else entries)
    return clean_end("".join(shown), STACK_BYTES)
