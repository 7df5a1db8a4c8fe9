"""What the fleet is busy with, by kind of task: waiting, running, how fast, how long, how often it fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text
from textual import on

from ...core.text import count
from ...handle import KindRow
from ..frame import Frame
from ..table_view import TableView
from ..trails import Trails
from ..widgets.cells import Cell
from ..widgets.columns import Column, Look, Sort
from ..widgets.grid import Grid
from ..widgets.plot import bar, sparkline
from ..widgets.words import brief, safe, short, span
from ..worker_facts import Facts, block, rate_words

CELLS: Final = 24
"""Of the curve in the table."""
BAR: Final = 8


def state_of(row: KindRow) -> Cell:
    """Whether it is paused, has no worker, runs, waits or is idle."""
    if row.paused:
        return ("‖ paused", "warn")
    if row.queued and not row.workers:
        return ("! no worker", "bad")
    if row.running:
        return ("● runs", "busy")
    return ("○ waits", "") if row.queued else ("· idle", "dim")


def failing(row: KindRow) -> float | None:
    """Share of the outcomes that were failures."""
    ended = row.done + row.failed
    return row.failed / ended if ended else None


def _failed(row: KindRow) -> Cell:
    if not row.failed:
        return ("0", "dim")
    return (short(row.failed), "bad")


def _columns(trails: Trails) -> tuple[Column[KindRow], ...]:
    return (
        Column(key="kind", title="KIND", width=9, fit=True, order=lambda r: r.name,
               cell=lambda r, _: safe(r.name)),
        Column(key="state", title="STATE", width=11, order=lambda r: state_of(r)[0],
               cell=lambda r, _: state_of(r)),
        Column(key="running", title="RUN", width=5, right=True, down=True, order=lambda r: r.running,
               cell=lambda r, _: short(r.running)),
        Column(key="queued", title="QUEUE", width=5, right=True, down=True, order=lambda r: r.queued,
               cell=lambda r, _: short(r.queued)),
        Column(key="rate5s", title="5S", width=5, right=True, down=True, order=lambda r: r.rate_5s,
               cell=lambda r, _: rate_words(r.rate_5s)),
        Column(key="rate30s", title="30S", width=5, right=True, down=True, order=lambda r: r.rate_30s,
               cell=lambda r, _: rate_words(r.rate_30s)),
        Column(key="rate5m", title="5MIN", width=5, right=True, down=True, order=lambda r: r.rate_5min,
               cell=lambda r, _: rate_words(r.rate_5min)),
        Column(key="curve", title="RATE", width=CELLS, drop=3,
               cell=lambda r, _: (sparkline(trails.kind(r.name).values("rate"), CELLS), "busy")),
        Column(key="p50", title="P50", width=8, right=True, down=True, drop=1, order=lambda r: r.p50,
               cell=lambda r, _: brief(r.p50)),
        Column(key="p95", title="P95", width=8, right=True, down=True, drop=1, order=lambda r: r.p95,
               cell=lambda r, _: brief(r.p95)),
        Column(key="done", title="DONE", width=7, right=True, down=True, drop=2, order=lambda r: r.done,
               cell=lambda r, _: short(r.done)),
        Column(key="failed", title="FAILED", width=6, right=True, down=True, order=lambda r: r.failed,
               cell=lambda r, _: _failed(r)),
        Column(key="failing", title="FAIL%", width=6, right=True, down=True, drop=4, order=failing,
               cell=lambda r, _: "" if (part := failing(r)) is None else f"{part:.1%}"),
        Column(key="workers", title="WORKERS", width=7, right=True, down=True, drop=5,
               order=lambda r: r.workers, cell=lambda r, _: (str(r.workers), "" if r.workers else "warn")),
    )  # fmt: skip


class KindsView(TableView):
    """All kinds of tasks."""

    NAME, TITLE, PLACE = "kinds", "Kinds", 5
    ROLES = frozenset({"manager"})
    ABOUT = (
        "Kinds of tasks, busiest first: how many run and wait, how many end in a second (5 s, 30 s, 5 min),"
        " how long the middle one and the slowest twentieth take, and how many"
        " tasks ended as failed. Enter shows the tasks of the kind."
    )
    SORT = Sort("running", down=True)
    EMPTY = "no kinds yet; a worker brings them, `taskmessenger invite` makes an invite for one"

    def noun(self) -> str:
        return "kind"

    def columns(self) -> Sequence[Column[KindRow]]:
        return _columns(self.trails)

    def key(self, row: KindRow) -> str:
        return row.name

    def rows(self, frame: Frame) -> Sequence[KindRow]:
        return frame.snapshot.kinds

    def words(self, row: KindRow) -> str:
        return row.name

    def told(self, rows: Sequence[KindRow]) -> str:
        running, queued = sum(row.running for row in rows), sum(row.queued for row in rows)
        ends = rate_words(sum(row.rate_30s for row in rows))
        paused = sum(row.paused for row in rows)
        parts = [count(len(rows), "kind"), f"{running:,} running", f"{queued:,} waiting", f"{ends} ended/s"]
        return "   ".join([*parts, f"{paused} paused"] if paused else parts)

    def full(self, row: KindRow, look: Look) -> Text:
        styles, trail = self.console.tones(), self.trails.kind(row.name)
        share = failing(row)
        frame = self.frame
        fleet = None if frame is None else frame.snapshot.fleet
        why = "" if fleet is None else fleet.waiting.get(row.name, "")
        first: Facts = (
            ("", safe(row.name)), ("", state_of(row)), ("running", f"{row.running:,}"),
            ("waiting", f"{row.queued:,}"), ("workers", str(row.workers)),
        )  # fmt: skip
        second: Facts = (
            ("done", f"{row.done:,}"), ("failed tasks", f"{row.failed:,}"),
            ("", "" if share is None else f"{bar(share, BAR)} {share:.1%} fail"),
            ("p50", span(row.p50)), ("p95", span(row.p95)),
        )  # fmt: skip
        third: Facts = (
            ("ended/s", (sparkline(trail.values("rate"), CELLS), "good")),
            ("waiting", (sparkline(trail.values("queued"), CELLS), "warn")),
        )
        return block((first, second, third, (("", (safe(why), "warn")),)), styles)

    @on(Grid.Opened)
    def _open(self) -> None:
        self.console.give("kind.tasks", self)
