"""`ReplayNode`: a recording behind the interface of a node. It stands at one moment until it is moved.

What a node would have to look up, a recording does not have: of tasks it knows the newest, as rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import islice
from typing import Final, NoReturn

from msgspec.structs import replace

from ..core.errors import NotFound, Refused
from ..core.filter_match import listed, matches, sort_value
from ..handle import (
    MAX_EVENTS,
    Act,
    ActDone,
    Count,
    EventPage,
    EventRow,
    Group,
    InviteRow,
    KindSchema,
    NetworkInfo,
    NetworkRow,
    Outcome,
    PendingRow,
    SettingRow,
    Snapshot,
    TaskDetail,
    TaskPage,
    TaskQuery,
    TaskRow,
    WorkerPast,
)
from ..handle.filters import conditions_of, is_descending
from .file import Recording

REMEMBERED: Final = 5_000
"""Events up to the moment that is shown."""


class _Past:
    """What cannot be done to what has happened."""

    async def submit(self, groups: Sequence[Group]) -> list[int]:
        """Not in the past."""
        _past()

    async def act(self, act: Act) -> ActDone:
        """Not in the past."""
        _past()

    async def make_invite(
        self, uses: int, ttl: float, role: str, approve: bool = False, ephemeral: bool = False
    ) -> tuple[str, InviteRow]:
        """Not in the past."""
        _past()

    async def revoke_invite(self, invite_id: str) -> None:
        """Not in the past."""
        _past()

    async def stop(self, deadline: float | None) -> None:
        """Not in the past."""
        _past()


class ReplayNode(_Past):
    """A node as it was."""

    read_only = True

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.place = 0
        """Which of the recording's moments is shown."""
        self.last = len(recording.moments) - 1
        """The last place."""
        self._snapshot = recording.snapshot(0)
        self.role = self._snapshot.role
        self._events: tuple[EventRow, ...] | None = None
        self._tasks: tuple[TaskRow, ...] | None = None

    @property
    def at(self) -> float:
        """The moment that is shown, by the clock of whoever recorded it."""
        return self.recording.moments[self.place]

    def go(self, place: int) -> bool:
        """Stand at this place, or the nearest there is; says whether that is another one."""
        place = max(0, min(place, self.last))
        if place == self.place:
            return False
        self._snapshot = self.recording.snapshot(place)
        self.place, self._events, self._tasks = place, None, None
        return True

    def go_to(self, at: float) -> bool:
        """Stand at the last place that is not after this moment."""
        return self.go(bisect_right(self.recording.moments, at) - 1)

    def snapshot(self) -> Snapshot:
        """As it was."""
        return self._snapshot

    def events(self, cursor: int, limit: int = MAX_EVENTS) -> EventPage:
        """What had happened by then."""
        if self._events is None:
            self._events = self.recording.events(self.at, REMEMBERED)
        rows = tuple(islice((row for row in self._events if row.number >= cursor), limit))
        return EventPage(rows, rows[-1].number + 1 if rows else cursor)

    async def tasks(self, query: TaskQuery) -> TaskPage:
        """Those of the newest that match, as they were then."""
        known = self._known()
        rows = [row for row in known if matches(conditions_of(query), row) and listed(row, query.sort)]
        descending = is_descending(query)
        rows.sort(key=lambda row: (sort_value(row, query.sort) or 0, row.id), reverse=descending)
        if query.at is not None or query.before is not None or query.after is not None:
            rows = [row for row in rows if _beyond(row, query)]
        return TaskPage(
            tuple(rows[: query.limit]), more=False, searched_to=min((row.id for row in known), default=None)
        )

    async def count(self, query: TaskQuery, most: int = 1_000_000) -> Count:
        """How many of those match."""
        found = (await self.tasks(replace(query, limit=most, at=None, before=None, after=None))).rows
        return Count(len(found), exact=False)

    async def task(self, task_id: int, payload_limit: int = 65_536) -> TaskDetail:
        """Its row, as it was then."""
        row = next((row for row in self._known() if row.id == task_id), None)
        if row is None:
            raise NotFound(f"the recording does not have task {task_id}: it keeps the newest only")
        return TaskDetail(row, payload_size=0, result_size=None)

    async def outcomes(self, ids: Sequence[int]) -> list[Outcome]:
        """Results are not recorded."""
        return []

    async def kind_schemas(self) -> tuple[KindSchema, ...]:
        """Nothing can be submitted."""
        return ()

    async def invites(self) -> list[InviteRow]:
        """Invites are not recorded."""
        return []

    async def worker_past(self, worker_id: str) -> WorkerPast:
        """Not recorded."""
        return WorkerPast()

    async def settings(self) -> tuple[SettingRow, ...]:
        """Settings are not recorded."""
        return ()

    async def network(self) -> NetworkInfo:
        """Only what the snapshot says."""
        fleet = self._snapshot.fleet
        row = NetworkRow("recording", "the network is not recorded; the links are on the screen Sessions")
        return NetworkInfo(addresses=fleet.listening if fleet is not None else (), rows=(row,))

    async def pending(self) -> list[PendingRow]:
        """Nor is who waited for approval."""
        return []

    def _known(self) -> tuple[TaskRow, ...]:
        if self._tasks is None:
            self._tasks = self.recording.tasks(self.at)
        return self._tasks


def _beyond(row: TaskRow, query: TaskQuery) -> bool:
    """Whether a row comes after the cursor of the query."""
    if query.at is None:
        return (query.before is None or row.id < query.before) and (
            query.after is None or row.id > query.after
        )
    here = (sort_value(row, query.sort) or 0, row.id)
    place = (query.at.value or 0, query.at.id)
    return here < place if is_descending(query) else here > place


def _past() -> NoReturn:
    raise Refused("this is a recording: what it shows has happened, and cannot be changed")
