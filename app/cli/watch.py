"""`taskmessenger watch`: what the console shows, as lines: for screen readers, pipes and logs. No Textual."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from .. import outlet
from ..core.text import count, printable, redact
from .options import NAME, Duration
from .output import span, to_json
from .told import INTERRUPTED, Told

if TYPE_CHECKING:
    from ..handle import EventPage, EventRow, KindRow, NodeHandle, PoolStatus, Snapshot, WorkerRow

EVERY: Final = 5.0
"""Seconds between two looks."""
LEAST_EVERY: Final = 0.25
MOST_EVERY: Final = 86_400.0
MAX_ROWS: Final = 200
"""Workers, kinds or alarms that one look tells of; how many more there are is told as well."""
MAX_EVENTS: Final = 1_000
"""Events that one look tells of; of the rest only the number."""
MAX_TEXT: Final = 500
LEVELS: Final = ("debug", "info", "warning", "error")
COLOURS: Final = {"warning": "yellow", "error": "red"}
ATTACH_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line."""

    at: float
    about: str
    """fleet, kind, worker, alarm, event, missed, away, back"""
    words: str
    data: dict[str, Any] = field(default_factory=dict)
    level: str = "info"

    def text(self) -> str:
        """For people: time, what it is about, words."""
        moment = time.strftime("%H:%M:%S", time.localtime(self.at))
        return f"{moment} {self.about} {printable(redact(self.words), MAX_TEXT)}"

    def json(self) -> str:
        """For programs: `at` in seconds since the epoch, `about`, and the facts."""
        return to_json({"at": self.at, "about": self.about, "level": self.level, **self.data})


class Watcher:
    """Says what is new from one look to the next."""

    def __init__(self, least: str = "info", *, history: bool = True) -> None:
        """`history`: whether events count that were there before the first look."""
        self._least = LEVELS.index(least)
        self._since: float | None = 0.0 if history else None
        """By the clock of the node; None until it is known."""
        self._told: dict[tuple[str, str], str] = {}
        self._away = False

    def look(self, snapshot: Snapshot, page: EventPage) -> Iterator[Fact]:
        """The fleet always; of everything else what differs from the last time."""
        if not snapshot.connected:
            if not self._away:
                self._away = True
                words = f"{snapshot.role} away: {snapshot.reason or 'it does not answer'}; waiting for it"
                yield Fact(at=snapshot.at, about="away", words=words, data={"reason": snapshot.reason},
                           level="error")  # fmt: skip
            return
        if self._away:
            self._away = False
            yield Fact(at=snapshot.at, about="back", words=f"{snapshot.role} answers again")
        yield from self._events(snapshot.at, page)
        if snapshot.fleet is not None:
            yield _fleet(snapshot.at, snapshot.fleet)
        yield from self._changed("alarm", self._alarms(snapshot))
        yield from self._changed("kind", (_kind(snapshot.at, row) for row in snapshot.kinds))
        yield from self._changed("worker", (_worker(snapshot.at, row) for row in snapshot.workers))

    def _events(self, at: float, page: EventPage) -> Iterator[Fact]:
        first, self._since = self._since is None, at if self._since is None else self._since
        if page.missed and not first:
            words = f"{count(page.missed, 'event')}: more came than could be told"
            yield Fact(at=at, about="missed", words=words, data={"number": page.missed}, level="warning")
        for row in page.rows:
            if row.at < self._since:
                continue
            if row.level not in LEVELS or LEVELS.index(row.level) >= self._least:
                yield _event(row)

    def _alarms(self, snapshot: Snapshot) -> Iterator[tuple[str, Fact]]:
        for alarm in snapshot.alarms:
            data = {"code": alarm.code, "text": alarm.text, "scope": alarm.scope, "since": alarm.since}
            words = f"{alarm.level}: {alarm.text}"
            yield (
                f"{alarm.code} {alarm.scope}",
                Fact(at=snapshot.at, about="alarm", words=words, data=data, level=alarm.level),
            )

    def _changed(self, about: str, facts: Iterable[tuple[str, Fact]]) -> Iterator[Fact]:
        """Those with other words than before; that something is no more is told by its name."""
        told, here = 0, set()
        before = {name for what, name in self._told if what == about}
        for name, fact in facts:
            here.add(name)
            if self._told.get((about, name)) == fact.words:
                continue
            self._told[about, name] = fact.words
            told += 1
            if told <= MAX_ROWS:
                yield fact
            last = fact.at
        if told > MAX_ROWS:
            number = told - MAX_ROWS
            words = f"and {number:,} more that changed"
            yield Fact(at=last, about=about, words=words, data={"more": number})
        for name in sorted(before - here):
            gone = self._told.pop((about, name))
            words = f"over: {gone}" if about == "alarm" else f"{name} is not listed any more"
            yield Fact(at=time.time(), about=about, words=words, data={"name": name, "over": True})


