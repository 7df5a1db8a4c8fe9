"""Which links stand and which ended last, for whoever looks. Serves none of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import merge
from time import time
from typing import Final

from msgspec.structs import replace

from ..core.text import printable
from ..handle import SessionRow
from ..net.protocol import Phase
from ..net.session import Session
from .door import Guest

ENDED: Final = 50
"""Links that ended, of which is still told."""
ENDED_HERE: Final = 5
"""The same of those at the local socket."""
_TRANSPORTS: Final = {"zt": "zerotier"}


@dataclass(frozen=True, slots=True)
class _Link:
    session: Session
    row: SessionRow
    """What does not change."""
    node: str = ""
    """Id of the ZeroTier node at the other end."""


class Standing:
    """All links of one manager."""

    def __init__(self) -> None:
        self.path: Callable[[str], str] = lambda _node_id: ""
        """`direct` or `relayed`, of the ZeroTier node with this id; set by whoever knows."""
        self._links: dict[int, _Link] = {}
        self._ended: deque[SessionRow] = deque(maxlen=ENDED)
        self._ended_here: deque[SessionRow] = deque(maxlen=ENDED_HERE)
        """Of this machine: every command has one, and they must not push out the others."""

    def begins(self, number: int, guest: Guest, session: Session) -> None:
        """Somebody was let in."""
        scheme = guest.address.partition("://")[0]
        row = SessionRow(
            id=number,
            peer=guest.peer,
            role=guest.role,
            name=printable(guest.peer),
            address=guest.address,
            transport=_TRANSPORTS.get(scheme, scheme),
            since=time(),
        )
        node = guest.hello.carrier.partition(":")[0] if scheme == "zt" else ""
        self._links[number] = _Link(session, row, node)

    def ends(self, number: int, reason: str) -> None:
        """That link is gone."""
        link = self._links.pop(number)
        ended = replace(self._row(link, None), state="ended", ended_at=time(), reason=reason)
        (self._ended_here if ended.transport == "unix" else self._ended).appendleft(ended)

    def rows(self, now: float) -> tuple[SessionRow, ...]:
        """`now` is monotonic, as the links count."""
        ended = merge(self._ended, self._ended_here, key=_when, reverse=True)
        return (*(self._row(link, now) for link in self._links.values()), *ended)

    def _row(self, link: _Link, now: float | None) -> SessionRow:
        wire = link.session.wire
        return replace(
            link.row,
            path=self.path(link.node) if link.node else "",
            rtt=wire.rtt,
            sent=wire.sent,
            received=wire.received,
            last_heard=max(0.0, now - wire.last_heard) if now is not None else None,
            state="closing" if wire.phase is Phase.CLOSING else "connected",
        )


def _when(row: SessionRow) -> float:
    return row.ended_at or 0.0
