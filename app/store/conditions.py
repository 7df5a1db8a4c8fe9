"""What a query asks of each row, as SQL; and which queries make sense. It knows no order and no page.

Aliases: `t` is task, `o` is open_task, `e` is ended. A walk goes along one of them, its driver; what is the
same in two tables is taken from the driver, so that no other has to be looked up.
"""

# ruff: noqa: S608 - what is put into SQL here are texts of this package; values are always bound

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..core.errors import UsageError
from ..core.filter import RANGES, SORTS, Conditions, Range
from ..core.lifecycle import TaskState
from ..handle import TaskQuery
from .bulk import numbers

MAX_ID: Final = 2**63 - 1
MAX_PAGE: Final = 1_000
MAX_VALUES: Final = 200
"""Values of one condition, ids excepted."""
MAX_IDS: Final = 100_000
MAX_TEXT: Final = 200
"""Characters to look for."""
MAX_TEXTS: Final = 20

ERROR: Final = """
CASE WHEN e.id IS NOT NULL THEN e.error WHEN o.attempt > 0 THEN (
    SELECT a.error FROM attempt AS a WHERE a.task = t.id AND a.error IS NOT NULL
    ORDER BY a.attempt DESC, a.ended_at DESC LIMIT 1) END"""
_EVERYWHERE: Final = {
    "kind": "t.kind", "batch": "t.batch", "key": "t.key", "priority": "t.priority",
    "submitted": "t.submitted_at",
}  # fmt: skip
COLUMNS: Final[dict[str, dict[str, str]]] = {
    "t": _EVERYWHERE | {
        "id": "t.id", "state": "coalesce(e.state, o.state)", "attempt": "coalesce(e.attempt, o.attempt)",
        "worker": "e.worker", "run": "e.run_seconds", "finished": "e.finished_at", "error": ERROR,
    },
    "e": _EVERYWHERE | {
        "id": "e.id", "state": "e.state", "attempt": "e.attempt", "worker": "e.worker",
        "run": "e.run_seconds", "finished": "e.finished_at", "error": "e.error",
    },
    "o": _EVERYWHERE | {
        "id": "o.id", "state": "o.state", "attempt": "o.attempt", "worker": "NULL", "run": "NULL",
        "finished": "NULL", "error": ERROR.replace("CASE WHEN e.id IS NOT NULL THEN e.error", "CASE"),
    },
}  # fmt: skip
"""Where each field is, by driver."""
_MAY_BE: Final[dict[TaskState, tuple[TaskState, ...]]] = {
    TaskState.SCHEDULED: (TaskState.SCHEDULED,),
    # A wait that is over is not written down: nothing about the task changes but the time.
    TaskState.QUEUED: (TaskState.SCHEDULED, TaskState.QUEUED),
    TaskState.LEASED: (TaskState.SCHEDULED, TaskState.QUEUED),
    TaskState.RUNNING: (TaskState.SCHEDULED, TaskState.QUEUED),
}
_LISTS: Final = ("states", "kinds", "workers", "batches", "keys")


@dataclass
class Where:
    """Conditions and what is bound to them, in step."""

    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, condition: str, *values: Any) -> None:
        self.conditions.append(condition)
        self.values += values

    def copy(self) -> Where:
        """The same, to be added to."""
        return Where([*self.conditions], [*self.values])

    def both(self, other: Where) -> Where:
        """These and those."""
        return Where(self.conditions + other.conditions, self.values + other.values)

    @property
    def sql(self) -> str:
        return " AND ".join(self.conditions) or "true"


def stored_states(wanted: Sequence[int], unwanted: Sequence[int] = ()) -> tuple[int, ...]:
    """The states under which tasks in the live states `wanted` may be stored; none for all of them.

    Raises:
        UsageError: there is no such state.
    """
    if not wanted and not unwanted:
        return ()
    try:
        refused = {TaskState(number) for number in unwanted}
        states = [TaskState(number) for number in wanted or TaskState]
    except ValueError:
        raise UsageError(f"there is no such task state: one of {[*wanted, *unwanted]}") from None
    left = [state for state in states if state not in refused]
    # Nothing can be in no state at all: a state that none has finds nothing.
    return tuple(sorted({stored.value for state in left for stored in _MAY_BE.get(state, (state,))})) or (-1,)


