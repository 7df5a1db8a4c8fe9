"""Pages of tasks in any order, and how many match: searched for a moment, never for as long as it takes.

Live states are not known here: an open task is stored as `scheduled` or `queued`, whether or not a worker
has it. So a question for open states is answered with every row that may be in them; the caller, who knows
the live state, puts it in and leaves out what does not match. The worker of an open task is not known either.
"""

# ruff: noqa: S608 - what is put into SQL here are texts of this package; values are always bound

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any, Final

import apsw

from ..core.filter import Conditions
from ..core.lifecycle import TaskState
from ..handle import Count, Cursor, TaskPage, TaskQuery, TaskRow
from ..handle.filters import conditions_of, is_descending
from .bulk import numbers
from .conditions import ERROR, MAX_ID, check_query, stored_states
from .database import fetch
from .error_blobs import first_line
from .walks import TABLES, Section, Walk, by_id, sections

SEARCH_SECONDS: Final = 0.09
"""For one page or count, about; after that it comes back with what it has."""
FIRST_STEP: Final = 4_096
"""Rows that are looked at in the first step; then more or fewer, as that turns out quick or slow."""
LEAST_STEP: Final = 512
MOST_STEP: Final = 262_144
QUICK: Final = 0.008
SLOW_STEP: Final = 0.03
"""Seconds for one step: below the first the next one is larger, above the second it is smaller."""
NEWEST: Final = 40_000
"""Ended tasks that are looked at where there is no index for the order."""
_ALIAS: Final = re.compile(r"\b([teo])\.")
SHOWN: Final = f"""
t.id, t.kind, coalesce(e.state, o.state), t.priority, coalesce(e.attempt, o.attempt), t.max_attempts,
coalesce(e.spent, o.spent), t.submitted_at, o.due_at, e.finished_at, e.run_seconds, e.worker, t.key, t.batch,
t.timeout, t.target, {ERROR}"""
"""What `row` makes a row of."""
_ROWS: Final = f"""
SELECT {SHOWN} FROM (SELECT value AS id FROM carray(?)) AS d CROSS JOIN task AS t ON t.id = d.id
LEFT JOIN open_task AS o ON o.id = d.id LEFT JOIN ended AS e ON e.id = d.id"""

_TOTALS: Final = """
SELECT state, count(*) FROM open_task GROUP BY state
UNION ALL SELECT state, count(*) FROM ended INDEXED BY ended_badly WHERE state <> 4 GROUP BY state"""
_ALL_ENDED: Final = "SELECT count(*) FROM ended"


Key = tuple[Any, int]
"""What a row is sorted by: a value, or None where the order is that of the ids; and its id."""


def page(connection: apsw.Connection, query: TaskQuery, seconds: float = SEARCH_SECONDS) -> TaskPage:
    """Rows that may match; see the module for open states.

    Raises:
        UsageError: it cannot be answered.
    """
    limit = check_query(query)
    descending, start = is_descending(query), _start(query)
    search = _Search(connection, limit + 1, descending, time.monotonic() + seconds)
    asked = conditions_of(query)
    value = start.value if start is not None else None
    for section in sections(connection, asked, query.sort, value, descending=descending):
        if start is not None and search.is_behind(section, start):
            continue
        search.go_along(section, start)
        if search.is_over(section):
            break
    keys, stopped = search.found[:limit], search.stopped
    more = len(search.found) > limit
    beyond = keys[-1] if more else stopped
    searched_to = stopped[1] if stopped is not None and not more else search.floor
    return TaskPage(
        rows=tuple(rows(connection, [task_id for _, task_id in keys])),
        more=beyond is not None,
        next=Cursor(*beyond) if beyond is not None else None,
        searched_to=searched_to,
    )


def _start(query: TaskQuery) -> Cursor | None:
    place = query.at
    if query.before is not None or query.after is not None:
        place = Cursor(None, query.before if query.before is not None else query.after or 0)
    return place and Cursor(place.value, max(-1, min(place.id, MAX_ID)))


