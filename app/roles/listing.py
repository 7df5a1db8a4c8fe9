"""Lists tasks as they are now: what the store has, with the live state laid over it.

Leased and running are states that only the pool knows; on disk such a task is still queued, has no worker and
one attempt less. So where a question depends on any of that, the tasks that workers hold are taken from the
pool, everything else from the store, and both are merged in the order that was asked for.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from msgspec.structs import replace

from ..core.filter import Conditions
from ..core.filter_match import matches, sort_value
from ..core.lifecycle import TaskState
from ..core.pool import Pool, Task
from ..handle import Count, Cursor, TaskPage, TaskQuery, TaskReader, TaskRow
from ..handle.filters import conditions_of, is_descending

MAX_LIMIT: Final = 1_000
"""Rows of one page."""
LOOK_SECONDS: Final = 0.03
"""After that no other page of the store is begun for one page; the store's own time comes on top."""
MAX_HEAD: Final = 1_024
"""Bytes of a payload that a row brings along."""
MAX_STALE: Final = 0.5
"""Seconds that a page is old at most, whatever the asker allows."""
MAX_STALE_COUNT: Final = 5.0
"""The same of a count."""
MOST_KEPT: Final = 32
"""Answers that are kept for others who ask the same."""
COUNT_SECONDS: Final = 0.3
MOST_COUNTED: Final = 1_000_000
_LIVE: Final = frozenset({TaskState.LEASED.value, TaskState.RUNNING.value})
_OPEN: Final = frozenset(state.value for state in TaskState if not state.final)

_Key = tuple[Any, int]
A = TypeVar("A")


