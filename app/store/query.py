"""Answers questions about tasks from a connection that cannot write.

Live states are not known here: an open task is stored as `scheduled` or `queued`, whether or not a worker
has it. So a question for open states is answered with every row that may be in them; the caller, who knows
the live state, puts it in and leaves out what does not match.
"""

# ruff: noqa: S608 - what is put into SQL here are texts of this package; values are always bound

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import apsw

from ..core.errors import UsageError
from ..core.lifecycle import TaskState
from ..handle import AttemptInfo, Outcome, TaskDetail, TaskPage, TaskQuery, TaskRow
from . import large
from .bulk import numbers
from .database import fetch
from .error_blobs import decode_error, first_line, message_of
from .large import Part
from .segments import Segments

MAX_ID: Final = 2**63 - 1
MAX_PAGE: Final = 1_000
MAX_VALUES: Final = 200
"""Values of one condition, ids excepted."""
MAX_IDS: Final = 100_000
MAX_TEXT: Final = 200
"""Characters to look for."""
MAX_ATTEMPTS: Final = 100
"""Attempts of one task that are shown: the newest."""

_JOINED: Final = """
CROSS JOIN task AS t ON t.id = d.id
LEFT JOIN open_task AS o ON o.id = d.id
LEFT JOIN ended AS e ON e.id = d.id"""
_ERROR: Final = """
CASE WHEN e.id IS NOT NULL THEN e.error WHEN o.attempt > 0 THEN (
    SELECT a.error FROM attempt AS a WHERE a.task = t.id AND a.error IS NOT NULL
    ORDER BY a.attempt DESC, a.ended_at DESC LIMIT 1) END"""
_COLUMNS: Final = f"""
t.id, t.kind, coalesce(e.state, o.state), t.priority, coalesce(e.attempt, o.attempt), t.max_attempts,
coalesce(e.spent, o.spent), t.submitted_at, o.due_at, e.finished_at, e.run_seconds, e.worker, t.key, t.batch,
t.timeout, t.target, {_ERROR}"""
_ROWS: Final = f"SELECT {_COLUMNS} FROM (SELECT value AS id FROM carray(?)) AS d {_JOINED}"
_DETAIL: Final = f"""
SELECT {_COLUMNS}, length(t.payload), length(e.result), CASE WHEN length(t.payload) <= ? THEN t.payload END
FROM task AS d {_JOINED} WHERE d.id = ?"""
_ATTEMPTS: Final = """
SELECT attempt, worker, started_at, ended_at, how, error FROM attempt
WHERE task = ? ORDER BY attempt DESC, ended_at DESC LIMIT ?"""
_OUTCOMES: Final = """
SELECT e.id, e.state, e.attempt, e.worker, e.result, e.error, e.run_seconds
FROM carray(?) AS c CROSS JOIN ended AS e ON e.id = c.value"""
_PAYLOADS: Final = "SELECT t.id, t.payload FROM carray(?) AS c CROSS JOIN task AS t ON t.id = c.value"
_KEYS: Final = "SELECT t.key, t.id, t.digest FROM carray(?) AS c CROSS JOIN task AS t ON t.key = c.value"
_KEY: Final = "SELECT key, id, digest FROM task WHERE key = ?"
_TOTALS: Final = """
SELECT state, count(*) FROM open_task GROUP BY state
UNION ALL SELECT state, count(*) FROM ended INDEXED BY ended_badly WHERE state <> 4 GROUP BY state"""
_ALL_ENDED: Final = "SELECT count(*) FROM ended"

_MAY_BE: Final[dict[TaskState, tuple[TaskState, ...]]] = {
    TaskState.SCHEDULED: (TaskState.SCHEDULED,),
    # A wait that is over is not written down: nothing about the task changes but the time.
    TaskState.QUEUED: (TaskState.SCHEDULED, TaskState.QUEUED),
    TaskState.LEASED: (TaskState.SCHEDULED, TaskState.QUEUED),
    TaskState.RUNNING: (TaskState.SCHEDULED, TaskState.QUEUED),
}


def stored_states(wanted: Sequence[int]) -> tuple[int, ...]:
    """The states under which tasks in the live states `wanted` may be stored.

    Raises:
        UsageError: there is no such state.
    """
    try:
        states = [TaskState(number) for number in wanted]
    except ValueError:
        raise UsageError(f"there is no such task state: one of {list(wanted)}") from None
    return tuple(sorted({stored.value for state in states for stored in _MAY_BE.get(state, (state,))}))


