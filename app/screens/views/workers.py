"""All workers: how they are, what they may take, what they did, how loaded they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.text import Text
from textual import on

from ...core.text import count
from ...handle import WorkerRow
from ..frame import Frame
from ..table_view import TableView
from ..trails import Trails, amount, part
from ..widgets.cells import Cell
from ..widgets.columns import Column, Look, Sort
from ..widgets.grid import Grid
from ..widgets.plot import sparkline
from ..widgets.words import brief, safe, short, size
from ..worker_facts import HERE, SPARK, free, gauge, heard, kinds, labels, lines, rate, rate_words, state


def _columns(trails: Trails) -> tuple[Column[WorkerRow], ...]:
    def trail(row: WorkerRow) -> Any:
        return trails.worker(row.id)

    return (
        Column(key="id", title="WORKER", width=11, fit=True, order=lambda r: r.id,
               cell=lambda r, _: safe(r.id)),
        Column(key="state", title="STATE", width=11, order=lambda r: r.state,
               cell=lambda r, _: state(r)),
        Column(key="slots", title="SLOTS", width=5, right=True, down=True, order=lambda r: r.running,
               cell=lambda r, _: f"{r.running}/{r.capacity}" if r.capacity else ""),
        Column(key="busy", title="BUSY", width=SPARK, drop=6, down=True,
               order=lambda r: r.running / r.capacity if r.capacity else None,
               cell=lambda r, _: sparkline(trail(r).values("busy"), SPARK, top=1.0)),
        Column(key="free", title="FREE", width=5, right=True, down=True, order=free,
               cell=lambda r, _: "" if (some := free(r)) is None else (f"{some:,}", "" if some else "dim")),
        Column(key="done", title="DONE", width=6, right=True, down=True, order=lambda r: r.done,
               cell=lambda r, _: short(r.done) if r.capacity or r.done else ""),
        Column(key="failed", title="ERRORS", width=6, right=True, down=True, order=lambda r: r.failed,
               cell=lambda r, _: _errors(r)),
        Column(key="rate", title="/S", width=4, right=True, down=True, drop=2, order=lambda r: rate(trail(r)),
               cell=lambda r, _: rate_words(rate(trail(r)))),
        Column(key="cpu", title="CPU", width=SPARK + 6, down=True, drop=1,
               order=lambda r: part(r.load, "cpu"), cell=lambda r, _: gauge(r, trail(r), "cpu")),
        Column(key="memory", title="MEM", width=5, right=True, down=True, drop=2,
               order=lambda r: part(r.load, "memory"),
               cell=lambda r, _: "" if (m := part(r.load, "memory")) is None else f"{m:.0%}"),
        Column(key="rss", title="RSS", width=9, right=True, down=True, drop=8,
               order=lambda r: amount(r.load, "rss"), cell=lambda r, _: size(amount(r.load, "rss"))),
        Column(key="rtt", title="RTT", width=6, right=True, down=True, drop=5, order=lambda r: r.rtt,
               cell=lambda r, _: brief(r.rtt or None)),
        Column(key="heard", title="HEARD", width=6, right=True, down=True, drop=7,
               order=lambda r: r.last_heard, cell=lambda r, _: heard(r)),
        Column(key="kinds", title="KINDS", width=16, grow=3, drop=4, cell=lambda r, _: kinds(r)),
        Column(key="labels", title="LABELS", width=14, fit=True, drop=3,
               cell=lambda r, _: (labels(r), "dim")),
    )  # fmt: skip


def _errors(row: WorkerRow) -> Cell:
    if not (row.capacity or row.done or row.failed):
        return ""
    return (short(row.failed), "bad" if row.failed else "dim")


class WorkersView(TableView):
    """All workers."""

    NAME, TITLE, PLACE = "workers", "Workers", 4
    ROLES = frozenset({"manager"})
    ABOUT = (
        "Every worker that is or was a member. FREE is how many of its slots are; /S how many tasks it "
        "ends in a second; ERRORS are attempts that went wrong, of which a task may have several. Type / and"
        " words, or  state:paused,away  -gpu ; Enter opens a worker."
    )
    SORT = Sort("id")
    EMPTY = "no worker has joined yet; `taskmessenger invite` makes an invite for one"

    def noun(self) -> str:
        return "worker"

    def columns(self) -> Sequence[Column[WorkerRow]]:
        return _columns(self.trails)

    def key(self, row: WorkerRow) -> str:
        return row.id

    def rows(self, frame: Frame) -> Sequence[WorkerRow]:
        return frame.snapshot.workers

    def vital(self, row: WorkerRow) -> Any:
        return row.id, row.state, row.running, row.capacity, row.done, row.failed

    def words(self, row: WorkerRow) -> str:
        return f"{row.id} {row.state} {row.address} {row.transport} {kinds(row)} {labels(row)} {row.version}"

    def told(self, rows: Sequence[WorkerRow]) -> str:
        states = Counter(row.state for row in rows)
        here = [row for row in rows if row.state in HERE]
        used, all_slots = sum(row.running for row in here), sum(row.capacity for row in here)
        parts = [f"{number:,} {state}" for state, number in states.most_common()]
        return "  ".join([*parts, f"{used:,}/{count(all_slots, 'slot')}"])

    def full(self, row: WorkerRow, look: Look) -> Text:
        return lines(row, self.trails.worker(row.id), look, self.console.tones())

    def members(self) -> Sequence[WorkerRow]:
        """The workers that a command applies to."""
        table = self.query_one(Grid).table
        if table.marks:
            return [row for row in table.rows if table.key(row) in table.marks]
        row = table.current()
        return () if row is None else (row,)

    @on(Grid.Opened)
    def _open(self) -> None:
        self.console.give("worker.open", self)
