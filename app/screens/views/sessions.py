"""Every link of the manager, and the last ones that ended: who, how, how fast, how alive, why it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.text import Text
from textual import on

from ...core.text import count
from ...handle import SessionRow
from ..frame import Frame
from ..table_view import TableView
from ..widgets.badges import badge
from ..widgets.cells import Cell
from ..widgets.columns import Column, Look
from ..widgets.grid import Grid
from ..widgets.words import brief, exact, moment, safe, size, span
from ..worker_facts import LATE, Facts, block

ENDED = "ended"


def _path(row: SessionRow) -> Cell:
    return ("relayed", "warn") if row.path == "relayed" else safe(row.path)


def _heard(row: SessionRow) -> Cell:
    if row.last_heard is None:
        return ""
    return (brief(row.last_heard), "warn" if row.last_heard >= LATE else "")


def _lasted(row: SessionRow, look: Look) -> float:
    return (row.ended_at if row.ended_at is not None else look.now) - row.since


def _columns() -> tuple[Column[SessionRow], ...]:
    return (
        Column(key="peer", title="PEER", width=11, fit=True, order=lambda r: r.peer,
               cell=lambda r, _: safe(r.peer)),
        Column(key="role", title="ROLE", width=8, drop=4, order=lambda r: r.role,
               cell=lambda r, _: safe(r.role)),
        Column(key="state", title="STATE", width=11, order=lambda r: r.state,
               cell=lambda r, _: badge(r.state)),
        Column(key="via", title="VIA", width=8, order=lambda r: r.transport,
               cell=lambda r, _: safe(r.transport)),
        Column(key="path", title="PATH", width=7, drop=1, order=lambda r: r.path or None,
               cell=lambda r, _: _path(r)),
        Column(key="address", title="ADDRESS", width=24, grow=2, drop=6, cell=lambda r, _: safe(r.address)),
        Column(key="lasted", title="FOR", width=8, right=True, down=True, drop=3, order=lambda r: -r.since,
               cell=lambda r, look: brief(_lasted(r, look))),
        Column(key="rtt", title="RTT", width=6, right=True, down=True, cell=lambda r, _: brief(r.rtt or None),
               order=lambda r: r.rtt),
        Column(key="heard", title="HEARD", width=6, right=True, down=True, cell=lambda r, _: _heard(r),
               order=lambda r: r.last_heard),
        Column(key="sent", title="SENT", width=9, right=True, down=True, drop=5,
               order=lambda r: r.sent, cell=lambda r, _: size(r.sent)),
        Column(key="received", title="RECEIVED", width=9, right=True, down=True, drop=5,
               cell=lambda r, _: size(r.received), order=lambda r: r.received),
        Column(key="ended", title="ENDED", width=14, right=True, down=True, drop=7,
               order=lambda r: r.ended_at,
               cell=lambda r, look: (moment(r.ended_at, look.times, look.now), "dim")),
        Column(key="reason", title="WHY IT ENDED", width=20, grow=4,
               cell=lambda r, _: (safe(r.reason), "warn")),
    )  # fmt: skip


class SessionsView(TableView):
    """Every link."""

    NAME, TITLE, PLACE = "sessions", "Sessions", 2
    ROLES = frozenset({"manager"})
    ABOUT = (
        "Links of workers, clients and operators: those that stand, then the last that ended, and why."
        " RTT is the round trip of the newest heartbeat, HEARD how long ago the peer gave a sign of life."
    )
    EMPTY = "no links; `taskmessenger invite` makes an invite for a worker, a client or an operator"

    def noun(self) -> str:
        return "session"

    def columns(self) -> Sequence[Column[SessionRow]]:
        return _columns()

    def key(self, row: SessionRow) -> int:
        return row.id

    def rows(self, frame: Frame) -> Sequence[SessionRow]:
        return frame.snapshot.sessions

    def vital(self, row: SessionRow) -> Any:
        return row.id, row.state

    def words(self, row: SessionRow) -> str:
        who = f"{row.peer} {row.name} {row.role} {row.state}"
        return f"{who} {row.address} {row.transport} {row.path} {row.reason}"

    def told(self, rows: Sequence[SessionRow]) -> str:
        standing = [row for row in rows if row.state != ENDED]
        parts = [count(len(standing), "link")]
        by_transport = Counter(row.transport for row in standing).most_common()
        parts += [" ".join(f"{number:,} {safe(via)}" for via, number in by_transport)] if by_transport else []
        relayed = sum(row.path == "relayed" for row in standing)
        parts += [f"{relayed:,} relayed"] if relayed else []
        parts.append(f"{len(rows) - len(standing)} ended")
        sent, received = self.trails.traffic()
        return "  ".join([*parts, f"↑{size(sent)}/s ↓{size(received)}/s"])

    def full(self, row: SessionRow, look: Look) -> Text:
        styles, trail = self.console.tones(), self.trails.link(row.id)
        sent, received = trail.rate("sent"), trail.rate("received")
        name = safe(row.name) if row.name != row.peer else ""
        first: Facts = (
            ("", safe(row.peer)), ("called", name), ("", safe(row.role)), ("", badge(row.state)),
            ("", safe(row.address)), ("", _path(row)),
        )  # fmt: skip
        second: Facts = (
            ("sent", size(row.sent)), ("", "" if sent is None else f"{size(sent)}/s"),
            ("received", size(row.received)), ("", "" if received is None else f"{size(received)}/s"),
        )  # fmt: skip
        third: Facts = (
            ("round trip", span(row.rtt or None)), ("heard", _heard(row)),
            ("began", exact(row.since, look.times, look.now)),
        )  # fmt: skip
        last: Facts = (("ended", exact(row.ended_at, look.times, look.now)), ("", (safe(row.reason), "warn")))
        return block((first, second, third, last), styles)

    @on(Grid.Opened)
    def _open(self) -> None:
        self.console.give("session.worker", self)