def check_query(query: TaskQuery) -> int:
    """The number of rows that a page of `query` has.

    Raises:
        UsageError: it cannot be answered.
    """
    if query.before is not None and query.after is not None:
        raise UsageError("a page starts before a task or after one, not both")
    if len(query.text) > MAX_TEXT:
        raise UsageError(f"the text to look for is longer than {MAX_TEXT} characters")
    if len(query.ids) > MAX_IDS:
        raise UsageError(f"more than {MAX_IDS} ids in one question")
    try:
        "".join((query.text, *query.kinds, *query.workers, *query.batches)).encode()
    except UnicodeEncodeError:
        raise UsageError("the question has characters that are not valid Unicode") from None
    for name in ("states", "kinds", "workers", "batches"):
        if len(getattr(query, name)) > MAX_VALUES:
            raise UsageError(f"more than {MAX_VALUES} {name} in one question")
    return max(1, min(query.limit, MAX_PAGE))


def possible(ids: Sequence[int]) -> list[int]:
    """Those that a task can have: peers may ask for any number."""
    return [task_id for task_id in ids if 0 < task_id <= MAX_ID]


def _clamp(task_id: int) -> int:
    return max(-1, min(task_id, MAX_ID))


@dataclass
class _Where:
    """Conditions and what is bound to them, in step."""

    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, condition: str, *values: Any) -> None:
        self.conditions.append(condition)
        self.values += values

    def among(self, column: str, values: Sequence[Any]) -> None:
        if values:
            self.add(f"{column} IN ({','.join('?' * len(values))})", *values)

    @property
    def sql(self) -> str:
        return " AND ".join(self.conditions) or "true"


def prepare(connection: apsw.Connection) -> None:
    """Give a reading connection the function that `page` needs."""
    connection.create_scalar_function("message_of", _message_of, 1, deterministic=True)


def _message_of(*values: Any) -> str | None:
    return message_of(values[0])


def page(connection: apsw.Connection, query: TaskQuery) -> TaskPage:
    """Rows that may match; see the module for open states. The worker of an open task is not known here.

    Text is found in any case of the letters a to z.

    Raises:
        UsageError: it cannot be answered.
    """
    limit = check_query(query)
    states = stored_states(query.states)
    if query.ids and not possible(query.ids):
        return TaskPage(rows=(), more=False)
    rest = _rest(query)
    order = "ASC" if query.after is not None else "DESC"
    ids: list[int] = []
    for source in _sources(query, states):
        where = " AND ".join([*source.conditions[1:], rest.sql])
        sql = f"SELECT d.id FROM {source.conditions[0]} {_JOINED} WHERE {where} ORDER BY d.id {order} LIMIT ?"
        ids += [row[0] for row in fetch(connection, sql, (*source.values, *rest.values, limit + 1))]
    ids.sort(reverse=query.after is None)
    return TaskPage(rows=tuple(_rows(connection, ids[:limit])), more=len(ids) > limit)


def _sources(query: TaskQuery, states: Sequence[int]) -> list[_Where]:
    """Where to look first, by the condition that leaves the least; each goes by id, so a page ends early.

    The first "condition" of each is the table.
    """
    other = _Where()
    if query.ids or query.batches:
        other.among("coalesce(e.state, o.state)", states)
    if query.ids:
        first = _Where(
            ["task AS d", "d.id IN (SELECT value FROM carray(?))"], [*numbers(possible(query.ids))]
        )
        first.among("d.batch", query.batches)
        return [_and(first, other)]
    if query.batches:
        table = "task AS d INDEXED BY task_batch"
        return [
            _and(_Where([table, "d.batch = ?"], [batch]), other) for batch in dict.fromkeys(query.batches)
        ]
    if states:
        return [_in_state(state) for state in states]
    return [_Where(["task AS d"])]


def _and(one: _Where, other: _Where) -> _Where:
    return _Where(one.conditions + other.conditions, one.values + other.values)


def _in_state(state: int) -> _Where:
    if state < TaskState.SUCCEEDED:
        return _Where(["open_task AS d", "d.state = ?"], [state])
    if state == TaskState.SUCCEEDED:
        return _Where(["ended AS d", "d.state = 4"])
    return _Where(["ended AS d INDEXED BY ended_badly", "d.state = ?", "d.state <> 4"], [state])


