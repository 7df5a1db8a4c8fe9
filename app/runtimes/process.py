"""Runs handlers in child processes that can be killed with all they started, and whose crash is an outcome.

Children are warm: they run one job at a time and many one after the other. What ends early (timeout, cancel,
crash) costs its child; the next job gets another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Final

import anyio

from ..core.errors import Overloaded
from ..handle import ErrorInfo
from . import leftovers
from .base import CANCELLED, CRASHED, TIMED_OUT, Ended, Job
from .children import Child, Death, signal_name
from .endings import Evidence, cut_short, refused, settled, stuck
from .frames import frame
from .limits import Limits
from .loading import Kind
from .payload import MAX_BYTES
from .reports import Reports
from .spawn import spawn
from .turns import Turns

MAX_JOBS_PER_CHILD: Final = 1_000
"""Then a child is replaced: what its jobs leak must not grow for ever."""
IDLE_SECONDS: Final = 60.0
"""How long a child is kept warm without work."""
SPAWN_SECONDS: Final = 30.0
KILL_SECONDS: Final = 10.0
"""How long a killed process may take to disappear before it counts as stuck (it hangs in the kernel)."""
SPAWN_THREADS: Final = 2


class _Run:
    """One job on its way through a child."""

    __slots__ = ("child", "job", "limit", "why")

    def __init__(self, job: Job, limit: float | None) -> None:
        self.job, self.limit = job, limit
        self.child: Child | None = None
        self.why: int | None = None
        """TIMED_OUT or CANCELLED, once it is to end."""


class ProcessRuntime:
    """Runs jobs in up to `size` child processes. One attempt of a task at a time."""

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        size: int,
        reports: Reports,
        limits: Limits,
        run_dir: Path,
        *,
        max_jobs: int = MAX_JOBS_PER_CHILD,
    ) -> None:
        self._kinds, self._size, self._reports = kinds, size, reports
        self._limits, self._run_dir, self._max_jobs = limits, run_dir, max_jobs
        self._turns = Turns(size)
        self._running: dict[int, _Run] = {}
        self._lingering: dict[int, anyio.Event] = {}
        self._children: set[Child] = set()
        self._idle: list[tuple[Child, asyncio.TimerHandle]] = []
        self._starting: set[asyncio.Task[Child]] = set()
        self._cleaning: set[asyncio.Future[None]] = set()
        # Its threads live as long as this runtime: a child dies with the thread that started it.
        self._spawner = ThreadPoolExecutor(SPAWN_THREADS, "tm-spawn")
        self._closed = False

    async def run(self, job: Job) -> Ended:
        """Run it to its end in a child process."""
        if len(job.payload) > MAX_BYTES:
            return refused("bad_payload", f"payload of `{job.kind}`: more than {MAX_BYTES:,} bytes")
        if not self._turns.take_now():
            refusal = await self._turns.take(job)
            if refusal is not None:
                return refusal
        kind = self._kinds[job.kind]
        run = self._running[job.task] = _Run(job, kind.timeout if job.timeout is None else job.timeout)
        try:
            run.child = await self._child()
            if run.why is not None:
                self._keep(run.child)
                return cut_short(run.why, job, run.limit, 0.0)
            return await self._in_child(run, run.child, kind)
        except (OSError, Overloaded) as error:
            if run.why is not None:
                return cut_short(run.why, job, run.limit, 0.0)
            return refused("worker_fault", f"this worker cannot start a process for `{job.kind}`: {error}")
        finally:
            if self._running.get(job.task) is run:
                del self._running[job.task]
            self._turns.give_back()

    async def _in_child(self, run: _Run, child: Child, kind: Kind) -> Ended:
        job, loop = run.job, asyncio.get_running_loop()
        line = self._reports.line(job.task, job.attempt)
        began = monotonic()
        timer = None
        if run.limit is not None:
            timer = loop.call_later(run.limit, self._end, run, TIMED_OUT)
        try:
            answer = await child.run(
                frame(job.kind, kind.source, job.payload, job.task, job.attempt), line.send
            )
        except asyncio.CancelledError:
            child.kill()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            line.close()
        seconds = monotonic() - began
        if answer is None:
            return self._stuck(run, child, seconds)
        if isinstance(answer, Death):
            return _ended_by(run, child, answer, seconds)
        if run.why is not None:
            return cut_short(run.why, job, run.limit, seconds)
        self._keep(child)
        return settled(answer, seconds)

    def cancel(self, task: int) -> None:
        """Kill it with all it started."""
        if self._turns.cancel(task):
            return
        run = self._running.get(task)
        if run is not None:
            self._end(run, CANCELLED)

    def _end(self, run: _Run, why: int) -> None:
        if run.why is not None:
            return
        run.why = why
        if run.child is not None:
            run.child.kill()
            asyncio.get_running_loop().call_later(KILL_SECONDS, self._check_gone, run, run.child)

    def _check_gone(self, run: _Run, child: Child) -> None:
        if not child.gone.done() and self._running.get(run.job.task) is run:
            child.give_up()

    def _stuck(self, run: _Run, child: Child, seconds: float) -> Ended:
        task, lingers = run.job.task, anyio.Event()
        self._lingering[task] = lingers

        def over(_: object) -> None:
            if self._lingering.get(task) is lingers:
                del self._lingering[task]
            lingers.set()

        child.gone.add_done_callback(over)
        assert run.why is not None
        return stuck(run.why, run.job, seconds, f"process {child.pid} was killed and hangs in the kernel")

    def lingering(self, task: int) -> anyio.Event | None:
        """After STUCK: set when the process is gone at last."""
        return self._lingering.get(task)

    # the children

    async def _child(self) -> Child:
        """A child that waits for work, or a new one.

        Raises:
            OSError, Overloaded: it cannot be started.
        """
        while self._idle:
            child, expiry = self._idle.pop()
            expiry.cancel()
            if child.alive:
                return child
        starting = asyncio.create_task(self._start())
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(self._keep_started)
            raise

    async def _start(self) -> Child:
        loop = asyncio.get_running_loop()
        spawned = await loop.run_in_executor(self._spawner, spawn, self._run_dir, self._limits)
        child = Child(spawned, self._on_gone)
        self._children.add(child)
        done, _ = await asyncio.wait([child.ready], timeout=SPAWN_SECONDS)
        if child.alive and done and not self._closed:
            return child
        child.kill()
        await asyncio.wait([child.gone], timeout=KILL_SECONDS)
        lines = child.stderr_tail.decode("utf-8", "replace").strip().splitlines()
        raise Overloaded(lines[-1][:300] if lines else "it ended before it was ready")

    def _keep_started(self, starting: asyncio.Task[Child]) -> None:
        """Nobody waits for this child any more; somebody else may want it."""
        if not starting.cancelled() and starting.exception() is None:
            self._keep(starting.result())

    def _keep(self, child: Child) -> None:
        """Keep it warm, or replace it when it is worn or one too many."""
        if not child.alive:
            return
        if self._closed or child.jobs >= self._max_jobs or len(self._idle) >= self._size:
            child.kill()
            return
        expiry = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._expire, child)
        self._idle.append((child, expiry))

    def _expire(self, child: Child) -> None:
        self._idle = [(other, expiry) for other, expiry in self._idle if other is not child]
        child.kill()

    def _on_gone(self, child: Child) -> None:
        self._children.discard(child)
        for other, expiry in self._idle:
            if other is child:
                expiry.cancel()
        self._idle = [(other, expiry) for other, expiry in self._idle if other is not child]
        if not self._closed:
            self._tidy(child.home)

    def _tidy(self, home: Path) -> None:
        cleaning = asyncio.get_running_loop().run_in_executor(self._spawner, leftovers.forget, home)
        self._cleaning.add(cleaning)
        cleaning.add_done_callback(self._cleaning.discard)

    async def aclose(self) -> None:
        """Kill everything, wait until it is gone, and remove what it left."""
        self._turns.close()
        self._closed = True
        for run in list(self._running.values()):
            self._end(run, CANCELLED)
        if self._starting:
            await asyncio.wait(self._starting, timeout=SPAWN_SECONDS)
        homes = [child.home for child in self._children]
        for child in list(self._children):
            child.kill()
        gone = [child.gone for child in self._children]
        if gone:
            await asyncio.wait(gone, timeout=KILL_SECONDS)
        for _, expiry in self._idle:
            expiry.cancel()
        for home in homes:
            self._tidy(home)
        if self._cleaning:
            await asyncio.wait(self._cleaning, timeout=KILL_SECONDS)
        self._spawner.shutdown(wait=False, cancel_futures=True)


def _ended_by(run: _Run, child: Child, death: Death, seconds: float) -> Ended:
    """The child died: because it was to, or by what the task did."""
    evidence: Evidence = {"max_rss_kb": death.max_rss_kb}
    if child.stderr_tail:
        evidence["stderr"] = child.stderr_tail.decode("utf-8", "replace")
    if run.why is not None:
        return cut_short(run.why, run.job, run.limit, seconds, evidence)
    if death.signal is not None:
        evidence["signal"] = signal_name(death.signal)
        how = f"died of {evidence['signal']}"
    else:
        assert death.exit_code is not None
        evidence["exit_code"] = death.exit_code
        how = f"exited with code {death.exit_code} before there was a result"
    if death.fault:
        evidence["fault"] = death.fault
        how = f"was killed, because {death.fault}"
    return Ended(
        CRASHED, seconds, None, ErrorInfo("crashed", f"the process of `{run.job.kind}` {how}", "", evidence)
    )
