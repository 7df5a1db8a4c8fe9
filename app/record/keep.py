"""Fills a recording while a node runs, from a thread of its own: however slow the screen is, it goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from time import monotonic, time
from typing import Final

import anyio

from ..core.errors import TaskMessengerError
from ..handle import MAX_EVENTS, EventRow, NodeHandle, TaskQuery, TaskRow
from .file import Writer

log = logging.getLogger(__name__)

STEP_SECONDS: Final = 1.0
PAGES: Final = 5
"""Pages of events that one step takes at most; the rest waits, or is counted as missed."""
TASKS: Final = 200
"""Newest tasks that are kept."""
TASK_STEPS: Final = 5
"""Steps from one look at the tasks to the next."""
SHARE: Final = 0.02
"""Of the node's time that asking for tasks may take."""
END_SECONDS: Final = 5.0


class Recorder:
    """Looks at a node once a step, and writes down what it sees."""

    def __init__(self, node: NodeHandle, writer: Writer) -> None:
        self._node, self._writer = node, writer
        self._cursor, self._steps, self._due = 0, 0, 0.0
        self._tasks: tuple[TaskRow, ...] = ()

    async def step(self) -> None:
        """The next moment.

        Raises:
            OSError: it cannot be written.
        """
        at = time()
        missed = 0
        rows: list[EventRow] = []
        for _ in range(PAGES):
            page = self._node.events(self._cursor, MAX_EVENTS)
            missed += page.missed
            rows += page.rows
            if not page.rows or page.cursor == self._cursor:
                break
            self._cursor = page.cursor
        if rows or missed:
            self._writer.events(at, rows, missed)
        if self._node.role == "manager" and self._steps % TASK_STEPS == 0 and monotonic() >= self._due:
            await self._look_at_tasks(at)
        self._writer.snapshot(at, self._node.snapshot())
        self._steps += 1

    async def _look_at_tasks(self, at: float) -> None:
        began = monotonic()
        with suppress(TaskMessengerError):  # while the node is away there are none to be had
            rows = (await self._node.tasks(TaskQuery(limit=TASKS))).rows
            if rows != self._tasks:
                self._tasks = rows
                self._writer.tasks(at, rows)
        self._due = began + (monotonic() - began) / SHARE


@contextmanager
def recording(node: NodeHandle, path: Path) -> Iterator[None]:
    """Keep what this node shows in a new file, for as long as the block lasts.

    Raises:
        Conflict: there is a file of this name. ConfigError: it cannot be made.
    """
    writer = Writer(path)
    over = False

    async def main() -> None:
        recorder = Recorder(node, writer)
        last = False
        while not last:
            began, last = monotonic(), over
            await recorder.step()
            while not over and monotonic() - began < STEP_SECONDS:
                await anyio.sleep(STEP_SECONDS / 10)

    def run() -> None:
        try:
            anyio.run(main)
        except OSError as error:
            log.warning("the recording has ended: it cannot be written (%s)", error.strerror)

    thread = Thread(target=run, name="recorder", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over = True
        thread.join(END_SECONDS)
        writer.close()
