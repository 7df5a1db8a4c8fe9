"""Runs async handlers on the event loop, each in a task of its own: a trivial job costs a few microseconds.

A handler that is to end is cancelled. One that swallows that and goes on is reported as STUCK and left
behind, as a thread is. One that blocks instead of awaiting blocks everything; nothing here can prevent it,
and `watch` says whose fault it is.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine, Mapping
from contextvars import copy_context
from time import monotonic
from types import FrameType
from typing import Any, Final

import anyio

from ..streams import belongs_to, stay
from .base import CANCELLED, TIMED_OUT, Ended, Job
from .begin import Beginner
from .context import Context, Stop
from .endings import cut_short, refused, settled, stuck
from .failures import STACK_BYTES, STACK_FRAMES, clean_end
from .invoke import Failure, bad_payload, bad_result, failed
from .loading import Kind
from .payload import BadPayload, Packer, unpack
from .reports import Line, Reports
from .watch import LoopWatch

GRACE_SECONDS: Final = 2.0
"""How long a handler that was cancelled may take before it counts as stuck."""
LAST_SECONDS: Final = 0.1
"""What it gets after it was cancelled a second time."""
MAX_STUCK: Final = 16
"""Handlers that may be left behind before new jobs are refused."""


class _Run(Stop):
    """A running job; tells its handler whether it is to stop."""

    __slots__ = (
        "answer",
        "began",
        "done",
        "job",
        "limit",
        "line",
        "lingers",
        "seconds",
        "steps",
        "task",
        "why",
    )

    def __init__(self, job: Job, kind: Kind, reports: Reports) -> None:
        self.job = job
        self.limit = kind.timeout if job.timeout is None else job.timeout
        self.line: Line = reports.line(job.task, job.attempt)
        self.began = monotonic()
        self.seconds = 0.0
        self.answer: bytes | Failure | None = None
        """Set when the handler has come back."""
        self.why: int | None = None
        """TIMED_OUT or CANCELLED, once it is to end."""
        self.lingers: anyio.Event | None = None
        """Set when it ends at last; there when it was given up."""
        self.steps: Coroutine[Any, Any, None] | None = None
        self.task: asyncio.Task[None] | None = None
        self.done: asyncio.Future[None] | None = None
        """There when somebody waits for the end."""

    def is_set(self) -> bool:
        return self.why is not None

    def wait(self, seconds: float) -> bool:
        raise RuntimeError(f"an async handler must not block for {seconds} s: await a sleep instead")


class AsyncRuntime:
    """Runs jobs whose kinds are async. One attempt of a task at a time."""

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        reports: Reports,
        *,
        grace: float = GRACE_SECONDS,
        max_stuck: int = MAX_STUCK,
    ) -> None:
        self._kinds, self._reports = kinds, reports
        self._grace, self._max_stuck = grace, max_stuck
        self._running: dict[int, _Run] = {}
        """Those that somebody waits for."""
        self._open: dict[asyncio.Task[None], _Run] = {}
        """Those whose handlers have not come back, whoever waits."""
        self._lingering: dict[int, _Run] = {}
        self._pack, self._beginner = Packer(), Beginner()
        self._closed = False
        self._first_step: _Run | None = None
        """It has no task of its own that could be told by."""
        self._watch: LoopWatch | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, job: Job) -> Ended:
        """Run it to its end."""
        kind = self._kinds[job.kind]
        if len(self._lingering) >= self._max_stuck:
            return refused(
                "stuck", f"{len(self._lingering)} async tasks of this worker do not stop; restart the worker"
            )
        if self._closed:
            return cut_short(CANCELLED, job, None, 0.0)
        try:
            value = unpack(job.payload)
        except BadPayload as error:
            return settled(bad_payload(kind, error), 0.0)
        run = self._running[job.task] = _Run(job, kind, self._reports)
        run.steps = self._attempt(run, kind, value)
        if self._watch is None:
            self._loop, self._watch = asyncio.get_running_loop(), LoopWatch(self._at_work)
        try:
            stay()
            self._first_step = run
            surroundings = copy_context()
            surroundings.run(belongs_to.set, run.line.write)
            task = self._beginner.begin(run.steps, surroundings)
            self._first_step = None
            if run.answer is None:
                await self._end_of(run, task)
        finally:
            run.line.close()
            if self._running.get(job.task) is run:
                del self._running[job.task]
        return self._ending(run)

    async def _end_of(self, run: _Run, task: asyncio.Task[None]) -> None:
        """Until the handler has come back or was given up."""
        loop = asyncio.get_running_loop()
        run.task, run.done = task, loop.create_future()
        self._open[task] = run
        task.add_done_callback(self._over)
        timer = None if run.limit is None else loop.call_later(run.limit, self._ask, run, TIMED_OUT)
        try:
            await run.done
        except asyncio.CancelledError:
            self._ask(run, CANCELLED)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def _attempt(self, run: _Run, kind: Kind, value: Any) -> None:
        try:
            if kind.takes_context:
                context = Context(run.job.task, run.job.attempt, kind.name, run.line.send, run)
                result = await kind.handler(value, context)
            else:
                result = await kind.handler(value)
            run.answer = self._pack(result)
        except BadPayload as error:
            run.answer = bad_result(kind, error)
        except BaseException as error:  # border: task code may raise anything
            run.answer = failed(kind, error)
        run.seconds = monotonic() - run.began

    def _over(self, task: asyncio.Task[None]) -> None:
        run = self._open.pop(task)
        if self._lingering.get(run.job.task) is run:
            del self._lingering[run.job.task]
        if run.lingers is not None:
            run.lingers.set()
        if run.done is not None and not run.done.done():
            run.done.set_result(None)

    def _ending(self, run: _Run) -> Ended:
        if run.lingers is not None:
            assert run.why is not None
            why = f"it still runs {self._grace:g} s later, because it does not let its cancellation pass"
            return stuck(run.why, run.job, monotonic() - run.began, why, _stack_of(run.steps))
        if run.why is not None:
            return cut_short(run.why, run.job, run.limit, run.seconds)
        assert run.answer is not None
        return settled(run.answer, run.seconds)

    def cancel(self, task: int) -> None:
        """Cancel it where it waits."""
        run = self._running.get(task)
        if run is not None:
            self._ask(run, CANCELLED)

    def _ask(self, run: _Run, why: int) -> None:
        """Cancel a handler, and give it up after the grace."""
        if run.why is not None or run.answer is not None or run.task is None:
            return
        run.why = why
        run.task.cancel()
        asyncio.get_running_loop().call_later(self._grace, self._ask_again, run)

    def _ask_again(self, run: _Run) -> None:
        """Once more, for one that only tidies up too long."""
        if run.answer is None and run.task is not None:
            run.task.cancel()
            asyncio.get_running_loop().call_later(LAST_SECONDS, self._give_up, run)

    def _give_up(self, run: _Run) -> None:
        if run.answer is not None or run.done is None or run.done.done():
            return  # it has come back, or nobody waits for it
        run.lingers = anyio.Event()
        self._lingering[run.job.task] = run
        run.done.set_result(None)

    def lingering(self, task: int) -> anyio.Event | None:
        """After STUCK: set when the handler comes back at last."""
        run = self._lingering.get(task)
        return run.lingers if run is not None else None

    def _at_work(self) -> Job | None:
        """Whose handler the loop is in right now. Callable from any thread."""
        run = self._first_step
        if run is None and self._loop is not None:
            current = asyncio.current_task(self._loop)
            run = self._open.get(current) if current is not None else None
        return None if run is None else run.job

    async def aclose(self) -> None:
        """Cancel everything and wait for it within the grace."""
        self._closed = True
        if self._watch is not None:
            self._watch.stop()
        for task, run in list(self._open.items()):
            if run.why is None:
                self._ask(run, CANCELLED)
            else:
                task.cancel()
        if self._open:
            await asyncio.wait(list(self._open), timeout=self._grace + 2 * LAST_SECONDS)


def _stack_of(steps: Any) -> str:
    """Where a handler waits: what an operator needs to know of one that does not stop."""
    frames: list[tuple[FrameType, int]] = []
    inner = getattr(steps, "cr_await", None)
    while inner is not None and len(frames) < STACK_FRAMES:
        frame = getattr(inner, "cr_frame", None) or getattr(inner, "gi_frame", None)
        if frame is not None:
            frames.append((frame, frame.f_lineno))
        inner = getattr(inner, "cr_await", None) or getattr(inner, "gi_yieldfrom", None)
    return clean_end("".join(traceback.StackSummary.extract(iter(frames)).format()), STACK_BYTES)
