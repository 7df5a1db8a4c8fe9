"""All runtimes of one worker behind one door: a job goes where its kind belongs.

Needs asyncio (uvloop is fine): threads and processes report through its event loop. Starts nothing before the
first job that needs it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import monotonic
from typing import Any, Final

import anyio

from .. import streams
from .async_ import AsyncRuntime
from .base import Ended, Job, Report, Runtime
from .endings import refused
from .limits import Limits
from .loading import ASYNC, PROCESS, THREAD
from .process import ProcessRuntime
from .registry import Registry
from .reports import Reports
from .spawn import Given
from .thread import GRACE_SECONDS, ThreadRuntime
from .warm import Outdated

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.1
"""Between two looks at the files of kinds, while tasks of such kinds come."""
WATCH_SECONDS: Final = 1.0
"""The same while none come."""
VERSIONS_TRIED: Final = 5
"""Of one kind, for one task."""
DIGEST_SHOWN: Final = 12
CHILDREN: Final = "children"
"""Below a worker's run directory: the homes of its child processes. Give it to `kill_leftovers` at start."""


class Runtimes:
    """Implements `Runtime` for all kinds of a registry.

    Args:
        registry: what may run.
        capacity: jobs at a time; the size of the thread pool, and of the process pool.
        report: takes progress and output on the event loop's thread, about ten times a second for a job.
        limits: for child processes.
        run_dir: private directory of this worker; nobody else may use it at the same time.
        grace: seconds that a handler of a thread or of the event loop gets to stop before it counts as stuck.
    """

    def __init__(
        self,
        registry: Registry,
        capacity: int,
        report: Report,
        limits: Limits,
        run_dir: Path,
        grace: float = GRACE_SECONDS,
        given: Given | None = None,
    ) -> None:
        streams.put_in_place()
        self._kinds = kinds = registry.kinds
        self.registry = registry
        self.changed: Callable[[list[str]], None] = _tell_nobody
        """Called with the names of kinds that have another version, or none any more."""
        reports = Reports(report)
        self._process = ProcessRuntime(kinds, capacity, reports, limits, run_dir / CHILDREN, given=given)
        self._by_name: dict[str, Runtime] = {
            ASYNC: AsyncRuntime(kinds, reports, grace=grace),
            THREAD: ThreadRuntime(kinds, capacity, reports, grace=grace),
            PROCESS: self._process,
        }
        self._all = list(self._by_name.values())
        self._look_at = float("-inf")
        self._renewing: dict[str, asyncio.Task[None]] = {}

    def tell(self, changed: Callable[[list[str]], None]) -> None:
        """Call this when kinds have changed, and now."""
        self.changed = changed
        changed([])

    def run(self, job: Job) -> Coroutine[Any, Any, Ended]:
        """Run it to its end; never raises for what the task does. One attempt of a task at a time.

        Cancelling the caller kills what can be killed. A handler that never really waits does not let the
        event loop run either: a caller with many such jobs in a row has to.
        """
        kind = self._kinds.get(job.kind)
        if kind is None:
            return self._refuse(job)
        if not kind.files:
            return self._by_name[kind.runtime].run(job)
        if kind.runtime == PROCESS or self._renewing or self._must_look(job.kind):
            return self._run_newest(job)
        return self._by_name[kind.runtime].run(job)

    async def _run_newest(self, job: Job) -> Ended:
        """In the version that its files have."""
        for _ in range(VERSIONS_TRIED):
            if self._must_look(job.kind):
                self._look()
            if job.kind in self._renewing:
                await asyncio.wait([self._renewing[job.kind]])
            kind = self._kinds.get(job.kind)
            if kind is None:
                break
            try:
                return await self._by_name[kind.runtime].run(job)
            except Outdated:
                self._look_at = float("-inf")
        return await self._refuse(job)

    async def _refuse(self, job: Job) -> Ended:
        name = job.kind
        if name in self._kinds:
            return refused("worker_fault", f"kind `{name}` changes faster than this worker can load it")
        if name in self.registry.broken:
            return refused("worker_fault", f"kind `{name}` is disabled: {self.registry.broken[name]}")
        return refused("unknown_kind", f"this worker offers no kind `{name[:64]}`")

    async def watch(self) -> None:
        """Now and then, see whether kinds have changed, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self._look()

    def _must_look(self, name: str) -> bool:
        """Whether a task of this kind could get a version that its files no longer have."""
        return monotonic() >= self._look_at or self.registry.is_stale(name)

    def _look(self) -> None:
        """See whether kinds have changed since the last look; their new tasks wait for the new version."""
        self._look_at = monotonic() + LOOK_SECONDS
        names = [name for name in self.registry.changed() if name not in self._renewing]
        if names:
            renewing = asyncio.create_task(self._renew(names))
            self._renewing |= dict.fromkeys(names, renewing)

    async def _renew(self, names: list[str]) -> None:
        try:
            loop = asyncio.get_running_loop()
            looks = await loop.run_in_executor(None, self.registry.look, names)
            changed = self.registry.install(looks)
        finally:
            for name in names:
                self._renewing.pop(name, None)
        for name in changed:
            self._process.forget(name)
            kind, why = self._kinds.get(name), self.registry.broken.get(name)
            if kind is None:
                log.warning("kind %s is disabled: %s", name, why)
            else:
                log.info("kind %s has a new version, %s", name, kind.digest[:DIGEST_SHOWN])
        if changed:
            self.changed(changed)

    def cancel(self, task: int) -> None:
        """Ask for the end of this task's attempt; nothing happens when it does not run."""
        for runtime in self._all:
            runtime.cancel(task)

    def lingering(self, task: int) -> anyio.Event | None:
        """After STUCK: set when the attempt really ends at last. None when nothing lingers."""
        for runtime in self._all:
            event = runtime.lingering(task)
            if event is not None:
                return event
        return None

    async def aclose(self) -> None:
        """End everything, for good."""
        for renewing in set(self._renewing.values()):
            renewing.cancel()
        async with anyio.create_task_group() as closing:
            for runtime in self._all:
                closing.start_soon(runtime.aclose)
        streams.take_away()


def _tell_nobody(_: list[str]) -> None:
    """Who wants to know sets `changed`."""
