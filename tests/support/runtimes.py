"""Builders for tests of runtimes: a worker's runtimes over the sample kinds, and ears for reports."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgpack
import psutil
from taskmessenger.config.model import JobLimits
from taskmessenger.node import limits_of
from taskmessenger.runtimes.base import Ended, Job
from taskmessenger.runtimes.inspection import Facts, inspect
from taskmessenger.runtimes.limits import Limits
from taskmessenger.runtimes.registry import Registry
from taskmessenger.runtimes.runner import Runtimes
from taskmessenger.runtimes.spawn import Given

SAMPLES = Path(__file__).parent / "kinds"
_SEEN: dict[str, Facts | str] = {}


def looked_at(sources, limits, given):
    """`inspect`, once in each test process for what never changes: the sample kinds."""
    samples = {name: source for name, source in sources.items() if str(SAMPLES) in source}
    unseen = {name: source for name, source in samples.items() if source not in _SEEN}
    if unseen:
        _SEEN.update({sources[name]: found for name, found in inspect(unseen, Limits(), Given()).items()})
    others = {name: source for name, source in sources.items() if name not in samples}
    found = inspect(others, limits, given) if others else {}
    return found | {name: _SEEN[source] for name, source in samples.items()}


PATIENCE = 30.0
"""Seconds that something may take on a busy machine; nothing waits so long when it works."""


class Heard:
    """Takes reports, and lets a test wait for one."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, int, float | None, str, bytes]] = []
        self._changed = anyio.Event()

    def __call__(self, task: int, attempt: int, progress: float | None, note: str, output: bytes) -> None:
        self.reports.append((task, attempt, progress, note, output))
        self._changed.set()
        self._changed = anyio.Event()

    def notes(self, task: int) -> list[tuple[float | None, str]]:
        return [
            (report[2], report[3]) for report in self.reports if report[0] == task and report[2] is not None
        ]

    def output(self, task: int) -> bytes:
        return b"".join(report[4] for report in self.reports if report[0] == task)

    async def wait_for_note(self, task: int) -> None:
        with anyio.fail_after(PATIENCE):
            while not self.notes(task):
                await self._changed.wait()


class Bench:
    """A worker's runtimes, with a short way to run a job."""

    def __init__(self, runtimes: Runtimes, heard: Heard, registry: Registry) -> None:
        self.runtimes, self.heard, self.registry = runtimes, heard, registry
        self._task = 0

    async def run(
        self, kind: str, payload=None, *, task: int | None = None, attempt: int = 1, **more
    ) -> Ended:
        if task is None:
            self._task += 1
            task = self._task
        with anyio.fail_after(PATIENCE):
            return await self.runtimes.run(Job(task, attempt, kind, msgpack.packb(payload), **more))


@asynccontextmanager
async def a_bench(
    tmp_path: Path,
    runtime: str | None = None,
    capacity: int = 2,
    limits: Limits | None = None,
    folders: Sequence[Path] = (SAMPLES,),
    given: Given | None = None,
):
    """All built-in and sample kinds; those that can are forced into `runtime`."""
    everything = Registry.load(("*",), folders, look=looked_at)
    wanted = {k.name: runtime for k in everything if runtime and (k.is_async or runtime != "async")}
    registry = Registry.load(("*",), folders, wanted, look=looked_at)
    heard = Heard()
    bounds = limits or limits_of(JobLimits())
    runtimes = Runtimes(registry, capacity, heard, bounds, tmp_path / "run", grace=0.2, given=given)
    try:
        yield Bench(runtimes, heard, registry)
    finally:
        with anyio.CancelScope(shield=True):
            await runtimes.aclose()


def result(ended: Ended):
    assert ended.result is not None, ended.error
    return msgpack.unpackb(ended.result, strict_map_key=False)


def is_running(pid: int) -> bool:
    """Alive, and not only waiting to be buried."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until(condition) -> None:
    """Wait for something that announces itself to nobody."""
    with anyio.fail_after(PATIENCE):
        while not condition():
            await anyio.sleep(0.01)
