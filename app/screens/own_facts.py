"""What a worker says of itself, as lines of text and curves. Builds text; asks nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from rich.text import Text

from ..core.text import count
from ..handle import EndedRow, RunningRow, WorkerSelf
from .trails import KEPT, LEAST, NOTHING, Trail, amount, part
from .widgets.badges import badge
from .widgets.cells import Cell
from .widgets.coloured import coloured, tail
from .widgets.columns import Look
from .widgets.panel import Curve
from .widgets.plot import bar, sparkline
from .widgets.words import exact, safe, share, short, size, span
from .worker_facts import HOT, joined

MAX_KINDS: Final = 40
MAX_REASON: Final = 300
MAX_OUTPUT: Final = 16 * 1024
"""Characters of a running task's output that are laid out."""
SOON: Final = 3 * 86_400.0
"""Seconds of a certificate's life that are few: it should have been renewed long before."""
BAR: Final = 16
CURVE: Final = 14
"""Cells of a curve, of which two and their numbers stand in one line of 80."""
_NAMES: Final = ("cpu", "memory", "busy", "ended", "sent", "received")


class OwnTrail(Trail):
    """The last minutes of a worker, by itself."""

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        super().__init__(_NAMES)
        self._newest = float("-inf")

    def take(self, at: float, me: WorkerSelf) -> None:
        """Note what is new; more often than needed does no harm."""
        if 0 <= at - self._newest < LEAST:
            return
        self._newest = at
        cpu, memory = part(me.load, "cpu"), part(me.load, "memory")
        self.add(
            at,
            NOTHING if cpu is None else cpu,
            NOTHING if memory is None else memory,
            float(len(me.running)),
            float(me.done + me.failed),
            float(me.sent),
            float(me.received),
        )


def facts(me: WorkerSelf, trail: OwnTrail, look: Look, styles: Mapping[str, str], *, curves: bool) -> Text:
    """All of it; `curves`: with processor and memory, where there is no room for plots."""
    made = [
        joined((("state   ", badge(me.state)), *_link(me)), styles),
        joined((("reason  ", (safe(me.reason, MAX_REASON), "bad")),), styles),
        joined((("member  ", safe(me.peer or me.name)), *_certificate(me, look)), styles),
        joined((("slots   ", _slots(me)), *_work(me)), styles),
        joined((("drain   ", _drain(me, look)),), styles),
        joined((("network ", f"sent {size(me.sent)}{_speed(me, trail, 'sent')}"),
                ("", f"received {size(me.received)}{_speed(me, trail, 'received')}")), styles),
    ]  # fmt: skip
    if curves:
        made.append(joined((*_gauges(me, trail), ("of it", size(amount(me.load, "rss")))), styles))
    made.append(joined((("kinds   ", _kinds(me)),), styles))
    return _stacked(made)


def curves(me: WorkerSelf, trail: OwnTrail) -> Sequence[Curve]:
    """Processor, memory, slots and tasks ended a second."""
    own = amount(me.load, "rss")
    rate = trail.rate("ended")
    drawn = (
        ([100 * value for value in trail.values("cpu")], "%", 100.0, share(part(me.load, "cpu")), "busy"),
        ([100 * value for value in trail.values("memory")], "%", 100.0,
         share(part(me.load, "memory")) + ("" if own is None else f", {size(own)} its own"), "warn"),
        ([*trail.values("busy")], "", float(me.capacity), f"{len(me.running)} of {me.capacity}", "busy"),
        ([*trail.per_second("ended")], "", None, "" if rate is None else f"{short(rate)}/s", "good"),
    )  # fmt: skip
    seconds = trail.seconds * KEPT / max(len(trail.values("cpu")), 1)
    return [
        Curve(
            values=[*[NOTHING] * (KEPT - len(values)), *values],
            unit=unit,
            seconds=seconds,
            top=top,
            now=now,
            tone=tone,
            whole=top is not None,
        )
        for values, unit, top, now, tone in drawn
    ]


