"""All runtimes of one worker behind one door: a job goes where its kind belongs.

Needs asyncio (uvloop is fine): threads and processes report through its event loop. Starts nothing before the
first job that needs it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
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
from .thread import GRACE_SECONDS, ThreadRuntime

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
    ) -> None:
        streams.put_in_place()
        kinds = {kind.name: kind for kind in registry}
        reports = Reports(report)
        self._by_name: dict[str, Runtime] = {
            ASYNC: AsyncRuntime(kinds, reports, grace=grace),
            THREAD: ThreadRuntime(kinds, capacity, reports, grace=grace),
            PROCESS: ProcessRuntime(kinds, capacity, reports, limits, run_dir / CHILDREN),
        }
        self._all = list(self._by_name.values())
        self._runtime_of = {name: self._by_name[kind.runtime] for name, kind in kinds.items()}

    def run(self, job: Job) -> Coroutine[Any, Any, Ended]:
        """Run it to its end; never raises for what the task does. One attempt of a task at a time.

        Cancelling the caller kills what can be killed. A handler that never really waits does not let the
        event loop run either: a caller with many such jobs in a row has to.
        """
        runtime = self._runtime_of.get(job.kind)
        return _unknown(job) if runtime is None else runtime.run(job)

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
        async with anyio.create_task_group() as closing:
            for runtime in self._all:
                closing.start_soon(runtime.aclose)
        streams.take_away()


async def _unknown(job: Job) -> Ended:
    return refused("unknown_kind", f"this worker offers no kind `{job.kind[:64]}`")
