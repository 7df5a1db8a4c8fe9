"""The database as a whole: its life, and copies of it. A part of `SqliteStore`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.life import Life
from ..handle.audit import AuditEntry, AuditRow
from . import audit, life
from .access import Access
from .archive import Facts, Manifest


class SqliteWhole:
    """What is done to all of it at once."""

    _access: Access

    def accept_loss(self, accepted: bool) -> None:
        """Before `open`: whether to go on although something that was stored is gone."""
        self._access.writer.accept_loss = accepted

    async def begin_epoch(self, why: str, heard: Sequence[bytes] = ()) -> tuple[Life, int]:
        """Have what was said of this database before belong to a former life; durable when it returns.

        `heard`: epochs that members know of and this database does not. Answers with the next free task id.
        """
        return await self._access.change(life.begin_epoch, why, heard)

    async def backup(self, target: Path) -> None:
        """Copy the database, as it is now, to the new file `target`; work goes on meanwhile.

        Raises:
            Conflict: `target` exists. StoreFull: no space for the copy. StoreError: it cannot be written.
        """
        await self._access.backup(target)

    async def archive(self, target: Path, extra: Mapping[str, bytes], facts: Facts) -> Manifest:
        """Put a copy of the database, as it is now, and `extra` into the new file `target`; work goes on.

        Raises:
            Conflict: `target` exists. StoreFull: no space for it. StoreError: it cannot be written.
        """
        return await self._access.archive(target, extra, facts)

    @property
    def unchecked(self) -> bool:
        """Whether it should have been looked through when it was opened, and was too large for that."""
        return self._access.writer.unchecked

    async def look_through(self, share: float) -> str:
        """What of it is damaged, in a sentence with the cure; empty when nothing is found.

        May take hours: so much of the time is spent on it.
        """
        return await self._access.look_through(share)

    async def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Put these rows behind all others of the audit; durable when it returns."""
        await self._access.change(audit.add, entries)

    async def audit(self, after: int, since: float) -> list[AuditRow]:
        """The next rows of the audit behind number `after`, of those from the moment `since` on."""
        return await self._access.ask(self._access.browse, audit.page, after, since)
