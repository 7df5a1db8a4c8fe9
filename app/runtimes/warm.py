"""The child processes of a worker: started when a kind needs one, kept warm for that kind, ended in time.

A child belongs to one kind, and to the version of it that it has loaded. On the event loop's thread only.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from ..core.errors import Overloaded
from . import leftovers
from .children import CHANGED, Child, Death
from .frames import frame
from .hints import last_line
from .limits import Limits
from .loading import Kind
from .spawn import Given, spawn

MAX_JOBS_PER_CHILD: Final = 1_000
"""Then a child is replaced: what its jobs leak must not grow for ever."""
IDLE_SECONDS: Final = 60.0
"""How long a child is kept warm without work."""
SPARE: Final = 4
"""Children beyond the size, idle ones: so that kinds that come in turn do not start one each time."""
SPAWN_SECONDS: Final = 30.0
"""Until the interpreter of a child runs."""
KILL_SECONDS: Final = 10.0
"""How long a killed process may take to disappear before it counts as stuck (it hangs in the kernel)."""
SPAWN_THREADS: Final = 2


class NotLoaded(Exception):
    """A child has started and could not load its kind."""

    def __init__(self, why: str, death: Death | None = None, stderr: str = "", *, late: bool = False) -> None:
        super().__init__(why)
        self.death, self.stderr, self.late = death, stderr, late


class Outdated(Exception):
    """The files of a kind are those of another version by now."""


class Warm:
    """Up to `size` children at work, and some that wait for it."""

    def __init__(
        self, size: int, limits: Limits, given: Given, run_dir: Path, max_jobs: int = MAX_JOBS_PER_CHILD
    ) -> None:
        self._given = given
        self._size, self._limits, self._run_dir, self._max_jobs = size, limits, run_dir, max_jobs
        self._children: set[Child] = set()
        self._idle: dict[Child, asyncio.TimerHandle] = {}
        """The one that has waited longest comes first."""
        self._by_kind: dict[str, list[Child]] = {}
        """The same ones, the one used last at the end."""
        self._starting: set[asyncio.Task[Child]] = set()
        self._cleaning: set[asyncio.Future[None]] = set()
        # Its threads live as long as this object: a child dies with the thread that started it.
        self._spawner = ThreadPoolExecutor(SPAWN_THREADS, "tm-spawn")
        self._closed = False

    def take(self, kind: Kind) -> Child | None:
        """One that waits and has loaded exactly this."""
        waiting = self._by_kind.get(kind.name)
        while waiting:
            child = waiting.pop()
            self._idle.pop(child).cancel()
            if child.alive and child.kind is kind:
                return child
            child.kill()
        return None

    def start(self, kind: Kind) -> asyncio.Task[Child]:
        """A new one.

        Raises (its result):
            OSError, Overloaded: it cannot be started. NotLoaded: its kind cannot be loaded.
            Outdated: there is a newer version.
        """
        starting = asyncio.create_task(self._start(kind))
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        return starting

    async def _start(self, kind: Kind) -> Child:
        while self._idle and len(self._children) + len(self._starting) > self._size + SPARE:
            self._end(next(iter(self._idle)))
        start = partial(spawn, self._run_dir, self._limits, self._given)
        child = Child(
            await asyncio.get_running_loop().run_in_executor(self._spawner, start), kind, self._on_gone
        )
        self._children.add(child)
        child.send(frame(kind.name, kind.source, kind.files, kind.digest, self._given.directory))
        try:
            await self._become_ready(child)
        except BaseException:
            child.kill()
            await asyncio.wait([child.gone], timeout=KILL_SECONDS)
            raise
        return child

    async def _become_ready(self, child: Child) -> None:
        done, _ = await asyncio.wait([child.ready], timeout=SPAWN_SECONDS)
        if not (child.alive and done) or self._closed:
            child.kill()
            await asyncio.wait([child.gone], timeout=KILL_SECONDS)
            raise Overloaded(last_line(child.stderr_tail) or "it ended before it was ready")
        limit = self._limits.import_seconds
        await asyncio.wait([child.loaded], timeout=limit)
        stderr = child.stderr_tail.decode("utf-8", "replace")
        if not child.loaded.done():
            raise NotLoaded(
                f"it took longer than limits.import_seconds ({limit:g} s)", None, stderr, late=True
            )
        why = child.loaded.result()
        if why == CHANGED:
            raise Outdated
        if child.gone.done():
            raise NotLoaded(why, child.gone.result(), stderr)
        if why:
            raise NotLoaded(why, None, stderr)

    def keep_started(self, starting: asyncio.Task[Child]) -> None:
        """Nobody waits for this child any more; somebody else may want it."""

        def keep(_: object) -> None:
            if not starting.cancelled() and starting.exception() is None:
                self.keep(starting.result())

        starting.add_done_callback(keep)

    def keep(self, child: Child) -> None:
        """Keep it warm, or end it when it is worn or one too many."""
        if not child.alive:
            return
        if self._closed or child.jobs >= self._max_jobs or (child.kind.fresh and child.jobs):
            child.kill()
            return
        self._idle[child] = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._end, child)
        self._by_kind.setdefault(child.kind.name, []).append(child)
        if len(self._children) > self._size + SPARE:
            self._end(next(iter(self._idle)))

    def forget(self, kind: str) -> None:
        """End those that wait for work of this kind: it has changed."""
        for child in list(self._by_kind.get(kind, ())):
            self._end(child)

    def _end(self, child: Child) -> None:
        self._not_idle(child)
        child.kill()

    def _not_idle(self, child: Child) -> None:
        expiry = self._idle.pop(child, None)
        if expiry is not None:
            expiry.cancel()
            self._by_kind[child.kind.name].remove(child)

    def _on_gone(self, child: Child) -> None:
        self._children.discard(child)
        self._not_idle(child)
        if not self._closed:
            self._tidy(child.home)

    def _tidy(self, home: Path) -> None:
        cleaning = asyncio.get_running_loop().run_in_executor(self._spawner, leftovers.forget, home)
        self._cleaning.add(cleaning)
        cleaning.add_done_callback(self._cleaning.discard)

    def close(self) -> None:
        """Keep nothing from now on."""
        self._closed = True

    async def aclose(self) -> None:
        """Kill everything, wait until it is gone, and remove what it left."""
        self._closed = True
        for child in self._children:
            child.kill()
        if self._starting:
            await asyncio.wait(self._starting, timeout=SPAWN_SECONDS)
        homes = [child.home for child in self._children]
        for child in list(self._children):
            child.kill()
        if self._children:
            await asyncio.wait([each.gone for each in self._children], timeout=KILL_SECONDS)
        for expiry in self._idle.values():
            expiry.cancel()
        for home in homes:
            self._tidy(home)
        if self._cleaning:
            await asyncio.wait(self._cleaning, timeout=KILL_SECONDS)
        self._spawner.shutdown(wait=False, cancel_futures=True)
