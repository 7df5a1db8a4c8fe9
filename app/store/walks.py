"""Ways through the tasks in an order: which table and index to go along, for each order and each condition.

An order is a row of sections, one after another; a section is several walks side by side whose rows are
merged. No walk sorts: each follows an index, so a page ends as soon as it is full.
"""

# ruff: noqa: S608 - what is put into SQL here are texts of this package; values are always bound

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import apsw

from ..core.filter import Conditions
from ..core.lifecycle import TaskState
from .bulk import numbers
from .conditions import Where, possible, stored_states, where

TABLES: Final = {"t": "task", "o": "open_task", "e": "ended"}
SLOW: Final = 1
"""Seconds: runs from that on are in an index. Shorter ones are too many to keep one for."""
_ENDED_ONLY: Final = frozenset({"run", "finished"})


@dataclass(frozen=True, slots=True)
class Walk:
    """One table, along one index."""

    driver: str
    own: Where
    """What the index finds by itself."""
    rest: Where
    """What has to be looked at row by row."""
    index: str = ""
    value: str = ""
    """The column that is ordered by before the id; empty for the order of the ids."""

    @property
    def table(self) -> str:
        """For FROM."""
        return f"{TABLES[self.driver]} AS {self.driver}" + (f" INDEXED BY {self.index}" if self.index else "")


@dataclass(frozen=True, slots=True)
class Section:
    """Walks whose rows are merged; all have `constant` as the value that is sorted by, or a value each."""

    walks: tuple[Walk, ...]
    constant: int | str | None = None
    newest_only: bool = False
    """There is no index for this: only the newest tasks are looked at."""


def sections(
    connection: apsw.Connection, asked: Conditions, sort: str, start: Any, *, descending: bool
) -> Iterator[Section]:
    """The sections of an order, in their order, from the one on that has the value `start` (None: all)."""
    match sort:
        case "kind":
            yield from _by_kind(connection, asked, start, descending=descending)
            return
        case "state":
            found = [Section(_in_states(asked, [state]), state) for state in _states(asked)]
        case "priority":
            found = _by_priority(asked)
        case "attempt":
            found = _by_attempt(asked)
        case "run":
            found = _by_run(asked)
        case "finished":
            found = [Section((Walk("e", Where(), where(asked, "e"), "ended_when", "e.finished_at"),))]
        case _:
            found = [Section(by_id(asked))]
    if descending:
        found.reverse()
    for one in found:
        before = one.constant is not None and start is not None and one.constant != start
        if before and (one.constant > start if descending else one.constant < start):
            continue
        yield one


def by_id(asked: Conditions) -> tuple[Walk, ...]:
    """The walks that leave least to be looked at."""
    if asked.ids:
        ids = possible(asked.ids) or [0]
        own = Where(["t.id IN (SELECT value FROM carray(?))"], [*numbers(ids)])
        return (Walk("t", own, where(asked, "t", but="id")),)
    for name, values in (("key", asked.keys), ("batch", asked.batches)):
        if values and "" not in values:
            return tuple(_equal(asked, name, value) for value in dict.fromkeys(values))
    if asked.states or asked.not_states:
        return _in_states(asked, _states(asked))
    if asked.kinds:
        return tuple(_equal(asked, "kind", value) for value in dict.fromkeys(asked.kinds))
    ended = (asked.workers and "" not in asked.workers) or any(
        one.field in _ENDED_ONLY and not one.negated for one in asked.ranges
    )
    driver = "e" if ended else "t"
    return (Walk(driver, Where(), where(asked, driver)),)


def _equal(asked: Conditions, name: str, value: str) -> Walk:
    return Walk("t", Where([f"t.{name} = ?"], [value]), where(asked, "t", but=name), f"task_{name}")


def _states(asked: Conditions) -> Sequence[int]:
    every = [state.value for state in TaskState]
    return stored_states(asked.states, asked.not_states) or stored_states(every)


def _in_states(asked: Conditions, states: Sequence[int]) -> tuple[Walk, ...]:
    walks = []
    for state in states:
        if state < TaskState.SUCCEEDED:
            rest = where(asked, "o", but="state").both(Where(["o.state = ?"], [state]))
            walks.append(Walk("o", Where(), rest))
        elif state == TaskState.SUCCEEDED:
            rest = where(asked, "e", but="state").both(Where(["e.state = 4"]))
            walks.append(Walk("e", Where(), rest))
        else:
            own = Where(["e.state = ?", "e.state <> 4"], [state])
            walks.append(Walk("e", own, where(asked, "e", but="state"), "ended_badly"))
    return tuple(walks)


def _by_kind(
    connection: apsw.Connection, asked: Conditions, start: Any, *, descending: bool
) -> Iterator[Section]:
    """One after another; which kinds there are, is asked as far as it is wanted."""
    kind, how = start, ("max", "<=", "<") if descending else ("min", ">=", ">")
    compare = how[1]
    while True:
        condition = "true" if kind is None else f"kind {compare} ?"
        bound = () if kind is None else (kind,)
        sql = f"SELECT {how[0]}(kind) FROM task INDEXED BY task_kind WHERE {condition}"
        kind, compare = connection.execute(sql, bound).get, how[2]
        if kind is None:
            return
        if kind not in asked.not_kinds and (not asked.kinds or kind in asked.kinds):
            yield Section((_equal(asked, "kind", kind),), kind)


def _by_priority(asked: Conditions) -> list[Section]:
    rest = where(asked, "t")
    low, high = (
        Section((Walk("t", Where(["t.priority <> 0", own]), rest, "task_priority", "t.priority"),))
        for own in ("t.priority < 0", "t.priority > 0")
    )
    usual = Walk("t", Where(), rest.both(Where(["t.priority = 0"])))
    return [low, Section((usual,), 0), high]


def _by_attempt(asked: Conditions) -> list[Section]:
    ended, waiting = where(asked, "e"), where(asked, "o")
    never = Where(["e.state = 7", "e.state <> 4"])
    return [
        Section(
            (
                Walk("o", Where(), waiting.both(Where(["o.attempt = 0"]))),
                Walk("e", never, ended.both(Where(["e.attempt = 0"])), "ended_badly"),
            ),
            0,
        ),
        Section(
            (
                Walk("o", Where(), waiting.both(Where(["o.attempt = 1"]))),
                Walk("e", Where(), ended.both(Where(["e.attempt = 1"]))),
            ),
            1,
        ),
        Section(
            (
                Walk("o", Where(["o.attempt > 1"]), waiting, "open_again", "o.attempt"),
                Walk("e", Where(["e.attempt > 1"]), ended, "ended_again", "e.attempt"),
            )
        ),
    ]


def _by_run(asked: Conditions) -> list[Section]:
    rest = where(asked, "e")
    quick = Walk("e", Where(), rest.both(Where([f"e.run_seconds < {SLOW}"])), "", "e.run_seconds")
    slow = Walk("e", Where([f"e.run_seconds >= {SLOW}"]), rest, "ended_slow", "e.run_seconds")
    return [Section((quick,), newest_only=True), Section((slow,))]