class Listing:
    """Pages and counts; changes nothing."""

    def __init__(
        self, pool: Callable[[], Pool], reader: TaskReader, wall: Callable[[], float] = time.time
    ) -> None:
        self._pool, self._reader, self._wall = pool, reader, wall
        # Ten consoles that show the same cost like one.
        self._pages: _Kept[TaskPage] = _Kept()
        self._counts: _Kept[Count] = _Kept()

    def overlay(self, row: TaskRow) -> TaskRow:
        """The row as it is now."""
        task = self._pool().tasks.get(row.id)
        if task is None or task.state.value == row.state:
            return row
        ran = _ran(task, self._wall())
        return replace(
            row,
            state=task.state.value,
            attempt=task.attempt,
            worker=task.worker,
            run_seconds=ran,
            started_at=None if ran is None else task.started,
        )

    async def page(self, query: TaskQuery) -> TaskPage:
        """A page of tasks, in the order that the query asks for."""
        stale, now = min(query.stale, MAX_STALE), time.monotonic()
        query = replace(query, limit=max(1, min(query.limit, MAX_LIMIT)), stale=0.0)
        heads, query = max(0, min(query.heads, MAX_HEAD)), replace(query, heads=0)
        kept = self._pages.at(query, now - stale) if stale > 0 else None
        page = kept or await self._page(query)
        if stale > 0 and kept is None:
            self._pages.keep(query, now, page)
        return await self._with_heads(page, heads) if heads else page

    async def _with_heads(self, page: TaskPage, size: int) -> TaskPage:
        found = await self._reader.heads([row.id for row in page.rows], size)
        return replace(page, rows=tuple(replace(row, head=found.get(row.id)) for row in page.rows))

    async def _page(self, query: TaskQuery) -> TaskPage:
        asked = conditions_of(query)
        if not _is_live(asked, query.sort):
            page = await self._reader.page(query)
            return replace(page, rows=tuple(map(self.overlay, page.rows)))
        states = _states(asked)
        live = _Live(await self._live(query, asked) if states & _LIVE else [], query)
        if states <= _LIVE:
            return live.page()
        deadline = time.monotonic() + LOOK_SECONDS
        while True:
            page = await self._reader.page(query)
            live.merge(page, list(self._stored(page, asked)))
            if live.is_full or not page.more or time.monotonic() > deadline:
                return live.page()
            query = replace(query, at=page.next, before=None, after=None)

    def _stored(self, page: TaskPage, asked: Conditions) -> Iterator[tuple[TaskRow, TaskRow]]:
        """Those rows of a page that really match and that no worker holds: as stored, and as they are.

        All but the state was looked at by the store, which knows more of a row than the row has.
        """
        tasks, states = self._pool().tasks, _states(asked)
        for row in page.rows:
            task = tasks.get(row.id)
            if task is None or task.state not in _LIVE:
                now = self.overlay(row)
                if now.state in states:
                    yield row, now

    async def _live(self, query: TaskQuery, asked: Conditions) -> list[tuple[_Key, TaskRow]]:
        """Held tasks that match, from the cursor on, in order: as many as a page wants, and one more."""
        tasks, wall = self._pool().tasks, self._wall()
        held = (task_id for worker in self._pool().workers.values() for task_id in worker.held)
        places = [
            (_task_key(task, query.sort, wall), task.id)
            for task_id in held
            if (task := tasks.get(task_id)) is not None and task.state in _LIVE and _may(asked, task)
            if query.sort != "run" or _ran(task, wall) is not None
        ]
        descending, start = is_descending(query), _start(query)
        if start is not None:
            places = [one for one in places if (one < start if descending else one > start)]
        places.sort(reverse=descending)
        found: list[tuple[_Key, TaskRow]] = []
        rest = dataclasses.replace(asked, errors=(), not_errors=())
        for begin in range(0, len(places), MAX_LIMIT):
            chunk = places[begin : begin + MAX_LIMIT]
            rows = await self._rows([task_id for _, task_id in chunk], asked)
            for key in chunk:
                row = rows.get(key[1])
                if row is not None and row.state in _LIVE and matches(rest, row):
                    found.append((key, row))
            if len(found) > query.limit:
                break
        return found[: query.limit + 1]

    async def _rows(self, ids: Sequence[int], asked: Conditions) -> dict[int, TaskRow]:
        query = TaskQuery(ids=tuple(ids), limit=MAX_LIMIT, errors=asked.errors, not_errors=asked.not_errors)
        rows: dict[int, TaskRow] = {}
        while True:  # at most once for each id: every step looks at one of them or more
            page = await self._reader.page(query)
            rows |= {row.id: self.overlay(row) for row in page.rows}
            if not page.more:
                return rows
            query = replace(query, at=page.next)

    async def count(self, query: TaskQuery, most: int = MOST_COUNTED) -> Count:
        """How many match, whatever the cursor; stops at `most`, and when it takes too long."""
        stale, now = min(query.stale, MAX_STALE_COUNT), time.monotonic()
        query = replace(query, at=None, before=None, after=None, sort="id", limit=MAX_LIMIT, stale=0.0)
        if stale <= 0:
            return await self._count(query, most)
        kept = self._counts.at((query, most), now - stale)
        return kept or self._counts.keep((query, most), now, await self._count(query, most))

    async def _count(self, query: TaskQuery, most: int) -> Count:
        asked = conditions_of(query)
        if not _is_live(asked, query.sort):
            return await self._reader.count(query, most)
        if Conditions(states=asked.states, not_states=asked.not_states) == asked:
            return await self._count_states(_states(asked), most)
        if _asks_for_run(asked):
            ended = await self._reader.count(query, most)
            number = ended.number + len(await self._live(replace(query, limit=most), asked))
            return Count(min(most, number), ended.exact and number <= most)
        return await self._count_rows(query, most)

    async def _count_states(self, states: set[int], most: int) -> Count:
        totals = self._pool().totals
        waiting = sum(totals[state] for state in states & _OPEN)
        ended = Count(0, exact=True)
        if states - _OPEN:
            ended = await self._reader.count(TaskQuery(states=tuple(states - _OPEN)), most)
        number = waiting + ended.number
        return Count(min(most, number), ended.exact and number <= most)

    async def _count_rows(self, query: TaskQuery, most: int) -> Count:
        number, deadline = 0, time.monotonic() + COUNT_SECONDS
        while True:
            page = await self._page(query)
            number += len(page.rows)
            if number >= most or not page.more:
                return Count(min(number, most), exact=not page.more and number <= most)
            if time.monotonic() > deadline:
                return Count(number, exact=False)
            query = replace(query, at=page.next)


