"""A terminal without a terminal: it notes what the console writes, and answers "when was that seen?".

Everything that comes before the terminal is as in earnest: events, layout, painting, the encoded escapes.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from taskmessenger.handle import Count, EventPage, Snapshot, TaskPage, TaskQuery
from taskmessenger.screens.app import Console
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.widgets.grid import Grid
from textual import events
from textual.drivers.headless_driver import HeadlessDriver

_STYLES = re.compile(r"\x1b\[[0-9;:]*m")
SEEN_SECONDS = 5.0
"""After that something was not painted at all."""
Wanted = Callable[[], str | None]
"""A pattern that must be in what is written; None while it is not yet known."""


class Camera(HeadlessDriver):
    """A driver that paints into a list of moments."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.writes = self.characters = 0
        self._wanted: Wanted | None = None
        self._seen: asyncio.Future[float] | None = None

    @property
    def is_headless(self) -> bool:
        """Else nothing would be painted."""
        return False

    def write(self, data: str) -> None:
        """A part of the screen is painted."""
        now = time.perf_counter()
        self.writes += 1
        self.characters += len(data)
        if self._wanted is None or self._seen is None or self._seen.done():
            return
        pattern = self._wanted()
        if pattern is not None and re.search(pattern, _STYLES.sub("", data)):
            self._seen.set_result(now)

    @contextmanager
    def watching(self, wanted: Wanted) -> Iterator[asyncio.Future[float]]:
        """The moment at which something like this is painted."""
        self._wanted, self._seen = wanted, asyncio.get_running_loop().create_future()
        try:
            yield self._seen
        finally:
            self._wanted = self._seen = None


class Operator:
    """Hands and a stop-watch at a console."""

    def __init__(self, console: Console, billed: Callable[[], float] = lambda: 0.0) -> None:
        """`billed`: seconds that a simulation took for itself so far: they are no part of the figures."""
        self.console = console
        self.billed = billed

    @property
    def camera(self) -> Camera:
        """What is seen."""
        driver = self.console._driver
        assert isinstance(driver, Camera)
        return driver

    @property
    def grid(self) -> Grid[Any]:
        """The table of the screen."""
        view = self.console.view
        assert view is not None
        assert view.grid is not None
        return view.grid

    def key(self, key: str) -> None:
        """Press it."""
        character = key if len(key) == 1 else None
        self.console.post_message(events.Key(key, character))

    async def until_seen(self, do: Callable[[], object], wanted: Wanted) -> float:
        """Seconds from doing this until that was painted."""
        with self.camera.watching(wanted) as seen:
            start, billed = time.perf_counter(), self.billed()
            do()
            end = await asyncio.wait_for(seen, SEEN_SECONDS)
            return max(end - start - (self.billed() - billed), 0.0)

    async def moved(self, do: Callable[[], object]) -> float:
        """Seconds until the cursor is painted on another row."""
        before = self._current()
        return await self.until_seen(do, lambda: None if self._current() == before else self._cursor())

    async def scrolled(self, do: Callable[[], object]) -> float:
        """Seconds until other rows are painted."""
        port = self.grid.table.port
        before = port.top

        def wanted() -> str | None:
            row = self.grid.table.rows[port.bottom - 1]
            return None if port.top == before else rf"\b{self.grid.table.key(row)}\b"

        return await self.until_seen(do, wanted)

    async def settled(self, seconds: float = 0.0) -> None:
        """Until nothing is asked any more; then so much longer."""
        await asyncio.sleep(0.02)
        while any(not w.is_finished for w in self.console.workers):
            await asyncio.sleep(0.01)
        await asyncio.sleep(seconds)

    def _current(self) -> Any:
        row = self.grid.current()
        return None if row is None else self.grid.table.key(row)

    def _cursor(self) -> str:
        return rf"▸[ *]\s*{re.escape(str(self._current()))}\b"


class Simulation(FakeNode):
    """A simulated node that knows how long it took: in earnest that happens in another process."""

    spent = 0.0

    def snapshot(self) -> Snapshot:
        with self._timed():
            return super().snapshot()

    def events(self, cursor: int, limit: int = 1_000) -> EventPage:
        with self._timed():
            return super().events(cursor, limit)

    async def tasks(self, query: TaskQuery) -> TaskPage:
        await asyncio.sleep(0)  # as it does, and not counted: others have their turn
        with self._timed():
            return self._search.page(query, self.now)

    async def count(self, query: TaskQuery, most: int = 1_000_000) -> Count:
        with self._timed():
            return await super().count(query, most)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.spent += time.perf_counter() - start


def a_camera_console(node: Any, **given: Any) -> Console:
    """A console whose screen is a camera, and whose plots are those of an installation without extras."""
    console = Console(node, **given)
    console.driver_class = Camera
    return console
