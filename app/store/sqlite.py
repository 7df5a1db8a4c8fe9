"""The tasks, invites and peers of one manager in one SQLite file, and their large values in files beside it.

It says which call goes to which thread; what they do there is in `rows`, `recover`, `query` and `roster`.
Nothing here decides anything about tasks.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..core.commit import Commit, OpenRow, Recovered
from ..handle import Count, Outcome, TaskDetail, TaskOutput, TaskPage, TaskQuery
from . import outputs, pages, rows
from . import query as queries
from .access import Access
from .files import BALLAST_SIZE, LOW_WATER, Ballast, free_bytes, share_of_disk
from .large import LARGE
from .migrate import migrations
from .outputs import OutputBounds
from .recover import IN_FULL, task_rows
from .sqlite_roster import SqliteRoster
from .sqlite_whole import SqliteWhole
from .writer import Hook, Settings

PRUNE_CHUNK: Final = 1_000
"""Tasks forgotten in one transaction, so that no commit waits long for it."""
MOST_OUTPUT: Final = 16 << 20
"""Bytes of one attempt's output in one answer."""
BALLAST_RETRY_SECONDS: Final = 10.0
"""How often is looked whether there is space for the ballast again."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is done at a time."""

    search_seconds: float = pages.SEARCH_SECONDS
    """After about so long a search comes back with what it has."""
    in_full: int = IN_FULL
    """Open tasks up to which `open` reads each as it is."""
    outputs: OutputBounds = field(default_factory=OutputBounds)
    """How much is kept of what attempts write."""


