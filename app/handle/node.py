"""`NodeHandle`: everything a front end may ask of a node or tell it, wherever that node is.

Implemented by the roles in this process, by a session with a manager elsewhere, and by a simulated fleet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from .live import Act, ActDone, EventPage, KindSchema, NetworkInfo, SettingRow, Snapshot, WorkerPast
from .values import Count, Group, InviteRow, Outcome, PendingRow, TaskDetail, TaskPage, TaskQuery

MAX_EVENTS: Final = 1_000
"""Rows of one page of events."""


class NodeHandle(Protocol):
    """One node: a manager or a worker.

    `snapshot` and `events` never wait and may be called from any thread. Everything else is awaited on the
    event loop of the front end, may take a moment, and raises the errors of `core.errors`: `UsageError` for
    what this node cannot do (a worker has no tasks to query), `Refused` when the handle is read-only or the
    certificate does not allow it, `Unreachable` while the node is away.
    """

    @property
    def role(self) -> str:
        """`manager` or `worker`."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether everything that changes something is refused."""
        ...

    def snapshot(self) -> Snapshot:
        """The newest known. Asking is what keeps it fresh: it is taken at most four times a second."""
        ...

    def events(self, cursor: int, limit: int = MAX_EVENTS) -> EventPage:
        """What happened from `cursor` on, oldest first. 0 for all that is remembered."""
        ...

    async def tasks(self, query: TaskQuery) -> TaskPage:
        """A page of tasks."""
        ...

    async def count(self, query: TaskQuery, most: int = 1_000_000) -> Count:
        """How many tasks match; counting stops at `most`, and when it takes too long."""
        ...

    async def task(self, task_id: int, payload_limit: int = 65_536) -> TaskDetail:
        """One task; its payload only up to `payload_limit` bytes.

        Raises:
            NotFound: there is none of this id.
        """
        ...

    async def outcomes(self, ids: Sequence[int]) -> list[Outcome]:
        """Of these tasks, those that have ended, with results."""
        ...

    async def submit(self, groups: Sequence[Group]) -> list[int]:
        """New tasks; returns when they are durable, with one id for each payload in order."""
        ...

    async def act(self, act: Act) -> ActDone:
        """Carry out a command; returns when it is durable."""
        ...

    async def kind_schemas(self) -> tuple[KindSchema, ...]:
        """What can be submitted, by name."""
        ...

    async def invites(self) -> list[InviteRow]:
        """All invites, newest first, without secrets."""
        ...

    async def make_invite(
        self, uses: int, ttl: float, role: str, approve: bool = False, ephemeral: bool = False
    ) -> tuple[str, InviteRow]:
        """A new invite and its text, which is shown this once. `ttl`: seconds; 0 for the setting."""
        ...

    async def revoke_invite(self, invite_id: str) -> None:
        """Nobody may use it any more."""
        ...

    async def pending(self) -> list[PendingRow]:
        """Members that wait for approval, oldest first. `act` approves or revokes them."""
        ...

    async def worker_past(self, worker_id: str) -> WorkerPast:
        """The last minutes of a worker; nothing of one that has not been here for so long."""
        ...

    async def settings(self) -> tuple[SettingRow, ...]:
        """What the node is set to, and where that came from."""
        ...

    async def network(self) -> NetworkInfo:
        """How the node can be reached."""
        ...

    async def stop(self, deadline: float | None) -> None:
        """End the role in good order, giving running tasks `deadline` seconds; None for what is set.

        Raises:
            UsageError: the node is not in this process.
        """
        ...
