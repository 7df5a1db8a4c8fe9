"""What is known of one task, as sections of a sheet. Builds text; asks nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from rich.text import Text

from ..core.finality import not_tried_again
from ..core.lifecycle import TaskState
from ..core.text import count
from ..handle import AttemptInfo, ErrorInfo, Outcome, TaskDetail, TaskOutput, TaskRow
from .editing import as_text
from .widgets.badges import badge, task_state
from .widgets.cells import Cell, text_of
from .widgets.coloured import coloured, tail
from .widgets.columns import Look
from .widgets.painter import fit
from .widgets.plot import bar, time_line
from .widgets.sheet import Section, pairs
from .widgets.words import CLOCK, brief, exact, moment, safe, safe_block, size, span
from .worker_facts import Facts, block

MAX_TEXT: Final = 16 * 1024
"""Characters of a payload, result, stack or output that are laid out."""
MAX_ATTEMPTS: Final = 50
TIME_LINE: Final = 24
"""Cells; with a date behind it, fewer."""
LEAST_NAME: Final = 12
"""Cells that the name of a worker has at least."""
BAR: Final = 30
LONG: Final = 2_000
"""Characters of an error's first line."""


def sections(
    found: TaskDetail, outcome: Outcome | None, look: Look, styles: Mapping[str, str], *, width: int
) -> tuple[Section, ...]:
    """All of it, most urgent first; what there is nothing of is left out. `width`: cells of a line."""
    made = [Section("task", f"Task {found.row.id}", pairs(_facts(found, look), styles))]
    if found.progress is not None or found.note:
        made.append(Section("progress", "Progress", _progress(found)))
    if found.error is not None:
        made.append(Section("error", "Error", _error(found.error, styles)))
    if (written := found.output) is not None:
        text = tail(written.data, MAX_TEXT, cut=written.start > 0).rstrip("\n")
        made.append(Section("output", f"Output {told_output(written)}", coloured(text, MAX_TEXT)))
    if attempts := [*_attempts(found)]:
        made.append(Section("attempts", "Attempts", _time_lines(attempts, found, look, styles, width)))
    if outcome is not None and outcome.result is not None:
        made.append(Section("result", f"Result ({size(found.result_size)})", _block(as_text(outcome.result))))
    payload = "too large to be shown here" if found.payload is None else as_text(found.payload)
    made.append(Section("payload", f"Payload ({size(found.payload_size)})", _block(payload)))
    return tuple(made)


def told_output(found: TaskOutput) -> str:
    """Of which attempt it is, and how much of what that wrote."""
    end = found.start + len(found.data)
    part = f"the last {size(len(found.data))} of {size(end)}" if found.start else size(end)
    return f"(attempt {found.attempt}, {part})"


def in_short(row: TaskRow, look: Look, styles: Mapping[str, str]) -> Text:
    """What its row in a table may have no room for, in three lines at most."""
    first: Facts = (
        ("task", str(row.id)), ("", task_state(row.state)), ("kind", safe(row.kind)),
        ("worker", safe(row.worker)), ("only on", safe(row.target)), ("batch", safe(row.batch)),
        ("key", safe(row.key)),
    )  # fmt: skip
    second: Facts = (
        ("attempts", _tries(row)), ("priority", str(row.priority) if row.priority else ""),
        ("submitted", moment(row.submitted_at, look.times, look.now)),
        ("due", moment(row.due_at, look.times, look.now)),
        ("ended", moment(row.finished_at, look.times, look.now)),
        (_ran(row), span(row.run_seconds)),
    )  # fmt: skip
    return block((first, second, (("", (safe(row.error), "bad")),)), styles)


def _tries(row: TaskRow) -> str:
    """How often it was begun; what another worker lost does not count towards what it may have."""
    return f"{row.attempt} ({row.spent} of {row.max_attempts} used up)"


def _ran(row: TaskRow) -> str:
    return "running for" if row.started_at is not None else "ran for"


