"""Invites: who may still join, for how long, and what became of the others. Secrets never come here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult

from ...core.errors import TaskMessengerError
from ...core.text import count
from ...handle import InviteRow, PendingRow
from ..frame import Frame
from ..invite_words import MAY, countdown, shown_state, state, terms
from ..table_view import TableView
from ..view import SHORT
from ..waiting import Waiting, ask, told
from ..widgets.cells import text_of, tone_of
from ..widgets.columns import Column, Look, Sort
from ..widgets.grid import Grid
from ..widgets.plot import bar
from ..widgets.words import exact, moment, safe, with_article

ASK_SECONDS: Final = 3.0
"""For which nothing is asked, unless somebody has come or gone."""
BAR: Final = 10
"""Cells of the bar of uses."""


def _columns() -> tuple[Column[InviteRow], ...]:
    return (
        Column(key="id", title="INVITE", width=9, cell=lambda r, _: safe(r.id), order=lambda r: r.id),
        Column(key="role", title="FOR A", width=9, cell=lambda r, _: safe(r.role), order=lambda r: r.role),
        Column(key="state", title="STATE", width=10, cell=lambda r, look: shown_state(r, look.now)),
        Column(key="expires", title="ENDS IN", width=9, right=True,
               cell=lambda r, look: countdown(r, look.now), order=lambda r: r.expires_at, down=True),
        Column(key="left", title="LEFT", width=7, right=True, down=True,
               cell=lambda r, _: f"{r.uses_left:,}/{r.uses:,}", order=lambda r: r.uses_left),
        Column(key="bar", title="", width=BAR, drop=4,
               cell=lambda r, _: (bar(r.uses_left / r.uses if r.uses else 0.0, BAR), "dim")),
        Column(key="made", title="MADE", width=14, right=True, drop=2, down=True,
               cell=lambda r, look: moment(r.created_at, look.times, look.now), order=lambda r: r.created_at),
        Column(key="until", title="UNTIL", width=14, right=True, drop=1,
               cell=lambda r, look: moment(r.revoked_at or r.expires_at, look.times, look.now)),
        Column(key="may", title="MAY", width=20, grow=1, drop=3,
               cell=lambda r, _: (f"{MAY.get(r.role, '')}{terms(r)}", "dim")),
    )  # fmt: skip


class InvitesView(TableView):
    """All invites of the fleet."""

    NAME, TITLE, PLACE = "invites", "Invites", 7
    ROLES = frozenset({"manager"})
    ABOUT = (
        "Everybody who joins this fleet pastes an invite. n makes one: its text is shown once, to be copied"
        " or read by a camera, and kept nowhere. Who has joined stays when an invite is revoked. Members that"
        " wait for approval are above; A lets the one under their cursor in, X does not. Tab goes there."
    )
    SORT = Sort("made", down=True)
    EMPTY = "no invites yet: n makes one; a worker joins with it in one paste"

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self.known: tuple[InviteRow, ...] = ()
        self.waiting: tuple[PendingRow, ...] = ()
        """Members that wait for approval."""
        self._sign: object = None
        """Who was here when that was asked for."""
        self._asked = 0.0

    def body(self) -> ComposeResult:
        yield from super().body()
        yield Waiting()

    @property
    def grid(self) -> Grid[Any] | None:
        """The table that has the focus; else that of the invites."""
        focused = self.focused
        return focused if isinstance(focused, Grid) and focused.display else super().grid

    def on_mount(self) -> None:
        super().on_mount()
        self.acted()

    def noun(self) -> str:
        return "invite" if self.grid is super().grid else "member"

    def columns(self) -> Sequence[Column[InviteRow]]:
        return _columns()

    def key(self, row: InviteRow) -> str:
        return row.id

    def rows(self, frame: Frame) -> Sequence[InviteRow]:
        return self.known

    def words(self, row: InviteRow) -> str:
        return f"{row.id} {row.role} {state(row, self.console.clock())}"

    def told(self, rows: Sequence[InviteRow]) -> str:
        now = self.console.clock()
        still = [row for row in rows if state(row, now) == "open"]
        more = sum(row.uses_left for row in still)
        return f"{len(still):,} open of {count(len(rows), 'invite')}   {more:,} may still join"

    def full(self, row: InviteRow | PendingRow, look: Look) -> Text:
        styles = self.console.tones()
        if isinstance(row, PendingRow):
            return told(row, look, styles)
        shown = shown_state(row, look.now)
        text = Text(f"{safe(row.id)} for {with_article(safe(row.role))}   ", "bold")
        text.append(text_of(shown), styles.get(tone_of(shown), "not bold"))
        used = row.uses - row.uses_left
        text.append(f"\n{bar(used / row.uses if row.uses else 0.0, BAR)} ", styles["busy"])
        text.append(f"{used:,} of {count(row.uses, 'use')} taken", "not bold")
        ended = ("revoked", row.revoked_at) if row.revoked_at is not None else ("until", row.expires_at)
        text.append(f"   {ended[0]} {exact(ended[1], look.times, look.now)}", "not bold")
        may = f"{MAY.get(row.role, 'join')}{terms(row)}"
        return text.append(f"\nWhoever joins with it may {may}.", styles["dim"])

    def current(self) -> Any:
        """The invite under the cursor as it may be copied: without what is derived from its secret."""
        row = super().current()
        return public(row) if isinstance(row, InviteRow) else row

    def acted(self) -> None:
        self.run_worker(self._ask, group="invites", exclusive=True)

    def draw(self, frame: Frame) -> None:
        sign = tuple(row.id for row in frame.snapshot.sessions), frame.snapshot.alarms
        due = not 0 <= frame.now - self._asked < ASK_SECONDS
        if (sign != self._sign or (frame.second and due)) and not frame.away:
            self._sign, self._asked = sign, frame.now
            self.acted()
        super().draw(frame)
        self._draw_waiting(frame)

    def open_ids(self) -> tuple[str, ...]:
        """Of the chosen invites, those that can still be used."""
        now = self.console.clock()
        still = {row.id for row in self.known if state(row, now) == "open"}
        return tuple(key for key in self.chosen().keys if key in still)

    async def export(self) -> AsyncIterator[Any]:
        for row in self.known:
            yield public(row)

    @on(Grid.Opened)
    def _opened(self) -> None:
        self.console.give("row.menu", self)

    async def _ask(self) -> None:
        try:
            self.known, self.waiting = tuple(await self.node.invites()), await ask(self.node)
        except TaskMessengerError as error:
            if not (self.frame and self.frame.away):  # the banner says so already
                self.console.tell(str(error), "error")
            return
        if self.frame is not None and self.grid is not None:  # else it is being closed
            super().draw(self.frame)
            self._draw_waiting(self.frame)

    def _draw_waiting(self, frame: Frame) -> None:
        table = self.query_one(Waiting)
        if not self.waiting and self.focused is table.rows and (main := super().grid) is not None:
            main.focus()
        table.show(self.waiting, frame.look, tall=self.size.height >= SHORT)


def public(row: InviteRow) -> dict[str, Any]:
    """What everybody may know of an invite."""
    return {
        "id": row.id,
        "role": row.role,
        "uses": row.uses,
        "uses_left": row.uses_left,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "approve": row.approve,
        "ephemeral": row.ephemeral,
    }
