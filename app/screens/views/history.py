"""What this worker has run: the attempts that ended, newest first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on

from ...core.text import count
from ...handle import EndedRow
from ..frame import Frame
from ..own_facts import MAX_REASON, ended_lines
from ..table_view import TableView
from ..widgets.badges import badge
from ..widgets.columns import Column, Look
from ..widgets.grid import Grid
from ..widgets.words import brief, moment, safe


def _columns() -> tuple[Column[EndedRow], ...]:
    return (
        Column(key="task", title="TASK", width=8, right=True, down=True, cell=lambda r, _: str(r.task),
               order=lambda r: r.task),
        Column(key="kind", title="KIND", width=10, fit=True, cell=lambda r, _: safe(r.kind),
               order=lambda r: r.kind),
        Column(key="how", title="HOW", width=12, cell=lambda r, _: badge(r.how), order=lambda r: r.how),
        Column(key="attempt", title="ATTEMPT", width=7, right=True, down=True, drop=2,
               cell=lambda r, _: str(r.attempt), order=lambda r: r.attempt),
        Column(key="ran", title="RAN", width=7, right=True, down=True, cell=lambda r, _: brief(r.seconds),
               order=lambda r: r.seconds),
        Column(key="ended", title="ENDED", width=14, right=True, down=True,
               cell=lambda r, look: moment(r.at, look.times, look.now), order=lambda r: r.at),
        Column(key="error", title="ERROR", width=12, grow=4, drop=1,
               cell=lambda r, _: (safe(r.error, MAX_REASON), "bad")),
    )  # fmt: skip


class HistoryView(TableView):
    """Attempts that ended here."""

    NAME, TITLE, PLACE = "history", "History", 2
    ROLES = frozenset({"worker"})
    ABOUT = (
        "The last attempts that ended on this worker, newest first. What became of a task is known to the"
        " manager: it may have run again elsewhere."
    )
    EMPTY = "nothing has ended here since this worker started"

    def noun(self) -> str:
        return "attempt"

    def columns(self) -> Sequence[Column[EndedRow]]:
        return _columns()

    def key(self, row: EndedRow) -> tuple[int, int]:
        return row.task, row.attempt

    def rows(self, frame: Frame) -> Sequence[EndedRow]:
        return () if frame.snapshot.worker is None else frame.snapshot.worker.history

    def words(self, row: EndedRow) -> str:
        return f"{row.task} {row.kind} {row.how} {row.error}"

    def told(self, rows: Sequence[EndedRow]) -> str:
        failed = sum(row.how != "succeeded" for row in rows)
        return f"{count(len(rows), 'attempt')}   {failed:,} did not succeed"

    def full(self, row: EndedRow, look: Look) -> Text:
        return ended_lines(row, look, self.console.tones())

    @on(Grid.Opened)
    async def _open(self, event: Grid.Opened) -> None:
        await self.console.go("running", str(event.row.task))
