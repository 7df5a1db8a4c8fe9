"""`FakeNode`: a simulated manager behind the same interface as a real one."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from ...core.errors import NotFound, Refused, UsageError
from ...core.lifecycle import TaskState
from ...core.text import count
from ...handle import (
    Act,
    ActDone,
    Count,
    EventPage,
    Group,
    InviteRow,
    NodeHandle,
    Outcome,
    PendingRow,
    Snapshot,
    TaskDetail,
    TaskPage,
    TaskQuery,
)
from ..widgets.words import with_article
from .acts import Acts
from .facts import FakeFacts
from .fleet import LISTED, Fleet, pending_members
from .journal import FakeJournal, Natural, before, past
from .rows import Made
from .search import Search
from .stream import TRIAL, Scene, Stream
from .tasks import FakeTasks

EPOCH: Final = 1_790_000_000.0
"""Where the virtual clock begins."""
FRESH_SECONDS: Final = 0.25
"""A snapshot is as old as this before there is a new one."""


class FakeNode(FakeFacts):
    """A manager with `tasks` tasks and `workers` workers, of which `rate` tasks a second come and go.

    On its own clock, which stands still but for `advance`; or, with `clock`, on that one.
    """

    role = "manager"

    def __init__(  # noqa: PLR0913 - all of them have names
        self,
        seed: int = 7,
        tasks: int = 5_000,
        workers: int = 12,
        rate: float = 4.0,
        events: float = 12.0,
        clock: Callable[[], float] | None = None,
        read_only: bool = False,
        *,
        scene: Scene = TRIAL,
    ) -> None:
        """`events`: how many happen in a second."""
        self._clock, self._now = clock, EPOCH if clock is None else clock()
        self.read_only, self._rate, self.connected = read_only, rate, True
        self._start = self._now
        self._fleet = Fleet(seed, workers, scene)
        self._fleet.began = self._start
        able = tuple(self._fleet.able(index) for index in range(len(scene.kinds)))
        self._tasks = FakeTasks(Stream(seed, tasks, rate, self._start, scene), able)
        self._search = Search(self._tasks)
        happens = Natural(self._tasks, events, self._start, before(tasks))
        self._journal = FakeJournal(happens, past((seed, tasks, rate, self._start), scene, able, events))
        self._acts = Acts(self._tasks, self._fleet, self._search, self._journal)
        self._invites = _invites(self._start)
        self._made = 0
        self._snapshot: Snapshot | None = None

    # ---- the clock --------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Wall clock of the simulated node."""
        return self._now if self._clock is None else self._clock()

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._now += seconds

    def away(self, *, reason: str = "the link to the manager was lost: connection reset by peer") -> None:
        """Be out of reach, as a remote node may be, until `back`."""
        self._snapshot = replace(self.snapshot(), connected=False, reason=reason)
        self.connected = False

    def back(self) -> None:
        """The end of `away`."""
        self.connected, self._snapshot = True, None

    def knock(self, number: int) -> None:
        """So many members wait for approval from now on."""
        self._fleet.pending, self._snapshot = pending_members(self.now, number), None

    # ---- what is seen -----------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The newest known."""
        known, now = self._snapshot, self.now
        if known is not None and (not self.connected or now - known.at < FRESH_SECONDS):
            return known
        self._fleet.tick(now)
        census = self._tasks.census(now)
        running = list(self._tasks.running(now)) if len(self._fleet.ids) <= LISTED else []
        done = Counter(done=0, failed=0)
        for (_, state), number in census.items():
            done["done"] += number * (state is TaskState.SUCCEEDED)
            done["failed"] += number * (state in {TaskState.FAILED, TaskState.TIMED_OUT})
        fleet = self._fleet
        self._snapshot = Snapshot(
            at=now,
            role="manager",
            fleet=fleet.status(census, self._rate, self._start - 7_260.0),
            workers=fleet.workers(self._tasks, running, now, done),
            sessions=fleet.sessions(now),
            kinds=fleet.kinds(census, self._rate, now),
            history=fleet.history(census, self._rate, now),
            alarms=fleet.alarms(census, self._start - 340.0),
        )
        return self._snapshot

    def events(self, cursor: int, limit: int = 1_000) -> EventPage:
        """What happened since."""
        if not self.connected:
            return EventPage((), cursor)
        return self._journal.since(cursor, limit, self.now)

    async def tasks(self, query: TaskQuery) -> TaskPage:
        """A page of them."""
        await asyncio.sleep(0)  # a search asks many times in a row
        return self._search.page(query, self.now)

    async def count(self, query: TaskQuery, most: int = 1_000_000) -> Count:
        """How many match."""
        return self._search.count(query, most, self.now)

    async def task(self, task_id: int, payload_limit: int = 65_536) -> TaskDetail:
        """One of them."""
        return self._tasks.detail(task_id, self.now, payload_limit)

    async def outcomes(self, ids: Sequence[int]) -> list[Outcome]:
        """Of those that have ended."""
        now, tasks = self.now, self._tasks
        there = [i for i in ids if 1 <= i <= tasks.newest(now) and tasks.state(i, now).final]
        return [tasks.outcome(task_id, now) for task_id in there]

    # ---- what is done -----------------------------------------------------------------------------------

    async def submit(self, groups: Sequence[Group]) -> list[int]:
        """New tasks."""
        may_change(self)
        ids, now = [], self.now
        for group in groups:
            keys: Sequence[str | None] = group.keys or [None] * len(group.payloads)
            for payload, key in zip(group.payloads, keys, strict=True):
                made = Made(group.kind, payload, group.priority, key, group.batch)
                ids.append(self._tasks.add(made, now, group.delay))
            self._journal.add(now, "info", "task.submitted", group.kind, count(len(group.payloads), "task"))
        self._snapshot = None
        return ids

    async def act(self, act: Act) -> ActDone:
        """Carry it out at once."""
        may_change(self)
        self._snapshot = None
        return self._acts.do(act, self.now)

    async def invites(self) -> list[InviteRow]:
        """Newest first."""
        return list(self._invites)

    async def make_invite(
        self, uses: int, ttl: float, role: str, approve: bool = False, ephemeral: bool = False
    ) -> tuple[str, InviteRow]:
        """An invite that nobody can use."""
        may_change(self)
        self._made += 1
        name = hashlib.sha256(f"invite {self._made}".encode()).hexdigest()
        row = InviteRow(
            name[:8], role, b"", uses or 1, uses or 1, self.now, self.now + (ttl or 900.0),
            approve=approve, ephemeral=ephemeral,
        )  # fmt: skip
        self._invites.insert(0, row)
        self._journal.add(
            self.now, "info", "invite.made", row.id, f"for {with_article(role)}, {count(row.uses, 'use')}"
        )
        return f"tm1-{name[:8]}-{'-'.join(name[i : i + 5] for i in range(8, 58, 5))}", row

    async def revoke_invite(self, invite_id: str) -> None:
        """Nobody may use it any more."""
        may_change(self)
        for place, row in enumerate(self._invites):
            if row.id == invite_id and row.revoked_at is None:
                self._invites[place] = replace(row, revoked_at=self.now)
                return
        raise NotFound(f"there is no invite {invite_id} that could be revoked: see `taskmessenger invite ls`")

    async def pending(self) -> list[PendingRow]:
        """Oldest first."""
        self._fleet.tick(self.now)
        return list(self._fleet.pending.values())

    async def stop(self, deadline: float | None) -> None:
        """Refused: there is nothing that runs."""
        raise UsageError("a simulated fleet cannot be stopped: quit the console instead")


def may_change(node: NodeHandle) -> None:
    """Refuse it when nothing may be changed."""
    if node.read_only:
        raise Refused("this console is read-only: start it without --read-only to change something")


def _invites(now: float) -> list[InviteRow]:
    return [
        InviteRow("c41f09aa", "worker", b"", 10, 7, now - 240.0, now + 660.0),
        InviteRow("8d2e77b0", "operator", b"", 1, 1, now - 30.0, now + 870.0),
        InviteRow("1be0573c", "worker", b"", 1, 0, now - 7_000.0, now - 6_100.0),
        InviteRow("e90a1d24", "worker", b"", 5, 4, now - 9_000.0, now - 8_100.0, now - 8_700.0),
    ]
