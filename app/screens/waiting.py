"""Members that wait for approval, as a table above the invites. What is done with them is said elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from ..core.errors import UsageError
from ..core.text import count
from ..handle import NodeHandle, PendingRow
from .widgets.columns import Column, Look, Sort
from .widgets.grid import Grid
from .widgets.table import HEAD
from .widgets.words import brief, exact, safe, span

MOST: Final = 4
"""Rows that are seen at once on a small screen; the others are reached with the cursor."""
MOST_TALL: Final = 10
ID: Final = "pending"
"""Of the grid, among the widgets."""


def _columns() -> tuple[Column[PendingRow], ...]:
    return (
        Column(key="member", title="MEMBER", width=18, fit=True, cell=lambda r, _: safe(r.id),
               order=lambda r: r.id),
        Column(key="fingerprint", title="FINGERPRINT", width=12, order=lambda r: r.fingerprint,
               cell=lambda r, _: (safe(r.fingerprint), "busy")),
        Column(key="role", title="AS A", width=9, cell=lambda r, _: safe(r.role), order=lambda r: r.role),
        Column(key="waits", title="WAITS", width=8, right=True, down=True,
               cell=lambda r, look: brief(max(look.now - r.since, 0.0)), order=lambda r: -r.since),
        Column(key="invite", title="INVITE", width=9, drop=2, cell=lambda r, _: safe(r.invite or ""),
               order=lambda r: r.invite or ""),
        Column(key="machine", title="MACHINE", width=18, grow=3, drop=1,
               cell=lambda r, _: (safe(r.inventory), "dim")),
    )  # fmt: skip


class Waiting(Vertical):
    """Who waits, oldest first; not there at all while nobody does."""

    DEFAULT_CSS = """
    Waiting { dock: top; height: auto; display: none; border-bottom: solid $primary 50%; }
    Waiting > Static { height: 1; padding: 0 1; text-style: bold; color: $warning; }
    """

    def compose(self) -> ComposeResult:
        yield Static()
        yield Grid(_columns(), key=lambda row: row.id, sort=Sort("waits", down=True), id=ID)

    @property
    def rows(self) -> Grid[PendingRow]:
        """The table."""
        return self.query_one(f"#{ID}", Grid)

    def chosen(self) -> Sequence[PendingRow]:
        """The marked ones, or the one under their cursor."""
        table = self.rows.table
        marked = [row for row in table.rows if row.id in table.marks]
        row = table.current()
        return marked or ([] if row is None else [row])

    def show(self, members: Sequence[PendingRow], look: Look, *, tall: bool) -> None:
        """These wait."""
        self.display = bool(members)
        if not members:
            self.rows.show((), look)
            return
        number = len(members)
        told = f"◔ {count(number, 'member')} {'waits' if number == 1 else 'wait'} for approval"
        self.query_one(Static).update(Text(told))
        self.rows.styles.height = HEAD + min(number, MOST_TALL if tall else MOST)
        self.rows.show(members, look)


async def ask(node: NodeHandle) -> tuple[PendingRow, ...]:
    """Who waits."""
    try:
        return tuple(await node.pending())
    except UsageError:  # a manager of an older version, where nobody does
        return ()


def told(row: PendingRow, look: Look, styles: Mapping[str, str]) -> Text:
    """One of them in full."""
    text = (
        Text()
        .append(f"{safe(row.id)}   ", "bold")
        .append(f"fingerprint {safe(row.fingerprint)}", styles["busy"])
    )
    text.append(f"\n{safe(row.role)}, invite {safe(row.invite or '')}, since ")
    text.append(exact(row.since, look.times, look.now))
    text.append(f"\n{safe(row.inventory)}" if row.inventory else "")
    left = span(max(row.until - look.now, 0.0))
    last = f"\nForgotten in {left}. The machine itself must show the same fingerprint."
    return text.append(last, styles["dim"])
