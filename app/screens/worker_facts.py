"""What is known of one worker, as cells and lines of text. Builds text; asks nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from rich.text import Text

from ..handle import WorkerRow
from .trails import Trail, amount, part
from .widgets.badges import badge
from .widgets.cells import Cell, Tone, text_of, tone_of
from .widgets.columns import Look
from .widgets.plot import bar, sparkline
from .widgets.words import brief, exact, safe, share, short, size, span

HOT: Final = 0.9
"""Share of a processor or of the memory from which on it is pointed out."""
Facts = Iterable[tuple[str, Cell]]
"""Names and values."""
LATE: Final = 10.0
"""Seconds without a sign of life that are."""
SPARK: Final = 7
"""Cells of a curve in a table."""
MAX_KINDS: Final = 40
MAX_LABELS: Final = 20
MAX_STUCK: Final = 5
"""Tasks that do not stop which are named."""
WHO: Final = {"fleet": "the manager (whole fleet)", "worker": "the manager", "own": "its own operator"}
MAX_BROKEN: Final = 8
HERE: Final = frozenset({"connected", "paused", "draining", "quarantined"})
"""States of a worker that has a link."""


def gauge(row: WorkerRow, trail: Trail, name: str, cells: int = SPARK) -> Cell:
    """A share that the worker tells of itself: its curve, and the newest value."""
    value = part(row.load, name)
    if value is None:
        return ""
    text = f"{sparkline(trail.values(name), cells, top=1.0)} {share(value):>5}"
    return (text, "warn" if value >= HOT else "")


def credit(row: WorkerRow) -> int | None:
    """Leases that it would take now."""
    return max(row.limit - row.held, 0) if row.state == "connected" else None


def free(row: WorkerRow) -> int | None:
    """Slots in which nothing runs, of one that takes tasks."""
    return max(row.capacity - row.running, 0) if row.state == "connected" else None


def heard(row: WorkerRow) -> Cell:
    """How long it has been silent."""
    if row.last_heard is None:
        return ""
    return (brief(row.last_heard), "warn" if row.last_heard >= LATE else "")


def rate(trail: Trail) -> float | None:
    """Tasks that it ended, per second."""
    return trail.rate("ended")


def rate_words(value: float | None) -> str:
    """`4.0`, `0.25`; empty when it is not known."""
    if value is None:
        return ""
    return f"{value:.2f}" if 0 < value < 1 else short(value)


def labels(row: WorkerRow) -> str:
    """As `zone=lab-a gpu=h200`."""
    return " ".join(f"{safe(k)}={safe(v)}" for k, v in [*row.labels.items()][:MAX_LABELS])


def kinds(row: WorkerRow) -> str:
    """As `hash, resize`."""
    more = f" and {len(row.kinds) - MAX_KINDS} more" if len(row.kinds) > MAX_KINDS else ""
    return ", ".join(safe(kind) for kind in row.kinds[:MAX_KINDS]) + more


def broken(row: WorkerRow) -> str:
    """Kinds that cannot be used there, each with the reason."""
    told = [f"{safe(kind)}: {safe(why)}" for kind, why in [*row.broken.items()][:MAX_BROKEN]]
    more = len(row.broken) - len(told)
    return "; ".join([*told, f"and {more} more"] if more else told)


def block(lines: Iterable[Facts], styles: Mapping[str, str]) -> Text:
    """Lines of `joined`; a line of nothing is left out."""
    return Text("\n").join(line for one in lines if (line := joined(one, styles)))


def joined(parts: Facts, styles: Mapping[str, str]) -> Text:
    """Names and values in one line; what is empty is left out."""
    line = Text(no_wrap=True, overflow="ellipsis")
    for name, cell in parts:
        if text_of(cell):
            line.append("  " if line else "")
            line.append(f"{name} " if name else "", styles["dim"])
            line.append(text_of(cell), styles.get(tone_of(cell), ""))
    return line


def state(row: WorkerRow) -> Cell:
    """Its state; of a pause, whether the worker itself has it."""
    return ("‖ by itself", "warn") if row.state == "paused" and "own" in row.pauses else badge(row.state)


def state_in_full(row: WorkerRow) -> Cell:
    """Its state; of a pause, who has it."""
    who = ", ".join(WHO[one] for one in row.pauses if one in WHO)
    return (f"‖ paused by {who}", "warn") if row.state == "paused" and who else badge(row.state)


def lines(row: WorkerRow, trail: Trail, look: Look, styles: Mapping[str, str]) -> Text:
    """All of it in a few lines, for below a table."""
    made = (
        joined((("", safe(row.id)), ("", state_in_full(row)), *held_up(row), *_link(row)), styles),
        joined((*_work(row, trail), ("rss", size(amount(row.load, "rss")))), styles),
        joined((("kinds", kinds(row)), ("broken", (broken(row), "bad"))), styles),
        joined((*_membership(row, look), ("labels", labels(row))), styles),
    )
    return Text("\n").join(made)


def facts(
    row: WorkerRow, trail: Trail, look: Look, styles: Mapping[str, str], *, curves: bool, cells: int
) -> Text:
    """All of it for a screen of its own; `curves`: with cpu and memory, `cells` wide."""
    width = max(cells // 2 - 18, 8)
    made = [
        joined((("state   ", state_in_full(row)), *held_up(row), *_link(row)), styles),
        joined((("slots   ", slots(row)), *_work(row, trail)), styles),
    ]
    if curves:
        gauges = ((f"{name:8}", gauge(row, trail, name, width)) for name in ("cpu", "memory"))
        made.append(joined(gauges, styles))
    made += [
        joined((("kinds   ", kinds(row)),), styles),
        joined((("broken  ", (broken(row), "bad")),), styles),
        joined((("labels  ", labels(row)),), styles),
        joined((("member  ", exact(row.enrolled_at, look.times, look.now)), *_membership(row, look)), styles),
    ]
    return Text("\n").join(line for line in made if line)


def held_up(row: WorkerRow) -> Iterator[tuple[str, Cell]]:
    """Why a worker that is here takes no tasks, where its state does not say so; what does not stop there."""
    if row.state == "connected" and row.held_up:
        yield "", (safe(row.held_up), "warn")
    if row.stuck:
        names = ", ".join(f"{task} ({safe(kind)})" for task, kind, _ in row.stuck[:MAX_STUCK])
        more = f" and {len(row.stuck) - MAX_STUCK} more" if len(row.stuck) > MAX_STUCK else ""
        yield "does not stop:", (names + more, "warn")


def slots(row: WorkerRow) -> str:
    """As `5/8 ━━━━━───`."""
    if not row.capacity:
        return ""
    return f"{row.running}/{row.capacity} {bar(row.running / row.capacity, 8)}"


def _link(row: WorkerRow) -> Iterator[tuple[str, Cell]]:
    yield "", safe(row.address)
    yield "rtt", span(row.rtt or None)
    yield "heard", heard(row)


def _work(row: WorkerRow, trail: Trail) -> Iterator[tuple[str, Cell]]:
    if row.state in HERE or row.held:
        yield "holds", f"{row.held:,} of {row.limit:,}" if row.limit >= row.held else f"{row.held:,}"
        more = credit(row)
        yield "credit", "" if more is None else f"{more:,}"
    if row.state in HERE or row.held or row.done or row.failed:
        yield "done", f"{row.done:,}"
        tone: Tone = "bad" if row.failed else ""
        yield "errors", (f"{row.failed:,}", tone)
        ended = rate_words(rate(trail))
        yield "rate", f"{ended}/s" if ended else ""


def _membership(row: WorkerRow, look: Look) -> Iterator[tuple[str, Cell]]:
    if row.expires_at is not None:
        left = row.expires_at - look.now
        words = f"for {span(left)}" if left > 0 else f"ended {span(-left)} ago"
        yield "certificate", (words, "" if left > 0 else "bad")
    yield "version", safe(row.version)
