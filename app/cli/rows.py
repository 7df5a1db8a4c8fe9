"""How tasks and workers are shown: as rows of a table, as JSON, and one task in full."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from ..core.finality import not_tried_again
from ..core.lifecycle import TaskState
from ..core.text import count, printable
from ..runtimes.head import head
from ..runtimes.plain import jsonable
from .output import Table, array, block, line, pairs, span, to_json, when
from .payload import value_of

if TYPE_CHECKING:
    from ..handle import AttemptInfo, ErrorInfo, TaskDetail, TaskOutput, TaskRow, WorkerRow

PAYLOAD_SHOWN: Final = 64 * 1024
"""Bytes of the largest payload that `task show` shows."""
PREVIEW: Final = 400
"""Characters of a payload for people."""
SHORT: Final = 24
"""The same of its beginning, in a list."""
MAX_STACK: Final = 16_384
MAX_OUTPUT: Final = 16_384
"""Characters of a traceback, and of what a running task wrote."""
_HEAD: Final = (
    "ID",
    "KIND",
    "STATE",
    "ATTEMPT",
    "SUBMITTED",
    "RAN",
    "WORKER",
    "BATCH",
    "KEY",
    "PAYLOAD",
    "ERROR",
)

Write = Callable[[Sequence["TaskRow"]], None]


@contextmanager
def writer(form: str) -> Iterator[Write]:
    """Prints rows as they come: as a `table`, as one `json` array, or as `jsonl`."""
    if form == "json":
        with array() as elements:
            yield lambda rows: elements.add(*map(task_json, rows))
    elif form == "jsonl":
        yield lambda rows: click.echo("".join(f"{to_json(task_json(row))}\n" for row in rows), nl=False)
    else:
        table = Table(_HEAD)
        yield lambda rows: table.add(map(_cells, rows))


def _cells(row: TaskRow) -> tuple[object, ...]:
    return (
        row.id,
        row.kind,
        TaskState(row.state).word,
        f"{row.attempt}/{row.max_attempts}",
        when(row.submitted_at),
        span(row.run_seconds),
        row.worker,
        row.batch,
        row.key,
        head(row.head, SHORT) if row.head else None,
        row.error,
    )


def task_json(row: TaskRow) -> dict[str, Any]:
    """A task in the words of `--json`: all keys always there, times in seconds since the epoch."""
    from msgspec.structs import asdict

    facts = asdict(row) | {"state": TaskState(row.state).word}
    beginning = facts.pop("head")
    return facts | {"payload_head": None if beginning is None else head(beginning)}


def worker_json(row: WorkerRow) -> dict[str, Any]:
    """A worker in the words of `--json`."""
    from msgspec.structs import asdict

    return asdict(row)


def print_detail(found: TaskDetail, *, as_json: bool) -> None:
    """One task in full."""
    if as_json:
        block(_detail_json(found))
        return
    row = found.row
    pairs((
        ("task", row.id),
        ("kind", row.kind),
        ("state", TaskState(row.state).word),
        ("waits for", found.waits_for),
        ("progress", None if found.progress is None else f"{found.progress:.0%} {found.note}"),
        ("attempts", f"{row.attempt}/{row.max_attempts} ({row.spent} used up)"),
        ("priority", row.priority or None),
        ("timeout", span(row.timeout)),
        ("submitted", when(row.submitted_at)),
        ("due", when(row.due_at)),
        ("began", when(row.started_at)),
        ("ended", when(row.finished_at)),
        ("running for" if row.started_at is not None else "ran for", span(row.run_seconds)),
        ("worker", row.worker),
        ("only on", row.target),
        ("key", row.key),
        ("batch", row.batch),
        ("payload", _payload(found)),
        ("result", _result(found)),
    ))  # fmt: skip
    if found.error is not None:
        line(f"error: {_error(found.error)}")
        if why := not_tried_again(found.error.code):
            line(f"not tried again: {why}")
        for name, value in found.error.evidence.items():
            if _is_long(value):
                line(f"{name}:")
                _indented(str(value), MAX_STACK)
        _indented(found.error.stack, MAX_STACK)
    _print_attempts(found.attempts)
    if found.output is not None:
        line(f"output{_of_output(found.output)}:")
        _indented(found.output.data.decode("utf-8", "replace"), MAX_OUTPUT)


def _of_output(found: TaskOutput) -> str:
    """Of which attempt it is, how much is not shown of it, and where the rest is."""
    end, kept = next(
        ((end, kept) for attempt, end, kept in found.written if attempt == found.attempt), (0, 0)
    )
    words = f" of attempt {found.attempt}" if len(found.written) > 1 or found.attempt > 1 else ""
    if not found.start:
        return words
    words += f", the last {count(len(found.data), 'byte')} of {end:,}"
    more = f" (`taskmessenger task output {found.task}` prints {kept:,})"
    return words + (more if kept > len(found.data) else "")


def _payload(found: TaskDetail) -> str:
    size = count(found.payload_size, "byte")
    if found.payload is None:
        return f"{head(found.row.head)} ({size})" if found.row.head else size
    value = value_of(found.payload)
    text = value if isinstance(value, str) else to_json(jsonable(value))
    return f"{printable(text, PREVIEW)} ({size})" if len(text) > PREVIEW else printable(text, PREVIEW)


def _result(found: TaskDetail) -> str:
    if found.result_size is None:
        return ""
    return f"{count(found.result_size, 'byte')}: `taskmessenger task result {found.row.id}` prints it"


def _error(error: ErrorInfo) -> str:
    known = {"max_rss_kb": "most memory, in KiB:"}
    facts = ", ".join(
        f"{known.get(key, key)} {value}" for key, value in error.evidence.items() if not _is_long(value)
    )
    return f"{error.code}: {error.message}" + (f" ({facts})" if facts else "")


def _is_long(value: object) -> bool:
    """Whether it takes more than one line."""
    return "\n" in str(value).strip()


def _print_attempts(attempts: Sequence[AttemptInfo]) -> None:
    """Those that did not simply succeed."""
    if not attempts:
        return
    table = Table(("ATTEMPT", "HOW", "WORKER", "ENDED", "ERROR"))
    table.add(
        (one.attempt, one.how, one.worker, when(one.ended_at), one.error.message if one.error else None)
        for one in attempts
    )


def _indented(text: str, limit: int) -> None:
    for part in printable(text.rstrip("\n"), limit, keep="\n").split("\n") if text else ():
        click.echo(f"    {part}")


def _detail_json(found: TaskDetail) -> dict[str, Any]:
    from msgspec import to_builtins

    error = None if found.error is None else _error_json(found.error)
    known = found.payload if found.payload is not None else found.row.head
    return task_json(found.row) | {
        "payload_head": None if known is None else head(known),
        "waits_for": found.waits_for or None,
        "progress": found.progress,
        "note": found.note or None,
        "payload_size": found.payload_size,
        "payload": None if found.payload is None else jsonable(value_of(found.payload)),
        "result_size": found.result_size,
        "error": error,
        "attempts": [
            to_builtins(one) | {"error": one.error and _error_json(one.error)} for one in found.attempts
        ],
        "output": None if found.output is None else output_json(found.output),
    }


def output_json(found: TaskOutput) -> dict[str, Any]:
    """What an attempt wrote, in the words of `--json`."""
    return {
        "attempt": found.attempt,
        "start": found.start,
        "text": found.data.decode("utf-8", "replace"),
        "attempts": [
            {"attempt": attempt, "written": end, "kept": kept} for attempt, end, kept in found.written
        ],
        "live": found.live,
    }


def _error_json(error: ErrorInfo) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "stack": error.stack, "evidence": error.evidence}