class SqliteStore(SqliteRoster, SqliteWhole):
    """A `TaskStore`, `TaskReader` and `Roster` on disk. Needs asyncio's loop, or uvloop's."""

    def __init__(
        self,
        path: Path,
        *,
        ballast: int | None = None,
        low_water: int | None = None,
        vfs: str | None = None,
        before_commit: Hook | None = None,
        after_commit: Hook | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """Nothing is touched before `open`.

        `ballast` and `low_water` are bytes; None for BALLAST_SIZE and LOW_WATER, or less on a small disk.
        The rest is for tests: a named apsw VFS, and what is called in the writer's thread around each COMMIT
        with its number.
        """
        self._path = path
        bounds = bounds or Bounds()
        self._search_seconds = bounds.search_seconds
        self._low_water = low_water
        self._wanted_ballast = ballast
        self._ballast = Ballast(path.with_name(f"{path.name}.ballast"), 0)
        self._next_ballast = 0.0
        settings = Settings(
            vfs=vfs,
            steps=migrations(),
            in_full=bounds.in_full,
            before_commit=before_commit,
            after_commit=after_commit,
            outputs=bounds.outputs,
        )
        super().__init__(Access(path, settings, self._ballast))

    async def open(self) -> Recovered:
        """Take the database, making or migrating it first, and read everything that is not finished.

        Raises:
            StoreLocked: another process has it. StoreTooNew: written by a newer version.
            StoreFailed: it cannot be read or written. StoreFull: no space to even start.
            DataMissing: something that was stored is gone, and nobody has accepted that.
        """
        found = await self._access.open()
        await self._access.browse.call(self._first_ballast)
        return found

    async def close(self) -> None:
        """Finish what was asked and let go of the files. A second time it does nothing."""
        await self._access.close()

    # ---- TaskStore --------------------------------------------------------------------------------------

    async def commit(self, batch: Commit) -> None:
        """Write all of `batch` or nothing, and return when it would survive a power cut.

        Calls may overlap; they are carried out in order, several in one transaction when several wait. A
        caller that is cancelled stops waiting; the batch is still written.

        Raises:
            StoreFull: no space; nothing of `batch` is stored, and the store stays usable.
            StoreFailed: the disk failed; the store refuses everything from now on.
            StoreError: `batch` contradicts what is stored, for instance with an id that was there.
        """
        await self._access.commit(batch)

    async def find_keys(self, keys: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        """Of these idempotency keys, the known ones: task id and digest. Sees all commits asked for."""
        return await self._access.ask(self._access.writer, queries.find_keys, keys)

    async def payloads(self, ids: Sequence[int], most: int | None = None) -> dict[int, bytes]:
        """The payloads of those that exist; with `most`, only those of up to so many bytes."""
        access = self._access
        if most is not None and most < LARGE:
            return await access.ask(access.quick, queries.small_payloads, ids, most)
        found = await access.ask(access.quick, queries.payloads, ids, access.segments)
        return {i: payload for i, payload in found.items() if most is None or len(payload) <= most}

    async def task_rows(self, ids: Sequence[int]) -> list[OpenRow]:
        """These tasks as they are stored, open or ended, by id, without large payloads."""
        return await self._access.ask(self._access.quick, task_rows, ids)

    async def prune(self, before: float, limit: int) -> int:
        """Forget up to `limit` tasks that ended before the wall-clock time `before`; says how many."""
        forgotten = 0
        while forgotten < limit:
            chunk = min(PRUNE_CHUNK, limit - forgotten)
            found = await self._access.change(rows.forget, before, chunk, self._access.segments)
            forgotten += found
            if found < chunk:
                break
        return forgotten

    # ---- TaskReader -------------------------------------------------------------------------------------

    async def page(self, query: TaskQuery) -> TaskPage:
        """Rows that match as stored, newest first without a cursor; of open tasks see `pages`.

        A long search comes back with what it has found so far, and says how far it came.

        Raises:
            UsageError: it makes no sense. TimedOut: it would take too long.
        """
        return await self._access.ask(self._access.browse, pages.page, query, self._search_seconds)

    async def count(self, query: TaskQuery, most: int) -> Count:
        """How many match as stored, up to `most`; fewer, and not exact, when that takes too long."""
        return await self._access.ask(self._access.tally, pages.count, query, most, self._search_seconds)

    async def detail(self, task_id: int, payload_limit: int) -> TaskDetail | None:
        """One task, or None; its payload only up to `payload_limit` bytes."""
        access = self._access
        return await access.ask(access.quick, queries.detail, task_id, payload_limit, access.segments)

    async def output(self, task_id: int, attempt: int = 0) -> TaskOutput | None:
        """What is kept of what an attempt wrote; see `TaskReader`."""
        return await self._access.ask(self._access.quick, outputs.read, task_id, attempt, MOST_OUTPUT)

    async def outcomes(self, ids: Sequence[int], most: int | None = None) -> list[Outcome]:
        """Of these tasks, those that have ended, with results; see `TaskReader`."""
        return await self._access.ask(self._access.quick, queries.outcomes, ids, self._access.segments, most)

    async def heads(self, ids: Sequence[int], size: int) -> dict[int, bytes]:
        """So many bytes of the beginning of the payloads of these tasks, of those that can be read."""
        access = self._access
        return await access.ask(access.browse, queries.heads, ids, size, access.segments)

    async def totals(self) -> dict[int, int]:
        """How many tasks are kept, by stored state; counted from the rows, which takes time."""
        return await self._access.ask(self._access.browse, pages.totals)

    # ---- space and copies -------------------------------------------------------------------------------

    def low_space(self) -> bool:
        """Whether new tasks should be refused so that outcomes still fit. Takes microseconds."""
        if self._ballast.spent:
            self._refill_ballast()
        return self._ballast.spent or free_bytes(self._path.parent)[0] < self._spare()

    def _spare(self) -> int:
        """Bytes that must stay free for outcomes."""
        if self._low_water is not None:
            return self._low_water
        return share_of_disk(self._path.parent, LOW_WATER)

    def _first_ballast(self) -> None:
        wanted = self._wanted_ballast
        self._ballast.size = wanted if wanted is not None else share_of_disk(self._path.parent, BALLAST_SIZE)
        self._ballast.fill(self._spare())

    def _refill_ballast(self) -> None:
        # Nobody waits for it: it writes many megabytes, and stands behind what people browse.
        now = time.monotonic()
        if now >= self._next_ballast and self._access.is_open:
            self._next_ballast = now + BALLAST_RETRY_SECONDS
            self._access.browse.post(lambda: self._ballast.fill(self._spare()))