class _Kept(Generic[A]):
    """Answers that were given, for others who ask the same and may have an old one."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, tuple[float, A]] = {}

    def at(self, question: Hashable, oldest: float) -> A | None:
        """The answer, unless it was asked for before `oldest`."""
        asked, answer = self._answers.get(question, (-math.inf, None))
        return answer if asked >= oldest else None

    def keep(self, question: Hashable, asked: float, answer: A) -> A:
        """Keep it; the oldest give way."""
        self._answers.pop(question, None)
        while len(self._answers) >= MOST_KEPT:
            del self._answers[next(iter(self._answers))]
        self._answers[question] = asked, answer
        return answer


class _Live:
    """Held tasks in order, into which pages of the store are merged."""

    def __init__(self, live: list[tuple[_Key, TaskRow]], query: TaskQuery) -> None:
        self._live, self._limit, self._sort = live, query.limit, query.sort
        self._sign = is_descending(query)
        self._found: list[tuple[_Key, TaskRow]] = []
        self._beyond: Cursor | None = None
        """Where the store has more."""
        self._searched_to: int | None = None

    @property
    def is_full(self) -> bool:
        """Whether a page is full, and one row more is known."""
        return len(self._found) > self._limit

    def merge(self, page: TaskPage, rows: Sequence[tuple[TaskRow, TaskRow]]) -> None:
        """The store's next page. Held tasks that come after what it has looked at must wait."""
        self._beyond, self._searched_to = page.next if page.more else None, page.searched_to
        some = [(_row_key(stored, self._sort), now) for stored, now in rows]
        ready = len(self._live)
        if self._beyond is not None:
            edge = (0 if self._beyond.value is None else self._beyond.value, self._beyond.id)
            ready = sum(1 for key, _ in self._live if (key >= edge if self._sign else key <= edge))
        some += self._live[:ready]
        self._live = self._live[ready:]
        some.sort(key=_key, reverse=self._sign)
        self._found += some

    def page(self) -> TaskPage:
        """What is found."""
        if not self._found and self._beyond is None:
            self._found, self._live = self._live, []
        kept, left = self._found[: self._limit], self._found[self._limit :]
        rows = tuple(row for _, row in kept)
        if left or (self._live and self._beyond is None):
            value, task_id = kept[-1][0]
            place = Cursor(None if self._sort in {"id", "submitted"} else value, task_id)
            return TaskPage(rows, more=True, next=place)
        return TaskPage(rows, self._beyond is not None, self._beyond, self._searched_to)


def _key(pair: tuple[_Key, TaskRow]) -> _Key:
    return pair[0]


def _start(query: TaskQuery) -> _Key | None:
    if query.before is not None or query.after is not None:
        return (0, query.before if query.before is not None else query.after or 0)
    if query.at is None:
        return None
    return (0 if query.at.value is None else query.at.value, query.at.id)


def _row_key(row: TaskRow, sort: str) -> _Key:
    value = sort_value(row, sort)
    return (0 if value is None else value, row.id)


def _ran(task: Task, wall: float) -> float | None:
    """Seconds that the attempt has run so far; None when it does not run."""
    if task.state is not TaskState.RUNNING or task.started is None:
        return None
    return max(wall - task.started, 0.0)


def _task_key(task: Task, sort: str, wall: float) -> Any:
    match sort:
        case "run":
            return _ran(task, wall)
        case "kind":
            return task.options.kind
        case "state":
            return task.state.value
        case "priority":
            return task.options.priority
        case "attempt":
            return task.attempt
        case _:
            return 0


def _states(asked: Conditions) -> set[int]:
    return set(asked.states or (state.value for state in TaskState)) - set(asked.not_states)


def _is_live(asked: Conditions, sort: str) -> bool:
    """Whether the answer depends on what only the pool knows."""
    if not _states(asked) & _OPEN or sort == "finished":
        return False
    if sort == "run" or any(one.field == "run" for one in asked.ranges):
        return bool(_states(asked) & _LIVE)
    by_state = bool(asked.states or asked.not_states or asked.workers or asked.not_workers)
    by_text = bool(asked.texts or asked.not_texts)
    return (
        by_state or by_text or sort in {"state", "attempt"} or any(r.field == "attempt" for r in asked.ranges)
    )


def _asks_for_run(asked: Conditions) -> bool:
    """Whether only tasks can match that have run for some time: none of those stored as open have."""
    return any(one.field == "run" and not one.negated for one in asked.ranges)


def _may(asked: Conditions, task: Task) -> bool:
    """Whether a held task can match, by what the pool knows of it."""
    return (
        task.state in _states(asked)
        and (not asked.kinds or task.options.kind in asked.kinds)
        and (not asked.workers or task.worker in asked.workers)
        and (not asked.ids or task.id in asked.ids)
    )