def progress(row: RunningRow, cells: int = BAR) -> Cell:
    """How far a task is: `━━━━──── 50 %`; empty where it does not tell."""
    if row.fraction is None or not 0 <= row.fraction <= 1:
        return ""
    return (f"{bar(row.fraction, cells)} {share(row.fraction):>5}", "busy")


def output(row: RunningRow) -> Text:
    """The newest of what a task wrote, in its colours, with everything else in it made visible."""
    return coloured(tail(row.output, MAX_OUTPUT).rstrip("\n"), MAX_OUTPUT)


def running_lines(row: RunningRow, look: Look, styles: Mapping[str, str]) -> Text:
    """A running task, in lines."""
    made = (
        joined((("", badge("running")), ("", safe(row.kind)), ("attempt", str(row.attempt)),
                ("runs for", span(max(look.now - row.since, 0.0)))), styles),
        joined((("since", exact(row.since, look.times, look.now)),), styles),
        joined((("", progress(row, 2 * BAR)), ("", safe(row.note))), styles),
    )  # fmt: skip
    return _stacked(made)


def ended_lines(row: EndedRow, look: Look, styles: Mapping[str, str]) -> Text:
    """An attempt that ended, in lines."""
    made = (
        joined((("", str(row.task)), ("", badge(row.how)), ("", safe(row.kind)),
                ("attempt", str(row.attempt)), ("ran for", span(row.seconds))), styles),
        joined((("ended", exact(row.at, look.times, look.now)),), styles),
        joined((("", (safe(row.error, MAX_REASON), "bad")),), styles),
    )  # fmt: skip
    return _stacked(made)


def _stacked(lines: Iterable[Text]) -> Text:
    return Text("\n").join(line for line in lines if line)


def _link(me: WorkerSelf) -> Iterator[tuple[str, Cell]]:
    yield "manager", safe(me.manager)
    yield "at", safe(me.address)
    yield "round trip", span(me.rtt or None)


def _certificate(me: WorkerSelf, look: Look) -> Iterator[tuple[str, Cell]]:
    if me.certificate_until is None:
        return
    left = me.certificate_until - look.now
    words = f"for {span(left)}" if left > 0 else f"ended {span(-left)} ago"
    yield "certificate", (words, "bad" if left <= 0 else "warn" if left < SOON else "")


def _slots(me: WorkerSelf) -> str:
    busy = len(me.running)
    return f"{busy}/{me.capacity} {bar(busy / me.capacity, 8)}" if me.capacity else str(busy)


def _work(me: WorkerSelf) -> Iterator[tuple[str, Cell]]:
    yield "waiting", f"{me.waiting:,}"
    yield "done", f"{me.done:,}"
    yield "failed", (f"{me.failed:,}", "bad" if me.failed else "")
    yield "unconfirmed", f"{me.unacknowledged:,}" if me.unacknowledged else ""


def _gauges(me: WorkerSelf, trail: OwnTrail) -> Iterator[tuple[str, Cell]]:
    for name in ("cpu", "memory"):
        value = part(me.load, name)
        if value is not None:
            text = f"{sparkline(trail.values(name), CURVE, top=1.0)} {share(value):>5}"
            yield f"{name:8}" if name == "cpu" else name, (text, "warn" if value >= HOT else "")


def _drain(me: WorkerSelf, look: Look) -> Cell:
    """How far it is with leaving, and until when it may take."""
    if me.state != "draining" or me.leave_by is None:
        return ""
    left, most = len(me.running), max(me.leaving, len(me.running))
    gone = f"{bar((most - left) / most, BAR)} " if most else ""
    until = span(max(me.leave_by - look.now, 0.0))
    return (f"{gone}{left} of {count(most, 'task')} left, deadline in {until}", "warn")


def _speed(me: WorkerSelf, trail: OwnTrail, name: str) -> str:
    rate = trail.rate(name)
    return "" if rate is None or me.state == "stopped" else f" ({size(rate)}/s)"


def _kinds(me: WorkerSelf) -> str:
    more = f" and {len(me.kinds) - MAX_KINDS} more" if len(me.kinds) > MAX_KINDS else ""
    return ", ".join(safe(kind) for kind in me.kinds[:MAX_KINDS]) + more
