"""The one thread that writes: it owns the writing connection, the lock on the database and its checkpoints.

It decides what goes into a transaction and what a failure means; what the rows are is in `rows`.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from ..core.commit import Commit, Recovered
from ..core.errors import StoreFailed, StoreFull
from ..core.life import Life
from ..descriptors import NO_MORE
from . import judge, life, outputs
from .database import RESTORE, Health, as_store_error, check_library, connect_writer
from .files import Ballast, LockFile, make_private
from .lane import Lane, Ticket
from .large import used
from .last import EVERY, Known, Last, is_as_left
from .migrate import Migration, check_version, migrate
from .outputs import OutputBounds
from .recover import recover
from .rows import count, write
from .segments import Segments

log = logging.getLogger(__name__)

T = TypeVar("T")
Hook = Callable[[int], None]

MAX_GROUP: Final = 64
"""Commits written in one transaction, when that many wait."""
CHECKPOINT_PAGES: Final = 2_000
"""Pages in the WAL (8 MiB) after which they are moved into the database."""
CHECKPOINT_PAGES_TIGHT: Final = 64
"""The same on a disk that was full: the WAL must not eat the space that the ballast left for outcomes."""
_BALLAST_PAGES_PER_WAL_PAGE: Final = 4
_PAGE: Final = 4_096
QUICK_CHECK_LIMIT: Final = 64 << 20
"""Bytes. After a crash a database up to this size is checked before it is used; a larger one while it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a database is opened."""

    vfs: str | None
    steps: tuple[Migration, ...]
    in_full: int
    """Open tasks up to which each is read as it is when the database is opened."""
    before_commit: Hook | None
    """Called in the writer's thread before each COMMIT, with its number since the start: 1, 2, ..."""
    after_commit: Hook | None
    outputs: OutputBounds


