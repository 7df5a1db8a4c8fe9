"""`Guest`: a node that runs on another thread, as a `NodeHandle` for this one.

Looking never crosses threads: snapshots and events are read where they lie. Everything else is carried to the
node's event loop, and the answer back, without either loop waiting for the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from anyio.from_thread import BlockingPortal
from msgspec.structs import replace

from ..core.errors import Refused, Unreachable
from .live import Act, ActDone, EventPage, KindSchema, NetworkInfo, SettingRow, Snapshot, WorkerPast
from .node import MAX_EVENTS, NodeHandle
from .values import Count, Group, InviteRow, Outcome, PendingRow, TaskDetail, TaskPage, TaskQuery

START: Final = "start"
"""The verb of an act."""
_T = TypeVar("_T")


class _Crossing:
    """The way to `node`, whose event loop is reached through `portal`."""

    def __init__(
        self,
        node: NodeHandle,
        portal: BlockingPortal,
        *,
        read_only: bool = False,
        again: Callable[[], object] | None = None,
    ) -> None:
        """`again` starts a node anew that has ended; it blocks until `moves` was called."""
        self._node, self._portal, self._again = node, portal, again
        self.read_only = read_only or node.read_only
        self.ended = ""
        """Why the node does not run any more, in a sentence; empty while it does."""

    def moves(self, node: NodeHandle, portal: BlockingPortal) -> None:
        """From now on this is the node: it was started anew."""
        self._node, self._portal, self.ended = node, portal, ""

    async def _change(self, function: Callable[..., Awaitable[_T]], *arguments: Any) -> _T:
        if self.read_only:
            raise Refused("this console is read-only: start it without --read-only to change something")
        return await self._cross(function, *arguments)

    async def _cross(self, function: Callable[..., Awaitable[_T]], *arguments: Any) -> _T:
        """Run it over there. Cancelled here, it is cancelled there."""
        try:
            future = self._portal.start_task_soon(function, *arguments)
        except RuntimeError as error:  # the portal is closed
            raise Unreachable(self.ended or "this role has ended") from error
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if future.cancelled() and task is not None and not task.cancelling():
                raise Unreachable(self.ended or "this role has ended") from None
            raise


class Guest(_Crossing):
    """A guest of a node. For asyncio, which Textual runs on."""

    @property
    def role(self) -> str:
        """`manager` or `worker`."""
        return self._node.role

    def snapshot(self) -> Snapshot:
        """The newest known; the last one, once the node has ended."""
        snapshot = self._node.snapshot()
        if not self.ended:
            return snapshot
        worker = snapshot.worker
        if worker is not None:
            worker = replace(
                worker, state="stopped", reason="", running=(), waiting=0, rtt=None, leave_by=None
            )
        return replace(snapshot, connected=False, ended=True, reason=self.ended, worker=worker)

    def events(self, cursor: int, limit: int = MAX_EVENTS) -> EventPage:
        """What happened from `cursor` on."""
        return self._node.events(cursor, limit)

    async def tasks(self, query: TaskQuery) -> TaskPage:
        """A page of tasks."""
        return await self._cross(self._node.tasks, query)

    async def count(self, query: TaskQuery, most: int = 1_000_000) -> Count:
        """How many tasks match."""
        return await self._cross(self._node.count, query, most)

    async def task(self, task_id: int, payload_limit: int = 65_536) -> TaskDetail:
        """One task."""
        return await self._cross(self._node.task, task_id, payload_limit)

    async def outcomes(self, ids: Sequence[int]) -> list[Outcome]:
        """Of these tasks, those that have ended."""
        return await self._cross(self._node.outcomes, ids)

    async def submit(self, groups: Sequence[Group]) -> list[int]:
        """New tasks."""
        return await self._change(self._node.submit, groups)

    async def act(self, act: Act) -> ActDone:
        """Carry out a command; a node that has ended can only be started anew, where that is possible."""
        if act.verb == START and self.ended and self._again is not None and not self.read_only:
            await asyncio.to_thread(self._again)
            return ActDone(1)
        return await self._change(self._node.act, act)

    async def kind_schemas(self) -> tuple[KindSchema, ...]:
        """What can be submitted."""
        return await self._cross(self._node.kind_schemas)

    async def invites(self) -> list[InviteRow]:
        """All invites."""
        return await self._cross(self._node.invites)

    async def make_invite(
        self, uses: int, ttl: float, role: str, approve: bool = False, ephemeral: bool = False
    ) -> tuple[str, InviteRow]:
        """A new invite."""
        return await self._change(self._node.make_invite, uses, ttl, role, approve, ephemeral)

    async def revoke_invite(self, invite_id: str) -> None:
        """Nobody may use it any more."""
        await self._change(self._node.revoke_invite, invite_id)

    async def pending(self) -> list[PendingRow]:
        """Members that wait for approval."""
        return await self._cross(self._node.pending)

    async def worker_past(self, worker_id: str) -> WorkerPast:
        """The last minutes of a worker."""
        return await self._cross(self._node.worker_past, worker_id)

    async def settings(self) -> tuple[SettingRow, ...]:
        """What the node is set to."""
        return await self._cross(self._node.settings)

    async def network(self) -> NetworkInfo:
        """How the node is reached."""
        return await self._cross(self._node.network)

    async def stop(self, deadline: float | None) -> None:
        """End the role."""
        await self._change(self._node.stop, deadline)
