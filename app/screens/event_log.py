"""The events that a screen shows: of some levels, that fit a search, newest first, with gaps. No widget."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from ..core.text import count
from ..handle import EventRow
from .event_rings import GAP, EventRings

LEVELS: Final = ("debug", "info", "warning", "error")
"""From the least to the most serious."""
_RUNS: Final = re.compile(r"\btasks: ([\d, -]+)")
_NUMBER: Final = re.compile(r"\d+")


def serious(row: EventRow, least: str) -> bool:
    """Whether it is of this level or of a worse one; a level that is not known counts as the worst."""
    return row.level not in LEVELS or LEVELS.index(row.level) >= LEVELS.index(least)


class EventLog:
    """The newest of the events that `keep` wants."""

    def __init__(self, keep: Callable[[EventRow], bool]) -> None:
        self._keep = keep
        self._kept = EventRings()
        self._last: int | None = None
        self.rows: tuple[EventRow, ...] = ()
        """Newest first."""
        self.looked = 0
        """Events that were looked at."""

    @property
    def last(self) -> int:
        """Number of the newest event that was looked at; -1 before the first."""
        return -1 if self._last is None else self._last

    def follows(self, number: int) -> bool:
        """Whether nothing lies between what is known and the event of this number."""
        return self._last is None or number <= self._last + 1

    def add(self, events: Iterable[EventRow], thinned: int = -1) -> None:
        """What came since; events that are known already are left out.

        `thinned`: up to this number some have been forgotten, which is not to have missed them.
        """
        changed = False
        for row in events:
            if self._last is not None and row.number <= self._last:
                continue
            if not self.follows(row.number) and self.last >= thinned:
                self._kept.add((_gap(self.last + 1, row),))
                changed = True
            self._last = row.number
            self.looked += 1
            if self._keep(row):
                self._kept.add((row,))
                changed = True
        if changed:
            self.rows = self._kept.listed()


def _gap(first: int, after: EventRow) -> EventRow:
    missed = after.number - first
    text = f"{count(missed, 'event')} missed here: more came than this console could take"
    return EventRow(first, after.at, "warning", GAP, "", text)


def subject(row: EventRow, kinds: Iterable[str] = ()) -> tuple[str, str] | None:
    """The screen that this event is about and its argument, or for the tasks their filter; else None."""
    scope, _, name = row.subject.partition(":")
    if row.what.startswith("invite."):
        return "invites", ""
    if row.what.startswith("worker."):
        return ("worker", row.subject) if row.subject else None
    if row.what.startswith("scope."):
        return {"worker": ("worker", name), "kind": ("kinds", "")}.get(scope, ("overview", ""))
    if row.what.startswith("task."):
        return _tasks(row, kinds)
    return None


def _tasks(row: EventRow, kinds: Iterable[str]) -> tuple[str, str] | None:
    if row.subject.isdecimal():
        return "task", row.subject
    if found := _RUNS.search(row.text):
        ids = [int(number) for number in _NUMBER.findall(found[1])]
        return "tasks", f"id:{min(ids)}..{max(ids)}"
    if row.subject in set(kinds):
        return "tasks", f'kind:"{row.subject}"'
    return ("tasks", f'worker:"{row.subject}"') if row.subject else None
