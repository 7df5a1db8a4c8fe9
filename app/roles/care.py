"""Has the database looked through for damage now and then, and keeps what was found for an alarm."""

from __future__ import annotations

import logging
from typing import Final, Protocol

import anyio

from ..core.errors import StoreError

log = logging.getLogger(__name__)

FIRST_SECONDS: Final = 600.0
"""After a start; at once where the start should have looked and could not, because that takes long."""
EVERY_SECONDS: Final = 86_400.0
SHARE: Final = 0.2
"""Of the time that a look may take of one processor, and of the disk."""


class Looked(Protocol):
    """A store that can be looked through."""

    @property
    def unchecked(self) -> bool:
        """Whether the last manager died, or the files were changed, and nobody has looked since."""
        ...

    async def look_through(self, share: float) -> str:
        """What is damaged, in a sentence with the cure; empty when nothing is."""
        ...


class Care:
    """One manager's."""

    def __init__(self, store: Looked) -> None:
        self.found = ""
        """What is damaged."""
        self._store = store

    async def keep(self) -> None:
        """Until cancelled, or until there is something to be told."""
        await anyio.sleep(0.0 if self._store.unchecked else FIRST_SECONDS)
        while True:
            try:
                self.found = await self._store.look_through(SHARE)
            except StoreError as error:
                log.warning("the database cannot be looked through now: %s", error)
            if self.found:
                return  # the alarm says it, and so does the log
            log.debug("the database was looked through: nothing is damaged")
            await anyio.sleep(EVERY_SECONDS)