@click.command()
@click.option(
    "--every",
    type=Duration(LEAST_EVERY, MOST_EVERY),
    default=EVERY,
    show_default="5s",
    help="Between two looks.",
)
@click.option("--level", type=click.Choice(LEVELS), default="info", help="Least level of the events.")
@click.option(
    "--attach",
    type=NAME,
    metavar="ADDRESS",
    help="A manager elsewhere; else the one the other commands talk to.",
)
@click.option("--history", is_flag=True, help="Begin with the events that the manager remembers.")
@click.option("--plain", is_flag=True, help="No colours, also on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object on each line.")
def watch(*, every: float, level: str, attach: str | None, history: bool, plain: bool, as_json: bool) -> None:
    """Print what goes on as lines: the fleet at every look, events, and what changed of workers and kinds.

    From now on, until interrupted. While the manager is away it waits for it, and says so.

    \b
    Examples:
      taskmessenger watch --every 10s
      taskmessenger watch --json --level warning | jq .
    """  # noqa: D301  \b keeps click from filling the examples
    from .connect import run

    try:
        run(_watch, Watcher(level, history=history), every, attach, plain, as_json)
    except KeyboardInterrupt as end:  # how this ends; there is nothing to say about it
        outlet.give_up()
        sys.exit(end.exit_code if isinstance(end, Told) else INTERRUPTED)


async def _watch(watcher: Watcher, every: float, address: str | None, plain: bool, as_json: bool) -> None:
    import anyio

    from ..attached import attached
    from ..paths import find
    from .connect import GRACE, dialler

    if address is None:
        dial = dialler(find(), GRACE)
    else:
        from .console import address_dialler

        dial = address_dialler(find(), address)
    async with attached(dial) as node:
        with anyio.move_on_after(ATTACH_SECONDS):
            while node.snapshot().fleet is None:
                await anyio.sleep(POLL_SECONDS)
        cursor = 0
        while True:
            page = node.events(cursor, MAX_EVENTS)
            cursor = page.cursor
            for fact in watcher.look(node.snapshot(), page):
                _print(fact, plain=plain, as_json=as_json)
            sys.stdout.flush()
            await _fresh(node, every)


async def _fresh(node: NodeHandle, every: float) -> None:
    """Until the next look. Asking is what keeps a node's snapshot fresh, so it is asked shortly before."""
    import anyio

    before = min(every / 2, 2 * LEAST_EVERY)
    await anyio.sleep(every - before)
    node.snapshot()
    await anyio.sleep(before)


def _print(fact: Fact, *, plain: bool, as_json: bool) -> None:
    if as_json:
        click.echo(fact.json())
    elif plain:
        click.echo(fact.text())
    else:
        # Colours leave by themselves where there is no terminal.
        click.secho(fact.text(), fg=COLOURS.get(fact.level), bold=fact.about == "fleet" or None)


def _fleet(at: float, fleet: PoolStatus) -> Fact:
    totals = ", ".join(f"{number:,} {word}" for word, number in fleet.totals.items() if number)
    parts = [
        totals or "no tasks yet",
        f"{fleet.rate:,.1f} ended a second",
        f"{count(fleet.workers, 'worker')}, {count(fleet.slots, 'slot')}",
    ]
    parts += [f"paused: {', '.join(fleet.paused)}"] if fleet.paused else []
    parts += [f"nothing is accepted: {fleet.degraded}"] if fleet.degraded else []
    data = {
        "name": fleet.manager, "tasks": fleet.totals, "rate": fleet.rate, "workers": fleet.workers,
        "slots": fleet.slots, "paused": list(fleet.paused), "degraded": fleet.degraded,
    }  # fmt: skip
    level = "error" if fleet.degraded else "info"
    return Fact(at=at, about="fleet", words=f"{fleet.manager}: {'; '.join(parts)}", data=data, level=level)


def _kind(at: float, row: KindRow) -> tuple[str, Fact]:
    parts = [f"{row.queued:,} queued, {row.running:,} running, {row.done:,} done, {row.failed:,} failed"]
    parts += [f"half within {span(row.p50)}"] if row.p50 is not None else []
    parts += [count(row.workers, "worker") if row.workers else "no worker offers it"]
    parts += ["paused"] if row.paused else []
    data = {
        "name": row.name, "queued": row.queued, "running": row.running, "done": row.done,
        "failed": row.failed, "rate": row.rate_30s, "p50": row.p50, "p95": row.p95, "workers": row.workers,
        "paused": row.paused,
    }  # fmt: skip
    return row.name, Fact(at=at, about="kind", words=f"{row.name}: {'; '.join(parts)}", data=data)


def _worker(at: float, row: WorkerRow) -> tuple[str, Fact]:
    """Its load is left out of the words: a line for every tremor helps nobody. JSON has it."""
    words = f"{row.id} {row.state}: {row.running} of {count(row.capacity, 'slot')}"
    words += f"; {row.done:,} done, {row.failed:,} failed"
    data = {
        "name": row.id, "state": row.state, "running": row.running, "capacity": row.capacity,
        "done": row.done, "failed": row.failed, "address": row.address, "rtt": row.rtt, "load": row.load,
    }  # fmt: skip
    level = "warning" if row.state == "away" else "info"
    return row.id, Fact(at=at, about="worker", words=words, data=data, level=level)


def _event(row: EventRow) -> Fact:
    words = f"{row.level}: {row.what} {row.subject} {row.text}".strip()
    data = {"number": row.number, "what": row.what, "subject": row.subject, "text": row.text}
    return Fact(at=row.at, about="event", words=words, data=data, level=row.level)
