"""Runs handlers in child processes that can be killed with all they started, and whose crash is an outcome.

Children are warm: they run one job at a time and many of one kind one after the other. What ends early
(timeout, cancel, crash), or leaves its process unfit for the next job, costs its child.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Final

import anyio

from ..core.errors import Overloaded
from ..core.text import printable
from ..handle import ErrorInfo
from .base import CANCELLED, CRASHED, FAILED, TIMED_OUT, Ended, Job
from .children import Child, Death, Done, signal_name
from .context import Send
from .endings import Evidence, cut_short, refused, settled, stuck
from .frames import frame
from .hints import last_line, limit_behind
from .invoke import Failure
from .limits import Limits
from .loading import Kind
from .payload import MAX_BYTES
from .reports import Reports
from .spawn import Given
from .turns import Turns
from .warm import KILL_SECONDS, MAX_JOBS_PER_CHILD, NotLoaded, Warm

log = logging.getLogger(__name__)

TELL_SECONDS: Final = 60.0
"""Between two lines in the log on what tasks of one kind leave behind."""


class _Run:
    """One job on its way through a child."""

    __slots__ = ("child", "cut", "job", "kind", "limit", "why")

    def __init__(self, job: Job, kind: Kind) -> None:
        self.job, self.kind = job, kind
        self.limit = kind.timeout if job.timeout is None else job.timeout
        self.child: Child | None = None
        self.why: int | None = None
        """TIMED_OUT or CANCELLED, once it is to end."""
        self.cut: asyncio.Future[None] | None = None
        """While its child starts: done when it is to end."""


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
        given: Given | None = None,
        max_jobs: int = MAX_JOBS_PER_CHILD,
    ) -> None:
        self._kinds, self._reports, self._limits = kinds, reports, limits
        self._turns = Turns(size)
        self._warm = Warm(size, limits, given or Given(), run_dir, max_jobs)
        self._running: dict[int, _Run] = {}
        self._lingering: dict[int, anyio.Event] = {}
        self._told: dict[str, float] = {}

    async def run(self, job: Job) -> Ended:
        """Run it to its end in a child process.

        Raises:
            Outdated: the files of its kind have changed since they were looked at; it did not run.
        """
        if len(job.payload) > MAX_BYTES:
            return refused("bad_payload", f"payload of `{job.kind}`: more than {MAX_BYTES:,} bytes")
        if not self._turns.take_now():
            refusal = await self._turns.take(job)
            if refusal is not None:
                return refusal
        kind = self._kinds[job.kind]
        run = self._running[job.task] = _Run(job, kind)
        try:
            run.child = self._warm.take(kind) or await self._started(run)
            if run.child is None:
                assert run.why is not None
                return cut_short(run.why, job, run.limit, 0.0)
            return await self._in_child(run, run.child)
        except NotLoaded as error:
            return self._unloaded(run, error)
        except (OSError, Overloaded) as error:
            return refused("worker_fault", f"this worker cannot start a process for `{job.kind}`: {error}")
        finally:
            if self._running.get(job.task) is run:
                del self._running[job.task]
            self._turns.give_back()

    async def _started(self, run: _Run) -> Child | None:
        """A new child; None when the job was to end before there was one.

        Raises:
            OSError, Overloaded, NotLoaded: there is none.
        """
        starting = self._warm.start(run.kind)
        run.cut = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait((starting, run.cut), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not starting.done() or run.why is not None:
                self._warm.keep_started(starting)
        return starting.result() if run.why is None else None

    async def _in_child(self, run: _Run, child: Child) -> Ended:
        job, loop = run.job, asyncio.get_running_loop()
        line = self._reports.line(job.task, job.attempt)
        began = monotonic()
        timer = None
        if run.limit is not None:
            timer = loop.call_later(run.limit, self._end, run, TIMED_OUT)
        try:
            answer = await child.run(frame(job.payload, job.task, job.attempt), line.send)
            seconds = monotonic() - began
            if isinstance(answer, Done) and (answer.spoiled or answer.left):
                await self._tidied(run, child, answer, line.send)
        except asyncio.CancelledError:
            child.kill()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            line.close()
        if answer is None:
            return self._stuck(run, child, seconds)
        if isinstance(answer, Death):
            return self._ended_by(run, child, answer, seconds)
        if run.why is not None:
            return cut_short(run.why, job, run.limit, seconds)
        self._warm.keep(child)
        return self._settled(answer.answer, seconds)

    def _settled(self, answer: bytes | Failure, seconds: float) -> Ended:
        if isinstance(answer, Failure) and (hint := limit_behind(answer.message, self._limits)):
            answer = answer._replace(message=f"{answer.message}; {hint}")
        return settled(answer, seconds)

    async def _tidied(self, run: _Run, child: Child, done: Done, send: Send) -> None:
        """What a job left behind goes before its end is told, and does not go without a word."""
        words = []
        if done.left:
            words.append(f"left {printable(done.left)} in its working directory; it was removed")
        if done.spoiled:
            words.append(f"its process was ended, because {printable(done.spoiled)}")
        text = "; ".join(words)
        send(None, "", f"[taskmessenger: {text}]\n".encode())
        now = monotonic()
        if now - self._told.get(run.job.kind, float("-inf")) >= TELL_SECONDS:
            self._told[run.job.kind] = now
            log.warning("task %d of kind %s: %s", run.job.task, run.job.kind, text)
        if done.spoiled:
            child.kill()
            await asyncio.wait([child.gone], timeout=KILL_SECONDS)

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
        elif run.cut is not None and not run.cut.done():
            run.cut.set_result(None)

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

    def forget(self, kind: str) -> None:
        """This kind has changed: what has loaded it is not used again."""
        self._warm.forget(kind)

    async def aclose(self) -> None:
        """Kill everything, wait until it is gone, and remove what it left."""
        self._turns.close()
        self._warm.close()
        for run in list(self._running.values()):
            self._end(run, CANCELLED)
        await self._warm.aclose()

    def _ended_by(self, run: _Run, child: Child, death: Death, seconds: float) -> Ended:
        """The child died: because it was to, or by what the task did."""
        evidence: Evidence = {"max_rss_kb": death.max_rss_kb}
        if child.stderr_tail:
            evidence["stderr"] = child.stderr_tail.decode("utf-8", "replace")
        if run.why is not None:
            return cut_short(run.why, run.job, run.limit, seconds, evidence)
        how = (
            f"{_death(death, evidence)}{'' if death.signal or death.fault else ' before there was a result'}"
        )
        return self._crashed(run, how, death, evidence, seconds)

    def _crashed(self, run: _Run, how: str, death: Death, evidence: Evidence, seconds: float) -> Ended:
        stderr = str(evidence.get("stderr", ""))
        said = last_line(stderr.encode())
        hint = limit_behind(stderr, self._limits, death.signal)
        message = f"the process of `{run.job.kind}` {how}"
        message += f": {said}" if said else ""
        message += f"; {hint}" if hint else ""
        return Ended(CRASHED, seconds, None, ErrorInfo("crashed", message, "", evidence))

    def _unloaded(self, run: _Run, error: NotLoaded) -> Ended:
        """Its code cannot be loaded here: how that ended is how the attempt ends."""
        evidence: Evidence = {"stderr": error.stderr} if error.stderr else {}
        if error.death is not None:
            evidence["max_rss_kb"] = error.death.max_rss_kb
            how = f"{_death(error.death, evidence)} while it loaded its code"
            return self._crashed(run, how, error.death, evidence, 0.0)
        status, code = (TIMED_OUT, "timed_out") if error.late else (FAILED, "failed")
        text = f"the process of `{run.job.kind}` cannot load it: {error}"
        hint = limit_behind(str(error), self._limits)
        return Ended(status, 0.0, None, ErrorInfo(code, f"{text}; {hint}" if hint else text, "", evidence))


def _death(death: Death, evidence: Evidence) -> str:
    """How it died, also as evidence."""
    if death.fault:
        evidence["fault"] = death.fault
    if death.signal is not None:
        evidence["signal"] = signal_name(death.signal)
    elif death.exit_code is not None:
        evidence["exit_code"] = death.exit_code
    if death.fault:
        return f"was killed, because {death.fault}"
    if death.signal is not None:
        return f"died of {evidence['signal']}"
    return f"exited with code {death.exit_code}"
