"""The life of the manager's data: tells members which it is, and notices from them that it was put back.

Every member carries the mark of the start that it was last told of. One of a start which the database does
not know was told by a future that is gone: a copy was put back, or the machine. Then a new epoch begins,
durable before anybody is let in, and everybody has to come again and forget what belongs to the old one.
Marks are sealed: a member can show only what this fleet's manager has said.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import anyio

from ..core.life import PACKED_BYTES, Life, Start
from ..core.ports import TaskStore
from ..core.text import printable
from ..net.security.enrol import Registrar
from .audit import ITSELF, Audit
from .writer import Writer

log = logging.getLogger(__name__)

SEAL_BYTES: Final = 32
PUT_BACK: Final = "restored"
"""The code of the goodbye to everybody when a new epoch begins."""


class Lifetime:
    """One manager's."""

    def __init__(
        self,
        store: TaskStore,
        writer: Writer,
        registrar: Registrar,
        audit: Audit,
        part: Callable[[str, str], None],
    ) -> None:
        """`part`: says goodbye to everybody, with a code and a reason."""
        self.registrar = registrar
        self._store, self._writer, self._audit, self._part = store, writer, audit, part
        self._life = Life()
        self._turn = anyio.Lock()
        self.put_back = ""
        """What an operator should know; empty when all is well."""

    def begin(self, life: Life) -> None:
        """What the database knows of itself."""
        self._life = life

    @property
    def epoch(self) -> bytes:
        """The current one."""
        return self._life.current.epoch

    @property
    def mark(self) -> bytes:
        """What a member is to remember."""
        said = self._life.current.packed()
        return said + self.registrar.authority.seal(said)

    async def compare(self, peer: str, mark: bytes) -> None:
        """Go on once it is certain that nothing which this member remembers is given out a second time."""
        told = self._read(mark)
        if told is None or not self._life.is_from_the_future(told):
            return
        async with self._turn:
            if self._life.is_from_the_future(told):  # somebody else may have said so meanwhile
                await self._writer.between(partial(self._begin_epoch, peer, told))

    def _read(self, mark: bytes) -> Start | None:
        said, seal = mark[:PACKED_BYTES], mark[PACKED_BYTES:]
        if len(seal) != SEAL_BYTES or not hmac.compare_digest(seal, self.registrar.authority.seal(said)):
            return None
        return Start.unpacked(said)

    async def _begin_epoch(self, peer: str, told: Start) -> None:
        heard = [] if told.epoch in self._life.epochs else [told.epoch]
        why = f"{peer} knew of a start that this database never had"
        self._life, next_id = await self._store.begin_epoch(why, heard)
        pool = self._writer.pool
        pool.next_id = max(pool.next_id, next_id)
        self.put_back = (
            f"the data were put back to an older moment ({printable(why)}): leases and results of the time"
            f" after it are dropped, new tasks have numbers from {pool.next_id:,} on"
        )
        log.error("%s", self.put_back)
        await self._audit.record(ITSELF, "new epoch", self.epoch.hex(), outcome=why)
        self._writer.note("data.restored", peer, self.put_back)
        self._part(PUT_BACK, "the manager's data were put back to an older moment: come again")