def check_query(query: TaskQuery) -> int:
    """The number of rows that a page of `query` has.

    Raises:
        UsageError: it cannot be answered.
    """
    _check_order(query)
    texts = [query.text, *query.texts, *query.not_texts, *query.errors, *query.not_errors]
    if max(map(len, texts)) > MAX_TEXT:
        raise UsageError(f"the text to look for is longer than {MAX_TEXT} characters")
    if len(texts) > MAX_TEXTS:
        raise UsageError(f"more than {MAX_TEXTS} texts in one question")
    if len(query.ids) > MAX_IDS or len(query.not_ids) > MAX_IDS:
        raise UsageError(f"more than {MAX_IDS} ids in one question")
    words = [text for name in _LISTS[1:] for no in ("", "not_") for text in getattr(query, no + name)]
    try:
        "".join((*texts, *words)).encode()
    except UnicodeEncodeError:
        raise UsageError("the question has characters that are not valid Unicode") from None
    for name in (*_LISTS, "ranges"):
        if max(len(getattr(query, name)), len(getattr(query, f"not_{name}", ()))) > MAX_VALUES:
            raise UsageError(f"more than {MAX_VALUES} {name} in one question")
    for one in query.ranges:
        if one.field not in RANGES:
            raise UsageError(f"`{one.field[:40]}` cannot be compared; {', '.join(RANGES)} can")
    return max(1, min(query.limit, MAX_PAGE))


def _check_order(query: TaskQuery) -> None:
    if query.before is not None and query.after is not None:
        raise UsageError("a page starts before a task or after one, not both")
    if query.sort not in SORTS:
        raise UsageError(f"tasks cannot be sorted by `{query.sort[:40]}`; by {', '.join(SORTS)} they can")
    if (query.before is not None or query.after is not None) and (
        query.at is not None or query.sort not in {"id", "submitted"}
    ):
        raise UsageError("`before` and `after` go with the order of the ids alone: use `at`")


def possible(ids: Sequence[int]) -> list[int]:
    """Those that a task can have: peers may ask for any number."""
    return [task_id for task_id in ids if 0 < task_id <= MAX_ID]


def where(asked: Conditions, driver: str, *, but: str = "") -> Where:
    """All conditions but the one on the field `but`, which the walk itself keeps."""
    found, columns = Where(), COLUMNS[driver]
    states = stored_states(asked.states, asked.not_states)
    if states and but != "state":
        _among(found, columns["state"], states)
    for name, wanted, unwanted in (
        ("kind", asked.kinds, asked.not_kinds),
        ("worker", asked.workers, asked.not_workers),
        ("batch", asked.batches, asked.not_batches),
        ("key", asked.keys, asked.not_keys),
    ):
        column = columns[name] if name == "kind" else f"coalesce({columns[name]}, '')"
        if wanted and but != name:
            _among(found, column, wanted)
        if unwanted:
            _among(found, column, unwanted, "NOT IN")
    if asked.ids and but != "id":
        found.add(f"{columns['id']} IN (SELECT value FROM carray(?))", *numbers(possible(asked.ids) or [0]))
    if asked.not_ids:
        found.add(
            f"{columns['id']} NOT IN (SELECT value FROM carray(?))", *numbers(possible(asked.not_ids) or [0])
        )
    for one in asked.ranges:
        _range(found, columns[one.field], one)
    _texts(found, asked, columns)
    return found


def _among(found: Where, column: str, values: Sequence[Any], how: str = "IN") -> None:
    found.add(f"{column} {how} ({','.join('?' * len(values))})", *values)


def _range(found: Where, column: str, one: Range) -> None:
    parts, values = [], []
    if one.low is not None:
        parts.append(f"{column} {'>' if one.above else '>='} ?")
        values.append(one.low)
    if one.high is not None:
        parts.append(f"{column} {'<' if one.below else '<='} ?")
        values.append(one.high)
    sql = " AND ".join(parts) or f"{column} IS NOT NULL"
    found.add(f"NOT coalesce({sql}, false)" if one.negated else sql, *values)


def _texts(found: Where, asked: Conditions, columns: dict[str, str]) -> None:
    for wanted, sql in ((asked.texts, "({})"), (asked.not_texts, "NOT ({})")):
        for text in wanted:
            places = [f"coalesce({columns[name]}, '')" for name in ("kind", "key", "batch", "worker")]
            places.append(_message(columns))
            looked = " OR ".join(f"{place} LIKE ? ESCAPE '\\'" for place in places)
            found.add(sql.format(looked), *[like(text)] * len(places))
    for wanted, sql in ((asked.errors, "({})"), (asked.not_errors, "NOT ({})")):
        if wanted:
            looked = " OR ".join([f"{_message(columns)} LIKE ? ESCAPE '\\'"] * len(wanted))
            found.add(sql.format(looked), *map(like, wanted))


def _message(columns: dict[str, str]) -> str:
    error = columns["error"]
    if error == "e.error":  # nearly always NULL, and cheap to look at before Python is called
        return "CASE WHEN e.error IS NULL THEN '' ELSE message_of(e.error) END"
    return f"coalesce(message_of({error}), '')"


def like(text: str) -> str:
    """The LIKE pattern (escape: backslash) for everything that contains `text`."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
