"""`ManagerHandle`: the manager of this process as a `NodeHandle`, on the manager's own event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio

from ..core.errors import TaskMessengerError, no_task
from ..handle import (
    MAX_EVENTS,
    Act,
    ActDone,
    Count,
    EventPage,
    Group,
    InviteRow,
    KindSchema,
    NetworkInfo,
    Outcome,
    PendingRow,
    SettingRow,
    Snapshot,
    TaskDetail,
    TaskPage,
    TaskQuery,
    WorkerPast,
)
from ..handle.acting import act_on_all
from ..net import messages as m
from .acts import Acts, checked_ids
from .audit import HERE, told_invite
from .submission import Submission

if TYPE_CHECKING:
    from .manager import Manager


class ManagerHandle:
    """Everything that the operator of this process may do."""

    role, read_only = "manager", False

    def __init__(self, manager: Manager) -> None:
        self._manager, self._view, self._desk = manager, manager.view, manager.desk
        self._acts = Acts(manager.writer, manager.delivery, manager)

    def snapshot(self) -> Snapshot:
        """The newest known."""
        return self._view.telemetry.feed.snapshot()

    def events(self, cursor: int, limit: int = MAX_EVENTS) -> EventPage:
        """What happened from `cursor` on."""
        return self._view.telemetry.feed.since(cursor, min(limit, MAX_EVENTS))

    async def tasks(self, query: TaskQuery) -> TaskPage:
        """A page of tasks."""
        return await self._desk.page(query)

    async def count(self, query: TaskQuery, most: int = 1_000_000) -> Count:
        """How many tasks match."""
        return await self._desk.count(query, max(1, most))

    async def task(self, task_id: int, payload_limit: int = 65_536) -> TaskDetail:
        """One task."""
        checked_ids([task_id])
        found = await self._desk.detail(task_id, max(0, payload_limit))
        if found is None:
            raise no_task(task_id)
        return found

    async def outcomes(self, ids: Sequence[int]) -> list[Outcome]:
        """Of these tasks, those that have ended."""
        return await self._manager.outcomes(checked_ids(ids))

    async def submit(self, groups: Sequence[Group]) -> list[int]:
        """New tasks; durable when this returns."""
        answered = anyio.Event()
        ids: list[int] = []
        errors: list[TaskMessengerError] = []

        def answer(found: list[int], _duplicates: int, error: TaskMessengerError | None) -> None:
            ids.extend(found)
            if error is not None:
                errors.append(error)
            answered.set()

        manager = self._manager
        await Submission(manager.writer, manager.delivery, manager).put(groups, answer)
        await answered.wait()
        if errors:
            raise errors[0]
        return ids

    async def act(self, act: Act) -> ActDone:
        """Carry out a command."""
        return await act_on_all(lambda part: self._acts.do(part, HERE), act)

    async def kind_schemas(self) -> tuple[KindSchema, ...]:
        """What connected workers offer."""
        return self._view.kinds()

    async def invites(self) -> list[InviteRow]:
        """Newest first."""
        return await self._manager.invites()

    async def make_invite(
        self, uses: int, ttl: float, role: str, approve: bool = False, ephemeral: bool = False
    ) -> tuple[str, InviteRow]:
        """A new invite."""
        wish = m.MakeInvite(0, uses, ttl, role, approve=approve, ephemeral=ephemeral)
        text, row = await self._manager.make_invite(wish)
        await self._manager.audit.record(HERE, "invite", told_invite(row))
        return text, row

    async def revoke_invite(self, invite_id: str) -> None:
        """Nobody may use it any more."""
        await self._manager.revoke_invite(invite_id)
        await self._manager.audit.record(HERE, "revoke invite", invite_id)

    async def pending(self) -> list[PendingRow]:
        """Oldest first."""
        return await self._desk.pending()

    async def worker_past(self, worker_id: str) -> WorkerPast:
        """The last minutes of a worker."""
        return self._view.telemetry.past.of(worker_id)

    async def settings(self) -> tuple[SettingRow, ...]:
        """What this manager is set to."""
        return self._view.settings()

    async def network(self) -> NetworkInfo:
        """How it is reached."""
        return await self._view.network()

    async def stop(self, deadline: float | None) -> None:
        """Leave in good order."""
        self._manager.stop(deadline)