class WriterLane(Lane):
    """A lane that writes commits, several in one transaction when several wait."""

    def __init__(
        self, path: Path, settings: Settings, ballast: Ballast, health: Health, segments: Segments
    ) -> None:
        super().__init__("store-writer")
        self._path = path
        self._settings = settings
        self._ballast = ballast
        self._health = health
        self._segments = segments
        self._lock = LockFile(path.with_name(f"{path.name}.lock"))
        self._connection: apsw.Connection | None = None
        self._wal_pages = 0
        self._commits = 0
        self.unchecked = False
        """It was not closed in order, and is too large to be looked through before it is used."""
        self.accept_loss = False
        """Open it although something that was stored is gone."""
        self._last = Last(path)
        self._counted = self._counting = 0
        """Commits that are counted in the database: durable, and with what is being written."""
        self._tight = False
        """The disk was full a moment ago: there is no room for what attempts wrote, but for outcomes."""
        self._highest = self._growing = 0
        """Id of the newest task, likewise."""

    async def write(self, batch: Commit) -> None:
        """Store `batch`; returns when it is durable."""
        await self._ask(batch)

    # ---- what follows runs on the lane's thread ---------------------------------------------------------

    @property
    def connection(self) -> apsw.Connection:
        """The connection that writes."""
        assert self._connection is not None, "the database is not open"
        return self._connection

    def open(self) -> Recovered:
        """Take the database and read what is not finished.

        Raises:
            StoreLocked, StoreTooNew, StoreFailed: it cannot be used, and was let go again.
        """
        check_library()
        try:
            make_private(self._path)
            clean = self._lock.acquire(self._path)
        except OSError as error:
            if error.errno in NO_MORE:
                raise as_store_error(error, self._path) from error
            raise StoreFailed(
                f"cannot lock {self._lock.path}: {error.strerror}; see to its permissions"
            ) from error
        try:
            try:
                return self._open(clean)
            except StoreFull:
                if not self._ballast.release():
                    raise
                return self._open(clean)
        except BaseException:
            self._lock.release(clean=clean)
            raise

    def _open(self, clean: bool) -> Recovered:
        """Raises only this program's errors, and then leaves nothing open."""
        try:
            return self._connect(clean)
        except BaseException as error:
            # Looked into before files are closed, which may be what there were too many of.
            told = as_store_error(error, self._path) if isinstance(error, apsw.Error | OSError) else None
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            if told is not None:
                raise told from error
            raise

    def _connect(self, clean: bool) -> Recovered:
        settings = self._settings
        known = self._last.read()
        changed = known is not None and not is_as_left(self._path, known)
        connection = self._connection = connect_writer(self._path, settings.vfs)
        connection.set_wal_hook(self._count_pages)
        self.unchecked = not clean or changed
        if self.unchecked and self._path.stat().st_size <= QUICK_CHECK_LIMIT:
            self.unchecked = False
            found = connection.execute("PRAGMA quick_check(1)").get
            if found != "ok":
                what = " ".join(str(found).split())
                raise StoreFailed(f"{self._path} is damaged ({what}): {RESTORE}")
        check_version(connection, self._path, settings.steps)
        before = judge.look(connection)
        lost = judge.gone(self._path, known, before, changed=changed)
        lost = lost or judge.values_gone(before.uses, self._segments)
        if lost and not self.accept_loss:
            raise judge.refuse(lost)
        saved = migrate(connection, self._path, settings.steps, self._segments)
        if saved is not None:
            log.warning("the database has a new schema; a copy of the old one is %s", saved)
        if lost:
            judge.give_up(connection, before.uses or [], self._segments)
        self._segments.open(used(connection))
        begun = Life()
        if settings.steps[-1].number >= life.FIRST_SCHEMA:
            begun = judge.begin(connection, lost, known, spare=self._ballast.is_there)
        found = recover(connection, settings.in_full)
        found.life = begun
        self._counted, self._highest = before.commits, found.next_task_id - 1
        if begun.epochs:
            start = begun.current
            self._last.begin(
                Known(
                    epoch=start.epoch.hex(), start=start.number, commits=self._counted, highest=self._highest
                )
            )
        return found

    def shut(self) -> None:
        """Close the files and let others have them."""
        connection, self._connection = self._connection, None
        clean = connection is not None and not self._health.failed
        if connection is not None:
            try:
                connection.close()
            except apsw.Error as error:
                clean = False
                log.warning("closing %s: %s", self._path, error)
        self._segments.close()
        self._last.end(clean=clean)
        self._lock.release(clean=clean)

    def read(self, question: Callable[[apsw.Connection], T]) -> T:
        """What `question` answers, which sees every commit that was asked for before it."""
        self._health.check()
        try:
            return question(self.connection)
        except apsw.Error as error:
            raise self._health.diagnose(error) from error

    def transaction(self, work: Callable[[apsw.Connection], T], *, outcomes: bool = True) -> T:
        """What `work` returns, with all it wrote durable; or its error, with nothing written.

        When there is no space, the WAL's is used again and what attempts wrote is left out, then the ballast
        is given back: for this transaction only if it brings `outcomes`, because new tasks must not eat what
        is kept for those.

        Raises:
            StoreFull: there is still no space.
            StoreError: see `Health.diagnose`.
        """
        try:
            return self._try(work)
        except StoreFull:
            pass
        self._tight = True
        try:
            self._checkpoint()
            try:
                return self._try(work)
            except StoreFull:
                if not (self._ballast.release() and outcomes):
                    raise
            return self._try(work)
        finally:
            self._tight = False

    def _try(self, work: Callable[[apsw.Connection], T]) -> T:
        self._health.check()
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._counting, self._growing = self._counted, self._highest
            value = work(connection)
            self._segments.flush()
            self._commits += 1
            if self._settings.before_commit is not None:
                self._settings.before_commit(self._commits)
            connection.execute("COMMIT")
        except BaseException as error:
            told = self._health.diagnose(error) if isinstance(error, apsw.Error | OSError) else None
            self._roll_back(connection)
            if told is None:
                raise
            raise told from error
        self._segments.keep()
        self._counted, self._highest = self._counting, self._growing
        self._last.note(self._counted, self._highest)
        if self._settings.after_commit is not None:
            self._settings.after_commit(self._commits)
        return value

    def _roll_back(self, connection: apsw.Connection) -> None:
        try:
            if connection.in_transaction:  # after some errors SQLite has rolled back itself
                connection.execute("ROLLBACK")
        except apsw.Error as error:
            self._health.diagnose(error)
        if not self._health.failed:  # otherwise it may be durable all the same: the next start finds out
            self._segments.undo()

    def _serve(self, ticket: Ticket[Any]) -> None:
        group, other = self._group(ticket)
        if group:
            self._write_group(group)
            self._deliver(group)
        if other is not None:
            self._run(other)
            self._deliver([other])
        self._segments.sweep()
        if self._wal_pages >= self._wal_limit():
            self._checkpoint()

    def _group(self, first: Ticket[Any]) -> tuple[list[Ticket[Any]], Ticket[Any] | None]:
        """Commits that wait one after another, and the call that ends the row of them, if any."""
        group: list[Ticket[Any]] = []
        ticket: Ticket[Any] | None = first
        while ticket is not None and isinstance(ticket.work, Commit):
            group.append(ticket)
            ticket = self._next() if len(group) < MAX_GROUP else None
        return group, ticket

    def _write_group(self, group: list[Ticket[Any]]) -> None:
        """One transaction for all; when that fails, one for each, so that each gets its own answer."""

        def write_all(connection: apsw.Connection) -> None:
            for ticket in group:
                self._write(connection, ticket.work)

        if len(group) > 1:
            # The border of the thread: whatever it was, it comes again for the one whose fault it is.
            with suppress(Exception):
                self._try(write_all)
                return
        for ticket in group:
            batch: Commit = ticket.work
            store = partial(self._write, batch=batch)
            ticket.work = partial(self.transaction, store, outcomes=not batch.submitted)
            self._run(ticket)

    def _write(self, connection: apsw.Connection, batch: Commit) -> None:
        self._counting = write(connection, batch, self._segments, self._counting, due=self._last.is_due)
        if batch.outputs:
            keep = not (self._tight or self._ballast.spent)
            outputs.write(connection, batch.outputs, self._settings.outputs, keep=keep)
        if batch.submitted:
            self._growing = batch.submitted[-1][0]

    def change(self, work: Callable[[apsw.Connection], T]) -> T:
        """As `transaction`, for what is no commit; it is counted like one."""

        def counted(connection: apsw.Connection) -> T:
            value = work(connection)
            self._counting += 1
            count(connection, self._counting)
            return value

        return self.transaction(counted)

    def _wait(self) -> Ticket[Any] | None:
        while self._last.behind:
            try:
                return self._queue.get(timeout=EVERY)
            except queue.Empty:
                self._last.catch_up()
        return super()._wait()

    def _count_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _wal_limit(self) -> int:
        """Pages. What the ballast leaves must hold all that the WAL still has to move into the database."""
        if self._ballast.spent:
            return CHECKPOINT_PAGES_TIGHT
        if self._ballast.size == 0:
            return CHECKPOINT_PAGES
        share = self._ballast.size // _PAGE // _BALLAST_PAGES_PER_WAL_PAGE
        return min(CHECKPOINT_PAGES, max(share, CHECKPOINT_PAGES_TIGHT))

    def _checkpoint(self) -> bool:
        """Move the WAL into the database; says whether all of it was, so that its space is used again."""
        connection = self._connection
        if connection is None or self._health.failed or self._wal_pages == 0:
            return False
        self._wal_pages = 0
        try:
            pages, moved = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            # A full disk is no harm here: the WAL has it all, and stays until there is space.
            self._health.diagnose(error)
            return False
        return pages == moved