def _rest(query: TaskQuery) -> _Where:
    """The conditions that every row must meet, wherever it was found."""
    where = _Where()
    if query.before is not None:
        where.add("d.id < ?", _clamp(query.before))
    if query.after is not None:
        where.add("d.id > ?", _clamp(query.after))
    where.among("t.kind", query.kinds)
    where.among("e.worker", query.workers)
    if query.text:
        pattern = like(query.text)
        places = ("t.kind", "t.key", "t.batch", "e.worker", f"message_of({_ERROR})")
        found = " OR ".join(f"{place} LIKE ? ESCAPE '\\'" for place in places)
        where.add(f"({found})", *[pattern] * len(places))
    return where


def like(text: str) -> str:
    """The LIKE pattern (escape: backslash) for everything that contains `text`."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _rows(connection: apsw.Connection, ids: list[int]) -> list[TaskRow]:
    return [_row(values) for values in fetch(connection, _ROWS, numbers(ids))] if ids else []


def _row(values: tuple[Any, ...]) -> TaskRow:
    return TaskRow(*(*values[:16], first_line(values[16])))


def detail(
    connection: apsw.Connection, task_id: int, payload_limit: int, segments: Segments
) -> TaskDetail | None:
    """All that is stored of one task.

    Raises:
        StoreError: its payload is damaged.
    """
    if not possible([task_id]):
        return None
    found = connection.execute(_DETAIL, (_clamp(payload_limit), task_id)).fetchone()
    if found is None:
        return None
    payload_size, result_size, payload = found[17:]
    if payload_size is None:
        place = large.places(connection, [task_id], Part.PAYLOAD).get(task_id)
        payload_size = place.size if place is not None else 0
        if payload_size <= payload_limit:
            payload = large.read(task_id, Part.PAYLOAD, place, segments)
    if result_size is None:
        place = large.places(connection, [task_id], Part.RESULT).get(task_id)
        result_size = place.size if place is not None else None
    attempts = fetch(connection, _ATTEMPTS, (task_id, MAX_ATTEMPTS))
    return TaskDetail(
        row=_row(found),
        payload_size=payload_size,
        result_size=result_size,
        payload=payload,
        error=decode_error(found[16]),
        attempts=tuple(AttemptInfo(*(*a[:5], decode_error(a[5]))) for a in reversed(attempts)),
    )


def outcomes(connection: apsw.Connection, ids: Sequence[int], segments: Segments) -> list[Outcome]:
    """Those of `ids` that have ended, in their order.

    Raises:
        StoreError: a result is damaged.
    """
    wanted = possible(ids)
    if not wanted:
        return []
    found = fetch(connection, _OUTCOMES, numbers(wanted))
    places = large.places(connection, [row[0] for row in found if row[4] is None], Part.RESULT)
    results = {
        task_id: large.read(task_id, Part.RESULT, place, segments) for task_id, place in places.items()
    }
    return [Outcome(*(*row[:4], results.get(row[0], row[4]), decode_error(row[5]), row[6])) for row in found]


def payloads(connection: apsw.Connection, ids: Sequence[int], segments: Segments) -> dict[int, bytes]:
    """The payloads of those that exist.

    Raises:
        StoreError: one of them is damaged.
    """
    wanted = possible(ids)
    if not wanted:
        return {}
    found = dict(fetch(connection, _PAYLOADS, numbers(wanted)))
    elsewhere = [task_id for task_id, payload in found.items() if payload is None]
    places = large.places(connection, elsewhere, Part.PAYLOAD)
    for task_id in elsewhere:
        found[task_id] = large.read(task_id, Part.PAYLOAD, places.get(task_id), segments)
    return found


def find_keys(connection: apsw.Connection, keys: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    """Those of `keys` that a task has: its id and digest."""
    plain = tuple(key for key in keys if "\0" not in key)
    found = fetch(connection, _KEYS, (apsw.carray(plain),)) if plain else []
    for key in keys:
        if "\0" in key:  # an array of texts ends each at its first zero
            found += fetch(connection, _KEY, (key,))
    return {key: (task_id, digest) for key, task_id, digest in found}


def totals(connection: apsw.Connection) -> dict[int, int]:
    """Tasks by stored state, counted."""
    counted: dict[int, int] = dict(fetch(connection, _TOTALS))
    badly = sum(count for state, count in counted.items() if state > TaskState.SUCCEEDED)
    well = connection.execute(_ALL_ENDED).get - badly
    if well:
        counted[TaskState.SUCCEEDED.value] = well
    return counted
