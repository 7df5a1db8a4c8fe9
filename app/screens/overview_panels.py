"""The fleet at a glance, as text for the panels of the overview. Builds text; asks nobody."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from rich.text import Text

from ..core.lifecycle import FINAL, OPEN, TaskState
from ..core.text import count
from ..handle import EventRow, History, PoolStatus, Snapshot
from .trails import Trails
from .widgets.badges import badge, task_state
from .widgets.cells import text_of, tone_of
from .widgets.columns import Look
from .widgets.painter import fit
from .widgets.panel import Curve
from .widgets.plot import bar, sparkline
from .widgets.words import brief, moment, safe, short, span
from .worker_facts import HERE, joined, rate_words

IN_ROW: Final = 4
"""States in a line."""
NAME: Final = 10
VALUE: Final = 10
NUMBER: Final = 11
MAX_SCOPES: Final = 20
LATELY: Final = 40
"""Events that the panel of the newest trouble holds at most."""
WINDOW: Final = 300.0
"""Seconds that the curves are of."""
RECENT: Final = 10.0
"""Seconds that the rates beside a curve are of."""
SHOWN_LEVELS: Final = frozenset({"warning", "error"})
Styles = Mapping[str, str]


def scope_words(scope: str) -> str:
    """Of a pause: `the fleet`, `kind hash`, `worker w1`."""
    what, _, name = scope.partition(":")
    return f"{safe(what)} {safe(name)}" if name else "the fleet"


def tasks(fleet: PoolStatus, width: int, styles: Styles) -> Text:
    """How many tasks are in each state, and how many are open."""
    text = Text()
    cell = max(width // IN_ROW, 1)
    for place, state in enumerate(TaskState):
        if place and not place % IN_ROW:
            text.append("\n")
        shown, number = task_state(state), fleet.totals.get(state.word, 0)
        name = f"{text_of(shown):<12}"
        text.append(name, styles.get(tone_of(shown), "") if number else styles["dim"])
        room = max(cell - len(name) - 1, 1)
        shown_number = f"{number:,}" if len(f"{number:,}") <= room else short(number)
        text.append(f"{shown_number:>{min(room, NUMBER)}}".ljust(room + 1), "bold" if number else "")
    numbers = {state: fleet.totals.get(state.word, 0) for state in TaskState}
    opened, ended = sum(numbers[s] for s in OPEN), sum(numbers[s] for s in FINAL)
    tried = ended - numbers[TaskState.CANCELLED]  # what somebody did not want says nothing of how it goes
    good = f"{numbers[TaskState.SUCCEEDED] / tried:.1%}" if tried else ""
    last = joined(
        (
            ("", count(sum(numbers.values()), "task")), ("open", f"{opened:,}"), ("ended", f"{ended:,}"),
            ("succeeded", good), ("late", f"{fleet.late:,}" if fleet.late else ""),
            ("refused", f"{fleet.refused:,}" if fleet.refused else ""),
        ),
        styles,
    )  # fmt: skip
    return text.append("\n").append_text(last)


def curves(snapshot: Snapshot) -> dict[str, Curve]:
    """What is drawn over time, by its title."""
    history, fleet = snapshot.history, snapshot.fleet
    slots = 0 if fleet is None else fleet.slots
    rate, submitted = _newest(history.finished, fleet), history.submitted[-1] if history.submitted else 0.0
    late = f"{_late(history, span)}, submission to end"
    ends = f"{rate_words(rate)}{_apart(history)}, submitted {rate_words(submitted)}"
    waiting = f"{history.queued[-1] if history.queued else 0:,} queued"
    scheduled = 0 if fleet is None else fleet.totals.get(TaskState.SCHEDULED.word, 0)
    waiting += f", {scheduled:,} scheduled" if scheduled else ""
    used, elsewhere = _running(snapshot)
    running = f"{used:,} of {count(slots, 'slot')}" + (
        f", {elsewhere:,} on workers away" if elsewhere else ""
    )
    return {
        "Ended/s": replace(_curve(history, history.finished, ends, "good"), part=_failed(history)),
        "Waiting": _curve(history, history.queued, waiting, "warn", whole=True),
        "Running": _curve(history, history.running, running, "busy", whole=True),
        "Latency": _curve(history, _known(history.latency), late, "busy", unit="s"),
    }  # fmt: skip


def _failed(history: History) -> Sequence[float]:
    """As long as the curve of all that ended; a manager of an older version does not tell."""
    missing = round(WINDOW / history.step) - len(history.failed) if history.step > 0 else 0
    return [*[0.0] * max(missing, 0), *history.failed] if any(history.failed) else ()


def _apart(history: History) -> str:
    """What of the last seconds did not end well, or did not end by itself."""
    steps = max(round(RECENT / history.step), 1) if history.step > 0 else 1
    told = ((name, getattr(history, name)[-steps:]) for name in ("failed", "cancelled"))
    return "".join(f", {name} {rate_words(sum(last) / len(last))}" for name, last in told if any(last))


def _running(snapshot: Snapshot) -> tuple[int, int]:
    """Tasks that run on workers that are here, whose slots count; and on those that are not heard."""
    here = sum(row.running for row in snapshot.workers if row.state in HERE)
    return here, sum(row.running for row in snapshot.workers) - here


def rates(snapshot: Snapshot, width: int, styles: Styles) -> Text:
    """The same in a line each: now, over time, and the greatest."""
    history, fleet = snapshot.history, snapshot.fleet
    slots = f"/{fleet.slots:,}" if fleet is not None else ""
    rows: tuple[tuple[str, str, Sequence[float], str], ...] = (
        ("ended/s", rate_words(_newest(history.finished, fleet)), history.finished, "good"),
        ("submitted", _last(history.submitted), history.submitted, "dim"),
        ("queued", f"{history.queued[-1]:,}" if history.queued else "", history.queued, "warn"),
        ("running", f"{_running(snapshot)[0]:,}{slots}", history.running, "busy"),
        ("latency", _late(history, brief), _known(history.latency), "busy"),
    )  # fmt: skip
    text = Text()
    for name, now, values, tone in rows:
        cells = max(width - NAME - VALUE - 14, 1)
        most = max((value for value in values if value >= 0), default=0.0)
        text.append("\n" if text else "").append(f"{name:<{NAME}}", styles["dim"]).append(
            f"{now:>{VALUE}}  ", "bold"
        )
        text.append(sparkline(values, cells), styles[tone])
        text.append(
            f"  max {brief(most) if name == 'latency' else short(most):>6}" if values else "", styles["dim"]
        )
    return text


def fleet_lines(
    snapshot: Snapshot, fleet: PoolStatus, look: Look, styles: Styles, *, width: int, tall: bool
) -> Text:
    """Who works, how much more could, what stands still."""
    states = Counter(row.state for row in snapshot.workers)
    here = [row for row in snapshot.workers if row.state in HERE]
    running = sum(row.running for row in here)
    free = sum(max(row.limit - row.held, 0) for row in here if row.state == "connected")
    used = running / fleet.slots if fleet.slots else 0.0
    paused = ", ".join(map(scope_words, fleet.paused[:MAX_SCOPES])) or "nothing"
    lines = [
        _members(states, width, styles),
        joined(
            (
                ("slots    ", f"{running:,} of {fleet.slots:,} used {bar(used, 10)} {used:.0%}"),
                ("credit", f"{free:,} more"),
            ),
            styles,
        ),
        joined((("paused   ", (paused, "warn" if fleet.paused else "dim")),), styles),
    ]  # fmt: skip
    if tall:
        links = sum(row.state != "ended" for row in snapshot.sessions)
        ended = len(snapshot.sessions) - links
        up = span(look.now - fleet.started_at)
        lines += [
            joined((("links    ", f"{links:,}"), ("ended lately", f"{ended:,}")), styles),
            joined((("listens  ", ", ".join(safe(a) for a in fleet.listening)),), styles),
            joined(
                (("up       ", up), ("version", safe(fleet.version)), ("fleet", safe(fleet.fleet))), styles
            ),
        ]  # fmt: skip
    if fleet.degraded:
        lines.insert(0, joined((("", (f"! nothing is accepted: {safe(fleet.degraded)}", "bad")),), styles))
    return Text("\n").join(lines)


def _members(states: Mapping[str, int], width: int, styles: Styles) -> Text:
    """How many workers are in each state, on a second line where one is too narrow."""
    text = Text().append("workers   ", styles["dim"])
    if not states:
        return text.append("none yet: `taskmessenger invite` makes an invite for one")
    used = NAME
    for state in sorted(states, key=lambda one: (one not in HERE, -states[one], one)):
        shape, _, word = text_of(badge(state)).partition(" ")
        shown = f"{shape} {states[state]:,} {word}"
        if used + len(shown) > width and used > NAME:
            text.append("\n" + " " * NAME)
            used = NAME
        text.append(shown, styles.get(tone_of(badge(state)), "")).append("  ")
        used += len(shown) + 2
    return text


def kind_lines(snapshot: Snapshot, trails: Trails, room: tuple[int, int], styles: Styles) -> Text:
    """The busiest kinds, one to a line, as many as there is room."""
    width, height = room
    rows = sorted(
        snapshot.kinds,
        key=lambda row: (-row.running, -row.queued, -row.rate_5min, -row.done - row.failed, row.name),
    )
    cells = max(width - 14 - 8 - 9 - 8 - 4, 4)
    text = Text().append(f"{'kind':<14}{'running':>8}{'waiting':>9}{'/s':>8}", styles["dim"])
    for row in rows[: max(height - 1, 0)]:
        tone = "warn" if row.paused or (row.queued and not row.workers) else ""
        text.append(f"\n{fit(safe(row.name), 13)} ", styles.get(tone, ""))
        text.append(
            f"{short(row.running):>8}{short(row.queued):>9}{rate_words(row.rate_30s):>8}    ", "not dim"
        )
        text.append(sparkline(trails.kind(row.name).values("rate"), cells), styles["good"])
    return text


def lately(events: Iterable[EventRow], look: Look, room: tuple[int, int], styles: Styles) -> Text:
    """The newest warnings and errors, newest first."""
    _, height = room
    text = Text()
    for event in [*events][:height]:
        level = badge(event.level)
        text.append("\n" if text else "").append(
            f"{moment(event.at, look.times, look.now):>8} ", styles["dim"]
        )
        text.append(f"{text_of(level)[:1]} ", styles.get(tone_of(level), ""))
        text.append(f"{safe(event.what)} {safe(event.subject)}  ", "bold").append(
            safe(event.text), "not bold"
        )
    return text or Text("no warnings and no errors", styles["dim"])


def trouble(events: Iterable[EventRow]) -> list[EventRow]:
    """The newest warnings and errors among these, which are newest first."""
    return [*islice((event for event in events if event.level in SHOWN_LEVELS), LATELY)]


def _known(values: Sequence[float]) -> Sequence[float]:
    """Below zero nothing ended, and so nothing is known."""
    return [value if value >= 0 else math.nan for value in values]


def _late(history: History, told: Callable[[float], str]) -> str:
    """The newest latency, or a dash."""
    newest = history.latency[-1] if history.latency else -1.0
    return told(newest) if newest >= 0 else "—"


def _last(values: Sequence[float]) -> str:
    return rate_words(values[-1]) if values else ""


def _newest(finished: Sequence[float], fleet: PoolStatus | None) -> float:
    """Of one second it would jump about: the node's own rate is over ten."""
    if fleet is not None:
        return fleet.rate
    return finished[-1] if finished else 0.0


def _curve(
    history: History, values: Sequence[float], now: str, tone: str, unit: str = "", *, whole: bool = False
) -> Curve:
    """All of the window, whenever the node began: what was before is not known."""
    missing = max(round(WINDOW / history.step) - len(values), 0) if history.step > 0 else 0
    full = [*[math.nan] * missing, *values]
    first = round(history.start / history.step) - missing if history.step > 0 else 0
    seconds = len(full) * history.step
    return Curve(values=full, unit=unit, seconds=seconds, now=now, tone=tone, whole=whole, first=first)
