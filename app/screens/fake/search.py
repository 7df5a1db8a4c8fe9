"""Pages and counts of the simulated tasks, with the bounds that a store has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from ...core.filter import Conditions
from ...core.filter_match import listed, matches, sort_value
from ...handle import Count, Cursor, TaskPage, TaskQuery, TaskRow
from ...handle.filters import conditions_of, cursor_of, is_descending
from .tasks import FakeTasks

MAX_LIMIT: Final = 1_000
"""Rows of one page."""
BUDGET: Final = 5_000
"""Tasks that are looked at for one page."""
SORTED: Final = 4_000
"""Newest tasks that are listed in an order other than that of the ids."""
COUNTED: Final = 20_000
"""Tasks that are looked at for a count."""


class Search:
    """Answers queries."""

    def __init__(self, tasks: FakeTasks) -> None:
        self._tasks = tasks

    def page(self, query: TaskQuery, now: float) -> TaskPage:
        """A page of rows in the order that is asked for."""
        query = replace(query, limit=max(1, min(query.limit, MAX_LIMIT)))
        if query.sort not in {"id", "submitted"}:
            return self._sorted(query, now)
        rows: list[TaskRow] = []
        conditions, looked, last = conditions_of(query), 0, 0
        for task_id in self._ids(query, now):
            if looked >= BUDGET:
                return TaskPage(tuple(rows), more=True, next=Cursor(None, last), searched_to=last)
            looked, last = looked + 1, task_id
            row = self._match(conditions, task_id, now)
            if row is not None:
                if len(rows) == query.limit:
                    return TaskPage(tuple(rows), more=True, next=cursor_of(rows[-1], query))
                rows.append(row)
        return TaskPage(tuple(rows), more=False)

    def count(self, query: TaskQuery, most: int, now: float) -> Count:
        """How many match; at least so many when that took too long."""
        conditions = conditions_of(query)
        if conditions == Conditions():
            everything = self._tasks.newest(now)
            return Count(min(everything, most), exact=everything <= most)
        found = 0
        for looked, task_id in enumerate(self._ids(replace(query, at=None, before=None, after=None), now)):
            if looked >= COUNTED or found >= most:
                return Count(found, exact=False)
            found += self._match(conditions, task_id, now) is not None
        return Count(found, exact=True)

    def matching(self, query: TaskQuery, now: float) -> Iterator[int]:
        """The ids of all that match, newest first."""
        conditions = conditions_of(query)
        for task_id in self._ids(TaskQuery(ids=query.ids), now):
            if self._match(conditions, task_id, now) is not None:
                yield task_id

    def _ids(self, query: TaskQuery, now: float) -> Iterator[int]:
        """Those beyond the cursor, in order."""
        newest, descending = self._tasks.newest(now), is_descending(query)
        low, high = 1, newest
        place = query.at.id if query.at is not None else query.before if descending else query.after
        if place is not None:
            low, high = (1, min(newest, place - 1)) if descending else (max(1, place + 1), newest)
        if query.ids:
            wanted = sorted({i for i in query.ids if low <= i <= high}, reverse=descending)
            return iter(wanted)
        return iter(range(high, low - 1, -1) if descending else range(low, high + 1))

    def _match(self, conditions: Conditions, task_id: int, now: float) -> TaskRow | None:
        """The row, if it meets the conditions; what is cheap to know is looked at first."""
        tasks = self._tasks
        if conditions.kinds and tasks.kind_of(task_id) not in conditions.kinds:
            return None
        if conditions.states and tasks.state(task_id, now) not in conditions.states:
            return None
        row = tasks.row(task_id, now)
        return row if matches(conditions, row) else None

    def _sorted(self, query: TaskQuery, now: float) -> TaskPage:
        conditions, newest = conditions_of(query), self._tasks.newest(now)
        found = (self._match(conditions, i, now) for i in range(max(1, newest - SORTED + 1), newest + 1))
        rows = [row for row in found if row is not None and listed(row, query.sort)]
        rows.sort(key=lambda row: (sort_value(row, query.sort), row.id), reverse=query.descending)
        if query.at is not None:
            place = (query.at.value, query.at.id)
            rows = [row for row in rows if _beyond((sort_value(row, query.sort), row.id), place, query)]
        page = tuple(rows[: query.limit])
        more = len(rows) > query.limit
        return TaskPage(page, more, cursor_of(page[-1], query) if more else None)


def _beyond(place: tuple[object, int], cursor: tuple[object, int], query: TaskQuery) -> bool:
    return place < cursor if query.descending else place > cursor