def _facts(found: TaskDetail, look: Look) -> Iterator[tuple[str, Cell]]:
    row = found.row
    yield "state", task_state(row.state)
    yield "waits for", (safe(found.waits_for, LONG), "warn")
    yield "kind", safe(row.kind)
    yield "worker", safe(row.worker)
    yield "only on", safe(row.target)
    yield "attempts", _tries(row)
    yield "priority", str(row.priority) if row.priority else ""
    yield "timeout", span(row.timeout)
    yield "submitted", exact(row.submitted_at, look.times, look.now)
    yield "due", exact(row.due_at, look.times, look.now)
    yield "began", exact(row.started_at, look.times, look.now)
    yield "ended", exact(row.finished_at, look.times, look.now)
    yield _ran(row), span(row.run_seconds)
    yield "batch", safe(row.batch)
    yield "key", safe(row.key)


def _progress(found: TaskDetail) -> Text:
    share = found.progress
    text = Text(f"{bar(share, BAR)} {share:4.0%}  " if share is not None else "")
    return text.append(safe(found.note))


def _error(error: ErrorInfo, styles: Mapping[str, str]) -> Text:
    text = Text().append(f"{safe(error.code)}: ", styles["bad"])
    text.append(safe_block(error.message, LONG))
    if why := not_tried_again(error.code):
        text.append(f"\nnot tried again: {why}")
    for name, value in error.evidence.items():
        text.append(f"\n{safe(name)}: {safe(value, LONG)}")
    if error.stack:
        text.append(f"\n\n{safe_block(error.stack.rstrip(), MAX_TEXT)}", styles["dim"])
    return text


def _attempts(found: TaskDetail) -> Iterator[AttemptInfo]:
    """Those that went wrong, and the last one when it did not."""
    yield from found.attempts[-MAX_ATTEMPTS:]
    row = found.row
    known = {one.attempt for one in found.attempts}
    if row.attempt and row.attempt not in known:
        state = TaskState(row.state)
        ended = row.finished_at or 0.0
        started = row.started_at
        if row.finished_at and row.run_seconds is not None:
            started = ended - row.run_seconds
        yield AttemptInfo(row.attempt, row.worker, started, ended, state.word)


def _time_lines(
    attempts: list[AttemptInfo], found: TaskDetail, look: Look, styles: Mapping[str, str], width: int
) -> Text:
    first = found.row.submitted_at
    last = max(found.row.finished_at or look.now, first)  # this clock may be behind the manager's
    ends = [moment(one.ended_at or last, look.times, look.now) for one in attempts]
    stamp = max(map(len, ends))
    cells = TIME_LINE - max(stamp - CLOCK, 0)  # what a date takes, the line of time gives
    lines = []
    for one, end in zip(attempts, ends, strict=True):
        ended = one.ended_at or last
        how = badge(one.how) if one.ended_at else task_state(found.row.state)
        started = one.started_at if one.started_at is not None else ended
        line = Text(f"{one.attempt:>3}  ")
        line.append(time_line(started, ended, first, last, cells), styles["busy"])
        line.append(f"  {text_of(how):<12} {end:>{stamp}}  ")
        line.append(f"{brief(max(ended - started, 0.0)) if one.started_at is not None else '':>7}  ")
        line.append(fit(safe(one.worker), max(width - line.cell_len, LEAST_NAME)).rstrip())
        if one.error is not None:
            line.append(f"\n     {safe(one.error.message)}", styles["bad"])
        lines.append(line)
    waited = Text(f"from {moment(first, look.times, look.now)}, {span(last - first)} long", styles["dim"])
    return Text("\n").join([*lines, waited])


def _block(text: str) -> Text:
    """At most so much of a text, from its beginning."""
    if len(text) <= MAX_TEXT:
        return Text(safe_block(text, MAX_TEXT))
    cut = f"({count(len(text) - MAX_TEXT, 'character')} more)"
    return Text(safe_block(text[:MAX_TEXT], MAX_TEXT)).append(f"\n{cut}")