class _Search:
    """Goes along sections until there is enough or the time is over."""

    def __init__(self, connection: apsw.Connection, wanted: int, descending: bool, deadline: float) -> None:
        self.found: list[Key] = []
        self.stopped: Key | None = None
        """Where the time was over."""
        self.floor: int | None = None
        """No task below this id was looked at, because there is no index for the order."""
        self._connection, self._wanted, self._deadline = connection, wanted, deadline
        self._order, self._past, self._within = ("DESC", "<", ">=") if descending else ("ASC", ">", "<=")
        self._descending = descending
        self._last = -1 if descending else MAX_ID
        """Beyond all ids: where a section is at its end."""
        self._step = FIRST_STEP

    def is_behind(self, section: Section, start: Cursor) -> bool:
        """Whether an earlier page has come to the end of this section."""
        return section.constant is not None and (section.constant, self._last) == (start.value, start.id)

    def is_over(self, section: Section) -> bool:
        """Whether to leave it at that after this section."""
        if len(self.found) >= self._wanted or self.stopped is not None:
            return True
        if section.constant is not None and time.monotonic() > self._deadline:
            self.stopped = (section.constant, self._last)
        return self.stopped is not None

    def go_along(self, section: Section, start: Cursor | None) -> None:
        """Take what there is in one section."""
        place: Key | None = None
        constant = section.constant
        if start is not None and (constant is None or start.value == constant):
            place = (start.value, start.id)
        if section.newest_only:
            self._take(self._newest(section.walks[0], place))
            return
        while True:
            begun = time.monotonic()
            edge = self._edge(section, place)
            keys: list[Key] = [key for walk in section.walks for key in self._between(walk, place, edge)]
            keys.sort(reverse=self._descending)
            self._take(keys if constant is None else _alike(constant, keys))
            if edge is None or len(self.found) >= self._wanted:
                return
            place = edge
            now = time.monotonic()
            if now > self._deadline:
                self.stopped = (constant if constant is not None else edge[0], edge[1])
                return
            self._adapt(now - begun)

    def _take(self, keys: Sequence[Key]) -> None:
        self.found += keys[: self._wanted - len(self.found)]

    def _adapt(self, took: float) -> None:
        if took < QUICK:
            self._step = min(MOST_STEP, self._step * 2)
        elif took > SLOW_STEP:
            self._step = max(LEAST_STEP, self._step // 2)

    def _edge(self, section: Section, place: Key | None) -> Key | None:
        """How far this step goes: the nearest of where the walks have come after so many rows."""
        edges: list[Key] = []
        for walk in section.walks:
            if walk.rest.conditions:
                sql, values = self._sql(walk, place, None, looking=False)
                found = self._connection.execute(f"{sql} LIMIT 1 OFFSET ?", (*values, self._step - 1))
                edges += [(value, task_id) for value, task_id in found]
        if not edges:
            return None
        return max(edges) if self._descending else min(edges)

    def _between(self, walk: Walk, place: Key | None, edge: Key | None) -> list[Key]:
        """The first matching rows after `place` and not after `edge`."""
        sql, values = self._sql(walk, place, edge, looking=True)
        return fetch(self._connection, f"{sql} LIMIT ?", (*values, self._wanted - len(self.found)))

    def _newest(self, walk: Walk, place: Key | None) -> list[Key]:
        """As `_between`, by sorting the newest."""
        floor = self._connection.execute(
            "SELECT id FROM ended ORDER BY id DESC LIMIT 1 OFFSET ?", (NEWEST,)
        ).get
        self.floor = floor
        sql, values = self._sql(walk, place, None, looking=True, floor=floor or 0)
        return fetch(self._connection, f"{sql} LIMIT ?", (*values, self._wanted - len(self.found)))

    def _sql(
        self, walk: Walk, place: Key | None, edge: Key | None, *, looking: bool, floor: int | None = None
    ) -> tuple[str, list[Any]]:
        """Keys after `place` up to `edge`: of all rows, or, when `looking`, of those that match."""
        conditions = walk.own.both(walk.rest) if looking else walk.own.copy()
        for key, how in ((place, self._past), (edge, self._within)):
            if key is not None and walk.value:
                conditions.add(f"({walk.value}, {walk.driver}.id) {how} (?, ?)", *key)
            elif key is not None:
                conditions.add(f"{walk.driver}.id {how} ?", key[1])
        if floor is not None:
            conditions.add(f"{walk.driver}.id > ?", floor)
        order = f"{walk.driver}.id {self._order}"
        if walk.value:
            order = f"{walk.value} {self._order}, {order}"
        source = _source(walk, conditions.sql)
        what = f"{walk.value or 'NULL'}, {walk.driver}.id"
        return f"SELECT {what} FROM {source} WHERE {conditions.sql} ORDER BY {order}", conditions.values


def _alike(value: Any, keys: Sequence[Key]) -> list[Key]:
    return [(value, task_id) for _, task_id in keys]


def _source(walk: Walk, conditions: str) -> str:
    """The walk's table, and those others that its conditions look at."""
    source = walk.table
    wanted = set(_ALIAS.findall(conditions)) - {walk.driver}
    if "t" in wanted:
        source += f" CROSS JOIN task AS t ON t.id = {walk.driver}.id"
    for alias in sorted(wanted - {"t"}):
        source += f" LEFT JOIN {TABLES[alias]} AS {alias} ON {alias}.id = {walk.driver}.id"
    return source


def rows(connection: apsw.Connection, ids: list[int]) -> list[TaskRow]:
    """These tasks as a table shows them, in this order."""
    if not ids:
        return []
    found = {values[0]: row(values) for values in fetch(connection, _ROWS, numbers(ids))}
    return [found[task_id] for task_id in ids]


def row(values: tuple[Any, ...]) -> TaskRow:
    """One task of the columns that a table shows."""
    return TaskRow(*(*values[:16], first_line(values[16])))


def count(connection: apsw.Connection, query: TaskQuery, most: int, seconds: float = SEARCH_SECONDS) -> Count:
    """How many match as stored: stops at `most`, and when it takes too long.

    Raises:
        UsageError: it cannot be answered.
    """
    check_query(query)
    deadline, asked = time.monotonic() + seconds, conditions_of(query)
    number = 0
    if Conditions(states=asked.states, not_states=asked.not_states) == asked:
        states = stored_states(asked.states, asked.not_states)
        kept = totals(connection)
        number = sum(kept.get(state, 0) for state in states or kept)
        return Count(min(most, number), exact=number <= most)
    for walk in by_id(asked):
        place, step = None, FIRST_STEP
        while True:
            begun = time.monotonic()
            edge = _edge_up(connection, walk, place, step)
            number += _counted(connection, walk, place, edge)
            now = time.monotonic()
            if number >= most:
                return Count(most, exact=number == most and edge is None)
            if edge is None:
                break
            if now > deadline:
                return Count(number, exact=False)
            place, step = edge, min(MOST_STEP, step * 2) if now - begun < QUICK else step
    return Count(number, exact=True)


def _edge_up(connection: apsw.Connection, walk: Walk, place: int | None, step: int) -> int | None:
    """The id up to which the next step of counting goes, from below."""
    own = walk.own.copy()
    if place is not None:
        own.add(f"{walk.driver}.id > ?", place)
    task_id = f"{walk.driver}.id"
    sql = f"SELECT {task_id} FROM {walk.table} WHERE {own.sql} ORDER BY {task_id} LIMIT 1 OFFSET ?"
    edge: int | None = connection.execute(sql, (*own.values, step - 1)).get
    return edge


def _counted(connection: apsw.Connection, walk: Walk, place: int | None, edge: int | None) -> int:
    every = walk.own.both(walk.rest)
    if place is not None:
        every.add(f"{walk.driver}.id > ?", place)
    if edge is not None:
        every.add(f"{walk.driver}.id <= ?", edge)
    sql = f"SELECT count(*) FROM {_source(walk, every.sql)} WHERE {every.sql}"
    number: int = connection.execute(sql, every.values).get
    return number


def totals(connection: apsw.Connection) -> dict[int, int]:
    """Tasks by stored state, counted."""
    counted: dict[int, int] = dict(fetch(connection, _TOTALS))
    badly = sum(count for state, count in counted.items() if state > TaskState.SUCCEEDED)
    well = connection.execute(_ALL_ENDED).get - badly
    if well:
        counted[TaskState.SUCCEEDED.value] = well
    return counted
