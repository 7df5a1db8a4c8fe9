"""The threads of one open database, and how a call gets to the right one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import anyio
import apsw

from ..core.commit import Commit, Recovered
from ..core.errors import StoreError
from .archive import Facts, Manifest, check_free, pack
from .backup import copy
from .care import Look
from .database import RESTORE, Health, as_store_error
from .files import Ballast
from .reader import ReaderLane
from .segments import Segments
from .writer import Settings, WriterLane

log = logging.getLogger(__name__)

T = TypeVar("T")
P = ParamSpec("P")


class Access:
    """One thread that writes; one that reads what the manager waits for; one that reads what people browse.

    So a slow search delays neither a commit nor an assignment. One more counts: people wait for rows,
    and not for their number.
    """

    def __init__(self, path: Path, settings: Settings, ballast: Ballast) -> None:
        self._path = path
        self._vfs = settings.vfs
        self._health = Health(path)
        self.segments = Segments(path.with_name(f"{path.name}.values"))
        self.writer = WriterLane(path, settings, ballast, self._health, self.segments)
        self.quick = self._reader("store-reader")
        self.browse = self._reader("store-browser")
        self.tally = self._reader("store-counter")
        self._lanes: tuple[WriterLane | ReaderLane, ...] = ()
        """Those whose threads run: none before `open` and after `close`."""
        self._used = False

    def _reader(self, name: str) -> ReaderLane:
        return ReaderLane(name, self._path, self._vfs, self._health, self.segments)

    @property
    def is_open(self) -> bool:
        """Whether calls are taken."""
        return bool(self._lanes)

    async def open(self) -> Recovered:
        """Start the threads and take the database; what `WriterLane.open` found."""
        assert not self._used, "a store is opened once"
        self._used = True
        self.writer.start()
        self._lanes = (self.writer,)
        try:
            found = await self.writer.call(self.writer.open)
            for lane in (self.quick, self.browse, self.tally):
                lane.start()
                self._lanes = (lane, *self._lanes)
                await lane.call(lane.open)
        except BaseException:
            await self.close()
            raise
        return found

    async def close(self) -> None:
        """Finish what was asked and let go of the files: the writer last, so that it empties the WAL."""
        lanes, self._lanes = self._lanes, ()
        for lane in lanes:
            await lane.call(lane.shut)
            await lane.stop()

    def check(self) -> None:
        """Go on only if the database is open and its disk has not failed.

        Raises:
            StoreFailed: the disk has failed. StoreError: it is not open.
        """
        self._health.check()
        if not self._lanes:
            raise StoreError(f"{self._path} is not open")

    async def commit(self, batch: Commit) -> None:
        """Store `batch`; returns when it is durable."""
        self.check()
        await self.writer.write(batch)

    async def ask(
        self,
        lane: ReaderLane | WriterLane,
        question: Callable[Concatenate[apsw.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """What `question` answers; on the writer's lane it sees every commit that was asked for before."""
        self.check()
        return await lane.call(lambda: lane.read(lambda connection: question(connection, *args, **kwargs)))

    async def change(
        self,
        change: Callable[Concatenate[apsw.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """What `change` returns, durable: it is a transaction of its own."""
        self.check()
        writer = self.writer
        return await writer.call(
            lambda: writer.change(lambda connection: change(connection, *args, **kwargs))
        )

    async def backup(self, target: Path) -> None:
        """Copy the database to `target`, on a thread of its own: that may take minutes."""
        self.check()
        lane = self._reader("store-backup")
        lane.start()
        try:
            await lane.call(lane.open)
            await lane.call(lambda: copy(lane.connection, self.segments, target))
        finally:
            await lane.call(lane.shut)
            await lane.stop()

    async def archive(self, target: Path, extra: Mapping[str, bytes], facts: Facts) -> Manifest:
        """Make a backup of the database and `extra`, likewise."""
        self.check()
        lane = self._reader("store-backup")
        lane.start()
        copied = target.with_name(f".{target.name}.database")
        try:
            await lane.call(lane.open)
            await lane.call(lambda: check_free(target))
            await lane.call(lambda: copy(lane.connection, self.segments, copied, replace=True))
            return await lane.call(lambda: pack(copied, extra, facts, target))
        finally:
            with anyio.CancelScope(
                shield=True
            ):  # whoever is not waited for any more still has the files open
                await lane.call(lane.shut)
                await lane.call(lambda: copied.unlink(missing_ok=True))
                await lane.stop()

    async def look_through(self, share: float) -> str:
        """What is damaged, likewise: a table after the other, with pauses; `share` of the time is spent."""
        self.check()
        lane, look = self._reader("store-care"), Look()
        lane.start()
        try:
            await lane.call(lane.open)
            for table in await lane.call(lambda: look.tables(lane.connection)):
                began = anyio.current_time()
                found = await lane.call(partial(look.at, lane.connection, table))
                if found:
                    return f"{self._path} is damaged, in `{table}` ({found}): stop the manager and {RESTORE}"
                if found is None:
                    log.info("`%s` is too large to be looked through for damage", table)
                await anyio.sleep((anyio.current_time() - began) * (1 / share - 1))
        except apsw.Error as error:
            raise as_store_error(error, self._path) from error
        finally:
            look.stopped = True
            with anyio.CancelScope(shield=True):
                await lane.call(lane.shut)
                await lane.stop()
        return ""
